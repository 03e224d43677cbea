//! Notices when the gallery file changes, so that a person who was just enrolled can go in and a person who was removed cannot.
//! Also starts to use an embedder that was fine-tuned for the gallery, without a restart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::door::GalleryUpdate;
use crate::face::Embedder;
use crate::journal;
use crate::nn::{EngineSettings, Manifest};
use crate::people::{Bank, Gallery, Identifier, PersonId, Rule, Tuned, TunedError, tuned};

/// How often the file is checked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The inode, size and time of change, which distinguish one version of the file from another.
type FileVersion = Option<(u64, u64, i64, i64)>;

/// Names by number, for the log.
pub type Names = Vec<(PersonId, String)>;

/// A new gallery, and perhaps a new embedder, for recognition.
pub struct MatcherUpdate {
    /// The residents.
    pub identifier: Identifier,
    /// The embedder that the identifier needs, if it is not the one in use.
    pub embedder: Option<Embedder>,
}

/// A new version of the gallery.
pub struct Change {
    pub matcher: MatcherUpdate,
    /// For the door thread, which logs why a gallery cannot be used.
    pub update: GalleryUpdate,
}

/// Where embedders come from.
pub struct Networks {
    /// The set, with its own embedder.
    pub set: Manifest,
    /// Folders of model files.
    pub folders: Vec<PathBuf>,
    pub engine: EngineSettings,
    /// The strangers of the model set.
    pub bank: Option<Bank>,
}

impl Networks {
    /// The set's own embedder.
    fn own(&self) -> Result<Embedder, String> {
        Embedder::open(self.set.embedder(), &self.folders, self.engine).map_err(|e| e.to_string())
    }

    /// The embedder with the weights of the gallery.
    fn tuned(&self, tuned: &Tuned) -> Result<Embedder, String> {
        let manifest = self.set.embedder();
        let file = tuned::network(manifest, &self.folders, tuned).map_err(|e| e.to_string())?;
        let loaded = Embedder::load(self.engine.build().as_ref(), &file, manifest);
        loaded.map_err(|e| e.to_string())
    }
}

/// Watches one gallery file.
pub struct GalleryWatcher {
    path: PathBuf,
    rule: Rule,
    networks: Networks,
    /// Checksum of the embedder in use; empty if unknown.
    current_embedder: String,
    /// The version that was last read; `None` before the first check, and while the file cannot be used.
    last_read: Option<FileVersion>,
    /// The logged reason why the file cannot be used.
    refused: Option<String>,
    last_check: Option<Instant>,
}

impl GalleryWatcher {
    /// Watches `path` for people whose faces are recognised with `networks`. `current_embedder` is the embedder in use.
    pub fn new(path: &Path, rule: Rule, networks: Networks, current_embedder: &str) -> Self {
        Self {
            path: path.to_owned(),
            rule,
            networks,
            current_embedder: current_embedder.to_owned(),
            last_read: None,
            refused: None,
            last_check: None,
        }
    }

