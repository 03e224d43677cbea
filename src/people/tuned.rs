//! The embedder that was fine-tuned for a gallery. It is the set's own embedder, verified, with the gallery's weights in its top
//! layers.
//!
//! The gallery does not refer to a network's file. The loaded network is sealed in memory, and has the checksum that it had when
//! it was tested.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::gallery::Tuned;
use crate::nn::{EmbedderManifest, ModelError, ModelFile, WeightsError};

/// Why a fine-tuned embedder is not used.
#[derive(Debug, thiserror::Error)]
pub enum TunedError {
    /// The set's own file is missing, or there is too little memory.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights do not fit.
    #[error("the gallery's fine-tuned weights: {0}; {REDO}")]
    Weights(#[from] WeightsError),
    /// The weights were trained from another network.
    #[error(
        "the gallery's fine-tuned weights are for embedder {found}, this set has {want}; {REDO}"
    )]
    Network {
        /// Checksum of the embedder that the weights are for.
        found: String,
        /// Checksum of the embedder in use.
        want: String,
    },
    /// The owner's threshold would be applied to this network.
    #[error(
        "recognition.threshold = {0} applies to the set's own network only; the fine-tuned network has its own, measured \
         threshold: take the line out of the configuration, or go back to the set's own with `latchkey train --undo`"
    )]
    Threshold(f32),
    /// Fine-tuned by a program that kept a network's file beside the gallery.
    #[error(
        "the gallery was fine-tuned by an earlier version, whose network is not loaded any more; {REDO}"
    )]
    Earlier,
}

const REDO: &str = "go back to the set's own network with `latchkey train --undo`, or train again";

/// The embedder of `tuned`, made from the set's own embedder of `manifest`, whose file is in one of `folders`.
///
/// # Errors
/// [`TunedError`] if any part differs from what was tested.
pub fn network(
    manifest: &EmbedderManifest,
    folders: &[PathBuf],
    tuned: &Tuned,
) -> Result<ModelFile, TunedError> {
    if tuned.set_sha256 != manifest.sha256 {
        return Err(TunedError::Network {
            found: tuned.set_sha256.clone(),
            want: manifest.sha256.clone(),
        });
    }
    let file = ModelFile::find(&manifest.file, folders)?;
    let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;
    let patched = tuned.patch.applied(file.bytes())?;
    let name = format!("{} with the gallery's weights", file.name());
    let origin = "`latchkey train --fine-tune`";
    Ok(ModelFile::sealed(
        &name,
        &patched,
        &tuned.embedder_sha256,
        origin,
    )?)
}

/// The folder that contains the gallery.
#[must_use]
pub fn folder(gallery: &Path) -> PathBuf {
    match gallery.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The beginning of the names of files that earlier versions kept beside a gallery.
fn prefix(gallery: &Path) -> OsString {
    let mut name = gallery.file_name().unwrap_or_default().to_owned();
    name.push(".tuned-");
    name
}

/// Deletes the files of networks that earlier versions fine-tuned for the gallery at `gallery`, because those networks have
/// learnt from people who may have been removed since.
///
/// # Errors
/// The system's error.
pub fn sweep(gallery: &Path) -> std::io::Result<()> {
    let prefix = prefix(gallery);
    let folder = folder(gallery);
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(prefix.as_encoded_bytes()) {
            match fs::remove_file(folder.join(&name)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}
