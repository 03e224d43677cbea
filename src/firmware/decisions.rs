//! The log of decisions on the data partition: who was let in and refused, what broke. The serial console tells much more.
//!
//! An SD card wears with every write: lines are kept in memory and written a minute after the first of them, the whole file
//! beside and renamed. So a power cut costs the last minute at most, and never leaves half a file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::people::write_whole;

/// How long a line may wait for others.
const GATHER: Duration = Duration::from_secs(60);
/// A file of this size becomes the older of the two that there are.
const LARGE: usize = 64 << 10;

/// Events that are kept: what the door did, and why it might not have.
const KEPT: [&str; 13] = [
    "granted",
    "refused",
    "opened",
    "button",
    "locked_out",
    "lockout_over",
    "fault",
    "camera_down",
    "camera_back",
    "outputs_lost",
    "guard_lost",
    "gallery_refused",
    "start",
];

/// The file, and what is still to be written to it.
pub struct Decisions {
    path: PathBuf,
    /// What the file holds and will hold.
    text: String,
    since: Option<Instant>,
}

impl Decisions {
    /// Goes on with the file in `folder`.
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("decisions.log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Self {
            path,
            text,
            since: None,
        }
    }

    /// Takes those of `lines` that are decisions.
    pub fn note(&mut self, lines: &str) {
        for line in lines.lines() {
            let event = line.split_ascii_whitespace().nth(2).unwrap_or_default();
            if KEPT.contains(&event) {
                self.text.push_str(line);
                self.text.push('\n');
                self.since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Writes what has waited long enough.
    pub fn flush_if_due(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= GATHER) {
            self.flush();
        }
    }

    /// Writes what is not written yet. What the disk refuses stays in memory, within bounds.
    pub fn flush(&mut self) {
        if self.since.take().is_none() {
            return;
        }
        let beside = self.path.with_extension("log.new");
        if let Err(error) = write_whole(&beside, &self.path, self.text.as_bytes()) {
            log::error!("decisions_not_written why={:?}", error.to_string());
        } else if self.text.len() < LARGE {
            return;
        } else if std::fs::rename(&self.path, self.path.with_extension("log.1")).is_ok() {
            self.text.clear();
        }
        // A disk that stays full must not fill the memory.
        let over = self.text.len().saturating_sub(2 * LARGE);
        if over > 0 {
            let from = self.text[over..]
                .find('\n')
                .map_or(self.text.len(), |i| over + i + 1);
            self.text.drain(..from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "2026-11-27T09:50:36.770Z INFO  refused track=17 score=0.33 frame=13791.545055\n";

    #[test]
    fn decisions_are_kept_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut decisions = Decisions::new(folder.path());
        decisions.note("2026-11-27T09:50:40.270Z INFO  relay state=off\n");
        decisions.flush();
        assert!(
            !folder.path().join("decisions.log").exists(),
            "nothing to write"
        );
        decisions.note(LINE);
        decisions.flush();
        let mut again = Decisions::new(folder.path());
        again.note(LINE);
        again.flush();
        let text = std::fs::read_to_string(folder.path().join("decisions.log")).expect("written");
        assert_eq!(text, LINE.repeat(2));
    }

    #[test]
    fn two_files_bound_what_is_kept_also_where_the_disk_refuses() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut decisions = Decisions::new(folder.path());
        for _ in 0..LARGE / LINE.len() + 1 {
            decisions.note(LINE);
        }
        decisions.flush();
        let old = folder.path().join("decisions.log.1");
        assert!(old.metadata().expect("the older one").len() >= LARGE as u64);
        assert!(decisions.text.is_empty());

        let mut refused = Decisions::new(Path::new("/proc/nowhere"));
        for _ in 0..3 * LARGE / LINE.len() {
            refused.note(LINE);
        }
        refused.flush();
        assert!(refused.text.len() <= 2 * LARGE && refused.text.starts_with("2026"));
    }
}
