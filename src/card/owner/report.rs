//! The report to the owner: lines for the log, and the text of the report file. Writing the file is the last of the
//! [`changes`](super::changes) on the drive.

use super::{CONFIG, DRIVE, PHOTOS, REMOVE};
use crate::journal;

/// The results of a start: what was done, and what was not.
#[derive(Debug, Default)]
pub struct Report {
    /// The lines about everything that was done, as in the log.
    pub done: Vec<String>,
    /// The lines about everything that was not done, each with the reason and the fix.
    pub mistakes: Vec<String>,
    /// Files and folders on the drive that are none of the expected ones.
    pub others: Vec<String>,
}

impl Report {
    pub(super) fn did(&mut self, what: String) {
        log::info!("setup {what}");
        self.done.push(what);
    }

    pub(super) fn mistake(&mut self, file: &str, why: &str) {
        log::error!("setup_refused file={} why={why:?}", journal::value(file));
        self.mistakes.push(format!("{file}: {why}"));
    }

    /// The text of the report file, which was `old` before; empty if all is well. `changes`: whether the drive changes.
    pub(super) fn text(&self, old: &str, changes: bool) -> String {
        let mut text = self.outcome();
        // Lines about photos that were learnt and names that were forgotten stay until something new is put on the drive.
        if self.done.is_empty() && !changes {
            text += &still_valid(old, &self.mistakes);
        }
        text + &self.others_text()
    }

    /// The report's part about everything that was done and that was not.
    fn outcome(&self) -> String {
        let part = |title: &str, lines: &[String]| match lines {
            [] => String::new(),
            lines => format!(
                "{title}\r\n{}\r\n",
                lines
                    .iter()
                    .map(|l| format!("  {l}\r\n"))
                    .collect::<String>()
            ),
        };
        part("Not done, as something is wrong:", &self.mistakes) + &part("Done:", &self.done)
    }

    /// The report's part about files and folders that are none of the expected ones.
    fn others_text(&self) -> String {
        match &self.others[..] {
            [] => String::new(),
            others => format!(
                "Not looked at, as it is neither {CONFIG} nor {PHOTOS} nor {REMOVE}:\r\n{}\r\n",
                others
                    .iter()
                    .map(|name| format!("  {DRIVE}/{name}\r\n"))
                    .collect::<String>()
            ),
        }
    }
}

/// The name, in a report, of a file or folder that is regarded as `expected`.
pub(super) fn shown(name: &str, expected: &str) -> String {
    if name == expected {
        return name.to_owned();
    }
    format!("{DRIVE}/{name}")
}

/// The old text of the report file, without the parts that every start checks and reports again.
fn still_valid(old: &str, again: &[String]) -> String {
    let photos = [
        format!("{PHOTOS}/"),
        format!("{PHOTOS}: "),
        format!("{DRIVE}/"),
    ];
    let comes_again = |line: &&str| {
        let line = line.trim_start();
        let checked_again = [CONFIG, REMOVE]
            .into_iter()
            .chain(photos.iter().map(|p| &**p));
        checked_again.into_iter().any(|f| line.starts_with(f)) || again.iter().any(|a| a == line)
    };
    if !old.lines().any(|l| comes_again(&l)) {
        return old.to_owned();
    }
    let lines: Vec<&str> = old.lines().filter(|l| !comes_again(l)).collect();
    let mut left = String::new();
    for (i, line) in lines.iter().enumerate() {
        // A title stays together with the lines under it, and with one empty line after these lines.
        let ends_part = line.is_empty() && !left.is_empty() && !left.ends_with("\r\n\r\n");
        let has_more = lines.get(i + 1).is_some_and(|l| l.starts_with(' '));
        if line.starts_with(' ') || has_more || ends_part {
            left.push_str(line);
            left.push_str("\r\n");
        }
    }
    left
}
