//! The broker: a small process beside the door's, `latchkey broker`. It opens devices and starts guards for a door process that
//! may do neither. This module is the code of the broker, and the door's end of its sockets.
//!
//! The broker is started before the door's process is [confined](crate::confine). It receives the configured wiring and camera,
//! and opens nothing else, whatever is requested: only the camera, also each time it is plugged in again, and the lines of
//! relay, LEDs and button. It hands over descriptors ([`crate::passing`]). It also starts guards, which the door's process may
//! not do, and reaps them, so a guard that no signal ends never holds up the door.
//!
//! | socket | request | response |
//! |---|---|---|
//! | control | [`Request`] | [`Response`], with the lines or the guard's socket |
//! | cameras | `CameraRequest` | `CameraResponse`, with the open node |
//!
//! The door thread uses the control socket and never waits on it: it reads a response when one has come. The capture thread
//! uses the cameras' socket and may wait there as long as a driver takes to open a camera. The broker serves each socket on
//! a thread of its own.
//!
//! The broker decides nothing, reads no frame and parses only our own messages. It ends when the door's process ends; guards
//! stay until the relay is off. If the broker ends first, that is a fault of the door.

mod serve;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::capture::{CameraNodes, DeviceIdentity, OwnNodes, Source};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::output::{
    self, Driver, Guard, GuardError, OutputError, Outputs, Part, Registers, RequestedLines, Wiring,
    guard,
};
use crate::passing;

pub use serve::main;

/// The broker's name in the kernel and the process table.
const NAME: &str = "latchkey-broker";

/// The first message to the broker. A pidfd of the door's process and the broker's end of the cameras' socket are sent with it.
#[derive(Debug, Deserialize, Serialize)]
struct BrokerConfig {
    wiring: Wiring,
    camera: Camera,
    /// The identity that the camera must have, if one is pinned.
    pinned: Option<DeviceIdentity>,
}

/// The camera that may be opened.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
enum Camera {
    None,
    Any,
    Node(PathBuf),
}

/// A request of the door's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Request {
    /// The lines, all off.
    Outputs,
    /// Another guard.
    Guard,
    /// End the guard with this process number, in whatever state it is.
    End(u32),
}

/// The response to a [`Request`].
pub enum Response {
    /// Outputs, all off, or why there are none.
    Outputs(Result<Box<dyn Outputs>, OutputError>),
    /// A guard that was started and is not ready yet, or why there is none.
    Guard(Result<Guard, GuardError>),
}

/// [`Response`] as it is sent; descriptors travel beside it.
#[derive(Debug, Deserialize, Serialize)]
enum WireResponse {
    Outputs(Result<(String, Vec<Part>), OutputError>),
    Guard(Result<u32, GuardError>),
}

/// A request of the capture thread.
#[derive(Debug, Deserialize, Serialize)]
enum CameraRequest {
    /// List the existing nodes.
    List,
    /// Find which device is behind a node.
    Identify(PathBuf),
    /// Open a node, or the configured one.
    Open(PathBuf),
}

/// The response to a [`CameraRequest`].
#[derive(Debug, Deserialize, Serialize)]
enum CameraResponse {
    Nodes(Vec<PathBuf>),
    /// Which device it is, and the device's number.
    Identity(DeviceIdentity, Option<u64>),
    /// The node is open, or the system's error.
    Opened(Result<(), i32>),
}

/// Gives the door thread its outputs and guards. No call waits.
pub trait BrokerClient: Send {
    /// Sends a request; the response comes later.
    ///
    /// # Errors
    /// The socket's error: the broker is gone, or its socket is full.
    fn request(&mut self, request: Request) -> io::Result<()>;

    /// The next response, if one has come.
    ///
    /// # Errors
    /// As [`BrokerClient::request`].
    fn response(&mut self) -> io::Result<Option<Response>>;

    /// The descriptor to poll for responses; None if responses are ready at once.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether there is a relay that needs a guard.
    fn is_guarded(&self) -> bool;
}

/// The door's ends of the broker's sockets.
pub struct Broker {
    /// For the door thread.
    pub client: Box<dyn BrokerClient>,
    /// For the capture thread.
    pub cameras: Box<dyn CameraNodes>,
}

