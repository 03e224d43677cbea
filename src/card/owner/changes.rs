//! What changes on the owner's drive in the end, written at once. The order is such that a power cut at any point does no harm;
//! what is to change is decided elsewhere.

use std::fs;
use std::io;
use std::path::Path;

use super::REPORT_FILE;
use super::files::{replace, sync};
use super::photos::CopiedPhoto;

/// What is to change.
#[derive(Default)]
pub(super) struct Changes {
    /// Lists of names, each with its new content, empty if it is to be deleted.
    pub(super) lists: Vec<(String, Vec<u8>)>,
    /// Photos that are stored here and learnt: they are deleted there.
    pub(super) photos: Vec<CopiedPhoto>,
    /// The new text of the report file, empty if it is to be deleted; None: it stays as it is.
    pub(super) report: Option<String>,
}

impl Changes {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.photos.is_empty() && self.report.is_none()
    }

    /// Writes them to the drive, which is mounted at `folder`.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        for (list, left) in &self.lists {
            if left.is_empty() {
                fs::remove_file(folder.join(list))?;
            } else {
                replace(folder, list, left)?;
            }
        }
        // Names come first: if the photos were deleted and a name were not, the next start would forget the person again.
        sync(folder)?;
        for CopiedPhoto { from, .. } in &self.photos {
            fs::remove_file(from)?;
            // The folder goes with its last photo.
            let _ = from.parent().map(fs::remove_dir);
        }
        match self.report.as_deref() {
            None => Ok(()),
            Some("") => fs::remove_file(folder.join(REPORT_FILE)),
            Some(text) => replace(folder, REPORT_FILE, text.as_bytes()),
        }
    }
}
