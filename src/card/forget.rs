//! A list of names to forget, which is read and written back. A name that no person has stays in the list as a remark. So the
//! list is not lost, the owner sees what to do, and a person who is enrolled by that name later is not forgotten.

use crate::text::{self, Decoded, NotText};

/// The beginning of a remark about a name that no person has.
const NOT_FORGOTTEN: &str = "# not forgotten: ";

/// A line of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A person to forget.
    Name(&'a str),
    /// An earlier remark about a name.
    NotForgotten(&'a str),
    /// The owner's own remark.
    Remark,
}

/// A list of names.
#[derive(Debug)]
pub struct List {
    read: Decoded,
    left: String,
    /// Whether the list still has a name, or a remark about one.
    matters: bool,
}

impl List {
    /// The list in the bytes of a file.
    ///
    /// # Errors
    /// [`NotText`].
    pub fn read(bytes: &[u8]) -> Result<Self, NotText> {
        Ok(Self {
            read: text::decode(bytes)?,
            left: String::new(),
            matters: false,
        })
    }

    /// The lines of the list, as they are written.
    pub fn lines(&self) -> Vec<String> {
        text::lines(&self.read.text).map(str::to_owned).collect()
    }

    /// Whether the letters are certain. Some encodings cannot be distinguished.
    pub const fn is_certain(&self) -> bool {
        self.read.certain
    }

    /// Keeps `line` as it is.
    pub fn keep(&mut self, line: &str) {
        self.left += &format!("{line}\r\n");
        self.matters |= Line::of(line) != Line::Remark;
    }

    /// Adds a remark that no person has this `name`.
    pub fn remark(&mut self, name: &str, what: &str) {
        self.keep(&format!("{NOT_FORGOTTEN}{name} ({what})"));
    }

    /// The new content of the file, empty if the file may be deleted; `None` if nothing changes.
    pub fn into_file(self) -> Option<Vec<u8>> {
        if !self.matters {
            return Some(Vec::new());
        }
        let same = text::lines(&self.left).eq(text::lines(&self.read.text));
        (!same).then(|| self.read.encode(&self.left))
    }
}

impl<'a> Line<'a> {
    /// The kind of a line.
    pub fn of(line: &'a str) -> Self {
        match line.strip_prefix(NOT_FORGOTTEN.trim_end()) {
            Some(remark) => Self::NotForgotten(remark.trim_start()),
            None if line.starts_with('#') => Self::Remark,
            None => Self::Name(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_emptied_when_all_is_done_and_keeps_what_is_not() {
        let mut list = List::read(b"Ada\r\n# Ben moved out\r\nBen\r\n").unwrap();
        assert_eq!(list.lines(), ["Ada", "# Ben moved out", "Ben"]);
        list.keep("# Ben moved out");
        assert_eq!(list.into_file(), Some(Vec::new()));

        let mut list = List::read(b"Ada\rBen").unwrap();
        list.remark("Ben", "nobody is called so");
        let file = list.into_file().unwrap();
        assert_eq!(file, b"# not forgotten: Ben (nobody is called so)\r\n");
        let mut again = List::read(&file).unwrap();
        let line = again.lines().remove(0);
        assert_eq!(
            Line::of(&line),
            Line::NotForgotten("Ben (nobody is called so)")
        );
        again.keep(&line);
        assert_eq!(again.into_file(), None);
    }

    #[test]
    fn letters_that_were_read_wrong_are_written_back_unchanged() {
        // "Юрий" as Windows saves it in Russia.
        let mut list = List::read(b"\xde\xf0\xe8\xe9\r\n").unwrap();
        assert!(!list.is_certain());
        let name = list.lines().remove(0);
        list.remark(&name, "nobody is called so");
        let file = list.into_file().unwrap();
        assert!(file.starts_with(b"# not forgotten: \xde\xf0\xe8\xe9 ("));
    }
}
