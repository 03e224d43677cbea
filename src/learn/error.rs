//! Why no one can be enrolled from a folder of photos. A photo that cannot be used is no error, and is reported with the others.

use std::path::PathBuf;

use super::folder::FolderError;
use crate::learner::LearnerError;
use crate::nn::{ModelError, WeightsError};
use crate::people::{BankError, GalleryError};

/// Why no one can be enrolled from a folder of photos. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The data set cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The data set has no photos; `but` is the first thing that is wrong in its folder.
    #[error(
        "{}: no one to learn{but}; make a folder of each person's name in it, with 20 to 30 photos of them",
        folder.display()
    )]
    NoOne { folder: PathBuf, but: String },
    /// The owner's threshold would be applied to a fine-tuned network.
    #[error(
        "recognition.threshold = {0} is for the set's own network, a fine-tuned one needs another, which is measured: take the \
         line out of the configuration to fine-tune; nothing was changed"
    )]
    Threshold(f32),
    /// A fine-tuned network would not know an enrolled person, who has no photos in the folder.
    #[error(
        "{name} is enrolled and has no photos in {}: a fine-tuned network would see them differently; add photos, or \
         `latchkey people remove` them; nothing was changed",
        folder.display()
    )]
    Absent { name: String, folder: PathBuf },
    /// The set's embedder does not have the layers that fine-tuning trains.
    #[error(
        "{}: {why}; only the set `latchkey` can be fine-tuned; nothing was changed",
        file.display()
    )]
    Untunable { file: PathBuf, why: WeightsError },
    /// The gallery cannot be read, or belongs to another model set.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The bank of strangers cannot be read.
    #[error(transparent)]
    Bank(#[from] BankError),
    /// The embedder's file cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The learner gives no more answers. The learner's error is the source of this one, because only some such failures are the
    /// machine's fault.
    #[error("{0}")]
    Learner(#[from] LearnerError),
}
