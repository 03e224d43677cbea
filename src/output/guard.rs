//! The guard: a separate process that turns the relay off when the process that drives the relay dies or hangs. Only another
//! process can do this: a killed process runs no more code, and the state of a line that the kernel takes back depends on the
//! pin controller.
//!
//! As long as all is well, the guard only watches. It does not hold the lines, because the kernel gives a line to one process
//! only. It keeps their chip open, so that it needs no file later. The two processes exchange messages over a socket pair,
//! which is the guard's standard input:
//!
//! | way | what | when |
//! |---|---|---|
//! | to the guard | the wiring as JSON, and a pidfd of the process to watch | at the start |
//! | to the guard | `1` or `0`: the relay is on or off; `s`: another guard is active | at every change, and at least every [`HEARTBEAT_INTERVAL`] while the relay is on |
//! | to the guard | `q`: end, and leave the outputs alone | when the guard is replaced, or the process ends |
//! | from the guard | `+` | once the guard watches, and for every message that it has read |
//! | to the guard | end of file | the process is dead |
//!
//! There are two guards, one active and one spare, so that a guard that dies or hangs has a successor that already watches.
//! Both turn the relay off when the process dies; the slower one finds it off already.
//!
//! [`Guard`] is the watched process's end of the socket. No function of it waits: if the socket is full, that is a fault of the
//! guard. [`crate::broker`] starts and reaps the guard's process. A guard that is stopped, or in a sleep that no signal ends,
//! does not answer; after [`ANSWER_TIMEOUT`] it is given up, whatever it does later.
//!
//! A guard is this program again, started as `latchkey guard`, in its own process group. It ignores the signals that end the
//! other process. It is not a watchdog for the whole program: a program that hangs with the relay off opens no door.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use super::gpiochip::OpenChip;
use super::{
    LedLines, OutputError, Outputs, Registers, Wiring, assemble, chip_of, request_lines_as,
    resolve_driver,
};
use crate::clock::Timestamp;
use crate::passing;

/// The longest time between two heartbeats while the relay is on.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);

/// How long the guard may receive nothing while the relay is on, before it regards the process as hung.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the guard may leave a heartbeat unanswered before it is regarded as hung itself. Up to half a
/// [`HEARTBEAT_INTERVAL`] passes until the next heartbeat is sent, and up to the same time again until the answer is checked,
/// so a hung guard is found within a second.
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);

/// How long the guard may take to start. Its program is loaded from an SD card.
pub const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the guard waits for a killed process to be gone before it tries to take the relay's line.
const DEATH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the guard logs that it is still trying.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// The time between two tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(2);

/// The name under which the guard holds the lines while it turns them off.
const CONSUMER: &str = "latchkey-guard";

const DISMISS: u8 = b'q';
const ANSWER: u8 = b'+';

/// The content of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// The relay is on, or is about to go on.
    On,
    /// The relay is off.
    Off,
    /// Another guard is active.
    Spare,
}

impl Heartbeat {
    const fn byte(self) -> u8 {
        match self {
            Self::On => b'1',
            Self::Off => b'0',
            Self::Spare => b's',
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'1' => Self::On,
            b'0' => Self::Off,
            b's' => Self::Spare,
            _ => return None,
        })
    }
}

/// Why no guard watches the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The process could not be started.
    #[error("the guard cannot be started: system error {0}")]
    Spawn(i32),
    /// The process was started, but does not watch yet.
    #[error("the guard has not started within {} s", START_TIMEOUT.as_secs())]
    Start,
    /// The guard has ended.
    #[error("the guard is dead")]
    Dead,
    /// The guard does not answer.
    #[error("the guard does not answer")]
    Silent,
    /// The guard accepts no more messages.
    #[error("the guard reads nothing")]
    Full,
}

impl From<io::Error> for GuardError {
    fn from(error: io::Error) -> Self {
        Self::Spawn(error.raw_os_error().unwrap_or(0))
    }
}

/// The first message to the guard. A pidfd of the process to watch is sent with it.
#[derive(Debug, Deserialize, Serialize)]
struct GuardConfig {
    wiring: Wiring,
}

/// The command that starts this program again, as a guard.
#[must_use]
pub fn command() -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(CONSUMER).arg("guard");
    command
}

/// Starts `command`, which must call [`run_guard`], as a guard for `wiring`, which [`resolve_driver`] has returned. The guard
/// watches `process` (a pidfd). Does not wait until the guard watches: [`Guard::is_ready`] reports that. Returns the guard's
/// process and the other end of its socket.
///
/// # Errors
/// [`GuardError::Spawn`] if the system cannot start the process.
pub fn launch(
    mut command: Command,
    wiring: &Wiring,
    process: BorrowedFd<'_>,
) -> Result<(Child, OwnedFd), GuardError> {
    use std::os::unix::process::CommandExt;
    let (ours, theirs) = passing::pair()?;
    let config = GuardConfig {
        wiring: wiring.clone(),
    };
    passing::send(&ours, &config, &[process])?;
    let child = command
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    // The command kept the guard's end of the socket open, which would hide the guard's death.
    drop(command);
    Ok((child, ours))
}

