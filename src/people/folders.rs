//! Finds out from a folder's name whose photos are in it. A name that is nearly one of the special names is refused, because
//! photos of strangers must not become a person whom the door knows.

use std::path::{Path, PathBuf};

use super::name::{self, NameError};
use crate::text::{Likeness, fold, likeness};

/// The folder with photos of strangers and of things.
pub const UNKNOWN: &str = "unknown";

/// Whose photos are in a folder.
#[derive(Debug, PartialEq, Eq)]
pub enum Whose {
    /// The photos belong to no person, because the folder is this special folder.
    Special(&'static str),
    /// The photos show the person with this name. It is in the form that [`name::read`] returns.
    Person(String),
}

/// Why the photos of a folder belong to no one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// The folder's name is not a possible name of a person.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The folder's name may be meant as a special name.
    #[error("is not a person's name: if {0}, call it {1:?}; if it is a person, add a surname")]
    Near(&'static str, &'static str),
}

/// Whose photos are in a folder called `found`, where the folders `special` belong to no person.
///
/// # Errors
/// [`FolderError`].
pub fn whose(found: &str, special: &[&'static str]) -> Result<Whose, FolderError> {
    for expected in special {
        match likeness(found, expected) {
            Likeness::Is | Likeness::Means => return Ok(Whose::Special(expected)),
            Likeness::MayMean => return Err(near(expected)),
            Likeness::Other => {}
        }
    }
    let folded = fold(found);
    let mut words = folded.split(|c: char| !c.is_alphanumeric());
    let strangers = |word: &str| {
        matches!(word, "stranger" | "strangers")
            || word.len() > 1 && likeness(word, UNKNOWN) != Likeness::Other
    };
    if special.contains(&UNKNOWN) && words.any(strangers) {
        return Err(near(UNKNOWN));
    }
    let name = name::read(found)?;
    if !special.is_empty() {
        name::check_new(&name, [])?;
    }
    Ok(Whose::Person(name))
}

fn near(expected: &'static str) -> FolderError {
    let what = match expected {
        UNKNOWN => "its photos are of strangers",
        _ => "its photos are to try the door with",
    };
    FolderError::Near(what, expected)
}

/// The folder in `folder` whose name means `expected`, however it is written. The exact name comes first, and is also returned if
/// there is no such folder.
#[must_use]
pub fn special(folder: &Path, expected: &str) -> PathBuf {
    let exact = folder.join(expected);
    if exact.is_dir() {
        return exact;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|e| likeness(&e.file_name().to_string_lossy(), expected) == Likeness::Means)
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect();
    found.sort();
    found.into_iter().next().unwrap_or(exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: [&str; 3] = [UNKNOWN, "validation", "test"];

    #[test]
    fn strangers_never_become_a_person() {
        for name in [
            "unknown",
            "Unknown",
            "UNKNOWN",
            "unknown ",
            "ｕｎｋｎｏｗｎ",
        ] {
            assert_eq!(whose(name, &SPECIAL), Ok(Whose::Special(UNKNOWN)), "{name}");
        }
        for name in [
            "unknowns",
            "unkown",
            "unknow",
            "Unknwon",
            "unknown (2)",
            "unknown - Copy",
            "unknown people",
            "Unknown_faces",
            "strangers",
            "Stranger",
            "STRANGERS 2024",
            "people unknown",
        ] {
            let error = whose(name, &SPECIAL).unwrap_err().to_string();
            assert!(error.contains("call it \"unknown\""), "{name}: {error}");
        }
        for name in ["Ada Stanger", "Strange", "Tess", "Valid", "Noah", "Ken Own"] {
            assert_eq!(whose(name, &SPECIAL), Ok(Whose::Person(name.to_owned())));
        }
        assert_eq!(whose("Test", &SPECIAL), Ok(Whose::Special("test")));
        assert!(whose("button", &SPECIAL).is_err() && whose("p3", &SPECIAL).is_err());
    }

    #[test]
    fn the_folder_of_strangers_is_found_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            special(folder.path(), UNKNOWN),
            folder.path().join("unknown")
        );
        std::fs::create_dir(folder.path().join("UnKnown")).unwrap();
        assert_eq!(
            special(folder.path(), UNKNOWN),
            folder.path().join("UnKnown")
        );
        std::fs::create_dir(folder.path().join("unknown")).unwrap();
        assert_eq!(
            special(folder.path(), UNKNOWN),
            folder.path().join("unknown")
        );
    }
}
