//! Writes files that are either complete or absent: a file is written under another name beside the old one, synced, and renamed.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes `bytes` to `beside`, readable by the owner alone, and renames it to `path`.
pub fn write_whole(beside: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A leftover file may belong to another user or be a link to another place, so nothing is ever written through it.
    match std::fs::remove_file(beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    take_after(&file, path, beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

/// Gives `file` the owner and mode of the file at `path` that it replaces, because root may change the gallery of the user that
/// `run` runs as. A file that replaces no other gets its folder's owner.
fn take_after(file: &File, path: &Path, beside: &Path) -> std::io::Result<()> {
    let (model, mode) = match std::fs::metadata(path) {
        Ok(old) => {
            let mode = old.mode() & 0o777;
            (old, mode)
        }
        Err(_) => {
            let folder = beside.parent().filter(|p| !p.as_os_str().is_empty());
            (std::fs::metadata(folder.unwrap_or(Path::new(".")))?, 0o600)
        }
    };
    let mine = file.metadata()?;
    if (model.uid(), model.gid()) != (mine.uid(), mine.gid()) {
        // Only root may do this; another user who may write here stays the owner.
        match std::os::unix::fs::fchown(file, Some(model.uid()), Some(model.gid())) {
            Err(e) if e.kind() != ErrorKind::PermissionDenied => return Err(e),
            _ => {}
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}
