//! Decides whether the cause of a system error is the request or the machine at this moment: the first kind recurs on a retry,
//! the second kind may not. Exit statuses and restarts depend on this, so it is decided in this one place.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A file is missing because its file system is not mounted yet.
#[derive(Debug, thiserror::Error)]
#[error("{} is in /etc/fstab and not mounted yet", place.display())]
struct NotMounted {
    place: PathBuf,
}

/// Whether `error` is the machine's: a disk that fails or is full, too little memory, too many open files, a device or mount
/// that is absent, a call that was interrupted or would have to wait. Any other error is about the input: a file that does not
/// exist, that may not be read, or that has the wrong content.
#[must_use]
pub fn is_machine(error: &io::Error) -> bool {
    if let Some(inner) = error.get_ref() {
        return inner.is::<NotMounted>() || of_kind(error.kind());
    }
    match Errno::from_io_error(error) {
        Some(errno) => matches!(
            errno,
            Errno::IO
                | Errno::NOMEM
                | Errno::NOSPC
                | Errno::DQUOT
                | Errno::MFILE
                | Errno::NFILE
                | Errno::INTR
                | Errno::AGAIN
                | Errno::BUSY
                | Errno::NODEV
                | Errno::NXIO
                | Errno::NOMEDIUM
                | Errno::REMOTEIO
                | Errno::TIMEDOUT
                | Errno::STALE
                | Errno::NOTCONN
                | Errno::CONNREFUSED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::NOBUFS
                | Errno::NOLCK
                | Errno::DEADLK
                // A file system that found damage in itself (checksums, structure), or became read-only because of damage.
                | Errno::BADMSG
                | Errno::UCLEAN
                | Errno::ROFS
        ),
        None => of_kind(error.kind()),
    }
}

/// The same as [`is_machine`], for errors without the system's number.
fn of_kind(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::OutOfMemory
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::ResourceBusy
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotConnected
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

/// Whether the root cause of `error` [`is_machine`].
#[must_use]
pub fn is_machines(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let system = error.downcast_ref::<io::Error>();
        // The `source` of this error skips the error that it wraps.
        let decoder = match error.downcast_ref::<png::DecodingError>() {
            Some(png::DecodingError::IoError(error)) => Some(error),
            _ => None,
        };
        let errno = error.downcast_ref::<Errno>().map(|e| io::Error::from(*e));
        if system
            .or(decoder)
            .or(errno.as_ref())
            .is_some_and(is_machine)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns `error`, which the system gave for `path`. If it says that the file does not exist, and the file system that should
/// contain the file is not mounted yet, returns an error with that reason.
#[must_use]
pub fn of_path(error: io::Error, path: &Path) -> io::Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match awaited(&path, &read("/etc/fstab"), &read("/proc/self/mounts")) {
        Some(place) => io::Error::other(NotMounted { place }),
        None => error,
    }
}

/// Checks that `path` is not missing because of a missing mount.
///
/// # Errors
/// An error of the machine, if a mount is missing.
pub fn check_mounted(path: &Path) -> io::Result<()> {
    let error = of_path(ErrorKind::NotFound.into(), path);
    if is_machine(&error) {
        Err(error)
    } else {
        Ok(())
    }
}

/// Where a file system would be mounted that should contain `path` by `fstab` and is not among `mounts` (fstab(5),
/// proc_mounts(5)).
fn awaited(path: &Path, fstab: &str, mounts: &str) -> Option<PathBuf> {
    let places = |table: &str| -> Vec<PathBuf> {
        let lines = table.lines().filter(|l| !l.trim_start().starts_with('#'));
        let fields = lines.filter_map(|l| l.split_ascii_whitespace().nth(1));
        fields
            .map(|f| PathBuf::from(f.replace("\\040", " ").replace("\\011", "\t")))
            .collect()
    };
    let mounted = places(mounts);
    let wanted = places(fstab).into_iter().filter(|place| {
        place.is_absolute()
            && place != Path::new("/")
            && path.starts_with(place)
            && !mounted.contains(place)
    });
    wanted.max_by_key(|place| place.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_machine_and_of_the_input_are_distinguished() {
        for errno in [
            Errno::IO,
            Errno::NOMEM,
            Errno::NOSPC,
            Errno::MFILE,
            Errno::NFILE,
            Errno::INTR,
            Errno::AGAIN,
            Errno::NODEV,
            Errno::STALE,
            Errno::ROFS,
            Errno::DQUOT,
            Errno::NOTCONN,
        ] {
            let error = io::Error::from(errno);
            assert!(is_machine(&error), "{error}");
            let photo = crate::capture::PhotoError {
                path: "x".into(),
                fault: crate::capture::PhotoFault::Unreadable(error),
            };
            assert!(is_machines(&photo));
            let decoder = png::DecodingError::IoError(errno.into());
            let photo = crate::capture::PhotoError {
                path: "x".into(),
                fault: crate::capture::PhotoFault::Png(decoder),
            };
            assert!(is_machines(&photo), "{photo}");
        }
        for errno in [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::PERM,
            Errno::ISDIR,
            Errno::NOTDIR,
            Errno::LOOP,
            Errno::NAMETOOLONG,
        ] {
            assert!(!is_machine(&errno.into()), "{errno}");
        }
        for kind in [
            ErrorKind::InvalidData,
            ErrorKind::UnexpectedEof,
            ErrorKind::NotFound,
        ] {
            assert!(!is_machine(&kind.into()), "{kind}");
        }
        assert!(is_machine(&ErrorKind::OutOfMemory.into()));
    }

    #[test]
    fn a_file_on_a_pending_mount_is_not_missing() {
        let fstab = "# a comment /mnt/none\nUUID=1 / ext4 defaults 0 1\nUUID=2 /mnt/usb vfat nofail 0 0\n\
                     UUID=3 /mnt/my\\040disk ext4 defaults 0 2\nUUID=4 none swap sw 0 0\n";
        let mounts = "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n";
        let awaited = |path: &str, mounts: &str| awaited(Path::new(path), fstab, mounts);
        assert_eq!(awaited("/mnt/usb/gallery", mounts), Some("/mnt/usb".into()));
        assert_eq!(
            awaited("/mnt/my disk/x", mounts),
            Some("/mnt/my disk".into())
        );
        assert_eq!(awaited("/mnt/usbx/gallery", mounts), None);
        assert_eq!(awaited("/etc/latchkey", mounts), None);
        let mounted = mounts.to_owned() + "/dev/sdb1 /mnt/usb vfat rw 0 0\n";
        assert_eq!(awaited("/mnt/usb/gallery", &mounted), None);
        let error = io::Error::other(NotMounted {
            place: "/mnt/usb".into(),
        });
        assert!(is_machine(&error) && error.to_string().contains("not mounted yet"));
    }
}
