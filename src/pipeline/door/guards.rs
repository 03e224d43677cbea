//! The two guards of the relay, one in charge and one that could replace it at once, and those that were given up.
//!
//! Nothing here waits, and nothing here moves the relay: the caller reacts to a loss.

use std::time::Duration;

use super::RETRY;
use crate::broker::Ask;
use crate::clock::Timestamp;
use crate::output::guard::{Beat, START};
use crate::output::{Guard, GuardError};

/// How long the guard in charge may take to answer before the relay goes on; after that the other one is asked. A guard
/// answers within a millisecond; a press of the button must be served within a fifth of a second.
const PROMPT: Duration = Duration::from_millis(80);

/// Guards that were given up and have not ended, at most; the broker starts no more either.
const MOST_LEAVING: usize = 8;

/// Whether the relay may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// The guard in charge knows.
    Yes,
    /// It has not answered yet.
    NotYet,
}

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The guard in charge.
    InCharge(GuardError),
    /// One that was to replace it, lost before it watched, while no guard is in charge.
    Starting(GuardError),
}

/// The guards that there are.
#[derive(Debug, Default)]
pub struct Guards {
    charge: Option<Guard>,
    spare: Option<Guard>,
    /// Given up. Their sockets stay open until they are dead: a guard takes the end of its socket for our death.
    leaving: Vec<Guard>,
    /// Since when a guard has been requested.
    asked: Option<Timestamp>,
    /// When the guard in charge was asked whether it knows that the relay goes on.
    arming: Option<Timestamp>,
}

impl Guards {
    /// Whether a guard watches.
    pub fn is_watched(&self) -> bool {
        self.charge.as_ref().is_some_and(Guard::is_ready)
    }

    /// Both guards, to be polled.
    pub fn all(&self) -> impl Iterator<Item = &Guard> {
        self.charge.iter().chain(&self.spare)
    }

    /// Reads the guards' answers.
    ///
    /// # Errors
    /// The loss of the guard in charge; the other one is in charge then, if it watches. A lost spare is only
    /// replaced.
    pub fn hear(&mut self, now: Timestamp, asks: &mut Vec<Ask>) -> Result<(), Lost> {
        if let Some(guard) = &mut self.charge
            && let Err(why) = guard.hear(now)
        {
            self.replace(now, asks);
            return Err(Lost::InCharge(why));
        }
        if let Some(guard) = &mut self.spare
            && let Err(why) = guard.hear(now)
        {
            let started = guard.is_ready();
            let spare = self.spare.take();
            self.retire(spare, now, asks);
            if self.charge.is_none() {
                return Err(Lost::Starting(why));
            }
            if started {
                log::warn!("spare_guard_lost why={:?}", why.to_string());
            }
        }
        if self.charge.is_none() && self.spare.as_ref().is_some_and(Guard::is_ready) {
            self.charge = self.spare.take();
        }
        self.leaving
            .retain_mut(|guard| !matches!(guard.hear(now), Err(GuardError::Dead)));
        Ok(())
    }

    /// Sends a heartbeat to both.
    ///
    /// # Errors
    /// As [`Guards::hear`].
    pub fn beat(
        &mut self,
        on: bool,
        now: Timestamp,
        asks: &mut Vec<Ask>,
    ) -> Result<(), GuardError> {
        let beat = if on { Beat::On } else { Beat::Off };
        let sent = match &mut self.charge {
            Some(guard) => guard.beat(beat, now),
            None => Ok(()),
        };
        if let Some(spare) = &mut self.spare
            && spare.is_ready()
        {
            // If this fails, the next `hear` reports the reason.
            let _ = spare.beat(Beat::Spare, now);
        }
        if sent.is_err() {
            self.replace(now, asks);
        }
        sent
    }

    /// Whether the relay may go on: asks the guard in charge first, and the other one if that does not answer promptly.
    ///
    /// # Errors
    /// As [`Guards::hear`].
    pub fn arm(&mut self, now: Timestamp, asks: &mut Vec<Ask>) -> Result<Armed, GuardError> {
        match self.arming {
            None => {
                self.arming = self.is_watched().then_some(now);
                self.beat(true, now, asks)?;
            }
            Some(_) if self.charge.as_ref().is_some_and(Guard::knows) => {
                self.arming = None;
                return Ok(Armed::Yes);
            }
            Some(since) if now.since(since) >= PROMPT => {
                if self.spare.as_ref().is_some_and(Guard::is_ready) {
                    std::mem::swap(&mut self.charge, &mut self.spare);
                }
                self.arming = Some(now);
                self.beat(true, now, asks)?;
            }
            Some(_) => {}
        }
        Ok(Armed::NotYet)
    }

    /// Ends the request: the relay is not to go on.
    pub fn disarm(&mut self) {
        self.arming = None;
    }

    /// The latest time at which [`Guards::arm`] must be called again.
    pub fn due(&self) -> Option<Timestamp> {
        self.arming.map(|since| since.plus(PROMPT))
    }

    /// Requests missing guards.
    pub fn fill(&mut self, now: Timestamp, asks: &mut Vec<Ask>) {
        let missing = self.charge.is_none() || self.spare.is_none();
        let patience = |asked: Timestamp| now.since(asked) < START;
        if missing && !self.asked.is_some_and(patience) && self.leaving.len() < MOST_LEAVING {
            self.asked = Some(now);
            asks.push(Ask::Guard);
        }
    }

    /// Takes a guard that was started, or the reason why none was.
    ///
    /// # Errors
    /// Why there is none, if no other guard is in charge.
    pub fn take(
        &mut self,
        started: Result<Guard, GuardError>,
        now: Timestamp,
        asks: &mut Vec<Ask>,
    ) -> Result<(), GuardError> {
        match started {
            Ok(guard) => {
                self.asked = None;
                // In charge only once it watches.
                let before = self.spare.replace(guard);
                if before.is_some() {
                    self.retire(before, now, asks);
                }
                Ok(())
            }
            Err(why) => {
                self.hold_off(now);
                if self.charge.is_none() {
                    Err(why)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The chip that they hold was lost: new guards are needed.
    pub fn renew(&mut self, now: Timestamp, asks: &mut Vec<Ask>) {
        self.arming = None;
        let (charge, spare) = (self.charge.take(), self.spare.take());
        self.retire(charge, now, asks);
        self.retire(spare, now, asks);
        self.asked = None;
    }

    /// Asks all of them to end, because the process ends with its relay off.
    pub fn dismiss(&self) {
        self.all().for_each(Guard::dismiss);
    }

    /// Replaces the guard in charge, which is lost.
    fn replace(&mut self, now: Timestamp, asks: &mut Vec<Ask>) {
        let lost = self.charge.take();
        self.arming = None;
        if self.spare.as_ref().is_some_and(Guard::is_ready) {
            self.charge = self.spare.take();
        }
        self.retire(lost, now, asks);
    }

    /// The next guard is requested only after the retry time that applies to everything else: what ended this one may end the next.
    fn hold_off(&mut self, now: Timestamp) {
        let due = (START - RETRY).as_nanos();
        let due = now
            .as_nanos()
            .saturating_sub(u64::try_from(due).unwrap_or(0));
        self.asked = Some(Timestamp::from_nanos(due));
    }

    /// Ends a guard that is not needed any more. The broker kills it; nothing waits for that.
    fn retire(&mut self, guard: Option<Guard>, now: Timestamp, asks: &mut Vec<Ask>) {
        self.hold_off(now);
        if let Some(guard) = guard {
            guard.dismiss();
            asks.push(Ask::End(guard.id()));
            self.leaving.push(guard);
        }
    }
}
