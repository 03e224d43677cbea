//! The broker's own process: what `latchkey broker` does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat, major};

use super::{Ask, AskCamera, Camera, CameraAnswer, Orders, Sent};
use crate::capture::{CameraNodes, DeviceIdentity, OwnNodes};
use crate::output::{self, GuardError, Wiring, guard};
use crate::passing;

/// How often guards that have ended are reaped.
const REAP: Duration = Duration::from_secs(1);

/// Most guards that were killed and still exist. When so many hang in a sleep that no signal ends, the next one would
/// hang too.
const MOST_GUARDS: usize = 8;

/// The kernel's number for video devices (admin-guide/devices.txt).
const VIDEO: u32 = 81;

/// Opens what is configured for the process at the other end of standard input, until that process is gone. Calls
/// `confine` once it has its orders.
#[must_use]
pub fn main(confine: impl FnOnce()) -> ExitCode {
    ignore_signals();
    let stdin = io::stdin();
    let control = stdin.as_fd();
    let Ok((orders, mut fds)) = passing::receive::<Orders>(control, true) else {
        log::error!("broker: started by hand? latchkey starts it itself");
        return ExitCode::FAILURE;
    };
    let (Some(cameras), Some(process)) = (fds.pop(), fds.pop()) else {
        log::error!("broker: no cameras' socket, or no process to serve");
        return ExitCode::FAILURE;
    };
    confine();
    let (camera, pinned) = (orders.camera, orders.pinned);
    let started = std::thread::Builder::new()
        .name("cameras".to_owned())
        .spawn(move || serve_cameras(&cameras, &camera, pinned.as_ref()));
    if let Err(error) = started {
        log::error!("broker: no thread for cameras: {error}");
        return ExitCode::FAILURE;
    }
    Desk {
        wiring: orders.wiring,
        process,
        guards: Vec::new(),
    }
    .serve(control);
    ExitCode::SUCCESS
}