impl Broker {
    /// Starts the broker for `config`, if `config` names a camera or lines. Call this before the process is confined.
    ///
    /// # Errors
    /// [`OutputError`] if the wiring is impossible or the system cannot start the process.
    pub fn start(config: &Config) -> Result<Self, OutputError> {
        let (wiring, registers) = output::resolve_driver(&config.output)?;
        let camera = match config.camera.parsed_source() {
            Source::Auto => Camera::Any,
            Source::Device(path) => Camera::Node(path),
            Source::Pictures(_) | Source::Doorstep(_) => Camera::None,
        };
        if wiring.driver == Driver::Log && camera == Camera::None {
            return Ok(Self::none());
        }
        let settings = BrokerConfig {
            wiring,
            camera,
            pinned: config.camera.device.clone(),
        };
        let (control, cameras) = spawn(&settings).map_err(OutputError::broker)?;
        Ok(Self {
            client: Box::new(SocketClient {
                wiring: settings.wiring,
                registers,
                control,
            }),
            cameras: Box::new(BrokerNodes(cameras)),
        })
    }

    /// No broker, for outputs that are lines of the log: this process opens cameras itself.
    #[must_use]
    pub fn none() -> Self {
        Self {
            client: Box::new(NoBroker { requested: false }),
            cameras: Box::new(OwnNodes),
        }
    }
}

/// Starts the broker's process. Returns this end of both sockets.
fn spawn(settings: &BrokerConfig) -> io::Result<(OwnedFd, OwnedFd)> {
    let (control, theirs) = passing::pair()?;
    let (cameras, their_cameras) = passing::pair()?;
    let this = guard::this_process()?;
    passing::send(&control, settings, &[this.as_fd(), their_cameras.as_fd()])?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .arg("broker")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null());
    // The broker ends with this process, when its sockets close: nothing waits for it.
    drop(command.spawn()?);
    Ok((control, cameras))
}

/// The control socket.
struct SocketClient {
    wiring: Wiring,
    registers: Option<Registers>,
    control: OwnedFd,
}

impl BrokerClient for SocketClient {
    fn request(&mut self, request: Request) -> io::Result<()> {
        passing::send(&self.control, &request, &[])
    }

    fn response(&mut self) -> io::Result<Option<Response>> {
        let (response, fds) = match passing::receive(&self.control, false) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(match response {
            WireResponse::Outputs(sent) => Response::Outputs(sent.and_then(|(chip, parts)| {
                let lines = parts.into_iter().zip(fds).collect();
                let lines = RequestedLines { chip, lines };
                output::assemble(&self.wiring, lines, self.registers.as_ref())
            })),
            WireResponse::Guard(started) => Response::Guard(started.and_then(|id| {
                let socket = fds.into_iter().next().ok_or(GuardError::Dead)?;
                Ok(Guard::new(socket, id, Timestamp::now()))
            })),
        }))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.control.as_fd())
    }

    fn is_guarded(&self) -> bool {
        self.wiring.driver != Driver::Log && self.wiring.relay.is_some()
    }
}

/// The client for outputs that are lines of the log. They need no broker and no guard.
struct NoBroker {
    requested: bool,
}

impl BrokerClient for NoBroker {
    fn request(&mut self, request: Request) -> io::Result<()> {
        self.requested |= request == Request::Outputs;
        Ok(())
    }

    fn response(&mut self) -> io::Result<Option<Response>> {
        let requested = std::mem::take(&mut self.requested);
        Ok(requested.then(|| Response::Outputs(output::open(&Wiring::default()))))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn is_guarded(&self) -> bool {
        false
    }
}

/// The cameras' socket: the broker opens the nodes.
struct BrokerNodes(OwnedFd);

impl BrokerNodes {
    fn request(&self, request: &CameraRequest) -> io::Result<(CameraResponse, Vec<OwnedFd>)> {
        passing::send(&self.0, request, &[])?;
        passing::receive(&self.0, true)
    }
}

impl CameraNodes for BrokerNodes {
    fn list(&mut self) -> Vec<PathBuf> {
        match self.request(&CameraRequest::List) {
            Ok((CameraResponse::Nodes(nodes), _)) => nodes,
            // The door thread also notices that the broker is gone, and logs it.
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn identify(&mut self, path: &Path) -> (DeviceIdentity, Option<u64>) {
        match self.request(&CameraRequest::Identify(path.to_owned())) {
            Ok((CameraResponse::Identity(identity, number), _)) => (identity, number),
            // The device is unknown, so it is not the pinned one.
            Ok(_) | Err(_) => (DeviceIdentity::default(), None),
        }
    }

    fn open(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match self.request(&CameraRequest::Open(path.to_owned()))? {
            (CameraResponse::Opened(Ok(())), fds) => fds.into_iter().next().ok_or_else(no_answer),
            (CameraResponse::Opened(Err(errno)), _) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(no_answer()),
        }
    }
}

fn no_answer() -> io::Error {
    io::Error::other("the broker answered something else")
}
