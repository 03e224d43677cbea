//! Notices when the gallery file changes, so that whoever was just enrolled can go in and whoever was
//! removed no longer can, without a restart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::journal;
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
    /// The state that was last read; `None` before the first look, and while it cannot be used.
    seen: Option<Mark>,
    /// Why it cannot be used, as the log was told.
    refused: Option<String>,
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
            refused: None,
            looked: None,
        }
    }

    /// Knows nobody; in force until the first gallery is read.
    pub fn nobody(&self) -> Identifier {
        Identifier::new(&Gallery::default(), self.rule)
    }

    /// The gallery, if the file has changed since the last call. A file that cannot be used lets
    /// nobody in: whoever was removed must not come in because the change cannot be read. That is told
    /// once, and the file tried again until it can be used.
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
        let gallery = Gallery::load(&self.path).and_then(|gallery| {
            gallery.suits(&self.embedder_sha256, &self.path)?;
            Ok(gallery)
        });
        match gallery {
            Ok(gallery) => {
                self.seen = Some(mark);
                self.refused = None;
                let people = gallery.people().len();
                let templates: usize = gallery.people().iter().map(|p| p.templates.len()).sum();
                let path = journal::value(&self.path.to_string_lossy());
                let identifier = Identifier::new(&gallery, self.rule);
                if people == 0 {
                    log::warn!(
                        "gallery people=0 templates=0 path={path} why=\"nobody is enrolled: latchkey enroll\""
                    );
                } else {
                    let threshold = identifier.threshold();
                    log::info!(
                        "gallery people={people} templates={templates} threshold={threshold:.3} path={path}"
                    );
                }
                let names = gallery.people().iter().map(|p| (p.id, p.name.clone()));
                Some(Change {
                    identifier,
                    names: names.collect(),
                })
            }
            Err(error) => {
                self.seen = None;
                let why = error.to_string();
                if self.refused.as_ref() == Some(&why) {
                    return None;
                }
                log::error!("gallery_refused why={why:?}");
                self.refused = Some(why);
                Some(Change {
                    identifier: self.nobody(),
                    names: Names::new(),
                })
            }
        }
    }

    /// Has the next [`Watch::poll`] read the file again.
    pub fn again(&mut self) {
        self.seen = None;
        self.refused = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::Embedding;

    const RULE: Rule = Rule {
        threshold: 0.5,
        fixed: true,
        margin: 0.05,
    };

    #[test]
    fn a_gallery_that_cannot_be_read_lets_nobody_in_until_it_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery");
        let ada = Embedding::normalised([1.0, 0.0]).expect("a direction");
        Gallery::update(&path, |g| g.add("Ada", &[ada], &[], "aa", &path)).expect("written");
        let mut watch = Watch::new(&path, RULE, "aa");
        let mut poll = || {
            watch.looked = None;
            let change = watch.poll()?;
            Some(change.identifier.identify(&ada).who.is_some())
        };
        assert_eq!(poll(), Some(true));
        assert_eq!(poll(), None, "nothing has changed");
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        assert_eq!(poll(), Some(false), "damaged");
        assert_eq!(poll(), None, "told already");
        std::fs::write(&path, &whole).expect("written");
        assert_eq!(poll(), Some(true), "whole again");
    }
}
