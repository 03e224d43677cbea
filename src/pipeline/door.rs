//! The door thread: feeds the decision, moves the outputs, writes the log.
//!
//! It alone owns the outputs and the guard. Whatever it depends on (camera, recognition, outputs,
//! guard) is a fault while it is broken, and a fault shuts the door; only the exit button works then,
//! and not even that for the second or so in which there is no guard.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::gallery::Names;
use super::{RunError, Shared};
use crate::capture::CameraEvent;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::door::{Door, Event, Events, Observation, OpenedBy, Signal};
use crate::journal;
use crate::output::guard::BEAT;
use crate::output::{Driver, Guard, Outputs, Player, Wiring, open, open_patiently};
use crate::people::PersonId;

/// How long lines may be held by the guard of a predecessor that has just died.
const PREDECESSOR: Duration = Duration::from_secs(6);
/// How often lost outputs or a lost guard are tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The longest sleep: half a heartbeat, so that none is missed.
const NAP: Duration = Duration::from_nanos(BEAT.subsec_nanos() as u64 / 2);

/// Where the door thread hears of the others.
pub struct Ears {
    pub shared: Arc<Shared>,
    pub observed: Receiver<Observation>,
    pub camera: Receiver<CameraEvent>,
    pub named: Receiver<Names>,
}

/// What is broken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Faults {
    camera: bool,
    recognition: bool,
    outputs: bool,
    guard: bool,
}

impl Faults {
    fn any(self) -> bool {
        self != Self::default()
    }
}

/// The door thread's state.
pub struct Keeper {
    door: Door,
    wiring: Wiring,
    // Dropped in this order: outputs off first, then the guard that watches over them.
    outputs: Option<Box<dyn Outputs>>,
    guard: Option<Guard>,
    player: Player,
    /// Recognition that has not gone round its loop for so long is stuck.
    watchdog: Duration,
    /// As is one that has read no frame for so long, while the camera is said to deliver.
    blind: Duration,
    /// When the camera was last said to deliver.
    camera_since: Timestamp,
    /// What the relay was last told.
    relay: bool,
    faults: Faults,
    /// Faults that the log has told.
    told: Faults,
    beaten: Timestamp,
    retried: Timestamp,
    /// The source of pictures is through: end when the door is shut.
    ending: Option<Timestamp>,
    call_by_name: bool,
    /// Whether the LED tells of a mistake in what was set up.
    notice: bool,
    names: Names,
    /// Observations heard.
    heard: u64,
    ears: Ears,
}

impl Keeper {
    /// Takes hold of the outputs, all off, and starts the guard.
    ///
    /// # Errors
    /// [`RunError`] if either cannot be had, or the policy cannot be: a mistake in the configuration
    /// should be told at start.
    pub fn open(config: &Config, ears: Ears) -> Result<Self, RunError> {
        let wiring = &config.output;
        let door = Door::new(config.door.clone())?;
        let outputs = open_patiently(wiring, PREDECESSOR)?;
        let guard = guard_for(wiring)?;
        let now = Timestamp::now();
        Ok(Self {
            player: Player::new(wiring.leds.wired(), door.signal(), now),
            door,
            watchdog: Duration::from_millis(config.recognition.watchdog_ms),
            blind: Duration::from_millis(config.recognition.watchdog_ms + config.camera.stall_ms),
            camera_since: now,
            wiring: wiring.clone(),
            outputs: Some(outputs),
            guard,
            relay: false,
            // Until it delivers, the camera is missing.
            faults: Faults {
                camera: true,
                ..Faults::default()
            },
            told: Faults {
                camera: true,
                ..Faults::default()
            },
            beaten: now,
            retried: now,
            ending: None,
            call_by_name: config.log.names,
            notice: config.notice,
            names: Names::new(),
            heard: 0,
            ears,
        })
    }

    /// Runs until told to stop. The outputs are off when it returns, whatever way.
    pub fn run(mut self) {
        while !self.ears.shared.stopping() {
            self.sleep();
            let now = Timestamp::now();
            self.listen();
            self.faults.recognition = self.is_stuck(now);
            let events = self.door.fault(now, self.faults.any());
            self.tell(now, &events);
            self.watch_button();
            while let Ok(observation) = self.ears.observed.try_recv() {
                let now = Timestamp::now();
                let events = self.door.observe(now, &observation);
                self.tell(now, &events);
                self.act();
                self.heard += 1;
            }
            let now = Timestamp::now();
            let events = self.door.tick(now);
            self.tell(now, &events);
            self.act();
            self.mend(now);
            self.tell_faults();
            let door = &self.ears.shared.door;
            door.store(Timestamp::now().as_nanos(), Ordering::Release);
            let waited = |since: Timestamp| now.since(since) > Duration::from_millis(500);
            if self.ending.is_some_and(waited) && !self.door.relay() {
                log::info!("stopping source=ended");
                self.ears.shared.stop();
            }
            if clock::halted() {
                clock::settled(self.heard + self.ears.shared.progress.unread());
            }
        }
        // Told, not left to the drop.
        self.shut();
    }

