//! The relay's guards: the active one, a spare that could replace it at once, and the retired ones.
//!
//! Nothing here waits, and nothing here moves the relay: the caller reacts to a loss.

use std::time::Duration;

use super::RETRY_INTERVAL;
use crate::broker::Request;
use crate::clock::Timestamp;
use crate::output::guard::{Heartbeat, START_TIMEOUT};
use crate::output::{Guard, GuardError};

/// How long the active guard may take to answer before the relay goes on; after that, the spare takes its place. A guard
/// answers within a millisecond, and a press of the button must be served within a fifth of a second.
const ARMING_TIMEOUT: Duration = Duration::from_millis(80);

/// The largest number of retired guards that have not ended. The broker starts no more than that either.
const MOST_RETIRED: usize = 8;

/// Whether the relay may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arming {
    /// The active guard has acknowledged that the relay goes on.
    Acknowledged,
    /// The active guard has not answered yet.
    Pending,
}

/// The guard that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The active guard.
    Active(GuardError),
    /// A replacement guard that was lost before it began to watch, while no guard is active.
    Starting(GuardError),
}

/// All guards of the relay.
#[derive(Debug, Default)]
pub struct Guards {
    active: Option<Guard>,
    spare: Option<Guard>,
    /// Guards that are not needed any more. Their sockets stay open until they are dead, because a guard regards the end of its
    /// socket as our death.
    retired: Vec<Guard>,
    /// When a guard was requested, if one is.
    requested: Option<Timestamp>,
    /// When the active guard was informed that the relay goes on.
    arming: Option<Timestamp>,
}

impl Guards {
    /// Whether a guard watches.
    pub fn is_watched(&self) -> bool {
        self.active.as_ref().is_some_and(Guard::is_ready)
    }

    /// The active guard and the spare, to be polled.
    pub fn all(&self) -> impl Iterator<Item = &Guard> {
        self.active.iter().chain(&self.spare)
    }

    /// Reads the guards' answers.
    ///
    /// # Errors
    /// The loss of the active guard; the spare is then active, if it watches. A lost spare is only replaced.
    pub fn read_answers(
        &mut self,
        now: Timestamp,
        requests: &mut Vec<Request>,
    ) -> Result<(), Lost> {
        if let Some(guard) = &mut self.active
            && let Err(why) = guard.read_answers(now)
        {
            self.replace_active(now, requests);
            return Err(Lost::Active(why));
        }
        if let Some(guard) = &mut self.spare
            && let Err(why) = guard.read_answers(now)
        {
            let started = guard.is_ready();
            let spare = self.spare.take();
            self.retire(spare, now, requests);
            if self.active.is_none() {
                return Err(Lost::Starting(why));
            }
            if started {
                log::warn!("spare_guard_lost why={:?}", why.to_string());
            }
        }
        if self.active.is_none() && self.spare.as_ref().is_some_and(Guard::is_ready) {
            self.active = self.spare.take();
        }
        self.retired
            .retain_mut(|guard| !matches!(guard.read_answers(now), Err(GuardError::Dead)));
        Ok(())
    }

    /// Sends a heartbeat to both guards.
    ///
    /// # Errors
    /// As [`Guards::read_answers`].
    pub fn send_heartbeats(
        &mut self,
        on: bool,
        now: Timestamp,
        requests: &mut Vec<Request>,
    ) -> Result<(), GuardError> {
        let heartbeat = if on { Heartbeat::On } else { Heartbeat::Off };
        let sent = match &mut self.active {
            Some(guard) => guard.send_heartbeat(heartbeat, now),
            None => Ok(()),
        };
        if let Some(spare) = &mut self.spare
            && spare.is_ready()
        {
            // If this fails, the next `read_answers` reports the reason.
            let _ = spare.send_heartbeat(Heartbeat::Spare, now);
        }
        if sent.is_err() {
            self.replace_active(now, requests);
        }
        sent
    }

