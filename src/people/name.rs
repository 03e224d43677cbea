//! What people may be called, and who is meant by a typed name.
//!
//! A name is kept as it was written, in one Unicode form (NFC). Two names that differ only in what keyboards and systems change
//! refer to the same person ([`fold`]). Code that reads a name from a person, a folder or a list calls [`read`]; code that looks
//! a person up calls [`find`].

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_security::mixed_script::AugmentedScriptSet;
use unicode_segmentation::UnicodeSegmentation;

use crate::text::{fold, is_invisible, nearest, turns_direction};

/// The largest number of letters in a name, as a reader counts them.
const MOST_LETTERS: usize = 64;
/// The largest number of bytes in a name. A name is also used as a folder's name, and Linux file systems allow no more.
const MOST_BYTES: usize = 255;

/// The combining class of the signs that silence a vowel in Indian scripts (UAX #44).
const VIRAMA: u8 = 9;
/// Names of special folders, and the log's word for an opening by the button.
const OURS: [&str; 4] = ["unknown", "validation", "test", "button"];

/// Why a name is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {}: {what}", crate::journal::quoted(name))]
pub struct NameError {
    name: String,
    what: String,
}

impl NameError {
    fn new(name: &str, what: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            what: what.into(),
        }
    }
}

/// Turns `written` into a name: in NFC, with plain single spaces, and without invisible characters where no script needs
/// them. Letters and marks of every script are accepted, also digits, apostrophes, hyphens, dots, commas, and the signs that
/// some scripts write within a name.
///
/// # Errors
/// [`NameError`]: it is empty, too long, or has a character that could lead to another folder, break or forge a line of the
/// log, or make what is shown look like another name.
pub fn read(written: &str) -> Result<String, NameError> {
    let wrong = |what: &str| Err(NameError::new(written, what));
    let composed: Vec<char> = written.nfc().collect();
    let mut name = String::with_capacity(written.len());
    for (place, &c) in composed.iter().enumerate() {
        if let Some(what) = forbidden(c) {
            return Err(NameError::new(
                written,
                format!(
                    "has {what} (U+{:04X}); type the name again without it",
                    u32::from(c)
                ),
            ));
        }
        if c.is_whitespace() {
            if !name.is_empty() && !name.ends_with(' ') {
                name.push(' ');
            }
        } else if is_combining_mark(c) {
            if name.is_empty() || name.ends_with(' ') {
                return wrong(
                    "begins with an accent that stands on no letter; type the name again",
                );
            }
            name.push(c);
        } else if is_invisible(c) {
            if is_needed(&composed, place) {
                name.push(c);
            }
        } else {
            name.push(c);
        }
    }
    let name: String = name.trim_end().nfc().collect();
    if name.is_empty() {
        return wrong("is empty; give the name of a person");
    }
    if name.starts_with(['.', '-', '~', ',']) {
        return wrong("begins with a dot, dash or comma; begin it with a letter");
    }
    if !name.contains(char::is_alphanumeric) {
        return wrong("has no letter");
    }
    let letters = name.graphemes(true).count();
    if letters > MOST_LETTERS || name.len() > MOST_BYTES {
        return Err(NameError::new(
            written,
            format!(
                "is too long ({letters} letters, {} bytes); the most is {MOST_LETTERS} letters and {MOST_BYTES} bytes",
                name.len()
            ),
        ));
    }
    Ok(name)
}

/// Whether `name` can be printed safely and is not a path, even if it was accepted under older rules.
pub fn is_harmless(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c| forbidden(c).is_some())
}

