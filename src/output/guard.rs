//! The guard: a process of its own that turns the relay off when the one that drives it dies or
//! hangs. Nothing else can: a killed process runs no more code, and what becomes of a line that the
//! kernel takes back depends on the pin controller.
//!
//! The guard does nothing as long as all is well; it does not even hold the lines, which the kernel
//! gives to one process only. The two talk over a socket pair, the guard's standard input:
//!
//! | way | what | when |
//! |---|---|---|
//! | to the guard | one line of JSON: wiring, and the process to watch | at the start |
//! | to the guard | `1` or `0`: relay on or off | at every change, and at least every [`BEAT`] while on |
//! | back | `+` | once it watches, and for every byte it has read |
//! | to the guard | end of file | the process is dead |
//!
//! It is this program again, started as `latchkey guard`, in a process group of its own, deaf to the
//! signals that end the other one. It is not a watchdog of the whole program: one that hangs with
//! the relay off opens no door.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use super::{LedLines, OutputError, Wiring, open_as, open_patiently_as};

/// The longest time between two heartbeats while the relay is on.
pub const BEAT: Duration = Duration::from_millis(250);

/// How long the guard hears nothing, relay on, before it takes the process for hung.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Heartbeats that the guard may leave unanswered before it is taken for hung itself.
const UNANSWERED: usize = 8;

/// How long the guard may take to start: it is loaded from an SD card.
const START: Duration = Duration::from_secs(10);

/// How long the guard waits for a killed process to be gone before it tries for the relay.
const DYING: Duration = Duration::from_secs(1);
/// How often it says that it is still trying.
const REPORT: Duration = Duration::from_secs(5);

/// The name under which the guard holds the lines for as long as it takes to turn them off.
const CONSUMER: &str = "latchkey-guard";

const RELAY_ON: u8 = b'1';
const RELAY_OFF: u8 = b'0';
const ANSWER: u8 = b'+';

/// Why nobody watches over the relay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The process could not be started.
    #[error("the guard cannot be started: {0}")]
    Spawn(#[source] io::Error),
    /// It was started, but does not watch.
    #[error("the guard has not started within {} s", START.as_secs())]
    Start,
    /// It has ended.
    #[error("the guard is dead; start another one")]
    Dead,
    /// It no longer answers.
    #[error("the guard does not answer; start another one")]
    Silent,
}

/// What the guard is told at the start.
#[derive(Debug, Deserialize, Serialize)]
struct Orders {
    parent: i32,
    wiring: Wiring,
}

/// The guard, as seen by the process that it watches. Dropping it ends the guard and leaves the
/// outputs alone: drop them first.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    socket: UnixStream,
    unanswered: usize,
}

