//! What can be wrong with a gallery.

use std::path::PathBuf;

use crate::people::name::NameError;

/// Why a gallery could not be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// The operating system reported an error.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the program was doing.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a complete gallery.
    #[error(
        "{}: {what}: the file is damaged and is not used; restore a copy of it, or move it away and enrol again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The gallery would become larger than allowed; nothing was written.
    #[error(
        "{}: would be larger than {} MiB, which is not read again: enrol fewer photos a person, 20 to 30 are best",
        path.display(), super::MAX_BYTES >> 20
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later program.
    #[error(
        "{}: version {found}, this program reads version {}: use the newer latchkey that wrote it",
        path.display(), super::VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The templates come from another embedder.
    #[error(
        "{}: enrolled with embedder {}…, this model set has {}…: choose the set it was enrolled with (--models), or enrol again",
        path.display(), short(found), short(want)
    )]
    Embedder {
        /// The file.
        path: PathBuf,
        /// The gallery's embedder.
        found: String,
        /// The embedder in use.
        want: String,
    },
    /// An invalid name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No one of that name is enrolled.
    #[error(
        "nobody is called {}, so nobody was forgotten{suggestion}; `latchkey people` lists who is enrolled in {}",
        crate::journal::quoted(name), path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name that was given.
        name: String,
        /// Half a sentence that names the person who may have been meant, or an empty text.
        suggestion: String,
    },
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}
