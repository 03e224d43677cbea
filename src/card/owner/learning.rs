//! Learning from the photos that are on the data partition: when it is due, how often it is tried, and which consequences its
//! outcome has for the photos on the owner's drive. The learning itself is `latchkey train`, a separate process.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::files::sync;
use super::photos::{Batch, CopiedPhoto};
use super::program::Output;
use super::{GALLERY, Owner, PHOTOS, Report};
use crate::capture::UNREAD;

/// The text between the name of a photo that cannot be read and the reason.
const UNUSED: &str = ": not used: cannot be read: ";
/// This file exists while copied photos are not learnt yet. Its length is the number of tries.
const PENDING: &str = "photos.pending";
/// How many starts in a row may end while they learn. If learning takes the board down more often, the next start runs the door
/// without learning.
const TRIES: u64 = 3;

impl Owner {
    /// Marks that photos must be learnt. If `others` were added, all tries are available again.
    pub(super) fn pending(&self, others: bool) -> io::Result<()> {
        let mut file = File::options();
        file.write(true).create(true).truncate(others);
        file.open(self.data.join(PENDING)).map(|_| ())
    }

    /// Learns from all photos on the data partition, if there are new photos.
    ///
    /// Returns the photos of `batch` that may be deleted from the owner's partition: none if learning did not finish, and none
    /// that cannot be read, because no copy of those is kept.
    pub(super) fn learn(
        &self,
        mut batch: Batch,
        report: &mut Report,
        on_progress: &mut dyn FnMut(),
    ) -> Vec<CopiedPhoto> {
        let pending = self.data.join(PENDING);
        let Ok(tried) = pending.metadata().map(|m| m.len()) else {
            return batch.copied;
        };
        let begun = fs::write(
            &pending,
            vec![b'.'; usize::try_from(tried + 1).unwrap_or(1)],
        );
        if tried >= TRIES || begun.and_then(|()| sync(&self.data)).is_err() {
            report.mistake(
                PHOTOS,
                "were not learnt: learning was broken off at each of the last three starts; the next start tries again",
            );
            if let Err(error) = self.pending(true) {
                report.mistake(PHOTOS, &error.to_string());
            }
            return Vec::new();
        }
        log::info!("setup learning=photos what=\"the door starts when this is done\"");
        let photos = self.data.join(PHOTOS);
        let photos = photos.to_string_lossy();
        let config = Some(self.config()).filter(|c| c.exists());
        let mut learnt = Vec::new();
        match self.program(
            &["train", "--data", &photos],
            config.as_deref(),
            on_progress,
        ) {
            Ok(output) => {
                for line in &output.lines {
                    let line = line.replace(&format!("{photos}/"), "");
                    log::info!("setup said={line:?}");
                    if let Some((name, why)) = line.split_once(UNUSED) {
                        report
                            .mistakes
                            .push(format!("{PHOTOS}/{name}: {UNREAD}{why}"));
                        continue;
                    }
                    match output.status {
                        Some(0) => report.done.push(line),
                        _ => report.mistakes.push(line),
                    }
                }
                let finished = match output.status {
                    // Not tried again before there are other photos: the same photos would give the same result.
                    Some(0 | 1) => {
                        if self.data.join(GALLERY).exists() {
                            let _ = fs::remove_file(self.unusable());
                        }
                        let removed = self
                            .reject_unreadable(&mut batch, &unread(&output))
                            .and_then(|()| fs::remove_file(&pending));
                        learnt = std::mem::take(&mut batch.copied);
                        removed
                    }
                    // Learning ended by itself, so this does not count as a try.
                    Some(_) => {
                        report.mistake(PHOTOS, "are not learnt; the next start tries again");
                        self.pending(true)
                    }
                    None => {
                        report.mistake(
                            PHOTOS,
                            "are not learnt: learning was broken off, perhaps as memory ran out; a later start tries again. To \
                             replace large photos, put the name into remove.txt, and smaller photos here",
                        );
                        Ok(())
                    }
                };
                if let Err(error) = finished {
                    report.mistake(PHOTOS, &error.to_string());
                }
            }
            Err(error) => report.mistake(PHOTOS, &format!("cannot be learnt: {error}")),
        }
        learnt
    }
}

/// The photos that could not be read, each with the reason.
fn unread(output: &Output) -> Vec<(PathBuf, &str)> {
    output
        .lines
        .iter()
        .filter_map(|line| line.split_once(UNUSED))
        .map(|(path, why)| (PathBuf::from(path), why))
        .collect()
}
