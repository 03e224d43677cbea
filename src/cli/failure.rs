//! How commands end: the exit status, and the line that a failing command prints. The texts of errors are in the modules that
//! find them.

use std::process::ExitCode;

use crate::fault;
use crate::learner::LearnerError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: done, but the result is negative: no one was recognised or enrolled, or a check found something wrong.
    No,
    /// 2: the request is impossible because of its arguments, the configuration or files. Another attempt ends in the same way.
    Usage,
    /// 3: the machine failed: camera, GPIO, disk, memory. Trying again may help.
    Machine,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Machine => 3,
        })
    }
}

/// The end of a command that fails: one line of text, and a status.
pub struct Failure {
    pub exit: Exit,
    pub text: String,
}

impl Failure {
    /// A failure of the machine, whatever the error is.
    pub fn machine(error: impl std::fmt::Display) -> Self {
        Self {
            exit: Exit::Machine,
            text: error.to_string(),
        }
    }

    /// A failure with `text`, caused by the system's `error`.
    pub fn of(error: &std::io::Error, text: String) -> Self {
        let exit = if fault::is_machine(error) {
            Exit::Machine
        } else {
            Exit::Usage
        };
        Self { exit, text }
    }
}

/// Most errors are about the user's request. [`fault`] finds those that are the machine's fault.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let exit = if fault::is_machines(&error) || is_learners(&error) {
            Exit::Machine
        } else {
            Exit::Usage
        };
        Self {
            exit,
            text: error.to_string(),
        }
    }
}

/// Whether `error` comes from a learner that failed because of the machine.
fn is_learners(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |e| e.source());
    let learners = chain.find_map(|e| e.downcast_ref::<LearnerError>());
    learners.is_some_and(LearnerError::is_machines)
}
