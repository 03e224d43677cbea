//! A model file. It is mapped into memory and never copied, and its sha256 is compared with the manifest's before anything
//! reads it as a network. A network that was made on the device is kept in a sealed file in memory instead.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest, Sha256};

use crate::fault;

/// Why a model file is not used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// None of the folders contains the file.
    #[error(
        "model file {file} not found in {}: name the folder that holds it with --model-files or `model_files` in the configuration",
        tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        /// The name in the manifest.
        file: String,
        /// The folders that were searched.
        tried: Vec<PathBuf>,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not the one of the manifest.
    #[error(
        "{}: sha256 is {got}, the manifest has {want}: the file is damaged or another version; copy it again from {origin}",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        got: String,
        /// The manifest's.
        want: String,
        /// Where the file comes from, according to the manifest.
        origin: String,
    },
}

/// A verified model file in memory.
///
/// The mapping lives as long as the process: networks are loaded once at start, and engines keep
/// pointers into it.
#[derive(Clone, Debug)]
pub struct ModelFile {
    path: PathBuf,
    sha256: String,
    bytes: &'static [u8],
}

impl ModelFile {
    /// Finds `file` (a relative path of the manifest) in the first of `folders` that contains it, either under this path or
    /// under its bare name.
    ///
    /// # Errors
    /// [`ModelError::Missing`] if no folder contains it; [`ModelError::Unreadable`] if the machine failed, so that the file
    /// may exist.
    pub fn find(file: &str, folders: &[PathBuf]) -> Result<PathBuf, ModelError> {
        let bare = Path::new(file).file_name().unwrap_or_default();
        let unreadable = |path: &Path, source| ModelError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let places = folders
            .iter()
            .flat_map(|folder| [folder.join(file), folder.join(bare)]);
        for path in places {
            match path.metadata() {
                Ok(found) if found.is_file() => return Ok(path),
                // The machine failed, so the file may exist.
                Err(error) if fault::is_machine(&error) => return Err(unreadable(&path, error)),
                Ok(_) | Err(_) => {}
            }
        }
        for folder in folders {
            fault::check_mounted(folder).map_err(|error| unreadable(folder, error))?;
        }
        Err(ModelError::Missing {
            file: file.to_owned(),
            tried: folders.to_vec(),
        })
    }

    /// Maps the file and compares its checksum with `want` (64 hexadecimal digits). `origin` is where
    /// the file comes from, for the error.
    ///
    /// # Errors
    /// [`ModelError`] if it cannot be read or is another file.
    pub fn open(path: &Path, want: &str, origin: &str) -> Result<Self, ModelError> {
        let mapping = File::open(path).and_then(|file| map(&file));
        Self::mapped(path, mapping, want, origin)
    }

    /// Writes `bytes` to a file in memory and seals it, so that nothing can change it after that, not even this process.
    /// Then maps the file and compares the checksum of the mapped bytes with `want`. `name` and `origin` are for errors.
    ///
    /// # Errors
    /// [`ModelError`] if such a file cannot be made in memory, or the checksum differs.
    pub fn sealed(name: &str, bytes: &[u8], want: &str, origin: &str) -> Result<Self, ModelError> {
        let write = || -> std::io::Result<Mmap> {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let mut file = File::from(memfd_create("network", flags)?);
            file.write_all(bytes)?;
            let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
            fcntl_add_seals(&file, seals)?;
            map(&file)
        };
        Self::mapped(Path::new(name), write(), want, origin)
    }

    fn mapped(
        path: &Path,
        mapping: std::io::Result<Mmap>,
        want: &str,
        origin: &str,
    ) -> Result<Self, ModelError> {
        let mapping = mapping.map_err(|source| ModelError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let got = hex(&Sha256::digest(&mapping[..]));
        if got != want {
            return Err(ModelError::Checksum {
                path: path.to_owned(),
                got,
                want: want.to_owned(),
                origin: origin.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            sha256: got,
            bytes: Box::leak(Box::new(mapping)),
        })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's checksum, 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The file's bytes, mapped.
    #[must_use]
    pub const fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

#[expect(
    unsafe_code,
    reason = "mapping a file is a promise about who else writes to it"
)]
fn map(file: &File) -> std::io::Result<Mmap> {
    if file.metadata()?.len() == 0 {
        return Err(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the file is empty",
        ));
    }
    // SAFETY: the mapping is private and read-only. The remaining risk is that another process truncates the file while it
    // is mapped (SIGBUS then ends this process, and with it the relay) or rewrites it in place. Model files are installed by
    // renaming a new file over the old name, which leaves this mapping's inode unchanged, and on a device they are on a
    // read-only file system. A sealed file cannot change. The mapping is not shared because kernels before 6.7 refuse a
    // shared mapping of a sealed file.
    unsafe { MmapOptions::new().map_copy_read_only(file) }
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf abc | sha256sum
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file_with(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_sealed_file_has_its_checksum_and_cannot_be_changed() {
        let model = ModelFile::sealed("abc", b"abc", ABC, "here").unwrap();
        assert_eq!((model.bytes(), &*model.name()), (&b"abc"[..], "abc"));
        let other = ModelFile::sealed("abd", b"abd", ABC, "here");
        assert!(matches!(other, Err(ModelError::Checksum { .. })));
    }

    #[test]
    fn takes_the_file_of_the_manifest() {
        let file = file_with(b"abc");
        let model = ModelFile::open(file.path(), ABC, "somewhere").unwrap();
        assert_eq!(model.bytes(), b"abc");
        assert_eq!(model.sha256(), ABC);
    }

    #[test]
    fn refuses_one_flipped_bit_truncation_and_emptiness() {
        for bytes in [&b"abb"[..], b"ab", b""] {
            let file = file_with(bytes);
            let error = ModelFile::open(file.path(), ABC, "somewhere").unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains(&file.path().display().to_string())
            );
        }
    }

    #[test]
    fn a_missing_file_names_the_folders_and_the_fix() {
        let error = ModelFile::find("a/b.tflite", &["/nowhere".into(), "/never".into()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("a/b.tflite") && error.contains("/never"));
        assert!(error.contains("--model-files"));
    }
}
