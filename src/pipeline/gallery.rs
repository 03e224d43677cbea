//! Notices when the gallery file changes, so that whoever was just enrolled can go in and whoever was
//! removed no longer can, without a restart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::people::{Gallery, Identifier, PersonId, Rule};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What tells one state of the file from another: inode, size, time of change.
type Mark = Option<(u64, u64, i64, i64)>;

/// Names by number, for the log.
pub type Names = Vec<(PersonId, String)>;

/// A gallery that was read.
pub struct Change {
    pub identifier: Identifier,
    pub names: Names,
}

/// Watches one gallery file.
pub struct Watch {
    path: PathBuf,
    rule: Rule,
    embedder_sha256: String,
    /// The state that was last read; `None` before the first look.
    seen: Option<Mark>,
    looked: Option<Instant>,
}

impl Watch {
    /// Watches `path` for templates of this embedder.
    pub fn new(path: &Path, rule: Rule, embedder_sha256: &str) -> Self {
        Self {
            path: path.to_owned(),
            rule,
            embedder_sha256: embedder_sha256.to_owned(),
            seen: None,
            looked: None,
        }
    }

    /// Knows nobody; in force until the first gallery is read.
    pub fn nobody(&self) -> Identifier {
        Identifier::new(&Gallery::default(), self.rule)
    }

    /// The gallery, if the file has changed since the last call. A file that cannot be used is told
    /// once; whatever was in force before stays so.
    pub fn poll(&mut self) -> Option<Change> {
        if self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return None;
        }
        self.looked = Some(Instant::now());
        let mark = std::fs::metadata(&self.path)
            .ok()
            .map(|m| (m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
        if self.seen == Some(mark) {
            return None;
        }
        self.seen = Some(mark);
        let gallery = Gallery::load(&self.path).and_then(|gallery| {
            gallery.suits(&self.embedder_sha256, &self.path)?;
            Ok(gallery)
        });
        match gallery {
            Ok(gallery) => {
                let templates: usize = gallery.people().iter().map(|p| p.templates.len()).sum();
                log::info!(
                    "gallery people={} templates={templates}",
                    gallery.people().len()
                );
                let names = gallery.people().iter().map(|p| (p.id, p.name.clone()));
                Some(Change {
                    identifier: Identifier::new(&gallery, self.rule),
                    names: names.collect(),
                })
            }
            Err(error) => {
                log::error!("gallery_refused why={:?}", error.to_string());
                None
            }
        }
    }

    /// Has the next [`Watch::poll`] read the file again.
    pub const fn again(&mut self) {
        self.seen = None;
    }
}
