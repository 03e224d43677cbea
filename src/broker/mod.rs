//! Who opens devices for a door that may open none itself, and who starts its guards: a small process beside the door's,
//! `latchkey broker`, and this end of its sockets.
//!
//! The broker is started before the door's process is [confined](crate::confine). It is given the wiring and the camera
//! that are configured, and opens nothing else, whatever it is asked for: cameras, found again when they are plugged in
//! again, and the lines of relay, LEDs and button. It hands over descriptors ([`crate::passing`]). It starts guards,
//! which the door's process may not, and reaps them: a guard that no signal ends never holds anybody up.
//!
//! | socket | asked | answered |
//! |---|---|---|
//! | control | [`Ask`] | [`Answer`], with the lines or the guard's socket |
//! | cameras | `AskCamera` | `CameraAnswer`, with the open node |
//!
//! The control socket is the door thread's, and nothing there waits: an answer comes when it comes. The cameras' is the
//! capture thread's, which may wait as long as a driver takes to open a camera. Each has a thread of its own in the broker.
//!
//! It decides nothing, reads no frame and parses nothing but our own messages. When the door's process ends, it ends;
//! guards stay until the relay is off. When it ends first, that is a fault of the door.

mod serve;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::capture::{CameraNodes, Identity, OwnNodes, Source};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::output::{
    self, Driver, Guard, GuardError, OutputError, Outputs, Part, Registers, Taken, Wiring, guard,
};
use crate::passing;

pub use serve::main;

/// The broker's name for the kernel and the process table.
const NAME: &str = "latchkey-broker";

/// What the broker is given at the start, with a pidfd of the door's process and its end of the cameras' socket.
#[derive(Debug, Deserialize, Serialize)]
struct Orders {
    wiring: Wiring,
    camera: Camera,
    /// What the camera must be, if that is pinned.
    pinned: Option<Identity>,
}

/// Which camera may be opened.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
enum Camera {
    None,
    Any,
    Node(PathBuf),
}

/// What the door's process asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Ask {
    /// The lines, all off.
    Outputs,
    /// Another guard.
    Guard,
    /// The end of the guard with this process number, whatever state it is in.
    End(u32),
}

/// What came of it.
pub enum Answer {
    /// Outputs, all off, or why there are none.
    Outputs(Result<Box<dyn Outputs>, OutputError>),
    /// A guard that was started and is not ready yet, or why there is none.
    Guard(Result<Guard, GuardError>),
}

/// [`Answer`] on its way; descriptors travel beside it.
#[derive(Debug, Deserialize, Serialize)]
enum Sent {
    Outputs(Result<(String, Vec<Part>), OutputError>),
    Guard(Result<u32, GuardError>),
}

/// What the capture thread asks for.
#[derive(Debug, Deserialize, Serialize)]
enum AskCamera {
    /// The nodes that there are.
    List,
    /// Which device is behind one of them.
    Identify(PathBuf),
    /// One of them, or the one that is configured.
    Open(PathBuf),
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
enum CameraAnswer {
    Nodes(Vec<PathBuf>),
    /// Which device it is, and its number.
    Identity(Identity, Option<u64>),
    /// Open, or the system's error.
    Opened(Result<(), i32>),
}

/// Who gives the door thread its outputs and guards. Nothing here waits.
pub trait Hands: Send {
    /// Asks for something; the answer comes later.
    ///
    /// # Errors
    /// The socket's: the broker is gone, or takes no more.
    fn ask(&mut self, what: Ask) -> io::Result<()>;

    /// The next answer that has come.
    ///
    /// # Errors
    /// As [`Hands::ask`].
    fn answer(&mut self) -> io::Result<Option<Answer>>;