    /// The gallery, if the file has changed since the last call. A file that cannot be used lets no one in, because a person
    /// who was removed must not come in only because the change cannot be read. The reason is logged once, and the file is
    /// tried again until it can be used.
    pub fn poll(&mut self) -> Option<Change> {
        if self
            .last_check
            .is_some_and(|last| last.elapsed() < INTERVAL)
        {
            return None;
        }
        self.last_check = Some(Instant::now());
        let version = std::fs::metadata(&self.path)
            .ok()
            .map(|m| (m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
        if self.last_read == Some(version) {
            return None;
        }
        match self.read() {
            Ok(change) => {
                self.last_read = Some(version);
                self.refused = None;
                Some(change)
            }
            Err(why) => {
                self.last_read = None;
                if self.refused.as_ref() == Some(&why) {
                    return None;
                }
                self.refused = Some(why.clone());
                Some(Change {
                    matcher: MatcherUpdate {
                        identifier: Identifier::empty(self.rule),
                        embedder: None,
                    },
                    update: GalleryUpdate::Refused(why),
                })
            }
        }
    }

    /// Reads the gallery, and loads the embedder that it needs if recognition is using a different one.
    fn read(&mut self) -> Result<Change, String> {
        let gallery = Gallery::load(&self.path).map_err(|e| e.to_string())?;
        let own = &self.networks.set.embedder().sha256;
        gallery.suits(own, &self.path).map_err(|e| e.to_string())?;
        let (mut sha256, mut embedder) = (own.clone(), None);
        if gallery.was_tuned_earlier() {
            log::error!("tuned_refused why={:?}", TunedError::Earlier.to_string());
        }
        if let Some(tuned) = gallery.tuned() {
            if self.rule.fixed {
                // The people are also enrolled with the set's own embedder, and the owner's threshold applies to that embedder.
                let why = TunedError::Threshold(self.rule.threshold).to_string();
                log::error!("tuned_refused why={why:?}");
            } else if tuned.embedder_sha256 == self.current_embedder {
                sha256.clone_from(&self.current_embedder);
            } else {
                match self.networks.tuned(tuned) {
                    Ok(network) => {
                        sha256.clone_from(&tuned.embedder_sha256);
                        embedder = Some(network);
                    }
                    Err(why) => log::error!("tuned_refused why={why:?}"),
                }
            }
        }
        if sha256 != self.current_embedder && embedder.is_none() {
            embedder = Some(self.networks.own()?);
        }
        self.current_embedder.clone_from(&sha256);
        let identifier = Identifier::new(
            gallery.enrolled(&sha256),
            self.rule,
            self.networks.bank.as_ref(),
        );
        let people = gallery.people().len();
        let templates: usize = gallery.people().iter().map(|p| p.templates.len()).sum();
        let path = journal::value(&self.path.to_string_lossy());
        if people == 0 {
            log::warn!(
                "gallery people=0 templates=0 path={path} why=\"nobody is enrolled: latchkey enroll\""
            );
        } else {
            let threshold = identifier.threshold();
            let embedder = if sha256 == *own { "set" } else { "tuned" };
            log::info!(
                "gallery people={people} templates={templates} threshold={threshold:.3} embedder={embedder} path={path}"
            );
            if let Some(cohort) = identifier.cohort() {
                let highest = cohort.thresholds.iter().copied().fold(threshold, f32::max);
                log::info!(
                    "strangers people={} let_in={} far_below={:.5} threshold_to={highest:.3}",
                    cohort.trials,
                    cohort.accepted,
                    cohort.proven
                );
            }
        }
        let names = gallery.people().iter().map(|p| (p.id, p.name.clone()));
        Ok(Change {
            matcher: MatcherUpdate {
                identifier,
                embedder,
            },
            update: GalleryUpdate::Names(names.collect()),
        })
    }

    /// Makes the next [`GalleryWatcher::poll`] read the file again.
    pub fn invalidate(&mut self) {
        self.last_read = None;
        self.refused = None;
        self.current_embedder.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::Embedding;
    use crate::nn::{Patch, Weights, hex};
    use crate::people::{GalleryError, Operating, TunedPerson};

    const RULE: Rule = Rule {
        threshold: 0.5,
        fixed: true,
        margin: 0.05,
    };

    #[test]
    fn an_unreadable_gallery_lets_no_one_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery");
        let ada = Embedding::normalised([1.0, 0.0]).expect("a direction");
        let set = Manifest::load(&"latchkey".parse().expect("a name")).expect("built in");
        let own = set.embedder().sha256.clone();
        Gallery::update(&path, |g| g.add("Ada", &[ada], &[], &own, &path)).expect("written");
        let networks = Networks {
            set,
            folders: Vec::new(),
            engine: EngineSettings::default(),
            bank: None,
        };
        let mut watcher = GalleryWatcher::new(&path, RULE, networks, &own);
        let mut poll = || {
            watcher.last_check = None;
            let change = watcher.poll()?;
            Some(change.matcher.identifier.identify(&ada).who.is_some())
        };
        assert_eq!(poll(), Some(true));
        assert_eq!(poll(), None, "nothing has changed");
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        assert_eq!(poll(), Some(false), "damaged");
        assert_eq!(poll(), None, "reported already");
        std::fs::write(&path, &whole).expect("written");
        assert_eq!(poll(), Some(true), "whole again");
    }

    /// A gallery with Ada, and with `patch` for the set's embedder under the checksum `sha256`. The patched embedder knows no
    /// one.
    fn with_weights(path: &Path, own: &str, patch: Patch, sha256: &str) -> Embedding {
        let far = |first: f32| {
            let values = (0..128).map(|k| if k == 0 { first } else { 1.0 });
            Embedding::normalised(values).expect("a direction")
        };
        let (ada, other) = (far(30.0), far(-30.0));
        Gallery::update(path, |g| {
            g.add("Ada", &[ada], &[], own, path)?;
            let other = other.values().to_vec();
            g.set_tuned(Some(Tuned {
                set_sha256: own.to_owned(),
                patch,
                embedder_sha256: sha256.to_owned(),
                people: vec![TunedPerson {
                    templates: vec![other.clone()],
                    direction: other,
                }],
                operating: Operating {
                    threshold: 0.5,
                    far: 0.001,
                    trials: 3000,
                    accepted: 0,
                },
            }));
            Ok::<_, GalleryError>(())
        })
        .expect("written");
        ada
    }

    #[test]
    fn a_gallerys_weights_are_used_only_for_the_network_that_was_tried() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery");
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let set = Manifest::load(&"latchkey".parse().expect("a name")).expect("built in");
        let own = set.embedder().sha256.clone();
        let file = std::fs::read(models.join(&set.embedder().file)).expect("part of the project");
        let mut network = Weights::parse(file).expect("a network");
        let patch = Patch::of(&network).expect("its layers");
        patch.put(&mut network).expect("fits");
        let sha256 = hex(&<sha2::Sha256 as sha2::Digest>::digest(network.bytes()));
        // Whether the tuned network, which does not know Ada, is in use.
        let in_use = |rule: Rule| {
            let networks = Networks {
                set: set.clone(),
                folders: vec![models.clone()],
                engine: EngineSettings::default(),
                bank: None,
            };
            let ada = Gallery::load(&path).expect("whole").people()[0].templates[0].clone();
            let ada = Embedding::normalised(ada).expect("a direction");
            let change = GalleryWatcher::new(&path, rule, networks, &own)
                .poll()
                .expect("read");
            let knows = change.matcher.identifier.identify(&ada).who.is_some();
            let loaded = change.matcher.embedder.map(|e| e.sha256().to_owned());
            assert_eq!(
                loaded.as_deref(),
                (!knows).then_some(&*sha256),
                "one replaces the other"
            );
            !knows
        };
        let measured = Rule {
            fixed: false,
            ..RULE
        };
        with_weights(&path, &own, patch.clone(), &sha256);
        assert!(in_use(measured));
        assert!(!in_use(RULE), "the owner's threshold is for the set's own");
        // Weights other than the tested ones, impossible weights, and weights of another network.
        let mut other = patch.clone();
        other.0[2].weights[7] *= 1.5;
        with_weights(&path, &own, other, &sha256);
        assert!(!in_use(measured));
        let mut wild = patch.clone();
        wild.0[0].bias[0] = f32::NAN;
        with_weights(&path, &own, wild, &sha256);
        assert!(!in_use(measured));
        let mut short = patch.clone();
        short.0[1].weights.truncate(9);
        with_weights(&path, &own, short, &sha256);
        assert!(!in_use(measured));
        with_weights(&path, &own, patch, &"0".repeat(64));
        assert!(!in_use(measured));
    }
}
