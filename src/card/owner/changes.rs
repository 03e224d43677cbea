//! The changes on the owner's drive, which are written together at the end. Their order is such that a power cut at any point
//! does no harm; which changes there are is decided elsewhere.

use std::fs;
use std::io;
use std::path::Path;

use super::REPORT_FILE;
use super::files::{replace, sync};
use super::photos::CopiedPhoto;

/// The changes to write.
#[derive(Default)]
pub(super) struct Changes {
    /// Lists of names, each with its new content, which is empty if the list must be deleted.
    pub(super) lists: Vec<(String, Vec<u8>)>,
    /// Photos that are stored on the data partition and learnt, and are therefore deleted from the drive.
    pub(super) photos: Vec<CopiedPhoto>,
    /// The new text of the report file, empty if the file must be deleted; None if it stays as it is.
    pub(super) report: Option<String>,
}

impl Changes {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.photos.is_empty() && self.report.is_none()
    }

    /// Writes the changes to the drive, which is mounted at `folder`.
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
            // The folder is deleted with its last photo.
            let _ = from.parent().map(fs::remove_dir);
        }
        match self.report.as_deref() {
            None => Ok(()),
            Some("") => fs::remove_file(folder.join(REPORT_FILE)),
            Some(text) => replace(folder, REPORT_FILE, text.as_bytes()),
        }
    }
}
