//! Text that people write, read in the sense in which they mean it: the encodings and line ends of their editors ([`decode`]),
//! words that are the same however they were typed ([`fold`]), and the nearest of several possible words ([`nearest`],
//! [`likeness`]).
//!
//! It knows nothing about files, keys or people: callers pass the words that they expect.

mod decode;
mod near;
mod toml;

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

pub use self::toml::toml_error;
pub use decode::{Decoded, NotText, decode, lines};
pub use near::{Likeness, edits, is_archive, is_rich_text, likeness, nearest};

/// `text` without everything that differs between keyboards, phones and operating systems: case, Unicode form and width (NFKC),
/// kinds of apostrophe, hyphen, dot and space, spaces around the text and repeated spaces, and invisible characters. Two texts
/// with the same result are the same to a reader. Accents stay, because they distinguish people.
#[must_use]
pub fn fold(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(alike)
        .nfkc()
        .map(alike)
        .collect();
    let folded = UniCase::unicode(plain).to_folded_case();
    let mut out = String::with_capacity(folded.len());
    for c in folded.nfkc() {
        // Turkish capital I becomes this where the language is not known.
        if c == '\u{307}' && out.ends_with('i') {
            continue;
        }
        let c = alike(c);
        if c == ' ' && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        out.push(c);
    }
    out.trim_end().nfc().collect()
}

/// [`fold`], and without accents, too: only for suggestions.
#[must_use]
pub fn fold_accents(text: &str) -> String {
    let base = fold(text);
    let base = base.nfd().filter(|c| !is_combining_mark(*c));
    base.nfc().collect()
}

/// The character that represents all characters of its kind.
fn alike(c: char) -> char {
    match c {
        '\''
        | '\u{2018}'
        | '\u{2019}'
        | '\u{201b}'
        | '\u{2032}'
        | '\u{2bb}'..='\u{2bd}'
        | '\u{2b9}'
        | '\u{2c8}'
        | '\u{b4}'
        | '\u{60}'
        | '\u{ff07}'
        | '\u{ff40}'
        | '\u{55a}'
        | '\u{5f3}'
        | '\u{a78c}' => '\'',
        '-'
        | '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '\u{5be}'
        | '\u{58a}'
        | '\u{30a0}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}'
        | '\u{1400}' => '-',
        '\u{b7}' | '\u{2027}' | '\u{30fb}' | '\u{ff65}' | '\u{2022}' | '\u{387}' => '\u{b7}',
        '\u{131}' => 'i',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

/// Whether `c` is invisible by itself: Default_Ignorable_Code_Point of the Unicode Character Database
/// (DerivedCoreProperties.txt).
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Whether `c` changes the direction of the text around it, so that what follows could be read as something else (Bidi_Control,
/// except the three marks that only show a direction).
#[must_use]
pub const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_keyboards_and_systems_fold_to_the_same() {
        for same in [
            &[
                "Jürgen",
                "Ju\u{308}rgen",
                "JÜRGEN",
                "jürgen",
                " Jürgen ",
                "Jür\u{ad}gen",
                "\u{feff}Jürgen",
            ][..],
            &[
                "O’Brien",
                "O'Brien",
                "O‘Brien",
                "O\u{2bc}Brien",
                "O´Brien",
                "O`BRIEN",
                "o\u{ff07}brien",
            ],
            &[
                "Anna-Lena",
                "Anna\u{2010}Lena",
                "Anna\u{2011}Lena",
                "anna–lena",
                "Anna\u{2212}Lena",
            ],
            &[
                "Mary Ann",
                "Mary\u{a0}Ann",
                "Mary  Ann",
                "MARY\u{202f}ANN",
                "Mary\u{3000}Ann",
                "Mary\tAnn",
            ],
            &["Groß", "GROSS", "groß", "GROẞ"],
            &["IŞIL", "ışıl", "işil", "İŞİL"],
            &["Ada", "Ａｄａ", "ＡＤＡ"],
            &["علی\u{200c}رضا", "علیرضا"],
            &["ΝΊΚΟΣ", "νίκος", "νίκοσ"],
            &["가람", "\u{1100}\u{1161}\u{1105}\u{1161}\u{11b7}"],
            &["ガブリエル", "ｶﾞﾌﾞﾘｴﾙ"],
            &["Zoë", "ZOË", "zoe\u{308}"],
        ] {
            for text in same {
                assert_eq!(fold(text), fold(same[0]), "{text:?}");
            }
        }
        for [one, other] in [
            ["Jose", "José"],
            ["Ada", "Ida"],
            ["Marnie", "Mamie"],
            ["李", "季"],
        ] {
            assert_ne!(fold(one), fold(other));
        }
        assert_eq!(fold_accents("José"), fold_accents("jose"));
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,40}") {
            let once = fold(&text);
            proptest::prop_assert_eq!(fold(&once), once);
        }
    }
}
