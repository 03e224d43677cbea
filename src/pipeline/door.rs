//! The door thread: passes observations to the decision, moves the outputs, writes the log.
//!
//! It alone owns the outputs and the guards. Everything that it depends on (camera, recognition, outputs, guards, broker) is a
//! fault while it is broken. A fault shuts the door; then only the exit button works.
//!
//! # What comes first
//! Every fault goes through [`Controller::fail`], and every change of the decision through [`Controller::apply`]. Both turn the
//! relay off through the driver before they do anything else: before they log a line, replace a guard or drop the outputs. The
//! tests of this module record the calls and check this for each fault.
//!
//! Nothing here waits for another process. The [broker](crate::broker) starts, ends and reaps guards and reopens lost lines,
//! and its responses are read when they have come. The relay goes on only after a guard has answered.

mod fault;
mod guards;
mod inbox;
mod lines;
mod recovery;
mod relay;
mod start;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::fault::{Fault, Faults};
use self::guards::Guards;
pub use self::inbox::{GalleryUpdate, Inbox};
use self::relay::Relay;
use super::RunError;
use super::gallery::Names;
use crate::broker::{BrokerClient, Request};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::door::{Door, Event, Events, Indication};
use crate::output::guard::HEARTBEAT_INTERVAL;
use crate::output::{Outputs, Player};

/// How often lost outputs or a lost guard are retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The longest sleep: half a heartbeat interval, so that no heartbeat is missed.
const LONGEST_SLEEP: Duration = Duration::from_nanos(HEARTBEAT_INTERVAL.subsec_nanos() as u64 / 2);

/// The door thread's state.
pub struct Controller {
    door: Door,
    // The fields are dropped in this order: outputs off first, then the guards that watch over them.
    outputs: Option<Box<dyn Outputs>>,
    guards: Guards,
    broker: Box<dyn BrokerClient>,
    /// Requests to the broker that are not sent yet.
    requests: Vec<Request>,
    player: Player,
    /// Recognition counts as stuck if its loop has made no round for this long.
    watchdog: Duration,
    /// Recognition also counts as stuck if it has read no frame for this long while the camera delivers.
    read_timeout: Duration,
    /// When the camera began to deliver.
    camera_since: Timestamp,
    relay: Relay,
    faults: Faults,
    /// The faults that are logged already.
    logged: Faults,
    last_heartbeat: Timestamp,
    last_retry: Timestamp,
    /// When the outputs were requested, if they are.
    outputs_requested: Option<Timestamp>,
    /// Whether it is logged that no guard starts.
    no_guard_logged: bool,
    /// When the source of pictures ended: the loop ends once the door is shut.
    source_ended: Option<Timestamp>,
    log_names: bool,
    /// Whether the LED shows that the newest setup has a mistake.
    notice: bool,
    names: Names,
    /// Number of observations received, for a halted clock.
    received: u64,
    inbox: Inbox,
}

impl Controller {
    /// Opens the outputs, all off, and waits until a guard watches.
    ///
    /// # Errors
    /// [`RunError`] if outputs or guard are not available, or the policy is invalid: a mistake in the configuration
    /// should be reported at start.
    pub fn open(
        config: &Config,
        broker: Box<dyn BrokerClient>,
        inbox: Inbox,
    ) -> Result<Self, RunError> {
        let mut controller = Self::new(config, broker, inbox)?;
        controller.start()?;
        Ok(controller)
    }

    fn new(config: &Config, broker: Box<dyn BrokerClient>, inbox: Inbox) -> Result<Self, RunError> {
        let door = Door::new(config.door.clone())?;
        let now = Timestamp::now();
        // The camera counts as missing until it delivers.
        let faults = Faults {
            camera: true,
            ..Faults::default()
        };
        Ok(Self {
            player: Player::new(config.output.leds.wired(), door.indication(), now),
            door,
            outputs: None,
            guards: Guards::default(),
            broker,
            requests: Vec::with_capacity(16),
            watchdog: Duration::from_millis(config.recognition.watchdog_ms),
            read_timeout: Duration::from_millis(
                config.recognition.watchdog_ms + config.camera.stall_ms,
            ),
            camera_since: now,
            relay: Relay::Off,
            faults,
            logged: faults,
            last_heartbeat: now,
            last_retry: now,
            outputs_requested: None,
            no_guard_logged: false,
            source_ended: None,
            log_names: config.log.names,
            notice: config.notice,
            names: Names::new(),
            received: 0,
            inbox,
        })
    }

    /// Runs until the loop stops. The outputs are off when it returns, whatever the reason.
    pub fn run(mut self) {
        while !self.inbox.shared.stopping() {
            self.sleep();
            self.round();
            if clock::halted() {
                clock::settled(self.received + self.inbox.shared.progress.unread());
            }
        }
        // The relay is turned off here, and not left to the drop of the outputs.
        self.fail(Fault::Stop);
        self.guards.dismiss();
    }

