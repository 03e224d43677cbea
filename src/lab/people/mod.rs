//! Tests a household among strangers, both picked at random again and again from a folder of many people. Four groups never have
//! a person in common: the enrolled people, the strangers that the head learns from, those with whom the threshold is found, and
//! those on whom it is tested.

mod crowd;
mod draws;
mod sheet;
mod tally;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use self::crowd::crowd;
pub(super) use self::crowd::seed_of;
pub use self::draws::tally;
pub use self::sheet::sheet;
pub use self::tally::{METHODS, Rates, Tally};
use super::LabError;
use crate::learn::{self, Named};
use crate::lesson::{Change, Changes};
use crate::nn::{EmbedderManifest, ModelFile, Weights};

/// The FAR at which methods are compared.
const FAR: f64 = 1e-3;
/// The number of photos that a person must have in addition to the learnt ones to be enrolled.
const LEFT: usize = 5;
/// The most photos of one person that are learnt from or tested on.
pub(super) const MOST: usize = 60;

/// How households are picked, and what is learnt from and tested on.
pub struct Plan {
    /// The number of strangers that the head learns from.
    pub unknown: usize,
    /// How many times a household and strangers are picked at random.
    pub draws: u16,
    pub seed: u64,
    /// The number of views of each learnt photo.
    pub views: u32,
    /// The changes that may be made in views.
    pub changes: Changes,
    /// The change with which photos of enrolled people are tested on.
    pub degrade: Option<Change>,
    /// If set, only photos of enrolled people that are turned at least this far to a side are tested on, in eye distances.
    pub turned: Option<f32>,
    /// Whether the embedder's top layers are fine-tuned for every household, too.
    pub fine_tune: bool,
}

/// The people in `folder` who have photos; with a file `only` of names, only the people named in that file.
pub fn candidates(folder: &Path, only: Option<&Path>) -> Result<Vec<Named>, LabError> {
    let (mut named, _) = learn::people(folder, &[])?;
    named.retain(|n| !n.photos.is_empty());
    if let Some(file) = only {
        let text = std::fs::read_to_string(file).map_err(|source| LabError::NoNames {
            file: file.to_owned(),
            source,
        })?;
        let wanted: BTreeSet<&str> = text
            .lines()
            .map(|l| l.split('\t').next().unwrap_or(l).trim())
            .collect();
        named.retain(|n| wanted.contains(&*n.name));
    }
    Ok(named)
}

/// The embedder's file, to fine-tune.
pub fn network(manifest: &EmbedderManifest, model_files: &[PathBuf]) -> Result<Weights, LabError> {
    let file = ModelFile::find(&manifest.file, model_files)?;
    let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;
    Ok(Weights::parse(file.bytes().to_vec())?)
}
