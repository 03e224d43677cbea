//! The beginning of every command that runs networks: the configuration, the set's manifest, and readers with its networks. Lower
//! modules get only the parts that they need.

use std::path::PathBuf;

use log::Level;

use super::Failure;
use crate::config::{Config, Overrides};
use crate::confine::{Work, confine};
use crate::face::{Embedder, Reader, Settings};
use crate::nn::{Manifest, ModelFile};
use crate::people::{Bank, Gallery, Identifier, Rule, TunedError, tuned};

/// The configuration and the model set of a command that runs networks.
pub struct Loaded {
    pub config: Config,
    pub manifest: Manifest,
    pub rule: Rule,
    /// The embedder that was fine-tuned for the gallery, if it was requested and exists.
    tuned: Option<ModelFile>,
}

impl Loaded {
    pub fn new(asked: &Overrides) -> Result<Self, Failure> {
        let config = Config::load(asked)?;
        let manifest = Manifest::load(&config.models)?;
        let embedder = manifest.embedder();
        let rule = Rule {
            threshold: config.recognition.threshold.unwrap_or(embedder.threshold),
            fixed: config.recognition.threshold.is_some(),
            margin: config.recognition.margin.unwrap_or(embedder.margin),
        };
        Ok(Self {
            config,
            manifest,
            rule,
            tuned: None,
        })
    }

    /// The same as [`Loaded::new`], but with the embedder that was fine-tuned for the gallery in place of the set's own, if there
    /// is one.
    pub fn at_the_door(asked: &Overrides) -> Result<Self, Failure> {
        let mut loaded = Self::new(asked)?;
        let path = &loaded.config.gallery;
        let gallery = Gallery::load(path)?;
        if gallery.was_tuned_earlier() {
            return Err(TunedError::Earlier.into());
        }
        if let Some(tuned) = gallery.tuned() {
            let manifest = loaded.manifest.embedder();
            gallery.suits(&manifest.sha256, path)?;
            if loaded.rule.fixed {
                return Err(TunedError::Threshold(loaded.rule.threshold).into());
            }
            let folders = &loaded.config.model_files;
            loaded.tuned = Some(tuned::network(manifest, folders, tuned)?);
        }
        Ok(loaded)
    }

    /// Gives up all rights that are not needed to learn from `photos`, which may come from anyone. It must be called while there
    /// is only one thread.
    pub fn confine_to(&self, photos: &[PathBuf]) {
        confine(&self.config, Work::Photos(photos)).log("learner", Level::Debug);
    }

    /// The set's bank of strangers, if it has one.
    pub fn bank(&self) -> Result<Option<Bank>, Failure> {
        let folders = &self.config.model_files;
        Bank::open(self.manifest.embedder(), folders).map_err(Failure::from)
    }

    pub fn reader(&self, settings: Settings) -> Result<Reader, Failure> {
        let Config {
            model_files,
            engine,
            ..
        } = &self.config;
        let mut reader = Reader::load(&self.manifest, model_files, *engine, settings)?;
        if let Some(file) = &self.tuned {
            let manifest = self.manifest.embedder();
            reader.exchange(Embedder::load(engine.build().as_ref(), file, manifest)?);
        }
        Ok(reader)
    }

    /// An identifier for the people of `gallery`, which must suit the embedder of `reader`.
    pub fn identifier(&self, gallery: &Gallery, reader: &Reader) -> Result<Identifier, Failure> {
        let sha256 = reader.embedder_sha256();
        gallery.suits(sha256, &self.config.gallery)?;
        let bank = self.bank()?;
        Ok(Identifier::new(
            gallery.enrolled(sha256),
            self.rule,
            bank.as_ref(),
        ))
    }

    /// Loads `count` readers.
    pub fn readers(&self, settings: Settings, count: usize) -> Result<Vec<Reader>, Failure> {
        (0..count).map(|_| self.reader(settings)).collect()
    }

    pub fn gated(&self) -> Settings {
        Settings {
            gate: self.config.recognition.gate,
            ..Settings::default()
        }
    }
}