    /// Whether recognition, or what should bring it frames, has stopped without a word.
    fn is_stuck(&self, now: Timestamp) -> bool {
        let shared = &self.ears.shared;
        let pulse = Timestamp::from_nanos(shared.pulse.load(Ordering::Acquire));
        let looked = Timestamp::from_nanos(shared.looked.load(Ordering::Acquire));
        let expected = !self.faults.camera && self.ending.is_none();
        now.since(pulse) > self.watchdog
            || expected && now.since(looked.max(self.camera_since)) > self.blind
    }

    /// What the LEDs show: a mistake in what was set up while there is nothing else.
    fn signal(&self) -> Signal {
        match self.door.signal() {
            Signal::Ready if self.notice => Signal::Notice,
            signal => signal,
        }
    }

    /// Until something happens or is due.
    fn sleep(&mut self) {
        let now = Timestamp::now();
        let (_, led_change) = self.player.update(now, self.signal());
        let due = [self.door.next_deadline(), led_change]
            .into_iter()
            .flatten()
            .map(|at| at.since(now));
        let time = due.fold(NAP, Duration::min);
        let timeout = Timespec::try_from(time).ok();
        let bell = &self.ears.shared.door_bell;
        let mut fds = [
            PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN),
        ];
        let button: Option<BorrowedFd<'_>> = self.outputs.as_ref().and_then(|o| o.button_fd());
        let count = match button {
            Some(fd) => {
                fds[1] = PollFd::from_borrowed_fd(fd, PollFlags::IN);
                2
            }
            None => 1,
        };
        let _ = poll(&mut fds[..count], timeout.as_ref());
        bell.silence();
    }

    /// What the camera and the gallery have to say.
    fn listen(&mut self) {
        while let Ok(names) = self.ears.named.try_recv() {
            self.names = names;
        }
        while let Ok(event) = self.ears.camera.try_recv() {
            match event {
                CameraEvent::Up(camera) => {
                    self.camera_is(true);
                    log::info!("camera_up {}", describe(&camera));
                }
                CameraEvent::Back { camera, away } => {
                    self.camera_is(true);
                    let away = away.as_millis();
                    log::info!("camera_back away_ms={away} {}", describe(&camera));
                }
                CameraEvent::Down { why, path } => {
                    self.camera_is(false);
                    let path = journal::value(&path.to_string_lossy());
                    log::warn!("camera_down path={path} why={:?}", why.to_string());
                }
                CameraEvent::Ended => {
                    self.ending = Some(Timestamp::now());
                }
            }
        }
    }

    /// Its own line of the log tells it.
    fn camera_is(&mut self, up: bool) {
        self.faults.camera = !up;
        self.told.camera = !up;
        self.camera_since = Timestamp::now();
    }

    fn watch_button(&mut self) {
        let pressed = match &mut self.outputs {
            Some(outputs) => outputs.button_pressed(),
            None => return,
        };
        let now = Timestamp::now();
        match pressed {
            Ok(true) => {
                log::info!("button");
                let events = self.door.button(now);
                self.tell(now, &events);
                self.act();
            }
            Ok(false) => {}
            Err(error) => self.lose_outputs(&error),
        }
    }

    /// Brings the outputs to what the decision says.
    fn act(&mut self) {
        let now = Timestamp::now();
        let wanted = self.door.relay();
        if wanted != self.relay {
            self.switch(wanted);
        }
        if self.relay && now.since(self.beaten) >= NAP {
            self.beat(true);
        }
        let (leds, _) = self.player.update(now, self.signal());
        if let Some(outputs) = &mut self.outputs
            && let Err(error) = outputs.set_leds(leds)
        {
            self.lose_outputs(&error);
        }
    }

    /// On: first the guard must know. Off: first the relay, then the guard.
    fn switch(&mut self, on: bool) {
        if on && !self.beat(true) {
            self.shut();
            return;
        }
        let Some(outputs) = &mut self.outputs else {
            self.shut();
            return;
        };
        match outputs.set_relay(on) {
            Ok(()) => {
                self.relay = on;
                log::info!("relay state={}", if on { "on" } else { "off" });
            }
            Err(error) => self.lose_outputs(&error),
        }
        if !on {
            self.beat(false);
        }
    }

    /// A heartbeat to the guard. False if there should be one and it does not hear: then the relay
    /// goes off.
    fn beat(&mut self, on: bool) -> bool {
        self.beaten = Timestamp::now();
        let Some(guard) = &mut self.guard else {
            return !self.faults.guard;
        };
        if let Err(error) = guard.beat(on) {
            log::error!("guard_lost why={:?}", error.to_string());
            self.faults.guard = true;
            self.told.guard = true;
            self.guard = None;
            self.shut();
            return false;
        }
        true
    }

    /// A fault that must not wait for the next round.
    fn shut(&mut self) {
        let now = Timestamp::now();
        let events = self.door.shut(now);
        self.tell(now, &events);
        if !self.relay {
            return;
        }
        self.relay = false;
        match self.outputs.as_mut().map(|o| o.set_relay(false)) {
            Some(Ok(())) => log::info!("relay state=off"),
            Some(Err(error)) => self.lose_outputs(&error),
            None => {}
        }
    }

    /// Lets go of the outputs; dropping them turns off whatever still obeys.
    fn lose_outputs(&mut self, error: &dyn std::error::Error) {
        log::error!("outputs_lost why={:?}", error.to_string());
        self.outputs = None;
        self.relay = false;
        self.faults.outputs = true;
        self.told.outputs = true;
        let now = Timestamp::now();
        let events = self.door.shut(now);
        self.tell(now, &events);
        self.beat(false);
    }

    /// Takes up again what was lost, and keeps in touch with the guard.
    fn mend(&mut self, now: Timestamp) {
        if now.since(self.retried) < RETRY {
            return;
        }
        self.retried = now;
        // The outputs first: opening them turns the relay off.
        if self.faults.outputs
            && let Ok(outputs) = open(&self.wiring)
        {
            self.outputs = Some(outputs);
            self.relay = false;
            self.faults.outputs = false;
        }
        if self.faults.guard {
            match guard_for(&self.wiring) {
                Ok(guard) => {
                    self.guard = guard;
                    self.faults.guard = false;
                }
                Err(_) => return,
            }
        }
        self.beat(self.relay);
    }

    /// Faults that began or ended otherwise than with a line of their own.
    fn tell_faults(&mut self) {
        let (now, told) = (self.faults, self.told);
        for (what, now, told) in [
            ("recognition_stuck", now.recognition, told.recognition),
            ("outputs", now.outputs, told.outputs),
            ("guard", now.guard, told.guard),
        ] {
            match (told, now) {
                (false, true) => log::error!("fault what={what}"),
                (true, false) => log::info!("fault_over what={what}"),
                _ => {}
            }
        }
        self.told = self.faults;
    }

    fn tell(&self, now: Timestamp, events: &Events) {
        for event in events {
            match *event {
                Event::Granted {
                    person,
                    track,
                    score,
                    captured,
                    votes,
                } => {
                    let delay = now.since(captured).as_millis();
                    let person = self.name(person);
                    log::info!(
                        "granted person={person} track={track} score={score:.2} votes={votes} frame={captured} delay_ms={delay}"
                    );
                }
                Event::Refused {
                    track,
                    score,
                    captured,
                } => {
                    log::info!("refused track={track} score={score:.2} frame={captured}");
                }
                Event::LockedOut { until } => {
                    log::warn!("locked_out seconds={}", until.since(now).as_secs());
                }
                Event::LockoutEnded => log::info!("lockout_over"),
                Event::Opened {
                    by: OpenedBy::Person(person),
                } => log::info!("opened by={}", self.name(person)),
                Event::Opened {
                    by: OpenedBy::Button,
                } => log::info!("opened by=button"),
                Event::Closed { held } => log::info!("closed held_ms={}", held.as_millis()),
                Event::ClockJumped => log::warn!("clock_jumped"),
            }
        }
    }

    /// What the log calls a person.
    fn name(&self, person: PersonId) -> String {
        let name = self.names.iter().find(|(id, _)| *id == person);
        match name {
            Some((_, name)) if self.call_by_name => journal::value(name),
            _ => person.to_string(),
        }
    }
}

/// A guard for wiring that has a relay to guard.
fn guard_for(wiring: &Wiring) -> Result<Option<Guard>, crate::output::GuardError> {
    let needless = wiring.driver == Driver::Log || wiring.relay.is_none();
    if needless {
        Ok(None)
    } else {
        Guard::spawn(wiring).map(Some)
    }
}

fn describe(camera: &crate::capture::CameraInfo) -> String {
    let layout = camera.layout;
    let fps = camera.fps.map_or("?".to_owned(), |fps| format!("{fps:.0}"));
    format!(
        "name={} path={} format={} size={}x{} fps={fps}",
        journal::value(&camera.name),
        journal::value(&camera.path.to_string_lossy()),
        layout.format,
        layout.width,
        layout.height
    )
}
