//! The embedder that was fine-tuned for a gallery: two files beside it, named after it and the network's checksum.
//!
//! `GALLERY.tuned-CHECKSUM.tflite` is the whole network, for any TensorFlow Lite; `GALLERY.tuned-CHECKSUM.toml` is the
//! manifest of the set with it in place of the set's own, and can be given to `--models`. They come before the gallery
//! that names them and go after it, so that a gallery never names what is not there.

use std::ffi::OsString;
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::gallery::Tuned;
use crate::nn::{Manifest, ManifestError, Selection};

/// What their names begin with.
fn prefix(gallery: &Path) -> OsString {
    let mut name = gallery.file_name().unwrap_or_default().to_owned();
    name.push(".tuned-");
    name
}

/// The manifest's place; the network's has another ending.
fn place(gallery: &Path, embedder_sha256: &str, ending: &str) -> PathBuf {
    let short = embedder_sha256.get(..12).unwrap_or(embedder_sha256);
    let mut name = prefix(gallery);
    name.push(short);
    name.push(ending);
    gallery.with_file_name(name)
}

/// The folder that they lie in.
#[must_use]
pub fn folder(gallery: &Path) -> PathBuf {
    match gallery.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The set's manifest with the fine-tuned embedder of the gallery at `gallery`.
///
/// # Errors
/// [`ManifestError`] if its file is missing, damaged or of another network.
pub fn manifest(gallery: &Path, tuned: &Tuned) -> Result<Manifest, ManifestError> {
    let path = place(gallery, &tuned.embedder_sha256, ".toml");
    let set = path.to_string_lossy().into_owned();
    let manifest = Manifest::load(&Selection {
        set: set.clone(),
        embedder: None,
    })?;
    if manifest.embedder().sha256 != tuned.embedder_sha256 {
        return Err(ManifestError::Value {
            path: set,
            key: "embedders: sha256".to_owned(),
            value: manifest.embedder().sha256.clone(),
            mend: format!(
                "the gallery says {}; fine-tune again",
                tuned.embedder_sha256
            ),
        });
    }
    Ok(manifest)
}

/// Writes both files: `network` and the manifest of `set` with it in place of the set's own.
///
/// # Errors
/// What the system says.
pub fn write(gallery: &Path, set: &Manifest, network: &[u8], sha256: &str) -> std::io::Result<()> {
    let file = place(gallery, sha256, ".tflite");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let text = set.with_embedder(&name, sha256).map_err(Error::other)?;
    let whole = |path: &Path, bytes: &[u8]| {
        let beside = path.with_added_extension("new");
        super::gallery::write_whole(&beside, path, bytes)
    };
    whole(&file, network)?;
    whole(&place(gallery, sha256, ".toml"), text.as_bytes())
}

/// Deletes what was fine-tuned for the gallery at `gallery` but for what is in use.
///
/// # Errors
/// What the system says.
pub fn sweep(gallery: &Path, in_use: Option<&Tuned>) -> std::io::Result<()> {
    let keep = [".toml", ".tflite"].map(|ending| {
        let place = in_use.map(|t| place(gallery, &t.embedder_sha256, ending));
        place.and_then(|p| p.file_name().map(ToOwned::to_owned))
    });
    let prefix = prefix(gallery);
    let folder = folder(gallery);
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let ours = name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes());
        if ours && !keep.iter().flatten().any(|k| *k == name) {
            match fs::remove_file(folder.join(&name)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}