impl Guard {
    /// Starts this program once more as `latchkey guard` and waits until it watches.
    ///
    /// # Errors
    /// [`GuardError`] if it does not come up. Then no relay may be turned on.
    pub fn spawn(wiring: &Wiring) -> Result<Self, GuardError> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(CONSUMER).arg("guard");
        Self::spawn_as(command, wiring)
    }

    /// Starts `command`, which must call [`run_guard`].
    ///
    /// # Errors
    /// As [`Guard::spawn`].
    pub fn spawn_as(mut command: Command, wiring: &Wiring) -> Result<Self, GuardError> {
        let (socket, theirs) = UnixStream::pair().map_err(GuardError::Spawn)?;
        socket.set_nonblocking(true).map_err(GuardError::Spawn)?;
        theirs.set_nonblocking(true).map_err(GuardError::Spawn)?;
        let orders = Orders {
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            wiring: wiring.clone(),
        };
        let mut orders =
            serde_json::to_vec(&orders).map_err(|e| GuardError::Spawn(io::Error::other(e)))?;
        orders.push(b'\n');
        // A few hundred bytes, which an empty socket takes at once.
        match rustix::io::write(&socket, &orders) {
            Ok(n) if n == orders.len() => {}
            Ok(_) => return Err(GuardError::Start),
            Err(e) => return Err(GuardError::Spawn(e.into())),
        }
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(GuardError::Spawn)?;
        // The command keeps the guard's end of the socket open, which would hide that it died.
        drop(command);
        let mut guard = Self {
            child,
            socket,
            unanswered: 1,
        };
        let start = Instant::now();
        while guard.unanswered > 0 {
            let left = START
                .checked_sub(start.elapsed())
                .ok_or(GuardError::Start)?;
            wait([guard.socket.as_fd()], Some(left));
            guard.answers()?;
        }
        Ok(guard)
    }

    /// The number of the guard's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A heartbeat: the relay is about to go on, is on, or is off. Neither waits nor allocates.
    ///
    /// Worth a call now and then while the relay is off too, to learn early that the guard is gone.
    ///
    /// # Errors
    /// [`GuardError::Dead`] or [`GuardError::Silent`]: turn the relay off, drop this guard and start
    /// another one.
    pub fn beat(&mut self, relay_on: bool) -> Result<(), GuardError> {
        self.answers()?;
        if self.unanswered >= UNANSWERED {
            return Err(GuardError::Silent);
        }
        let byte = if relay_on { RELAY_ON } else { RELAY_OFF };
        loop {
            match rustix::io::write(&self.socket, &[byte]) {
                Ok(_) => {
                    self.unanswered += 1;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(GuardError::Silent),
                Err(_) => return Err(GuardError::Dead),
            }
        }
    }

    /// Takes the answers that have come.
    fn answers(&mut self) -> Result<(), GuardError> {
        let mut bytes = [0; 2 * UNANSWERED];
        loop {
            match rustix::io::read(&self.socket, &mut bytes) {
                Ok(0) => return Err(GuardError::Dead),
                Ok(n) => self.unanswered = self.unanswered.saturating_sub(n),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(GuardError::Dead),
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Killed, not left to the end of file: it must not take this for the death of the process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The guard itself: what `latchkey guard` does. Returns once the process that started it is dead
/// and the relay is off.
#[must_use]
pub fn run_guard() -> ExitCode {
    prepare();
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let Some(orders) = read_orders(socket) else {
        log::error!("guard: started by hand? latchkey starts it itself");
        return ExitCode::FAILURE;
    };
    let parent = find_parent(orders.parent);
    let why = match &parent {
        Some(parent) => {
            answer(socket, 1);
            watch(socket, parent.as_fd())
        }
        None => End::Died,
    };
    if let (End::Hung, Some(parent)) = (&why, &parent) {
        let _ = rustix::process::pidfd_send_signal(parent, Signal::KILL);
    }
    if let Some(parent) = &parent {
        wait([parent.as_fd()], Some(DYING));
    }
    let what = match why {
        End::Died => "latchkey died",
        End::Hung => "latchkey hung with the relay on and was killed",
    };
    let dead = || {
        parent
            .as_ref()
            .is_none_or(|parent| is_ready(parent.as_fd()))
    };
    match turn_off(&orders.wiring, dead) {
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
}

/// Deaf to the signals that end the other process, and in memory for good: the SD card may be what
/// fails. Whatever of this is not allowed is done without.
fn prepare() {
    use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for signal in [SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let _ = rustix::thread::set_name(c"latchkey-guard");
    let _ = rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT);
}

/// The first line, or None if it is not what [`Guard::spawn`] writes.
fn read_orders(socket: BorrowedFd<'_>) -> Option<Orders> {
    let mut line = Vec::new();
    let start = Instant::now();
    loop {
        let mut bytes = [0; 512];
        match rustix::io::read(socket, &mut bytes) {
            Ok(0) => return None,
            Ok(n) => line.extend_from_slice(&bytes[..n]),
            Err(Errno::AGAIN) => {
                wait([socket], Some(START.checked_sub(start.elapsed())?));
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        // No heartbeat follows before the first answer.
        if line.last() == Some(&b'\n') {
            return serde_json::from_slice(&line).ok();
        }
    }
}

/// The process that started this one, unless it is dead already and its number somebody else's.
fn find_parent(expected: i32) -> Option<OwnedFd> {
    let expected = Pid::from_raw(expected)?;
    let parent = rustix::process::pidfd_open(expected, PidfdFlags::empty()).ok()?;
    // Asked after the opening: as long as it is the parent, its number is its own.
    (rustix::process::getppid() == Some(expected)).then_some(parent)
}

/// Waits until the process dies or hangs with the relay on.
fn watch(socket: BorrowedFd<'_>, parent: BorrowedFd<'_>) -> End {
    let mut on = false;
    let mut heard = Instant::now();
    loop {
        let left = on.then(|| SILENCE.saturating_sub(heard.elapsed()));
        wait([socket, parent], left);
        let mut bytes = [0; 64];
        match rustix::io::read(socket, &mut bytes) {
            Ok(0) => return End::Died,
            Ok(n) => {
                heard = Instant::now();
                on = bytes[n - 1] != RELAY_OFF;
                answer(socket, n);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Reset: it died without having read every answer.
            Err(_) => return End::Died,
        }
        if is_ready(parent) {
            return End::Died;
        }
        if on && heard.elapsed() >= SILENCE {
            return End::Hung;
        }
    }
}

/// One answer for each byte that was read. None where the socket is full: the process does not read
/// them, and what that means shows in its heartbeats.
fn answer(socket: BorrowedFd<'_>, bytes: usize) {
    let _ = rustix::io::write(socket, &[ANSWER; 64][..bytes.min(64)]);
}

/// Turns the relay off, and the LEDs if they are to be had. Without end while the process that was
/// watched still has the line, which is how long a driver may keep it from dying. Once it is `dead` its
/// lines are free: then whoever has the line under its name is its successor, which took it turned off.
fn turn_off(wiring: &Wiring, dead: impl Fn() -> bool) -> Result<(), OutputError> {
    let relay = Wiring {
        leds: LedLines::default(),
        button: None,
        ..wiring.clone()
    };
    let start = Instant::now();
    let mut outputs = loop {
        match open_patiently_as(&relay, CONSUMER, REPORT) {
            Err(OutputError::Busy { holder, .. }) if holder == super::CONSUMER && dead() => {
                return Ok(());
            }
            Err(e @ OutputError::Busy { .. }) => {
                let seconds = start.elapsed().as_secs();
                log::error!("guard: the relay may still be on after {seconds} s: {e}");
            }
            done => break done?,
        }
    };
    outputs.set_relay(false)?;
    drop(outputs);
    let leds = Wiring {
        relay: None,
        button: None,
        ..wiring.clone()
    };
    // Dropping turns them off. They are not worth an error.
    drop(open_as(&leds, CONSUMER));
    Ok(())
}

/// Waits until one of `fds` is readable or hung up, a signal comes, or the time is over.
fn wait<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Option<Duration>) {
    let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    // An error is a signal: every caller looks for itself at what has happened.
    let _ = poll(&mut fds, timeout.as_ref());
}

/// Whether `fd` is readable or hung up.
fn is_ready(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
