//! A household among strangers, drawn again and again from a folder of many people. The enrolled, the strangers that the head
//! learns from, those that the threshold is found with and those that it is tried on are never the same people.

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
/// Photos beyond the learnt ones that a person must have to be enrolled.
const LEFT: usize = 5;
/// Photos of one person that are learnt or tried, at most.
pub(super) const MOST: usize = 60;

/// How households are drawn, and what is learnt and tried of them.
pub struct Plan {
    /// Strangers that the head learns from.
    pub unknown: usize,
    /// How often household and strangers are drawn.
    pub draws: u16,
    pub seed: u64,
    /// Views of each learnt photo.
    pub views: u32,
    /// What differs in the views.
    pub changes: Changes,
    /// Photos of the enrolled are tried with this change.
    pub degrade: Option<Change>,
    /// Only photos of the enrolled that are turned at least so far are tried.
    pub turned: Option<f32>,
    /// Whether the embedder's top layers are fine-tuned for every household, too.
    pub fine_tune: bool,
}

/// The people in `folder` who have photos; with a file `only` of names, those whose names it has.
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
