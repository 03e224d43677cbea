//! The job: `latchkey run` as a separate user. Its progress is watched, and it is started again at a bounded rate.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use super::console::Console;

/// Where the job reports its progress.
const SOCKET: &str = "/run/latchkey.notify";
/// How long the job may report nothing. The job itself waits for `recognition.watchdog_ms` before it goes silent.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Together with the time for checking, killing and logging, this is well before the board is reset.
const _: () = assert!(REPORT_TIMEOUT.as_secs() + 3 < super::watchdog::SECONDS as u64);
/// How long the job's guard may take to turn the relay off and to log that.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the job may take to load from the slowest card.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running job.
pub struct Job {
    child: Child,
    lines: ChildStderr,
    /// The line that is not complete yet.
    rest: Vec<u8>,
    /// The console to which the job's lines are passed on.
    console: Console,
    socket: UnixDatagram,
    started: Instant,
    last_report: Option<Instant>,
    killed: bool,
    /// Whether every process that could write lines has ended.
    ended: bool,
}

/// The job's reports (sd_notify(3)) since they were last read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notifications {
    pub ready: bool,
    pub alive: bool,
}

impl Job {
    /// Starts the job with the configuration in force in `data`.
    pub fn start(data: &Path, notice: bool, user: u32) -> io::Result<Self> {
        let _ = std::fs::remove_file(SOCKET);
        let socket = UnixDatagram::bind(SOCKET)?;
        socket.set_nonblocking(true)?;
        std::os::unix::fs::chown(SOCKET, Some(user), Some(user))?;
        let mut command = Command::new(super::PROGRAM);
        command.arg("run");
        let config = data.join(super::owner::CONFIG);
        if config.exists() {
            command.arg("--config").arg(config);
        } else {
            // No pin is driven, because it is not known what is wired to which pin, and at which level it is off.
            command.args(["--board", "host"]);
        }
        command
            .arg("--gallery")
            .arg(data.join(super::owner::GALLERY));
        command
            .env_clear()
            .env("NOTIFY_SOCKET", SOCKET)
            .current_dir("/")
            .uid(user)
            .gid(user)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if notice {
            command.arg("--notice");
        }
        let mut child = command.spawn()?;
        let lines = child
            .stderr
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        rustix::io::ioctl_fionbio(&lines, true)?;
        Ok(Self {
            child,
            lines,
            rest: Vec::new(),
            console: Console::open(),
            socket,
            started: Instant::now(),
            last_report: None,
            killed: false,
            ended: false,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The descriptors to poll.
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.lines.as_fd(), self.socket.as_fd()]
    }

    /// The complete lines of the job's log that have come. They are also written to the console.
    pub fn read_lines(&mut self) -> String {
        let mut bytes = [0; 4096];
        loop {
            let n = match self.lines.read(&mut bytes) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => n,
                Err(_) => break,
            };
            self.rest.extend_from_slice(&bytes[..n]);
            // A program that writes no line breaks must not fill the memory.
            if self.rest.len() > 64 << 10 {
                self.rest.push(b'\n');
                break;
            }
        }
        let whole = self
            .rest
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let lines = String::from_utf8_lossy(&lines).into_owned();
        self.console.write_lines(lines.as_bytes());
        lines
    }

    /// The remaining lines of a job that has ended, and of its guard, which ends soon after.
    pub fn last_lines(&mut self) -> String {
        let begun = Instant::now();
        let mut lines = self.read_lines();
        while !self.ended && begun.elapsed() < LAST_LINES_TIMEOUT {
            std::thread::sleep(Duration::from_millis(10));
            lines += &self.read_lines();
        }
        lines
    }

    /// Reads what the job has reported.
    pub fn read_notifications(&mut self) -> Notifications {
        let mut notifications = Notifications::default();
        let mut bytes = [0; 256];
        while let Ok(n) = self.socket.recv(&mut bytes) {
            for line in bytes[..n].split(|b| *b == b'\n') {
                notifications.ready |= line == b"READY=1";
                notifications.alive |= line == b"WATCHDOG=1";
            }
        }
        if notifications.ready || notifications.alive {
            self.last_report = Some(Instant::now());
        }
        notifications
    }

    /// Whether the job has reported nothing yet, and still has time for that.
    pub fn is_starting(&self) -> bool {
        self.last_report.is_none() && self.started.elapsed() < START_TIMEOUT
    }

