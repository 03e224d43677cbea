//! The outputs and guards on which the door depends: noticing that they are lost, and replacing them through the broker while
//! the loop runs. Nothing here waits, and nothing here turns the relay on.

use std::time::Duration;

use super::fault::Fault;
use super::guards::Lost;
use super::{Controller, RETRY_INTERVAL};
use crate::broker::{Request, Response};
use crate::clock::Timestamp;
use crate::output::{GuardError, OutputError, Outputs, emergency};

/// How long the broker may take to open the outputs before they are requested again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

impl Controller {
    /// Starts to use `outputs`, which are off.
    pub(super) fn set_outputs(&mut self, outputs: Box<dyn Outputs>) {
        emergency::set(outputs.relay_fd());
        self.outputs = Some(outputs);
        self.faults.outputs = false;
    }

    /// Drops the outputs, which turns off every line that still obeys. Missing outputs are a fault.
    pub(super) fn drop_outputs(&mut self) {
        emergency::set(None);
        self.outputs = None;
        (self.faults.outputs, self.logged.outputs) = (true, true);
    }

    /// Reads the guards' answers.
    pub(super) fn read_guards(&mut self, now: Timestamp) {
        if !self.broker.is_guarded() {
            return;
        }
        match self.guards.read_answers(now, &mut self.requests) {
            Ok(()) => {}
            Err(Lost::Active(why)) => self.fail(Fault::Guard(why)),
            Err(Lost::Starting(why)) => self.no_guard(why),
        }
    }

    /// Handles that no guard starts. This is logged once, until a guard starts.
    fn no_guard(&mut self, why: GuardError) {
        if !std::mem::replace(&mut self.no_guard_logged, true) {
            self.fail(Fault::NoGuard(why));
        }
    }

    /// Replaces everything that was lost, and sends the guards a heartbeat from time to time.
    pub(super) fn recover(&mut self, now: Timestamp) {
        loop {
            match self.broker.response() {
                Ok(Some(response)) => self.handle_response(response, now),
                Ok(None) => break,
                Err(error) => {
                    if !self.inbox.shared.stopping() {
                        self.fail(Fault::Broker(error.to_string()));
                    }
                    return;
                }
            }
        }
        if self.broker.is_guarded() {
            self.faults.guard = !self.guards.is_watched();
            self.no_guard_logged &= self.faults.guard;
            self.guards.request_missing(now, &mut self.requests);
        }
        if now.since(self.last_retry) >= RETRY_INTERVAL {
            self.last_retry = now;
            let is_recent = |since: Timestamp| now.since(since) < OPEN_TIMEOUT;
            if self.faults.outputs && !self.outputs_requested.is_some_and(is_recent) {
                self.outputs_requested = Some(now);
                self.requests.push(Request::Outputs);
            }
            self.send_heartbeat(now);
        }
        if let Err(error) = self.send_requests()
            && !self.inbox.shared.stopping()
        {
            self.fail(Fault::Broker(error.to_string()));
        }
    }

    fn handle_response(&mut self, response: Response, now: Timestamp) {
        match response {
            Response::Outputs(Ok(outputs)) => {
                self.outputs_requested = None;
                // The new outputs are off. The existing guards hold a chip that may be gone.
                self.set_outputs(outputs);
                self.guards.replace_all(now, &mut self.requests);
            }
            Response::Outputs(Err(error)) => {
                self.outputs_requested = None;
                log::debug!("outputs still lost: {error}");
            }
            Response::Guard(started) => match self.guards.add(started, now, &mut self.requests) {
                Ok(()) => {}
                Err(why) => self.no_guard(why),
            },
        }
    }

    /// Sends the requests to the broker. Requests that do not fit into the socket are sent in the next round.
    pub(super) fn send_requests(&mut self) -> Result<(), OutputError> {
        while let Some(request) = self.requests.first() {
            match self.broker.request(*request) {
                Ok(()) => {
                    self.requests.remove(0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(OutputError::broker(error)),
            }
        }
        Ok(())
    }
}
