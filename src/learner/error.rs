//! Why a learner gives no more answers. A photo that the learner cannot read is an answer, and no error.

use std::io;
use std::time::Duration;

use super::wire::ProtocolError;

/// The longest time for one answer (one photo, or one epoch of fine-tuning) on the slowest board.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Why a learner gives no more answers. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// The learner could not be started.
    #[error("the learner cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The learner's answer breaks the protocol.
    #[error(
        "the learner answered {0} and was stopped; nothing was changed. A photo may have been made to do this: try with fewer \
         photos to find it, and leave it out"
    )]
    Protocol(#[from] ProtocolError),
    /// The learner ended, or was killed.
    #[error(
        "the learner ended before it was done ({0}); nothing was changed. There may be too little memory: try with fewer photos"
    )]
    Ended(String),
    /// The learner does not answer.
    #[error(
        "the learner has not answered for {} minutes and was stopped; nothing was changed",
        RESPONSE_TIMEOUT.as_secs() / 60
    )]
    Silent,
    /// The learner has answered that it cannot continue, with the reason, and whether that is the machine's fault.
    #[error("{0}")]
    Failed(String, bool),
}

impl LearnerError {
    /// Whether another attempt may help. It does not help if the learner itself has found that the request is impossible.
    pub const fn is_machines(&self) -> bool {
        !matches!(self, Self::Failed(_, false))
    }

    /// How the process ended, if a photo may have ended it.
    pub(super) fn of_a_photo(self) -> Result<String, Self> {
        match self {
            Self::Ended(how) => Ok(how),
            Self::Silent => Ok(format!(
                "{} minutes without an answer",
                RESPONSE_TIMEOUT.as_secs() / 60
            )),
            other => Err(other),
        }
    }
}
