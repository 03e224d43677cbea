//! Files and folders on both partitions, read and written with care: bounded, in order, complete. Their content does not matter
//! here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::BESIDE;

/// The bytes of a regular file, if there are at most `most` of them.
pub(super) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > most {
        let (length, most) = (length >> 10, most >> 10);
        return Err(io::Error::other(format!(
            "is {length} KiB large; the most is {most} KiB"
        )));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The entries of `folder`, sorted by name.
pub fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|e| Ok(e?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The same as [`sorted`], but a folder that does not exist has no entries.
pub(super) fn sorted_if_any(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match sorted(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
    }
}

/// Writes all data that waits in memory for the file system of `folder` to the disk.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(&File::open(folder)?)?)
}

/// Replaces a file of the owner's partition, mounted at `folder`. The file is then either complete, or unchanged.
pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(BESIDE);
    fs::write(&beside, bytes)?;
    File::open(&beside)?.sync_all()?;
    fs::rename(&beside, folder.join(name))
}