/// What is wrong with `c` in any name.
fn forbidden(c: char) -> Option<&'static str> {
    match c {
        '/' | '\\' => Some("a path separator"),
        '\t' => None,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
            Some("a line break")
        }
        c if c.is_control() => Some("a control character"),
        c if turns_direction(c) => {
            Some("an invisible character that turns the direction of the text")
        }
        c if c.is_whitespace()
            || c.is_alphanumeric()
            || is_combining_mark(c)
            || is_invisible(c) =>
        {
            None
        }
        // Apostrophes as typed, and those of Armenian and Hebrew.
        '\'' | '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '`' | '\u{b4}' | '\u{ff07}'
        | '\u{55a}' | '\u{5f3}' | '\u{5f4}' => None,
        // Hyphens and dashes, also of Armenian, Hebrew, Canadian and Japanese scripts.
        '-'
        | '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '\u{58a}'
        | '\u{5be}'
        | '\u{1400}'
        | '\u{30a0}'
        | '\u{ff0d}' => None,
        // Within names of Catalan, Chinese, Japanese; syllables of Tibetan; abbreviations of Hindi; words of Ethiopian scripts.
        '\u{b7}' | '\u{2027}' | '\u{30fb}' | '\u{ff65}' | '\u{f0b}' | '\u{f0c}' | '\u{970}'
        | '\u{1361}' => None,
        '.' | ',' | '_' | '\u{ff0e}' => None,
        _ => Some("a character that no name has"),
    }
}

/// Whether the character at `place`, which is invisible, changes how the letters around it are written: joiners within words of
/// scripts that join or stack letters (Arabic and Indian ones among them), vowel separators of Mongolian.
fn is_needed(name: &[char], place: usize) -> bool {
    if !matches!(name[place], '\u{200c}' | '\u{200d}' | '\u{180e}') {
        return false;
    }
    let joins = |c: &&char| c.is_alphanumeric() && !does_not_join(**c);
    let mut before = name[..place].iter().rev();
    // The sign that silences a vowel; with a joiner after it a letter takes its half form, also at the end of a word.
    let halved = name[..place]
        .last()
        .is_some_and(|c| canonical_combining_class(*c) == VIRAMA);
    let base = before.find(|c| !is_combining_mark(**c) && !is_invisible(**c));
    base.filter(joins).is_some() && (halved || name[place + 1..].first().filter(joins).is_some())
}

/// Whether `c` is of a script in which joiners have no effect.
fn does_not_join(c: char) -> bool {
    c.is_ascii()
        || matches!(u32::from(c),
            // Latin, Greek, Cyrillic, Armenian, Hebrew
            0x80..0x600
            // Georgian, Hangul, Ethiopic, Cherokee, Canadian syllables
            | 0x10a0..0x1700
            // Latin and Greek with accents
            | 0x1d00..0x2000
            // Chinese, Japanese, Korean
            | 0x2e80..0xa4d0 | 0xac00..0xd7ff | 0xf900..0xfb00 | 0xff00..0xffef | 0x20000..0x40000)
}

/// Whether two names refer to the same person.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

/// The form of a name that is the same for every way to write the name. It has no dots at the end, because Windows removes them
/// from a folder's name.
#[must_use]
pub fn key(name: &str) -> String {
    let folded = fold(name);
    folded.trim_end_matches(['.', ' ']).to_owned()
}

/// The name among `known` that is meant by `written`.
pub fn find<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = key(written);
    known.into_iter().find(|name| key(name) == wanted)
}

/// Half a sentence that proposes the nearest name of `known`. It follows the message that no one is called `written`, and is
/// empty if no name is near.
pub fn suggestion<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map_or_else(String::new, |name| {
        format!("; did you mean {}?", crate::journal::value(name))
    })
}

/// Checks that a person may be enrolled as `name`, in addition to `known`. If the name is among `known`, it refers to that
/// person.
///
/// # Errors
/// [`NameError`]: the log and the folder of photos use that word for something else, or it looks like one of `known` in the
/// letters of another script.
pub fn check_new<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<(), NameError> {
    let folded = key(name);
    let number = name.strip_prefix('p').unwrap_or_default();
    if OURS.contains(&folded.as_str()) {
        return Err(NameError::new(
            name,
            "is a word that Latchkey uses itself; add a surname or a nickname",
        ));
    }
    if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError::new(
            name,
            "is how the log numbers people; choose another",
        ));
    }
    known
        .into_iter()
        .try_for_each(|other| check_alike(name, other))
}

/// Checks that `name` is not `other` in the letters of another script.
///
/// # Errors
/// [`NameError`].
pub fn check_alike(name: &str, other: &str) -> Result<(), NameError> {
    let (folded, other_key) = (key(name), key(other));
    // Within one script people read closely enough to distinguish names such as Marnie and Mamie.
    let mut shared = AugmentedScriptSet::for_str(name);
    shared.intersect_with(AugmentedScriptSet::for_str(other));
    // Some letters look alike only as capitals.
    let alike = shape(other) == shape(name) || shape(&other_key) == shape(&folded);
    if other_key == folded || !shared.is_empty() || !alike {
        return Ok(());
    }
    let other = crate::journal::value(other);
    Err(NameError::new(
        name,
        format!(
            "looks like {other} in letters of another script; type it on the keyboard that {other} was typed on, or choose another"
        ),
    ))
}

/// What a name or its [`key`] looks like to a reader (UTS #39, skeleton).
#[must_use]
pub fn shape(name: &str) -> String {
    unicode_security::skeleton(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_script_are_accepted() {
        for name in [
            "Ada",
            "Jürgen",
            "O’Brien",
            "O'Brien",
            "O´Brien",
            "Anna-Lena",
            "Jean‑Luc",
            "Mary Ann",
            "Martin Luther King, Jr.",
            "J. R. R. Tolkien",
            "Łukasz Żółć",
            "Þórdís Ævarsdóttir",
            "Nguyễn Thị Ánh",
            "Đặng",
            "Gal·la",
            "Kamakaʻeha",
            "Sinéad Ní Chonaill",
            "İsmail Işık",
            "Владимир",
            "Наталія Ковальчук",
            "Ђорђе",
            "Γιώργος",
            "Աննա",
            "გიორგი",
            "דוד בן־גוריון",
            "ג׳ורג׳",
            "צה״ל",
            "محمد",
            "علی\u{200c}رضا",
            "فاطِمَة",
            "अनीता शर्मा",
            "डॉ॰ राम",
            "শ্রী",
            "ਹਰਪ੍ਰੀਤ",
            "ગાંધી",
            "தமிழ்செல்வி",
            "తెలుగు",
            "ಕನ್ನಡ",
            "മലയാളം",
            "ශ්\u{200d}රීමතී",
            "สมชาย",
            "ນາງ",
            "မောင်",
            "ខ្មែរ",
            "བསྟན་འཛིན",
            "മോഹന്\u{200d}",
            "王小明",
            "陳",
            "さくら",
            "マリア・テレサ",
            "김철수",
            "አበበ",
            "ᓄᓇᕗᑦ",
            "ᏣᎳᎩ",
            "葛\u{e0100}城",
            "Ὀδυσσεύς",
            "R2 3",
            "Ann_2",
            "ǃXóõ",
            "T̈ọ",
        ] {
            let read = read(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read, name.nfc().collect::<String>());
            assert_eq!(
                super::read(&read).as_ref(),
                Ok(&read),
                "read again it is the same"
            );
            assert_eq!(check_new(&read, ["Ada L", "Ben"]), Ok(()));
        }
    }

    #[test]
    fn characters_that_systems_add_are_removed() {
        for (written, name) in [
            ("Ju\u{308}rgen", "Jürgen"),
            (" Ada ", "Ada"),
            ("Mary\u{a0} Ann\t", "Mary Ann"),
            ("\u{feff}Ada\u{200e}", "Ada"),
            ("A\u{200d}da", "Ada"),
            ("Jür\u{ad}gen", "Jürgen"),
            ("علی\u{200c} رضا", "علی رضا"),
            ("\u{1100}\u{1161}", "가"),
        ] {
            assert_eq!(read(written).as_deref(), Ok(name), "{written:?}");
        }
    }

    #[test]
    fn unsafe_names_are_refused_with_the_reason() {
        for (name, why) in [
            ("", "is empty"),
            (" \u{200b}\u{3164} ", "is empty"),
            ("../../etc/passwd", "a path separator"),
            ("a\\b", "a path separator"),
            (".hidden", "begins with a dot"),
            ("--camera", "begins with a dot, dash"),
            ("Ada\nBen", "a line break"),
            ("Ada\u{2028}Ben", "a line break"),
            ("Ada\0", "a control character"),
            ("Ada\u{1b}[2J", "a control character"),
            ("Ada\u{202e}neB", "turns the direction of the text (U+202E)"),
            ("\u{2067}Ada\u{2069}", "turns the direction"),
            ("\u{301}Ada", "an accent that stands on no letter"),
            ("Ada person=Ben", "a character that no name has (U+003D)"),
            ("Ada\"", "a character that no name has (U+0022)"),
            ("Ada 😀", "a character that no name has"),
            ("’", "has no letter"),
            ("<Ada>", "a character that no name has"),
            (&"x".repeat(65), "is too long (65 letters"),
            (
                &"x\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}".repeat(40),
                "is too long (40 letters",
            ),
        ] {
            let error = read(name).unwrap_err().to_string();
            assert!(error.contains(why), "{name:?}: {error}");
            assert!(
                !error.contains(['\n', '\0', '\u{202e}', '\u{2028}']),
                "{error:?}"
            );
        }
        assert!(read(&"é".repeat(64)).is_ok());
    }

    #[test]
    fn no_person_takes_the_name_of_another() {
        for (name, known) in [
            ("\u{410}da", "Ada"),
            ("Вен", "Beн"),
            ("Οtto", "Otto"),
            ("Сосо", "Coco"),
        ] {
            let error = check_new(name, [known]).unwrap_err().to_string();
            assert!(error.contains("looks like"), "{error}");
        }
        for (name, known) in [
            ("Marnie", "Mamie"),
            ("Ian", "lan"),
            ("Ада", "Ada"),
            ("Ben", "Ben"),
            ("BEN", "Ben"),
        ] {
            assert_eq!(check_new(name, [known]), Ok(()), "{name} beside {known}");
        }
        for name in ["unknown", "Unknown", "TEST", "Button", "p1", "p12"] {
            assert!(check_new(name, []).is_err(), "{name}");
        }
        for name in ["Pat", "P", "Tess", "Nobody"] {
            assert_eq!(check_new(name, []), Ok(()));
        }
    }

    #[test]
    fn a_typed_name_finds_the_person() {
        let known = ["Jürgen", "O’Brien", "Anna-Lena", "Sammy Davis Jr."];
        for (typed, meant) in [
            ("jürgen", "Jürgen"),
            ("JU\u{308}RGEN", "Jürgen"),
            ("o'brien", "O’Brien"),
            ("O`Brien ", "O’Brien"),
            ("anna–lena", "Anna-Lena"),
            ("Sammy  Davis Jr", "Sammy Davis Jr."),
        ] {
            assert_eq!(find(typed, known), Some(meant), "{typed}");
        }
        assert_eq!(find("Jurgen", known), None);
        assert_eq!(suggestion("Jurgen", known), "; did you mean Jürgen?");
        assert_eq!(suggestion("Xaver", known), "");
    }

    proptest::proptest! {
        /// An accepted name is one line, stays in its folder, and reads as itself.
        #[test]
        fn an_accepted_name_is_harmless(written in "\\PC{0,30}|[\\p{L}\\p{M}\\p{Cf}\\p{Zs}'’.-]{0,30}|(?s).{0,10}") {
            if let Ok(name) = read(&written) {
                proptest::prop_assert_eq!(read(&name), Ok(name.clone()));
                proptest::prop_assert!(same(&name, &written));
                proptest::prop_assert!(!name.contains(['/', '\\', '\n', '\r', '"', '=']) && !name.starts_with(['.', '-']));
                proptest::prop_assert!(!name.chars().any(|c| c.is_control() || turns_direction(c)));
            }
        }
    }
}