/// A pidfd of this process, for [`launch`].
///
/// # Errors
/// The kernel's error. Kernels before Linux 5.3 have no pidfds.
pub fn this_process() -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(
        rustix::process::getpid(),
        PidfdFlags::empty(),
    )?)
}

/// The guard, as seen by the process that it watches. If this is dropped without [`Guard::dismiss`], the guard regards that as
/// the death of the process.
#[derive(Debug)]
pub struct Guard {
    socket: OwnedFd,
    id: u32,
    ready: bool,
    unanswered: u32,
    /// When the oldest unanswered message was sent, or a later time.
    unanswered_since: Timestamp,
}

impl Guard {
    /// The guard with the process number `id` at the other end of `socket`, as [`launch`] returned both.
    #[must_use]
    pub const fn new(socket: OwnedFd, id: u32, now: Timestamp) -> Self {
        Self {
            socket,
            id,
            ready: false,
            unanswered: 1,
            unanswered_since: now,
        }
    }

    /// The number of the guard's process.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The descriptor to poll: readable when the guard has answered or died.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the guard watches.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the guard has answered all messages.
    #[must_use]
    pub const fn has_answered(&self) -> bool {
        self.ready && self.unanswered == 0
    }

    /// Reads the answers that have come. Never waits.
    ///
    /// # Errors
    /// [`GuardError`] if the guard is dead, or has not answered for too long: turn the relay off, and use another guard.
    pub fn read_answers(&mut self, now: Timestamp) -> Result<(), GuardError> {
        let mut bytes = [0; 16];
        loop {
            match recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(GuardError::Dead),
                Ok(_) => {
                    self.ready = true;
                    self.unanswered = self.unanswered.saturating_sub(1);
                    self.unanswered_since = now;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(GuardError::Dead),
            }
        }
        if self.unanswered == 0 {
            return Ok(());
        }
        let waited = now.since(self.unanswered_since);
        match self.ready {
            false if waited >= START_TIMEOUT => Err(GuardError::Start),
            true if waited >= ANSWER_TIMEOUT => Err(GuardError::Silent),
            _ => Ok(()),
        }
    }

    /// Sends a heartbeat. Never waits, and allocates nothing.
    ///
    /// A call now and then is useful while the relay is off too, because it shows early that the guard is gone.
    ///
    /// # Errors
    /// As [`Guard::read_answers`], and [`GuardError::Full`].
    pub fn send_heartbeat(
        &mut self,
        heartbeat: Heartbeat,
        now: Timestamp,
    ) -> Result<(), GuardError> {
        self.read_answers(now)?;
        match self.send_byte(heartbeat.byte()) {
            Ok(()) => {
                if self.unanswered == 0 {
                    self.unanswered_since = now;
                }
                self.unanswered += 1;
                Ok(())
            }
            Err(Errno::AGAIN) => Err(GuardError::Full),
            Err(_) => Err(GuardError::Dead),
        }
    }

    /// Asks the guard to end and to leave the outputs alone. A guard that hangs does so once it continues.
    pub fn dismiss(&self) {
        let _ = self.send_byte(DISMISS);
    }

