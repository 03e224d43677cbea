//! The start of the door's thread, which waits for the first outputs and the first guard. It may wait because nothing can be on
//! yet. Once the loop runs, lost outputs and guards are replaced without waiting (see [`recovery`](super::recovery)).

use std::time::{Duration, Instant};

use super::Controller;
use super::guards::Lost;
use crate::broker::{Request, Response};
use crate::clock::Timestamp;
use crate::output::guard::START_TIMEOUT;
use crate::output::{GuardError, OutputError};
use crate::pipeline::RunError;

/// How long the guard of a previous process that has just died may hold the lines.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(6);

impl Controller {
    /// Waits for the first outputs and the first guard. Nothing can be on yet.
    pub(super) fn start(&mut self) -> Result<(), RunError> {
        let begun = Instant::now();
        self.broker
            .request(Request::Outputs)
            .map_err(OutputError::broker)?;
        loop {
            match self.next_response(START_TIMEOUT)? {
                Response::Outputs(Ok(outputs)) => {
                    self.set_outputs(outputs);
                    break;
                }
                Response::Outputs(Err(OutputError::Busy { .. }))
                    if begun.elapsed() < PREDECESSOR_TIMEOUT =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                    self.broker
                        .request(Request::Outputs)
                        .map_err(OutputError::broker)?;
                }
                Response::Outputs(Err(error)) => return Err(error.into()),
                Response::Guard(_) => {}
            }
        }
        if !self.broker.is_guarded() {
            return Ok(());
        }
        let begun = Instant::now();
        self.guards
            .request_missing(Timestamp::now(), &mut self.requests);
        self.send_requests()?;
        while !self.guards.is_watched() {
            if begun.elapsed() >= START_TIMEOUT {
                return Err(GuardError::Start.into());
            }
            if let Some(Response::Guard(started)) =
                self.broker.response().map_err(OutputError::broker)?
            {
                self.guards
                    .add(started, Timestamp::now(), &mut self.requests)?;
            }
            match self
                .guards
                .read_answers(Timestamp::now(), &mut self.requests)
            {
                Ok(()) => {}
                Err(Lost::Active(why) | Lost::Starting(why)) => return Err(why.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits for the broker's next response.
    fn next_response(&mut self, timeout: Duration) -> Result<Response, OutputError> {
        let begun = Instant::now();
        loop {
            match self.broker.response() {
                Ok(Some(response)) => return Ok(response),
                Ok(None) if begun.elapsed() < timeout => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(None) => {
                    let why = format!("no answer within {} s", timeout.as_secs());
                    return Err(OutputError::broker(why));
                }
                Err(error) => return Err(OutputError::broker(error)),
            }
        }
    }
}
