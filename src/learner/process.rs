//! The learner as a process: its pipes, the timeout for an answer, how the process ended, and what it prints. The meaning of the
//! answers is not known here.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::LearnerError;
use super::wire::{self, Response, plain};

/// The most bytes of the learner's output that are passed on.
const MOST_PRINTED: u64 = 64 << 10;

/// The learner's process.
pub struct Process {
    child: Child,
    /// The pipe for requests; `None` while one is being sent.
    pub to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    printed: Option<JoinHandle<()>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Result<Self, LearnerError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(LearnerError::Start)?;
        let missing = || LearnerError::Start(std::io::Error::other("no pipe"));
        let from = child.stdout.take().ok_or_else(missing)?;
        let printed = child.stderr.take().ok_or_else(missing)?;
        Ok(Self {
            to: child.stdin.take(),
            child,
            from: BufReader::new(from),
            printed: Some(std::thread::spawn(move || pass_on(printed))),
        })
    }

    /// The next answer, unless it takes longer than `timeout`.
    pub fn answer(&mut self, timeout: Duration) -> Result<Response, LearnerError> {
        let mut reader = TimedReader {
            from: &mut self.from,
            timeout,
            timed_out: false,
        };
        let read = wire::read(&mut reader, wire::MOST_BYTES);
        if reader.timed_out {
            return Err(LearnerError::Silent);
        }
        match read {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.ended()),
        }
    }

    /// How the process ended.
    pub fn ended(&mut self) -> LearnerError {
        // The process has closed its pipe, but may still be running.
        let end = Instant::now() + Duration::from_secs(2);
        let mut status = self.child.try_wait();
        while matches!(status, Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
            status = self.child.try_wait();
        }
        LearnerError::Ended(match status {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "it closed its pipe".to_owned(),
            Err(error) => error.to_string(),
        })
    }
}

/// Ends the process, and passes on what it has printed.
impl Drop for Process {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The learner may have left a process behind that keeps the pipe open: do not wait for it longer than this.
        let end = Instant::now() + Duration::from_secs(1);
        let printing = || self.printed.as_ref().is_some_and(|p| !p.is_finished());
        while printing() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A reader that waits for bytes no longer than `timeout`.
struct TimedReader<'a> {
    from: &'a mut BufReader<ChildStdout>,
    timeout: Duration,
    timed_out: bool,
}

impl Read for TimedReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.from.buffer().is_empty() {
            let timeout = Timespec::try_from(self.timeout).ok();
            let mut fds = [PollFd::new(self.from.get_ref(), PollFlags::IN)];
            if poll(&mut fds, timeout.as_ref())? == 0 {
                self.timed_out = true;
                return Err(std::io::ErrorKind::TimedOut.into());
            }
        }
        self.from.read(buf)
    }
}

/// Prints the learner's output line by line, escaped, and drops the output beyond [`MOST_PRINTED`].
fn pass_on(printed: impl Read) {
    let mut printed = BufReader::new(printed.take(MOST_PRINTED));
    let mut line = Vec::new();
    while printed.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        eprintln!("{}", plain(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    // The rest must be read, because otherwise the learner would block.
    let _ = std::io::copy(&mut printed.into_inner().into_inner(), &mut std::io::sink());
}