/// Ignores the signals that end the door's process: the broker ends when its socket closes, after it has answered everything.
fn ignore_signals() {
    use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for signal in [SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let _ = rustix::thread::set_name(c"latchkey-broker");
}

/// Lines and guards.
struct Desk {
    wiring: Wiring,
    process: OwnedFd,
    guards: Vec<Child>,
}

impl Desk {
    fn serve(&mut self, control: BorrowedFd<'_>) {
        loop {
            self.reap();
            let mut fds = [PollFd::from_borrowed_fd(control, PollFlags::IN)];
            let timeout = Timespec::try_from(REAP).ok();
            if !matches!(poll(&mut fds, timeout.as_ref()), Ok(1..)) {
                continue;
            }
            let asked = match passing::receive::<Ask>(control, false) {
                Ok((asked, _)) => asked,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Guards stay: the relay may be on.
                Err(error) => return ended("what is asked", &error),
            };
            // If an answer finds no room, the door asks again.
            let _ = match asked {
                Ask::Outputs => self.outputs(control),
                Ask::Guard => self.guard(control),
                Ask::End(id) => {
                    self.end(id);
                    Ok(())
                }
            };
        }
    }

    /// The lines are closed here as soon as they are on their way: they must be free when the door's process is gone.
    fn outputs(&self, control: BorrowedFd<'_>) -> io::Result<()> {
        match output::take(&self.wiring) {
            Ok(taken) => {
                let parts: Vec<_> = taken.lines.iter().map(|(part, _)| *part).collect();
                let fds: Vec<_> = taken.lines.iter().map(|(_, fd)| fd.as_fd()).collect();
                passing::send(control, &Sent::Outputs(Ok((taken.chip, parts))), &fds)
            }
            Err(error) => passing::send(control, &Sent::Outputs(Err(error)), &[]),
        }
    }

    fn guard(&mut self, control: BorrowedFd<'_>) -> io::Result<()> {
        let started = if self.guards.len() < MOST_GUARDS {
            guard::launch(guard::command(), &self.wiring, self.process.as_fd())
        } else {
            Err(GuardError::Spawn(rustix::io::Errno::AGAIN.raw_os_error()))
        };
        match started {
            Ok((child, socket)) => {
                let sent = Sent::Guard(Ok(child.id()));
                self.guards.push(child);
                let sent = passing::send(control, &sent, &[socket.as_fd()]);
                if sent.is_err()
                    && let Some(unknown) = self.guards.last_mut()
                {
                    // Only this process knows of it.
                    let _ = unknown.kill();
                }
                sent
            }
            Err(error) => passing::send(control, &Sent::Guard(Err(error)), &[]),
        }
    }

    fn end(&mut self, id: u32) {
        for child in &mut self.guards {
            if child.id() == id {
                let _ = child.kill();
            }
        }
    }

    /// Forgets guards that have ended. Waits for none.
    fn reap(&mut self) {
        self.guards
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// Logs why the broker stops, unless the door's process has ended.
fn ended(what: &str, error: &io::Error) {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    if !matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) {
        log::error!("broker: {what} does not get through: {error}");
    }
}

/// Opens the camera, until the door's process is gone.
fn serve_cameras(socket: &OwnedFd, configured: &Camera, pinned: Option<&DeviceIdentity>) {
    loop {
        let asked = match passing::receive::<AskCamera>(socket, true) {
            Ok((asked, _)) => asked,
            Err(error) => return ended("what is asked about cameras", &error),
        };
        let sent = match asked {
            AskCamera::List => {
                let nodes = OwnNodes.list();
                passing::send(socket, &CameraAnswer::Nodes(nodes), &[])
            }
            AskCamera::Identify(path) => {
                let (identity, number) = match is_allowed(&path, configured) {
                    true => OwnNodes.identify(&path),
                    false => (DeviceIdentity::default(), None),
                };
                passing::send(socket, &CameraAnswer::Identity(identity, number), &[])
            }
            AskCamera::Open(path) => match open(&path, configured, pinned) {
                Ok(node) => passing::send(socket, &CameraAnswer::Opened(Ok(())), &[node.as_fd()]),
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    passing::send(socket, &CameraAnswer::Opened(Err(errno)), &[])
                }
            },
        };
        if let Err(error) = sent {
            return ended("an answer about cameras", &error);
        }
    }
}

/// Whether the node at `path` is the configured camera, or may be one if any camera is configured.
fn is_allowed(path: &Path, configured: &Camera) -> bool {
    match configured {
        Camera::Node(node) => node == path,
        Camera::Any => OwnNodes.list().iter().any(|node| node == path),
        Camera::None => false,
    }
}

/// Opens the node at `path` if it is allowed and the device behind it is the pinned one.
fn open(path: &Path, configured: &Camera, pinned: Option<&DeviceIdentity>) -> io::Result<OwnedFd> {
    let is_pinned = || pinned.is_none_or(|pinned| pinned.is(&OwnNodes.identify(path).0));
    if !is_allowed(path, configured) || !is_pinned() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let node = OwnNodes.open(path)?;
    let stat = fstat(&node)?;
    let character = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if character && major(stat.st_rdev) == VIDEO {
        Ok(node)
    } else {
        // The kernel's answer to a camera's call on any other device.
        Err(io::Error::from_raw_os_error(libc::ENOTTY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_camera_is_opened() {
        let errno = |path: &str, configured: &Camera| {
            open(Path::new(path), configured, None)
                .err()
                .and_then(|e| e.raw_os_error())
        };
        let null = Camera::Node("/dev/null".into());
        // It is configured, but it is no camera.
        assert_eq!(errno("/dev/null", &null), Some(libc::ENOTTY));
        assert_eq!(errno("/dev/zero", &null), Some(libc::EPERM));
        assert_eq!(errno("/dev/zero", &Camera::Any), Some(libc::EPERM));
        assert_eq!(errno("/etc/passwd", &Camera::Any), Some(libc::EPERM));
        let missing = Camera::Node("/dev/video-none".into());
        assert_eq!(errno("/dev/video-none", &missing), Some(libc::ENOENT));
        assert_eq!(errno("/dev/null", &Camera::None), Some(libc::EPERM));
        // It is configured, but it is not the pinned one.
        let pinned = DeviceIdentity {
            port: Some("1-1.3".to_owned()),
            ..DeviceIdentity::default()
        };
        let other = open(Path::new("/dev/null"), &null, Some(&pinned));
        assert_eq!(
            other.err().and_then(|e| e.raw_os_error()),
            Some(libc::EPERM)
        );
    }
}
