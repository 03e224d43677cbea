//! The start of the door's thread: it waits for the first outputs and the first guard. It may wait because nothing can be on
//! yet; once the loop runs, lost [`parts`](super::parts) are replaced without waiting.

use std::time::{Duration, Instant};

use super::Keeper;
use super::guards::Lost;
use crate::broker::{Answer, Ask};
use crate::clock::Timestamp;
use crate::output::guard::START;
use crate::output::{GuardError, OutputError};
use crate::pipeline::RunError;

/// How long the guard of a predecessor that has just died may hold the lines.
const PREDECESSOR: Duration = Duration::from_secs(6);

impl Keeper {
    /// Waits for the first outputs and the first guard: nothing can be on yet.
    pub(super) fn begin(&mut self) -> Result<(), RunError> {
        let begun = Instant::now();
        let lost = |e: std::io::Error| OutputError::Broker {
            cause: e.to_string(),
        };
        self.hands.ask(Ask::Outputs).map_err(lost)?;
        loop {
            match self.next_answer(START)? {
                Answer::Outputs(Ok(outputs)) => {
                    self.hold(outputs);
                    break;
                }
                Answer::Outputs(Err(OutputError::Busy { .. })) if begun.elapsed() < PREDECESSOR => {
                    std::thread::sleep(Duration::from_millis(10));
                    self.hands.ask(Ask::Outputs).map_err(lost)?;
                }
                Answer::Outputs(Err(error)) => return Err(error.into()),
                Answer::Guard(_) => {}
            }
        }
        if !self.hands.is_guarded() {
            return Ok(());
        }
        let begun = Instant::now();
        self.guards.fill(Timestamp::now(), &mut self.asks);
        self.ask()?;
        while !self.guards.is_watched() {
            if begun.elapsed() >= START {
                return Err(GuardError::Start.into());
            }
            if let Some(Answer::Guard(started)) = self.hands.answer().map_err(lost)? {
                self.guards
                    .take(started, Timestamp::now(), &mut self.asks)?;
            }
            match self.guards.hear(Timestamp::now(), &mut self.asks) {
                Ok(()) => {}
                Err(Lost::InCharge(why) | Lost::Starting(why)) => return Err(why.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits for the next answer.
    fn next_answer(&mut self, patience: Duration) -> Result<Answer, OutputError> {
        let begun = Instant::now();
        loop {
            let answer = self.hands.answer();
            match answer {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) if begun.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(None) => {
                    return Err(OutputError::Broker {
                        cause: format!("no answer within {} s", patience.as_secs()),
                    });
                }
                Err(error) => {
                    return Err(OutputError::Broker {
                        cause: error.to_string(),
                    });
                }
            }
        }
    }
}
