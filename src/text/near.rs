//! How near a name is to an expected name: which names can only mean the expected one, and which may mean it.

use super::{fold, fold_accents};

/// How a name relates to an expected name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The name is the expected one.
    Is,
    /// The name differs only in what systems and editors change by themselves: case, Unicode form, spaces, a missing ending, or
    /// an added ending of plain text. It can only mean the expected name.
    Means,
    /// The name may mean the expected one: it is mistyped, a copy, or saved in another format.
    MayMean,
    /// The name is another one.
    Other,
}

/// Endings that editors of plain text add.
const PLAIN: [&str; 3] = ["txt", "text", "toml"];
/// Endings of word processors and browsers.
const RICH: [&str; 11] = [
    "rtf",
    "rtfd",
    "doc",
    "docx",
    "odt",
    "pages",
    "pdf",
    "htm",
    "html",
    "webarchive",
    "wps",
];
/// Endings of archives.
const ARCHIVE: [&str; 12] = [
    "zip", "rar", "7z", "tar", "gz", "tgz", "bz2", "xz", "zst", "cab", "iso", "dmg",
];
/// Words in the names of copies of a file, as systems in several languages make them.
const COPY: [&str; 16] = [
    "copy", "of", "kopie", "von", "copie", "de", "copia", "kopia", "kopi", "new", "old", "bak",
    "backup", "final", "orig", "tmp",
];

fn ending(name: &str) -> String {
    fold(name.rsplit_once('.').map_or("", |(_, ending)| ending))
}

/// Whether the name is that of a file that a word processor or browser saves.
#[must_use]
pub fn is_rich_text(name: &str) -> bool {
    RICH.contains(&ending(name).as_str())
}

/// Whether the name is that of an archive.
#[must_use]
pub fn is_archive(name: &str) -> bool {
    ARCHIVE.contains(&ending(name).as_str())
}

/// How the name of a file or folder, `found`, relates to `expected`, which may have an ending of plain text.
#[must_use]
pub fn likeness(found: &str, expected: &str) -> Likeness {
    if found == expected {
        return Likeness::Is;
    }
    let (whole, wanted) = (fold(found), fold(expected));
    let mut parts = whole.split('.').map(str::trim);
    let stem = parts.next().unwrap_or_default();
    let endings: Vec<&str> = parts.filter(|e| !e.is_empty()).collect();
    let (wanted_stem, wanted_ending) = wanted.rsplit_once('.').unwrap_or((&wanted, ""));
    let plain = |e: &&str| PLAIN.contains(e) && (*e != "toml" || wanted_ending == "toml");
    if stem == wanted_stem
        && endings.iter().all(plain)
        && (!wanted_ending.is_empty() || endings.is_empty())
    {
        return Likeness::Means;
    }
    let bare = without_copy_marks(stem);
    if near(&bare, wanted_stem) || near(&whole.replace([' ', '.'], ""), &wanted.replace('.', "")) {
        return Likeness::MayMean;
    }
    Likeness::Other
}

/// Whether `word` is `wanted`, or differs from it by typing errors.
fn near(word: &str, wanted: &str) -> bool {
    edits(word, wanted) <= slips(wanted)
}

/// How many typing errors a word may have. A short word with more errors could easily be another word.
fn slips(word: &str) -> usize {
    match word.chars().count() {
        0..5 => 0,
        5 => 1,
        _ => 2,
    }
}

/// The number of insertions, deletions, changes and swaps of letters that turn one word into the other.
#[must_use]
pub fn edits(one: &str, other: &str) -> usize {
    strsim::osa_distance(one, other)
}

/// "remove (1)", "remove - copy" and "copy of remove" without the marks of a copy.
fn without_copy_marks(stem: &str) -> String {
    let words = stem.split(|c: char| !c.is_alphabetic());
    let words: Vec<&str> = words.filter(|w| !w.is_empty()).collect();
    match words
        .iter()
        .filter(|w| !COPY.contains(w))
        .collect::<Vec<_>>()[..]
    {
        [word] => (*word).to_owned(),
        _ => stem.to_owned(),
    }
}

