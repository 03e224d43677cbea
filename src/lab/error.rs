//! Why something cannot be measured. A bad result is no error.

use std::io;
use std::path::PathBuf;

use crate::capture::PhotoError;
use crate::door::PolicyError;
use crate::face::FaceError;
use crate::frame::{ImageError, SampleError};
use crate::learn::FolderError;
use crate::nn::{ModelError, NnError, WeightsError};
use crate::people::GalleryError;
use crate::pipeline::LookError;

/// Why something cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The file of pairs cannot be read.
    #[error("{}: {source}; --pairs takes a file such as LFW's pairs.txt", file.display())]
    NoPairs { file: PathBuf, source: io::Error },
    /// The file is not a file of pairs.
    #[error("{}: {why}", file.display())]
    WrongPairs { file: PathBuf, why: String },
    /// There is no folder of pictures.
    #[error("{}: no such folder; --images takes the folder that holds one folder a person", .0.display())]
    NoImages(PathBuf),
    /// A picture of a pair is missing, by its path without an extension.
    #[error("{}.jpg: no such picture, and no .jpeg or .png either", .0.display())]
    NoPicture(PathBuf),
    /// The file of names cannot be read.
    #[error("{}: {source}; --only takes a file of names", file.display())]
    NoNames { file: PathBuf, source: io::Error },
    /// There are too few people or photos for the requested measurement.
    #[error("{0}")]
    TooFew(String),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Face(#[from] FaceError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Network(#[from] NnError),
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Look(#[from] LookError),
}
