//! Decodes the bytes of a text file, as editors on all systems save them: UTF-8 and UTF-16 with and without a mark at the
//! beginning, and Windows-1252, which includes Latin-1. Anything else is refused with advice on how to save it, and never
//! guessed.

/// A text, and how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The text, without a mark at its beginning.
    pub text: String,
    /// Whether the encoding is certain. Windows-1252 is not: a file in another encoding with one byte per letter is read with
    /// the wrong letters.
    pub certain: bool,
}

/// The file is not text, or is in an unknown encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no text that can be read; save it again as plain text in UTF-8 (Notepad: Save As, Encoding: UTF-8; TextEdit: Format, \
     Make Plain Text)"
)]
pub struct NotText;

/// The characters of Windows-1252 between 0x80 and the part that is the same as Latin-1 (WHATWG Encoding, index windows-1252).
/// Unused codes are control characters, which no text has.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Decoded {
    /// The bytes of `text` for a file. They keep the encoding of this text if that has one byte per letter, and are UTF-8
    /// otherwise. Letters that were read wrong are written back unchanged. A letter that the encoding lacks becomes `?`.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u8> {
        if self.certain {
            return text.as_bytes().to_vec();
        }
        let byte = |c: char| (0..=u8::MAX).find(|b| windows_1252(*b) == c);
        text.chars().map(|c| byte(c).unwrap_or(b'?')).collect()
    }
}

/// The text of `bytes`.
///
/// # Errors
/// [`NotText`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, NotText> {
    let certain = |text: String| Decoded {
        text,
        certain: true,
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest).map(certain),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(certain),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(certain),
        _ => utf8(bytes)
            .or_else(|| utf16_unmarked(bytes))
            .map(certain)
            .or_else(|| {
                let text = bytes.iter().map(|b| windows_1252(*b)).collect();
                readable(text).map(|text| Decoded {
                    text,
                    certain: false,
                })
            }),
    }
    .ok_or(NotText)
}

fn utf8(bytes: &[u8]) -> Option<String> {
    readable(std::str::from_utf8(bytes).ok()?.to_owned())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    readable(text.collect::<Result<_, _>>().ok()?)
}

/// UTF-16 without a mark. Bytes are regarded as UTF-16 only if they cannot be a text with one byte per letter, because one of
/// them is a control character. Of the two byte orders, the one with fewer kinds of letters is right, because the upper bytes
/// of one language are alike.
fn utf16_unmarked(bytes: &[u8]) -> Option<String> {
    let without_end = bytes.strip_suffix(b"\x1a").unwrap_or(bytes);
    if !without_end
        .iter()
        .any(|b| is_odd(char::from(*b)) && *b < 0x20)
    {
        return None;
    }
    let kinds = |text: &String| {
        let mut rows: Vec<u32> = text.chars().map(|c| u32::from(c) >> 8).collect();
        rows.sort_unstable();
        rows.dedup();
        let ascii = text.chars().filter(char::is_ascii).count();
        (rows.len(), std::cmp::Reverse(ascii))
    };
    let both = [
        utf16(bytes, u16::from_le_bytes),
        utf16(bytes, u16::from_be_bytes),
    ];
    let plausible = |text: &String| {
        !text.contains(|c| {
            matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}')
                || u32::from(c) & 0xfffe == 0xfffe
        })
    };
    both.into_iter()
        .flatten()
        .filter(plausible)
        .min_by_key(kinds)
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// `text`, if all of its characters occur in texts. The mark by which DOS ends a file is removed.
fn readable(mut text: String) -> Option<String> {
    if text.ends_with('\u{1a}') {
        text.pop();
    }
    (!text.contains(is_odd)).then_some(text)
}

/// Whether `c` is a control character other than those for lines and tables.
fn is_odd(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{85}')
}

/// The lines of `text`, in whichever way its editor ends them, without spaces around them. Empty lines are left out.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn be(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn every_encoding_that_editors_offer_is_read() {
        for names in [
            "Ada\r\nJürgen\r\n",
            "Юрий\r\nАда\r\n",
            "王伟\r\n",
            "עדה\n",
            "José O’Brien\rÅsa\r",
            "अनीता\n",
            "😀 x\r\n",
        ] {
            let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes[..]].concat();
            for bytes in [
                names.as_bytes().to_vec(),
                marked(b"\xef\xbb\xbf", names.as_bytes().to_vec()),
                marked(b"\xff\xfe", le(names)),
                marked(b"\xfe\xff", be(names)),
                le(names),
                be(names),
            ] {
                let read = decode(&bytes).unwrap();
                assert_eq!(
                    (read.text.as_str(), read.certain),
                    (names, true),
                    "{bytes:x?}"
                );
            }
        }
        let windows = decode(b"J\xfcrgen\r\nO\x92Brien\r\n\x8ar\xe1mek\x1a").unwrap();
        assert_eq!(windows.text, "Jürgen\r\nO’Brien\r\nŠrámek");
        assert!(!windows.certain);
        assert_eq!(windows.encode("J\u{fc}rgen Юрий’"), b"J\xfcrgen ????\x92");
        assert_eq!(decode(b"").unwrap().text, "");
    }

    #[test]
    fn a_file_that_is_no_text_is_refused() {
        for bytes in [
            &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..],
            b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01",
            b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0",
            b"J\x81rgen\r\n",
            b"\xff\xfeA",
            b"\xff\xfe\0\0A\0\0\0",
            b"\xef\xbb\xbf\xfc",
            b"\0\0\0\0",
        ] {
            assert_eq!(decode(bytes), Err(NotText), "{bytes:x?}");
        }
    }

    #[test]
    fn lines_end_as_on_any_system() {
        let text = "Ada\r\nBen\rCleo\n\n Dan \u{2028}Eve\u{85}Finn";
        assert_eq!(
            lines(text).collect::<Vec<_>>(),
            ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn"]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic_and_utf8_text_is_read_as_it_is(bytes: Vec<u8>, text in "[\\PC\r\n]{0,60}") {
            let _ = decode(&bytes);
            if let Ok(read) = decode(text.as_bytes()) {
                proptest::prop_assert_eq!(read.text, text.trim_start_matches('\u{feff}'));
            }
        }
    }
}