    /// Whether the relay may go on. Informs the active guard first, and the spare if the active one does not answer promptly.
    ///
    /// # Errors
    /// As [`Guards::read_answers`].
    pub fn arm(
        &mut self,
        now: Timestamp,
        requests: &mut Vec<Request>,
    ) -> Result<Arming, GuardError> {
        match self.arming {
            None => {
                self.arming = self.is_watched().then_some(now);
                self.send_heartbeats(true, now, requests)?;
            }
            Some(_) if self.active.as_ref().is_some_and(Guard::has_answered) => {
                self.arming = None;
                return Ok(Arming::Acknowledged);
            }
            Some(since) if now.since(since) >= ARMING_TIMEOUT => {
                if self.spare.as_ref().is_some_and(Guard::is_ready) {
                    std::mem::swap(&mut self.active, &mut self.spare);
                }
                self.arming = Some(now);
                self.send_heartbeats(true, now, requests)?;
            }
            Some(_) => {}
        }
        Ok(Arming::Pending)
    }

    /// Ends the request, because the relay must not go on.
    pub fn disarm(&mut self) {
        self.arming = None;
    }

    /// The latest time at which [`Guards::arm`] must be called again.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.arming.map(|since| since.plus(ARMING_TIMEOUT))
    }

    /// Requests missing guards.
    pub fn request_missing(&mut self, now: Timestamp, requests: &mut Vec<Request>) {
        let missing = self.active.is_none() || self.spare.is_none();
        let is_recent = |requested: Timestamp| now.since(requested) < START_TIMEOUT;
        if missing && !self.requested.is_some_and(is_recent) && self.retired.len() < MOST_RETIRED {
            self.requested = Some(now);
            requests.push(Request::Guard);
        }
    }

    /// Adds a guard that was started, or handles the reason why none was.
    ///
    /// # Errors
    /// Why there is no new guard, if no guard is active either.
    pub fn add(
        &mut self,
        started: Result<Guard, GuardError>,
        now: Timestamp,
        requests: &mut Vec<Request>,
    ) -> Result<(), GuardError> {
        match started {
            Ok(guard) => {
                self.requested = None;
                // A new guard becomes active only once it watches.
                let before = self.spare.replace(guard);
                if before.is_some() {
                    self.retire(before, now, requests);
                }
                Ok(())
            }
            Err(why) => {
                self.delay_request(now);
                if self.active.is_none() {
                    Err(why)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Replaces all guards, because the chip that they hold was lost.
    pub fn replace_all(&mut self, now: Timestamp, requests: &mut Vec<Request>) {
        self.arming = None;
        let (active, spare) = (self.active.take(), self.spare.take());
        self.retire(active, now, requests);
        self.retire(spare, now, requests);
        self.requested = None;
    }

    /// Asks all guards to end, because the process ends with its relay off.
    pub fn dismiss(&self) {
        self.all().for_each(Guard::dismiss);
    }

    /// Replaces the active guard after its loss.
    fn replace_active(&mut self, now: Timestamp, requests: &mut Vec<Request>) {
        let lost = self.active.take();
        self.arming = None;
        if self.spare.as_ref().is_some_and(Guard::is_ready) {
            self.active = self.spare.take();
        }
        self.retire(lost, now, requests);
    }

    /// Delays the next request for a guard by the same retry time that applies to everything else: what ended this guard may
    /// end the next one.
    fn delay_request(&mut self, now: Timestamp) {
        let due = (START_TIMEOUT - RETRY_INTERVAL).as_nanos();
        let due = now
            .as_nanos()
            .saturating_sub(u64::try_from(due).unwrap_or(0));
        self.requested = Some(Timestamp::from_nanos(due));
    }

    /// Ends a guard that is not needed any more. The broker kills it; nothing waits for that.
    fn retire(&mut self, guard: Option<Guard>, now: Timestamp, requests: &mut Vec<Request>) {
        self.delay_request(now);
        if let Some(guard) = guard {
            guard.dismiss();
            requests.push(Request::End(guard.id()));
            self.retired.push(guard);
        }
    }
}