    /// Handles everything that has happened since the last round.
    fn round(&mut self) {
        let now = Timestamp::now();
        self.read_guards(now);
        self.read_inbox();
        self.watch_recognition(now);
        // This is later than the times at which the faults of this round shut the door.
        let now = Timestamp::now();
        let events = self.door.fault(now, self.faults.any());
        self.apply(now, &events);
        self.read_button();
        while let Ok(observation) = self.inbox.observations.try_recv() {
            let now = Timestamp::now();
            let events = self.door.observe(now, &observation);
            self.apply(now, &events);
            self.received += 1;
        }
        let now = Timestamp::now();
        let events = self.door.tick(now);
        self.apply(now, &events);
        self.recover(now);
        self.faults.log(self.logged);
        self.logged = self.faults;
        let door_round = &self.inbox.shared.door_round;
        door_round.store(Timestamp::now().as_nanos(), Ordering::Release);
        let waited = |since: Timestamp| now.since(since) > Duration::from_millis(500);
        if self.source_ended.is_some_and(waited) && !self.door.relay() {
            log::info!("stopping source=ended");
            self.inbox.shared.stop();
        }
    }

    /// Handles a fault. The relay goes off before anything else is done about the fault, and through the driver itself: the
    /// state that this thread has noted does not matter. After that come the decision, the part that broke, and the log.
    fn fail(&mut self, fault: Fault) {
        let (was, off) = self.relay_off();
        let now = Timestamp::now();
        let events = self.door.shut(now);
        match &fault {
            Fault::Camera { .. } => {
                (self.faults.camera, self.logged.camera) = (true, true);
                self.camera_since = now;
            }
            Fault::Recognition => self.faults.recognition = true,
            // Dropping the outputs turns off every line that still obeys. They are opened again later.
            Fault::Relay(_) | Fault::Leds(_) | Fault::Button(_) => self.drop_outputs(),
            // Another guard may be active already. The loss still counts as a fault until the next round.
            Fault::Guard(_) => {
                (self.faults.guard, self.logged.guard) = (true, true);
                self.last_retry = now;
            }
            Fault::NoGuard(_) => self.faults.guard = true,
            Fault::Broker(_) => self.inbox.shared.fail(),
            Fault::Gallery(_) => self.names.clear(),
            Fault::Clock | Fault::Stop => {}
        }
        if let Err(error) = off {
            self.drop_outputs();
            Fault::Relay(error).log();
        }
        self.send_heartbeat(now);
        fault.log();
        self.log_events(now, &events);
        self.log_relay(was);
    }

    /// Applies the decision. The relay goes off before the events are logged, and on after they are logged. Also sets the LEDs.
    fn apply(&mut self, now: Timestamp, events: &Events) {
        if events.iter().any(|event| *event == Event::ClockJumped) {
            self.fail(Fault::Clock);
        }
        if !self.door.relay() && self.relay != Relay::Off {
            let (was, off) = self.relay_off();
            if let Err(error) = off {
                self.fail(Fault::Relay(error));
            }
            self.send_heartbeat(now);
            self.log_events(now, events);
            self.log_relay(was);
        } else {
            self.log_events(now, events);
        }
        self.drive_outputs();
    }

    /// The indication of the LEDs. A mistake in the setup is shown only while there is nothing else to show.
    fn indication(&self) -> Indication {
        match self.door.indication() {
            Indication::Ready if self.notice => Indication::Notice,
            // The relay does not go on before a guard watches.
            _ if self.relay == Relay::Arming && !self.guards.is_watched() => Indication::Fault,
            indication => indication,
        }
    }

    /// Waits until something happens or is due.
    fn sleep(&mut self) {
        let now = Timestamp::now();
        let (_, led_change) = self.player.update(now, self.indication());
        let due = [
            self.door.next_deadline(),
            led_change,
            self.guards.deadline(),
        ]
        .into_iter()
        .flatten()
        .map(|at| at.since(now));
        let time = due.fold(LONGEST_SLEEP, Duration::min);
        let timeout = Timespec::try_from(time).ok();
        let wakeup = &self.inbox.shared.door_wakeup;
        let mut fds: [PollFd<'_>; 5] =
            std::array::from_fn(|_| PollFd::from_borrowed_fd(wakeup.fd(), PollFlags::IN));
        let others = [
            self.outputs.as_ref().and_then(|o| o.button_fd()),
            self.broker.fd(),
        ];
        let guards = self.guards.all().map(|guard| guard.fd());
        let mut count = 1;
        for fd in others.into_iter().flatten().chain(guards) {
            fds[count] = PollFd::from_borrowed_fd(fd, PollFlags::IN);
            count += 1;
        }
        let _ = poll(&mut fds[..count], timeout.as_ref());
        wakeup.clear();
    }

    /// Handles a press of the exit button.
    fn read_button(&mut self) {
        let pressed = match &mut self.outputs {
            Some(outputs) => outputs.button_pressed(),
            None => return,
        };
        let now = Timestamp::now();
        match pressed {
            Ok(true) => {
                let events = self.door.button(now);
                log::info!("button");
                self.apply(now, &events);
            }
            Ok(false) => {}
            Err(error) => self.fail(Fault::Button(error)),
        }
    }
}
