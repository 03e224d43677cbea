//! The parts that the door depends on, outputs and guards: noticing that they are lost, and replacing them through the broker
//! while the loop runs. Nothing here waits, and nothing here turns the relay on.

use std::time::Duration;

use super::fault::Fault;
use super::guards::Lost;
use super::{Keeper, RETRY};
use crate::broker::{Answer, Ask};
use crate::clock::Timestamp;
use crate::output::{GuardError, OutputError, Outputs, emergency};

/// How long the broker may take to open the outputs before it is asked again.
const OPENING: Duration = Duration::from_secs(10);

impl Keeper {
    /// Keeps outputs, which are off.
    pub(super) fn hold(&mut self, outputs: Box<dyn Outputs>) {
        emergency::set(outputs.relay_fd());
        self.outputs = Some(outputs);
        self.faults.outputs = false;
    }

    /// Drops the outputs, which turns off whatever still obeys. Their absence is a fault.
    pub(super) fn let_go(&mut self) {
        emergency::set(None);
        self.outputs = None;
        (self.faults.outputs, self.logged.outputs) = (true, true);
    }

    /// Reads the guards' answers.
    pub(super) fn hear_guards(&mut self, now: Timestamp) {
        if !self.hands.is_guarded() {
            return;
        }
        match self.guards.hear(now, &mut self.asks) {
            Ok(()) => {}
            Err(Lost::InCharge(why)) => self.fail(Fault::Guard(why)),
            Err(Lost::Starting(why)) => self.unguarded(why),
        }
    }

    /// No guard starts. This is logged once, until one does.
    fn unguarded(&mut self, why: GuardError) {
        if !std::mem::replace(&mut self.unguarded_logged, true) {
            self.fail(Fault::NoGuard(why));
        }
    }

    /// Replaces what was lost, and keeps in touch with the guards.
    pub(super) fn take_up(&mut self, now: Timestamp) {
        loop {
            match self.hands.answer() {
                Ok(Some(answer)) => self.take(answer, now),
                Ok(None) => break,
                Err(error) => {
                    if !self.inbox.shared.stopping() {
                        self.fail(Fault::Broker(error.to_string()));
                    }
                    return;
                }
            }
        }
        if self.hands.is_guarded() {
            self.faults.guard = !self.guards.is_watched();
            self.unguarded_logged &= self.faults.guard;
            self.guards.fill(now, &mut self.asks);
        }
        if now.since(self.retried) >= RETRY {
            self.retried = now;
            let patience = |since: Timestamp| now.since(since) < OPENING;
            if self.faults.outputs && !self.opening.is_some_and(patience) {
                self.opening = Some(now);
                self.asks.push(Ask::Outputs);
            }
            self.beat(now);
        }
        if let Err(error) = self.ask()
            && !self.inbox.shared.stopping()
        {
            self.fail(Fault::Broker(error.to_string()));
        }
    }

    /// Takes an answer of the broker.
    fn take(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Outputs(Ok(outputs)) => {
                self.opening = None;
                // The new outputs are off. The existing guards hold a chip that may be gone.
                self.hold(outputs);
                self.guards.renew(now, &mut self.asks);
            }
            Answer::Outputs(Err(error)) => {
                self.opening = None;
                log::debug!("outputs still lost: {error}");
            }
            Answer::Guard(started) => match self.guards.take(started, now, &mut self.asks) {
                Ok(()) => {}
                Err(why) => self.unguarded(why),
            },
        }
    }

    /// Sends the requests to the broker. What it has no room for is sent in the next round.
    pub(super) fn ask(&mut self) -> Result<(), OutputError> {
        while let Some(what) = self.asks.first() {
            match self.hands.ask(*what) {
                Ok(()) => {
                    self.asks.remove(0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    return Err(OutputError::Broker {
                        cause: error.to_string(),
                    });
                }
            }
        }
        Ok(())
    }
}
