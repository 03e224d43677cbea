//! The relay's state, and the moves of relay and LEDs. Whether the door is open is decided elsewhere. [`Controller::fail`] and
//! [`Controller::apply`] turn the relay off.

use super::fault::Fault;
use super::guards::Arming;
use super::{Controller, LONGEST_SLEEP};
use crate::clock::Timestamp;
use crate::output::OutputError;

/// The last state that was set on the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relay {
    Off,
    /// The relay goes on once a guard has answered.
    Arming,
    On,
}

impl Controller {
    /// Turns the relay off on the driver. Returns its previous state, and whether the driver obeyed.
    pub(super) fn relay_off(&mut self) -> (Relay, Result<(), OutputError>) {
        let off = match &mut self.outputs {
            Some(outputs) => outputs.set_relay(false),
            None => Ok(()),
        };
        self.guards.disarm();
        (std::mem::replace(&mut self.relay, Relay::Off), off)
    }

    /// Logs that the relay went off.
    pub(super) fn log_relay(&self, was: Relay) {
        if was == Relay::On {
            log::info!("relay state=off");
        }
    }

    /// Sets relay and LEDs as decided, except that [`Controller::apply`] turns the relay off.
    pub(super) fn drive_outputs(&mut self) {
        let now = Timestamp::now();
        if self.door.relay() && self.relay != Relay::On {
            self.switch_on(now);
        }
        if self.relay == Relay::On && now.since(self.last_heartbeat) >= LONGEST_SLEEP {
            self.send_heartbeat(now);
        }
        let (leds, _) = self.player.update(now, self.indication());
        if let Some(outputs) = &mut self.outputs
            && let Err(error) = outputs.set_leds(leds)
        {
            self.fail(Fault::Leds(error));
        }
    }

    /// Switches the relay on, once a guard has acknowledged it and there are outputs.
    fn switch_on(&mut self, now: Timestamp) {
        if self.outputs.is_some() && self.broker.is_guarded() {
            let before = std::mem::replace(&mut self.relay, Relay::Arming);
            if before != Relay::Arming && !self.guards.is_watched() {
                log::warn!("relay state=waiting why=\"no guard watches\"");
            }
            match self.guards.arm(now, &mut self.requests) {
                Ok(Arming::Acknowledged) => {}
                Ok(Arming::Pending) => return,
                Err(why) => return self.fail(Fault::Guard(why)),
            }
        }
        let Some(outputs) = &mut self.outputs else {
            // The decision is void, because the relay must not go on by itself once the lines are back.
            let events = self.door.shut(now);
            return self.log_events(now, &events);
        };
        match outputs.set_relay(true) {
            Ok(()) => {
                self.relay = Relay::On;
                log::info!("relay state=on");
            }
            Err(error) => self.fail(Fault::Relay(error)),
        }
    }

    /// Sends a heartbeat to the guards. If this shows that a guard is lost, it is a fault.
    pub(super) fn send_heartbeat(&mut self, now: Timestamp) {
        self.last_heartbeat = now;
        let on = self.relay != Relay::Off;
        if let Err(why) = self.guards.send_heartbeats(on, now, &mut self.requests) {
            self.fail(Fault::Guard(why));
        }
    }
}
