//! A child process that must run for ever: it is started again when it ends, with longer and longer pauses if it keeps ending.
//! The caller decides which program it is, and what is logged about it. The job is not one of these processes, because its
//! failures restart the board.

use std::io;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use super::job::Restarts;

pub struct RestartingProcess {
    child: Option<Child>,
    started: Instant,
    next: Instant,
    restarts: Restarts,
}

/// Why the process does not run, and how long until it is started again.
pub struct RestartDelay {
    pub why: String,
    /// How long the process ran.
    pub age: Duration,
    /// The time until the process is started again.
    pub next_in: Duration,
}

impl RestartingProcess {
    pub fn new() -> Self {
        Self {
            child: None,
            started: Instant::now(),
            next: Instant::now(),
            restarts: Restarts::default(),
        }
    }

    /// Starts the process if it does not run and is due. Returns why the start failed, if it did.
    pub fn ensure_running(
        &mut self,
        start: impl FnOnce() -> io::Result<Child>,
    ) -> Option<RestartDelay> {
        if self.child.is_some() || Instant::now() < self.next {
            return None;
        }
        self.started = Instant::now();
        match start() {
            Ok(child) => {
                self.child = Some(child);
                None
            }
            Err(error) => Some(self.ended(error.to_string())),
        }
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Handles the end of the process `pid`, which may be this one.
    pub fn handle_exit(&mut self, pid: u32) -> Option<RestartDelay> {
        let is_it = self.child.as_ref().is_some_and(|child| child.id() == pid);
        is_it.then(|| self.ended("ended".to_owned()))
    }

    /// Whether the process has ended. For a program in which nothing else waits for children.
    pub fn has_ended(&mut self) -> Option<RestartDelay> {
        match self.child.as_mut()?.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(self.ended(status.to_string())),
            Err(error) => Some(self.ended(error.to_string())),
        }
    }

    /// The process's standard output, which is returned once for each start.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.stdout.take()
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Plans the next start.
    fn ended(&mut self, why: String) -> RestartDelay {
        self.child = None;
        let age = self.started.elapsed();
        let next_in = self.restarts.later(age);
        self.next = Instant::now() + next_in;
        RestartDelay { why, age, next_in }
    }
}
