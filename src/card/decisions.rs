//! The log of decisions on the data partition: who was let in and refused, what broke. The serial console shows much more.
//!
//! An SD card wears with every write, so lines are kept in memory and are written a minute after the first of them. The whole
//! file is written under a new name and then renamed: a power cut loses the last minute at most, and never leaves an incomplete
//! file.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::people::write_whole;

/// How long a line may wait for other lines.
const WRITE_DELAY: Duration = Duration::from_secs(60);
/// A file of this size is renamed, and replaces the older of the two files that are kept.
const ROTATE_BYTES: usize = 64 << 10;

/// Events that are kept: what the door did, and what may have kept it from opening.
const RECORDED: [&str; 18] = [
    "granted",
    "refused",
    "undecided",
    "strict",
    "strict_over",
    "opened",
    "button",
    "locked_out",
    "lockout_over",
    "fault",
    "camera_up",
    "camera_refused",
    "camera_down",
    "camera_back",
    "outputs_lost",
    "guard_lost",
    "gallery_refused",
    "start",
];

/// The file, and the lines that are not written to it yet.
pub struct Decisions {
    path: PathBuf,
    /// The file's text, including lines that are not written yet.
    text: String,
    since: Option<Instant>,
    writer: Option<JoinHandle<()>>,
}

impl Decisions {
    /// Continues the file in `folder`.
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("decisions.log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Self {
            path,
            text,
            since: None,
            writer: None,
        }
    }

    /// Records the lines in `lines` that are decisions.
    pub fn record(&mut self, lines: &str) {
        for line in lines.lines() {
            let event = line.split_ascii_whitespace().nth(2).unwrap_or_default();
            if RECORDED.contains(&event) {
                self.text.push_str(line);
                self.text.push('\n');
                self.since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Writes the lines that have waited long enough. Another thread does this, because a disk that hangs must not block the
    /// first process.
    pub fn flush_if_due(&mut self) {
        let due = self
            .since
            .is_some_and(|since| since.elapsed() >= WRITE_DELAY);
        if !due || self.writer.as_ref().is_some_and(|w| !w.is_finished()) {
            return;
        }
        self.since = None;
        let snapshot = self.snapshot();
        self.writer = std::thread::Builder::new()
            .name("decisions".to_owned())
            .spawn(move || snapshot.write())
            .ok();
        self.rotate();
    }

    /// Writes everything that is not written yet, at once.
    pub fn flush(&mut self) {
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        if self.since.take().is_some() {
            self.snapshot().write();
            self.rotate();
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            path: self.path.clone(),
            text: self.text.clone(),
        }
    }

    /// Begins an empty file if the present one has become the older of the two files.
    fn rotate(&mut self) {
        if self.text.len() >= ROTATE_BYTES {
            self.text.clear();
        }
    }
}

/// A file to write.
struct Snapshot {
    path: PathBuf,
    text: String,
}

impl Snapshot {
    fn write(&self) {
        let beside = self.path.with_extension("log.new");
        let written = write_whole(&beside, &self.path, self.text.as_bytes()).and_then(|()| {
            if self.text.len() < ROTATE_BYTES {
                return Ok(());
            }
            std::fs::rename(&self.path, self.path.with_extension("log.1"))
        });
        if let Err(error) = written {
            log::error!("decisions_not_written why={:?}", error.to_string());
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
        decisions.record("2026-11-27T09:50:40.270Z INFO  relay state=off\n");
        decisions.flush();
        assert!(
            !folder.path().join("decisions.log").exists(),
            "nothing to write"
        );
        decisions.record(LINE);
        decisions.flush();
        let mut again = Decisions::new(folder.path());
        again.record(LINE);
        again.flush();
        let text = std::fs::read_to_string(folder.path().join("decisions.log")).expect("written");
        assert_eq!(text, LINE.repeat(2));
    }

    #[test]
    fn two_files_bound_what_is_kept_even_if_the_disk_refuses() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut decisions = Decisions::new(folder.path());
        for _ in 0..ROTATE_BYTES / LINE.len() + 1 {
            decisions.record(LINE);
        }
        decisions.flush();
        let old = folder.path().join("decisions.log.1");
        assert!(old.metadata().expect("the older one").len() >= ROTATE_BYTES as u64);
        assert!(decisions.text.is_empty());

        let mut refused = Decisions::new(Path::new("/proc/nowhere"));
        for _ in 0..30 {
            for _ in 0..ROTATE_BYTES / LINE.len() / 10 {
                refused.record(LINE);
            }
            refused.flush();
            assert!(refused.text.len() <= 2 * ROTATE_BYTES);
        }
    }
}