    pub fn since_last_report(&self) -> Duration {
        self.last_report.unwrap_or(self.started).elapsed()
    }

    /// Whether the job was killed because it was silent.
    pub fn was_killed(&self) -> bool {
        self.killed
    }

    /// Whether the job has been silent for too long.
    pub fn is_late(&self) -> bool {
        let bound = if self.last_report.is_some() {
            REPORT_TIMEOUT
        } else {
            START_TIMEOUT
        };
        self.since_last_report() > bound
    }

    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks the job to turn the relay off and to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the job. The guard turns the relay off.
    pub fn kill(&mut self) {
        self.killed = true;
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }
}

/// How a job ended, or failed to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The job refused its input as wrong: configuration, files. Another try would end the same way.
    Refused,
    /// The job ended by itself, or by a signal.
    Failed(i32),
    /// The job went silent.
    Hung,
}

impl Ended {
    pub fn of(status: WaitStatus) -> Self {
        match status.exit_status() {
            Some(code) => Self::of_code(code),
            None => Self::Failed(-status.terminating_signal().unwrap_or(0)),
        }
    }
}

impl Ended {
    fn of_code(code: i32) -> Self {
        match code {
            2 => Self::Refused,
            code => Self::Failed(code),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Failed(code) if *code < 0 => write!(f, "signal_{}", -code),
            Self::Failed(code) => write!(f, "status_{code}"),
            Self::Hung => f.write_str("hung"),
        }
    }
}

/// When to start the job again: soon after a long run, with longer and longer pauses after short runs, and not for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restarts {
    failures: u32,
    hopeless: bool,
}

impl Restarts {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(30);
    /// A run of this length cancels all earlier failures.
    const LONG_RUN: Duration = Duration::from_secs(60);
    /// The number of failures in a row after which only a restart of the board may help: a driver may hang, or may have lost a
    /// camera.
    const MOST: u32 = 8;

    /// How long to wait after a job that ended in this way after `age`; `None` if it must not be started again.
    pub fn after(&mut self, ended: Ended, age: Duration) -> Option<Duration> {
        if ended == Ended::Refused {
            return None;
        }
        let delay = self.later(age);
        self.hopeless = self.failures >= Self::MOST;
        Some(delay)
    }

    /// How long to wait after a process that has run for `age`: longer and longer, without an end to the tries.
    pub fn later(&mut self, age: Duration) -> Duration {
        if age >= Self::LONG_RUN {
            self.failures = 0;
        }
        self.failures += 1;
        let doubled = Self::FIRST * 2_u32.saturating_pow(self.failures.min(10) - 1);
        doubled.min(Self::LONGEST)
    }

    /// Whether trying again is better than restarting the board.
    pub fn may_go_on(&self) -> bool {
        !self.hopeless
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_keeps_failing_waits_longer_and_then_restarts_the_board() {
        let mut restarts = Restarts::default();
        let mut waited = Duration::ZERO;
        let mut tries = 0;
        while restarts.may_go_on() {
            let delay = restarts.after(Ended::Failed(3), Duration::from_secs(1));
            let delay = delay.expect("it is started again");
            assert!(delay <= Restarts::LONGEST);
            waited += delay;
            tries += 1;
        }
        assert_eq!(tries, Restarts::MOST);
        assert!(waited > Duration::from_secs(45), "{waited:?}");
    }

    #[test]
    fn a_job_that_refuses_its_input_is_not_started_again_and_does_not_restart_the_board() {
        let mut restarts = Restarts::default();
        let refused = Ended::of_code(2);
        assert_eq!(restarts.after(refused, Duration::from_secs(1)), None);
        assert!(restarts.may_go_on());
        for failed in [1, 3, 101] {
            let delay = restarts.after(Ended::of_code(failed), Duration::ZERO);
            assert!(delay.is_some());
        }
        // Other processes that are kept running are started again for ever, but rarely.
        let delays = (0..100).map(|_| restarts.later(Duration::ZERO));
        assert_eq!(delays.last(), Some(Restarts::LONGEST));
    }

    #[test]
    fn a_long_run_makes_up_for_failures() {
        let mut restarts = Restarts::default();
        for _ in 0..5 {
            restarts.after(Ended::Hung, Duration::ZERO);
        }
        assert_eq!(
            restarts.after(Ended::Failed(-9), Duration::from_secs(61)),
            Some(Restarts::FIRST)
        );
    }
}
