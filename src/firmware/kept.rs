//! A child process that is to run for ever: it is started again when it ends, with longer and longer pauses if it keeps
//! ending. The caller decides what it is and what is logged about it. The job is not one of these: its failures restart the
//! board.

use std::io;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use super::job::Restarts;

pub struct Kept {
    child: Option<Child>,
    started: Instant,
    next: Instant,
    restarts: Restarts,
}

/// Why it does not run, and for how long.
pub struct Pause {
    pub why: String,
    /// How long it ran.
    pub age: Duration,
    /// When it is started again.
    pub next_in: Duration,
}

impl Kept {
    pub fn new() -> Self {
        Self {
            child: None,
            started: Instant::now(),
            next: Instant::now(),
            restarts: Restarts::default(),
        }
    }

    /// Starts it if it does not run and its pause is over. Returns how that failed, if it did.
    pub fn keep(&mut self, start: impl FnOnce() -> io::Result<Child>) -> Option<Pause> {
        if self.child.is_some() || Instant::now() < self.next {
            return None;
        }
        self.started = Instant::now();
        match start() {
            Ok(child) => {
                self.child = Some(child);
                None
            }
            Err(error) => Some(self.pause(error.to_string())),
        }
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Notes that the process `pid` has ended, which may be this one.
    pub fn note_end(&mut self, pid: u32) -> Option<Pause> {
        let is_it = self.child.as_ref().is_some_and(|child| child.id() == pid);
        is_it.then(|| self.pause("ended".to_owned()))
    }

    /// Whether it has ended; for a process in which nothing else waits for children.
    pub fn has_ended(&mut self) -> Option<Pause> {
        match self.child.as_mut()?.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(self.pause(status.to_string())),
            Err(error) => Some(self.pause(error.to_string())),
        }
    }

    /// Its standard output, given once for each start.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.stdout.take()
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn pause(&mut self, why: String) -> Pause {
        self.child = None;
        let age = self.started.elapsed();
        let next_in = self.restarts.later(age);
        self.next = Instant::now() + next_in;
        Pause { why, age, next_in }
    }
}