    /// What to poll for answers; None if they are there at once.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether there is a relay that needs a guard.
    fn is_guarded(&self) -> bool;
}

/// What the door's process keeps of its broker.
pub struct Broker {
    /// For the door thread.
    pub hands: Box<dyn Hands>,
    /// For the capture thread.
    pub cameras: Box<dyn CameraNodes>,
}

impl Broker {
    /// Starts the broker for `config`, if that names a camera or lines. To be called before the process is confined.
    ///
    /// # Errors
    /// [`OutputError`] if the wiring cannot be, or the system refuses the process.
    pub fn start(config: &Config) -> Result<Self, OutputError> {
        let (wiring, registers) = output::settle(&config.output)?;
        let camera = match config.camera.parsed_source() {
            Source::Auto => Camera::Any,
            Source::Device(path) => Camera::Node(path),
            Source::Pictures(_) | Source::Doorstep(_) => Camera::None,
        };
        if wiring.driver == Driver::Log && camera == Camera::None {
            return Ok(Self::none());
        }
        let orders = Orders {
            wiring,
            camera,
            pinned: config.camera.device.clone(),
        };
        let (control, cameras) = spawn(&orders).map_err(|e| OutputError::Broker {
            cause: e.to_string(),
        })?;
        Ok(Self {
            hands: Box::new(Client {
                wiring: orders.wiring,
                registers,
                control,
            }),
            cameras: Box::new(Cameras(cameras)),
        })
    }

    /// No broker, for outputs that are lines of the log: cameras are opened by this process itself.
    #[must_use]
    pub fn none() -> Self {
        Self {
            hands: Box::new(Nobody { asked: false }),
            cameras: Box::new(OwnNodes),
        }
    }
}

/// Starts the process. Returns this end of both sockets.
fn spawn(orders: &Orders) -> io::Result<(OwnedFd, OwnedFd)> {
    let (control, theirs) = passing::pair()?;
    let (cameras, their_cameras) = passing::pair()?;
    let this = guard::this_process()?;
    passing::send(&control, orders, &[this.as_fd(), their_cameras.as_fd()])?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .arg("broker")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null());
    // It ends with this process, by the end of its sockets: nobody waits for it.
    drop(command.spawn()?);
    Ok((control, cameras))
}

/// The control socket.
struct Client {
    wiring: Wiring,
    registers: Option<Registers>,
    control: OwnedFd,
}

impl Hands for Client {
    fn ask(&mut self, what: Ask) -> io::Result<()> {
        passing::send(&self.control, &what, &[])
    }

    fn answer(&mut self) -> io::Result<Option<Answer>> {
        let (sent, fds) = match passing::receive(&self.control, false) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(match sent {
            Sent::Outputs(taken) => Answer::Outputs(taken.and_then(|(chip, parts)| {
                let lines = parts.into_iter().zip(fds).collect();
                let taken = Taken { chip, lines };
                output::assemble(&self.wiring, taken, self.registers.as_ref())
            })),
            Sent::Guard(started) => Answer::Guard(started.and_then(|id| {
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

/// Where outputs are lines of the log and nobody guards them.
struct Nobody {
    asked: bool,
}

impl Hands for Nobody {
    fn ask(&mut self, what: Ask) -> io::Result<()> {
        self.asked |= what == Ask::Outputs;
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Option<Answer>> {
        let asked = std::mem::take(&mut self.asked);
        Ok(asked.then(|| Answer::Outputs(output::open(&Wiring::default()))))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn is_guarded(&self) -> bool {
        false
    }
}

/// The cameras' socket.
struct Cameras(OwnedFd);

impl Cameras {
    fn ask(&self, what: &AskCamera) -> io::Result<(CameraAnswer, Vec<OwnedFd>)> {
        passing::send(&self.0, what, &[])?;
        passing::receive(&self.0, true)
    }
}

impl CameraNodes for Cameras {
    fn list(&mut self) -> Vec<PathBuf> {
        match self.ask(&AskCamera::List) {
            Ok((CameraAnswer::Nodes(nodes), _)) => nodes,
            // The door thread notices as well that the broker is gone, and says so.
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    fn identify(&mut self, path: &Path) -> (Identity, Option<u64>) {
        match self.ask(&AskCamera::Identify(path.to_owned())) {
            Ok((CameraAnswer::Identity(identity, number), _)) => (identity, number),
            // Nothing is known of it, so it is not the pinned one.
            Ok(_) | Err(_) => (Identity::default(), None),
        }
    }

    fn open(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match self.ask(&AskCamera::Open(path.to_owned()))? {
            (CameraAnswer::Opened(Ok(())), fds) => fds.into_iter().next().ok_or_else(no_answer),
            (CameraAnswer::Opened(Err(errno)), _) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(no_answer()),
        }
    }
}

fn no_answer() -> io::Error {
    io::Error::other("the broker answered something else")
}