/// The name in `known` that is nearest to `written`: a few letters differ, or accents are missing, or one is a part of the
/// other. `None` if no name is near enough.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = fold_accents(written);
    let letters = wanted.chars().count();
    let score = |name: &&'a str| {
        let name = fold_accents(name);
        let most = (letters.max(name.chars().count()) / 3).max(1);
        let edits = edits(&wanted, &name);
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (one, other) = (words(&wanted), words(&name));
        let part = one.iter().all(|w| other.contains(w)) || other.iter().all(|w| one.contains(w));
        match (edits <= most, part && letters > 0) {
            (true, _) => Some(edits),
            (false, true) => Some(most + 1),
            (false, false) => None,
        }
    };
    let scored = known
        .into_iter()
        .filter_map(|name| Some((score(&name)?, name)));
    scored.min_by_key(|(score, _)| *score).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_mean_anything_else_are_taken() {
        for (found, expected) in [
            ("remove.txt.txt", "remove.txt"),
            ("remove", "remove.txt"),
            ("Remove.TXT", "remove.txt"),
            ("remove .txt", "remove.txt"),
            (" remove.txt", "remove.txt"),
            ("remove.text", "remove.txt"),
            ("remove.txt.", "remove.txt"),
            ("ｒｅｍｏｖｅ.txt", "remove.txt"),
            ("latchkey.toml.txt", "latchkey.toml"),
            ("Latchkey.TOML", "latchkey.toml"),
            ("latchkey", "latchkey.toml"),
            ("latchkey.txt", "latchkey.toml"),
            ("Photos", "photos"),
            ("photos ", "photos"),
            ("UNKNOWN", "unknown"),
        ] {
            assert_eq!(likeness(found, expected), Likeness::Means, "{found}");
        }
    }

    #[test]
    fn names_that_may_mean_it_are_noticed() {
        for (found, expected) in [
            ("remove(1).txt", "remove.txt"),
            ("remove - Copy.txt", "remove.txt"),
            ("Copy of remove.txt", "remove.txt"),
            ("remvoe.txt", "remove.txt"),
            ("remove_txt", "remove.txt"),
            ("removetxt", "remove.txt"),
            ("removed.txt", "remove.txt"),
            ("Remove.rtf", "remove.txt"),
            ("remove.docx", "remove.txt"),
            ("remove.txt.bak", "remove.txt"),
            ("remove.toml", "remove.txt"),
            ("latchkey (2).toml", "latchkey.toml"),
            ("latchky.toml", "latchkey.toml"),
            ("latchkey.tml", "latchkey.toml"),
            ("photo", "photos"),
            ("fotos", "photos"),
            ("photos.zip", "photos"),
            ("photos (2)", "photos"),
            ("unkown", "unknown"),
            ("unknowns", "unknown"),
        ] {
            assert_eq!(likeness(found, expected), Likeness::MayMean, "{found}");
        }
        for (found, expected) in [
            ("notes.txt", "remove.txt"),
            ("readme.txt", "remove.txt"),
            ("latchkey-says.txt", "latchkey.toml"),
            ("DCIM", "photos"),
            ("Ada", "unknown"),
            ("Tess", "test"),
        ] {
            assert_eq!(likeness(found, expected), Likeness::Other, "{found}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_or_none() {
        let known = ["Jürgen", "O’Brien", "Nguyễn Văn Ân", "Ada Lovelace", "Юрий"];
        let near = |written| nearest(written, known);
        for (written, meant) in [
            ("Jurgen", "Jürgen"),
            ("Juergen", "Jürgen"),
            ("Jügren", "Jürgen"),
            ("OBrien", "O’Brien"),
            ("Nguyen Van An", "Nguyễn Văn Ân"),
            ("ada", "Ada Lovelace"),
            ("Ада Юрий", "Юрий"),
        ] {
            assert_eq!(near(written), Some(meant), "{written}");
        }
        assert_eq!((near("Grace"), near(""), near("王")), (None, None, None));
    }
}