    fn send_byte(&self, byte: u8) -> Result<(), Errno> {
        loop {
            match send(
                &self.socket,
                &[byte],
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The guard itself: what `latchkey guard` does. Returns once the process that started it is dead and the relay is off, or when
/// the guard is dismissed. Calls `confine` once it needs no more files.
#[must_use]
pub fn run_guard(confine: impl FnOnce()) -> ExitCode {
    prepare();
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let Some((config, process)) = read_config(socket) else {
        log::error!("guard: started by hand? latchkey starts it itself");
        return ExitCode::FAILURE;
    };
    let lines = match LineAccess::new(&config.wiring) {
        Ok(lines) => lines,
        Err(error) => {
            log::error!("guard: cannot watch: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Locked in memory, because the SD card may be what fails. Where locking is not allowed, the guard works without it.
    let _ = rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT);
    confine();
    answer(socket);
    let (end, spare) = watch(socket, process.as_fd());
    let what = match end {
        End::Dismissed => return ExitCode::SUCCESS,
        End::Died => "latchkey died",
        End::Hung => {
            if let Err(error) = rustix::process::pidfd_send_signal(&process, Signal::KILL) {
                log::error!("guard: latchkey hung and cannot be killed: {error}");
            }
            "latchkey hung with the relay on and was killed"
        }
    };
    wait([process.as_fd()], Some(DEATH_TIMEOUT));
    match lines.turn_off(|| is_ready(process.as_fd())) {
        // One line is enough, and the active guard logs it.
        Ok(()) if spare => ExitCode::SUCCESS,
        Ok(()) => {
            log::warn!("guard: {what}; relay off");
            ExitCode::SUCCESS
        }
        Err(e) => {
            log::error!("guard: {what}; the relay may still be on: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Why a watch ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Died,
    Hung,
    Dismissed,
}

/// Ignores the signals that end the other process.
fn prepare() {
    use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for signal in [SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let _ = rustix::thread::set_name(c"latchkey-guard");
}

/// The first message and the process to watch, or None if the message is not what [`launch`] sends.
fn read_config(socket: BorrowedFd<'_>) -> Option<(GuardConfig, OwnedFd)> {
    wait([socket], Some(START_TIMEOUT));
    let (config, mut fds) = passing::receive(socket, false).ok()?;
    Some((config, fds.pop()?))
}

/// Waits until the process dies, hangs with the relay on, or dismisses this guard. Returns how the watch ended, and whether
/// another guard is active.
fn watch(socket: BorrowedFd<'_>, process: BorrowedFd<'_>) -> (End, bool) {
    let mut heartbeat = Heartbeat::Spare;
    let mut received = Instant::now();
    loop {
        let spare = heartbeat == Heartbeat::Spare;
        let left = (heartbeat == Heartbeat::On)
            .then(|| HEARTBEAT_TIMEOUT.saturating_sub(received.elapsed()));
        wait([socket, process], left);
        let mut bytes = [0; 16];
        match recv(socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return (End::Died, spare),
            Ok(_) if bytes[0] == DISMISS => return (End::Dismissed, spare),
            Ok(_) => {
                received = Instant::now();
                heartbeat = Heartbeat::of(bytes[0]).unwrap_or(Heartbeat::On);
                answer(socket);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Reset: the process ended without having read every answer.
            Err(_) => return (last_message(socket), spare),
        }
        if is_ready(process) {
            return (last_message(socket), spare);
        }
        if heartbeat == Heartbeat::On && received.elapsed() >= HEARTBEAT_TIMEOUT {
            return (End::Hung, false);
        }
    }
}

/// Returns whether the process died or dismissed the guard. The dismissal may be the last of several messages.
fn last_message(socket: BorrowedFd<'_>) -> End {
    let mut bytes = [0; 16];
    let mut errors = 0;
    loop {
        match recv(socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::AGAIN) => return End::Died,
            Ok(_) if bytes[0] == DISMISS => return End::Dismissed,
            Ok(_) | Err(Errno::INTR) => {}
            // A reset is reported once, before the messages that were sent ahead of it.
            Err(_) if errors < 2 => errors += 1,
            Err(_) => return End::Died,
        }
    }
}

/// Sends one answer. If the socket is full, the process does not read the answers, and its heartbeats show whether it hangs.
fn answer(socket: BorrowedFd<'_>) {
    let _ = send(socket, &[ANSWER], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// The wiring, the registers and the open chip: the lines can be driven without opening another file.
struct LineAccess {
    wiring: Wiring,
    registers: Option<Registers>,
    chip: Option<OpenChip>,
}

impl LineAccess {
    fn new(wiring: &Wiring) -> Result<Self, OutputError> {
        let (wiring, registers) = resolve_driver(wiring)?;
        let chip = chip_of(&wiring)?;
        Ok(Self {
            wiring,
            registers,
            chip,
        })
    }

    fn open(&self, wiring: &Wiring) -> Result<Box<dyn Outputs>, OutputError> {
        let lines = request_lines_as(wiring, self.chip.as_ref(), CONSUMER)?;
        assemble(wiring, lines, self.registers.as_ref())
    }

    /// Turns the relay off, and the LEDs if they are available. While the watched process still has the line, the tries have no
    /// end: a driver may keep that process from dying. Once it is `dead`, its lines are free. A process that holds them under
    /// its name is then its successor, which requested the line turned off.
    fn turn_off(&self, dead: impl Fn() -> bool) -> Result<(), OutputError> {
        let relay = Wiring {
            leds: LedLines::default(),
            button: None,
            ..self.wiring.clone()
        };
        let (begun, mut reported) = (Instant::now(), Instant::now());
        let mut outputs = loop {
            match self.open(&relay) {
                Err(OutputError::Busy { holder, .. }) if holder == super::CONSUMER && dead() => {
                    return Ok(());
                }
                Err(e @ OutputError::Busy { .. }) => {
                    if reported.elapsed() >= REPORT_INTERVAL {
                        reported = Instant::now();
                        let seconds = begun.elapsed().as_secs();
                        log::error!("guard: the relay may still be on after {seconds} s: {e}");
                    }
                    std::thread::sleep(RETRY_INTERVAL);
                }
                done => break done?,
            }
        };
        outputs.set_relay(false)?;
        drop(outputs);
        let leds = Wiring {
            relay: None,
            button: None,
            ..self.wiring.clone()
        };
        // Dropping the outputs turns the LEDs off. A failure here is not an error.
        drop(self.open(&leds));
        Ok(())
    }
}

/// Waits until one of `fds` is readable or hung up, a signal comes, or the time is over.
fn wait<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Option<Duration>) {
    let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    // An error means that a signal came: every caller checks for itself what has happened.
    let _ = poll(&mut fds, timeout.as_ref());
}

/// Whether `fd` is readable or hung up.
fn is_ready(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
