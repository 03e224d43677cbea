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

use super::{BrokerConfig, Camera, CameraRequest, CameraResponse, Request, WireResponse};
use crate::capture::{CameraNodes, DeviceIdentity, OwnNodes};
use crate::output::{self, GuardError, Wiring, guard};
use crate::passing;

/// How often guards that have ended are reaped.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// The largest number of guards that were killed and still exist. When this many hang in a sleep that no signal ends, the next
/// guard would hang too.
const MOST_GUARDS: usize = 8;

/// The kernel's number for video devices (admin-guide/devices.txt).
const VIDEO: u32 = 81;

/// Opens the configured devices for the process at the other end of standard input, until that process is gone. Calls `confine`
/// once it has its settings.
#[must_use]
pub fn main(confine: impl FnOnce()) -> ExitCode {
    ignore_signals();
    let stdin = io::stdin();
    let control = stdin.as_fd();
    let Ok((settings, mut fds)) = passing::receive::<BrokerConfig>(control, true) else {
        log::error!("broker: started by hand? latchkey starts it itself");
        return ExitCode::FAILURE;
    };
    let (Some(cameras), Some(process)) = (fds.pop(), fds.pop()) else {
        log::error!("broker: no cameras' socket, or no process to serve");
        return ExitCode::FAILURE;
    };
    confine();
    let (camera, pinned) = (settings.camera, settings.pinned);
    let started = std::thread::Builder::new()
        .name("cameras".to_owned())
        .spawn(move || serve_cameras(&cameras, &camera, pinned.as_ref()));
    if let Err(error) = started {
        log::error!("broker: no thread for cameras: {error}");
        return ExitCode::FAILURE;
    }
    DeviceService {
        wiring: settings.wiring,
        process,
        guards: Vec::new(),
    }
    .serve(control);
    ExitCode::SUCCESS
}

/// Ignores the signals that end the door's process. The broker ends when its socket closes, after it has answered everything.
fn ignore_signals() {
    use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for signal in [SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let _ = rustix::thread::set_name(c"latchkey-broker");
}

/// The service for lines and guards.
struct DeviceService {
    wiring: Wiring,
    process: OwnedFd,
    guards: Vec<Child>,
}

impl DeviceService {
    fn serve(&mut self, control: BorrowedFd<'_>) {
        loop {
            self.reap();
            let mut fds = [PollFd::from_borrowed_fd(control, PollFlags::IN)];
            let timeout = Timespec::try_from(REAP_INTERVAL).ok();
            if !matches!(poll(&mut fds, timeout.as_ref()), Ok(1..)) {
                continue;
            }
            let request = match passing::receive::<Request>(control, false) {
                Ok((request, _)) => request,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Guards stay, because the relay may be on.
                Err(error) => return ended("receive requests", &error),
            };
            // If a response does not fit into the socket, the door requests it again.
            let _ = match request {
                Request::Outputs => self.outputs(control),
                Request::Guard => self.guard(control),
                Request::End(id) => {
                    self.end(id);
                    Ok(())
                }
            };
        }
    }

    /// Opens the lines and sends them. They are closed here as soon as they are sent, because they must be free when the door's
    /// process is gone.
    fn outputs(&self, control: BorrowedFd<'_>) -> io::Result<()> {
        match output::request_lines(&self.wiring) {
            Ok(requested) => {
                let parts: Vec<_> = requested.lines.iter().map(|(part, _)| *part).collect();
                let fds: Vec<_> = requested.lines.iter().map(|(_, fd)| fd.as_fd()).collect();
                passing::send(
                    control,
                    &WireResponse::Outputs(Ok((requested.chip, parts))),
                    &fds,
                )
            }
            Err(error) => passing::send(control, &WireResponse::Outputs(Err(error)), &[]),
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
                let response = WireResponse::Guard(Ok(child.id()));
                self.guards.push(child);
                let sent = passing::send(control, &response, &[socket.as_fd()]);
                if sent.is_err()
                    && let Some(unknown) = self.guards.last_mut()
                {
                    // Only this process knows about this guard.
                    let _ = unknown.kill();
                }
                sent
            }
            Err(error) => passing::send(control, &WireResponse::Guard(Err(error)), &[]),
        }
    }

    fn end(&mut self, id: u32) {
        for child in &mut self.guards {
            if child.id() == id {
                let _ = child.kill();
            }
        }
    }

    /// Forgets guards that have ended. Does not wait for any guard.
    fn reap(&mut self) {
        self.guards
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// Logs why the broker stops, unless the door's process has ended.
fn ended(what: &str, error: &io::Error) {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    if !matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) {
        log::error!("broker: cannot {what}: {error}");
    }
}

/// Opens the camera whenever it is requested, until the door's process is gone.
fn serve_cameras(socket: &OwnedFd, configured: &Camera, pinned: Option<&DeviceIdentity>) {
    loop {
        let request = match passing::receive::<CameraRequest>(socket, true) {
            Ok((request, _)) => request,
            Err(error) => return ended("receive requests about cameras", &error),
        };
        let sent = match request {
            CameraRequest::List => {
                let nodes = OwnNodes.list();
                passing::send(socket, &CameraResponse::Nodes(nodes), &[])
            }
            CameraRequest::Identify(path) => {
                let (identity, number) = match is_allowed(&path, configured) {
                    true => OwnNodes.identify(&path),
                    false => (DeviceIdentity::default(), None),
                };
                passing::send(socket, &CameraResponse::Identity(identity, number), &[])
            }
            CameraRequest::Open(path) => match open(&path, configured, pinned) {
                Ok(node) => passing::send(socket, &CameraResponse::Opened(Ok(())), &[node.as_fd()]),
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    passing::send(socket, &CameraResponse::Opened(Err(errno)), &[])
                }
            },
        };
        if let Err(error) = sent {
            return ended("send a response about cameras", &error);
        }
    }
}

/// Whether the node at `path` is the configured camera, or may be one if every camera is allowed.
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
        // The error with which the kernel answers a camera's call on any other device.
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
        // The node is configured, but it is no camera.
        assert_eq!(errno("/dev/null", &null), Some(libc::ENOTTY));
        assert_eq!(errno("/dev/zero", &null), Some(libc::EPERM));
        assert_eq!(errno("/dev/zero", &Camera::Any), Some(libc::EPERM));
        assert_eq!(errno("/etc/passwd", &Camera::Any), Some(libc::EPERM));
        let missing = Camera::Node("/dev/video-none".into());
        assert_eq!(errno("/dev/video-none", &missing), Some(libc::ENOENT));
        assert_eq!(errno("/dev/null", &Camera::None), Some(libc::EPERM));
        // The node is configured, but it is not the pinned camera.
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
