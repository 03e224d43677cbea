//! What can be wrong with a gallery, and with a name.

use std::path::PathBuf;

/// Why a gallery could not be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// The system refused.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a whole gallery.
    #[error(
        "{}: {what}: the file is damaged and is not used; restore a copy of it, or move it away and enrol again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// More than a gallery may hold; nothing was written.
    #[error(
        "{}: would be larger than {} MiB, which is not read again: enrol fewer photos a person, 20 to 30 are best",
        path.display(), super::MAX_BYTES >> 20
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later program.
    #[error(
        "{}: version {found}, this program reads version {}: use the newer latchkey that wrote it",
        path.display(), super::VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Templates of another embedder.
    #[error(
        "{}: enrolled with embedder {}…, this model set has {}…: choose the set it was enrolled with (--models), or enrol again",
        path.display(), short(found), short(want)
    )]
    Embedder {
        /// The file.
        path: PathBuf,
        /// The gallery's embedder.
        found: String,
        /// The embedder in use.
        want: String,
    },
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nobody of that name.
    #[error("{name:?} is not enrolled in {}; `latchkey people` lists who is", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// As asked for.
        name: String,
    },
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Why a name is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {name:?}: {what}; use 1 to 64 letters, digits, spaces and - _ . '")]
pub struct NameError {
    name: String,
    what: &'static str,
}

/// That `name` can be printed in a log line and used as a folder's name.
///
/// # Errors
/// [`NameError`] says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let what = if name.trim().is_empty() {
        "is empty"
    } else if name.trim() != name {
        "begins or ends with a space"
    } else if name.chars().count() > 64 {
        "is too long"
    } else if name.starts_with(['.', '-']) {
        "begins with a dot or dash"
    } else if let Some(c) = name
        .chars()
        .find(|c| !(c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '\'')))
    {
        match c {
            '/' | '\\' => "has a path separator",
            c if c.is_control() => "has a control character",
            _ => "has a character that is none of these",
        }
    } else {
        return Ok(());
    };
    Err(NameError {
        name: name.to_owned(),
        what,
    })
}
