//! The door thread: feeds the decision, moves the outputs, writes the log.
//!
//! It alone owns the outputs and the guards. Everything it depends on (camera, recognition, outputs,
//! guards, broker) is a fault while it is broken, and a fault shuts the door; only the exit button works then.
//!
//! # What comes first
//! Every fault goes through [`Keeper::fail`], and every change of the decision through [`Keeper::follow`]. Both turn the relay
//! off on the driver before they do anything else: before they log a line, replace a guard or release a part. The
//! tests of this room record the calls and check this for each fault.
//!
//! Nothing here waits for another process: the [broker](crate::broker) starts, ends and reaps guards and reopens lost lines,
//! and its answers are read when they have come. The relay goes on once a guard has answered.

mod fault;
mod guards;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::fault::Fault;
use self::guards::{Armed, Guards, Lost};
use super::gallery::Names;
use super::{RunError, Shared};
use crate::broker::{Answer, Ask, Hands};
use crate::capture::CameraEvent;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::door::{Door, Event, Events, Observation, OpenedBy, Signal};
use crate::journal;
use crate::output::guard::{BEAT, START};
use crate::output::{GuardError, OutputError, Outputs, Player, emergency};
use crate::people::PersonId;

/// How long the guard of a predecessor that has just died may hold the lines.
const PREDECESSOR: Duration = Duration::from_secs(6);
/// How often lost outputs or a lost guard are retried.
const RETRY: Duration = Duration::from_secs(1);
/// How long the broker may take to open the outputs before it is asked again.
const OPENING: Duration = Duration::from_secs(10);
/// The longest sleep: half a heartbeat, so that none is missed.
const NAP: Duration = Duration::from_nanos(BEAT.subsec_nanos() as u64 / 2);

/// News of the gallery from the main thread.
pub enum GalleryUpdate {
    /// The gallery is in force; these are its people.
    Names(Names),
    /// The gallery cannot be used, for this reason: no one is known.
    Refused(String),
}

/// Where the door thread receives from the other threads.
pub struct Inbox {
    pub shared: Arc<Shared>,
    pub observed: Receiver<Observation>,
    pub camera: Receiver<CameraEvent>,
    pub gallery: Receiver<GalleryUpdate>,
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

/// The last state that was set on the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relay {
    Off,
    /// It goes on once a guard has answered.
    Arming,
    On,
}

/// The door thread's state.
pub struct Keeper {
    door: Door,
    // Dropped in this order: outputs off first, then the guards that watch over them.
    outputs: Option<Box<dyn Outputs>>,
    guards: Guards,
    hands: Box<dyn Hands>,
    /// Requests to the broker that are not sent yet.
    asks: Vec<Ask>,
    player: Player,
    /// Recognition whose loop has made no round for this long is stuck.
    watchdog: Duration,
    /// Recognition that has read no frame for this long, while the camera delivers, is also stuck.
    blind: Duration,
    /// Since when the camera delivers.
    camera_since: Timestamp,
    relay: Relay,
    faults: Faults,
    /// Faults that are logged.
    logged: Faults,
    beaten: Timestamp,
    retried: Timestamp,
    /// Since when the outputs have been requested.
    opening: Option<Timestamp>,
    /// Whether it is logged that no guard starts.
    unguarded_logged: bool,
    /// The source of pictures has ended: end when the door is shut.
    ending: Option<Timestamp>,
    call_by_name: bool,
    /// Whether the LED shows that the newest setup has a mistake.
    notice: bool,
    names: Names,
    /// Observations received.
    received: u64,
    inbox: Inbox,
}

impl Keeper {
    /// Opens the outputs, all off, and waits until a guard watches.
    ///
    /// # Errors
    /// [`RunError`] if outputs or guard are not available, or the policy is invalid: a mistake in the configuration
    /// should be reported at start.
    pub fn open(config: &Config, hands: Box<dyn Hands>, inbox: Inbox) -> Result<Self, RunError> {
        let mut keeper = Self::new(config, hands, inbox)?;
        keeper.begin()?;
        Ok(keeper)
    }

    fn new(config: &Config, hands: Box<dyn Hands>, inbox: Inbox) -> Result<Self, RunError> {
        let door = Door::new(config.door.clone())?;
        let now = Timestamp::now();
        // Until the camera delivers, it is missing.
        let faults = Faults {
            camera: true,
            ..Faults::default()
        };
        Ok(Self {
            player: Player::new(config.output.leds.wired(), door.signal(), now),
            door,
            outputs: None,
            guards: Guards::default(),
            hands,
            asks: Vec::with_capacity(16),
            watchdog: Duration::from_millis(config.recognition.watchdog_ms),
            blind: Duration::from_millis(config.recognition.watchdog_ms + config.camera.stall_ms),
            camera_since: now,
            relay: Relay::Off,
            faults,
            logged: faults,
            beaten: now,
            retried: now,
            opening: None,
            unguarded_logged: false,
            ending: None,
            call_by_name: config.log.names,
            notice: config.notice,
            names: Names::new(),
            received: 0,
            inbox,
        })
    }

    /// Waits for the first outputs and the first guard: nothing can be on yet.
    fn begin(&mut self) -> Result<(), RunError> {
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

    /// Runs until the loop stops. The outputs are off when it returns, whatever the reason.
    pub fn run(mut self) {
        while !self.inbox.shared.stopping() {
            self.sleep();
            self.round();
            if clock::halted() {
                clock::settled(self.received + self.inbox.shared.progress.unread());
            }
        }
        // Turned off here, not left to the drop.
        self.fail(Fault::Stop);
        self.guards.dismiss();
    }

    /// Handles everything that has happened since the last round.
    fn round(&mut self) {
        let now = Timestamp::now();
        self.hear_guards(now);
        self.listen();
        self.watch_recognition(now);
        // Later than the times at which the faults of this round shut the door.
        let now = Timestamp::now();
        let events = self.door.fault(now, self.faults.any());
        self.follow(now, &events);
        self.watch_button();
        while let Ok(observation) = self.inbox.observed.try_recv() {
            let now = Timestamp::now();
            let events = self.door.observe(now, &observation);
            self.follow(now, &events);
            self.received += 1;
        }
        let now = Timestamp::now();
        let events = self.door.tick(now);
        self.follow(now, &events);
        self.take_up(now);
        self.log_faults();
        let door = &self.inbox.shared.door;
        door.store(Timestamp::now().as_nanos(), Ordering::Release);
        let waited = |since: Timestamp| now.since(since) > Duration::from_millis(500);
        if self.ending.is_some_and(waited) && !self.door.relay() {
            log::info!("stopping source=ended");
            self.inbox.shared.stop();
        }
    }

    /// Handles a fault. The relay goes off before anything else is done about it, and by the driver itself: the state that
    /// this thread has noted does not matter. The decision follows, then the part that broke, then the log.
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
            // Dropping them turns off whatever still obeys. They are opened again later.
            Fault::Relay(_) | Fault::Leds(_) | Fault::Button(_) => self.let_go(),
            // Another guard may be in charge already. This is still a fault until the next round.
            Fault::Guard(_) => {
                (self.faults.guard, self.logged.guard) = (true, true);
                self.retried = now;
            }
            Fault::NoGuard(_) => self.faults.guard = true,
            Fault::Broker(_) => self.inbox.shared.fail(),
            Fault::Gallery(_) => self.names.clear(),
            Fault::Clock | Fault::Stop => {}
        }
        if let Err(error) = off {
            self.let_go();
            Fault::Relay(error).log();
        }
        self.beat(now);
        fault.log();
        self.log_events(now, &events);
        self.log_relay(was);
    }

    /// Applies the decision: off before the log, on after it was decided. Also shows the LEDs.
    fn follow(&mut self, now: Timestamp, events: &Events) {
        if events.iter().any(|event| *event == Event::ClockJumped) {
            self.fail(Fault::Clock);
        }
        if !self.door.relay() && self.relay != Relay::Off {
            let (was, off) = self.relay_off();
            if let Err(error) = off {
                self.fail(Fault::Relay(error));
            }
            self.beat(now);
            self.log_events(now, events);
            self.log_relay(was);
        } else {
            self.log_events(now, events);
        }
        self.act();
    }

    /// Turns the relay off on the driver. Returns its previous state, and whether the driver obeyed.
    fn relay_off(&mut self) -> (Relay, Result<(), OutputError>) {
        let off = match &mut self.outputs {
            Some(outputs) => outputs.set_relay(false),
            None => Ok(()),
        };
        self.guards.disarm();
        (std::mem::replace(&mut self.relay, Relay::Off), off)
    }

    /// Logs that the relay went off.
    fn log_relay(&self, was: Relay) {
        if was == Relay::On {
            log::info!("relay state=off");
        }
    }

    /// Keeps outputs, which are off.
    fn hold(&mut self, outputs: Box<dyn Outputs>) {
        emergency::set(outputs.relay_fd());
        self.outputs = Some(outputs);
        self.faults.outputs = false;
    }

    fn let_go(&mut self) {
        emergency::set(None);
        self.outputs = None;
        (self.faults.outputs, self.logged.outputs) = (true, true);
    }

    /// Checks whether recognition, or the source of its frames, has stopped without an error.
    fn watch_recognition(&mut self, now: Timestamp) {
        let shared = &self.inbox.shared;
        let pulse = Timestamp::from_nanos(shared.pulse.load(Ordering::Acquire));
        let looked = Timestamp::from_nanos(shared.looked.load(Ordering::Acquire));
        let expected = !self.faults.camera && self.ending.is_none();
        let stuck = now.since(pulse) > self.watchdog
            || expected && now.since(looked.max(self.camera_since)) > self.blind;
        if stuck && !self.faults.recognition {
            self.fail(Fault::Recognition);
        }
        self.faults.recognition = stuck;
    }

    /// What the LEDs show: a mistake in the setup only while there is nothing else.
    fn signal(&self) -> Signal {
        match self.door.signal() {
            Signal::Ready if self.notice => Signal::Notice,
            // The relay does not go on before a guard watches.
            _ if self.relay == Relay::Arming && !self.guards.is_watched() => Signal::Fault,
            signal => signal,
        }
    }

    /// Waits until something happens or is due.
    fn sleep(&mut self) {
        let now = Timestamp::now();
        let (_, led_change) = self.player.update(now, self.signal());
        let due = [self.door.next_deadline(), led_change, self.guards.due()]
            .into_iter()
            .flatten()
            .map(|at| at.since(now));
        let time = due.fold(NAP, Duration::min);
        let timeout = Timespec::try_from(time).ok();
        let bell = &self.inbox.shared.door_bell;
        let mut fds: [PollFd<'_>; 5] =
            std::array::from_fn(|_| PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN));
        let others = [
            self.outputs.as_ref().and_then(|o| o.button_fd()),
            self.hands.fd(),
        ];
        let guards = self.guards.all().map(|guard| guard.fd());
        let mut count = 1;
        for fd in others.into_iter().flatten().chain(guards) {
            fds[count] = PollFd::from_borrowed_fd(fd, PollFlags::IN);
            count += 1;
        }
        let _ = poll(&mut fds[..count], timeout.as_ref());
        bell.silence();
    }

    /// Handles the events of the camera and the gallery.
    fn listen(&mut self) {
        while let Ok(update) = self.inbox.gallery.try_recv() {
            match update {
                GalleryUpdate::Names(names) => self.names = names,
                GalleryUpdate::Refused(why) => self.fail(Fault::Gallery(why)),
            }
        }
        while let Ok(event) = self.inbox.camera.try_recv() {
            match event {
                CameraEvent::Up(camera) => {
                    self.camera_delivers();
                    log::info!("camera_up {}", describe(&camera));
                }
                CameraEvent::Back { camera, away } => {
                    self.camera_delivers();
                    let away = away.as_millis();
                    log::info!("camera_back away_ms={away} {}", describe(&camera));
                }
                CameraEvent::Down { why, path } => self.fail(Fault::Camera { why, path }),
                CameraEvent::Ended => {
                    self.ending = Some(Timestamp::now());
                }
            }
        }
    }

    fn camera_delivers(&mut self) {
        (self.faults.camera, self.logged.camera) = (false, false);
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
                let events = self.door.button(now);
                log::info!("button");
                self.follow(now, &events);
            }
            Ok(false) => {}
            Err(error) => self.fail(Fault::Button(error)),
        }
    }

    /// Sets relay and LEDs as decided. [`Keeper::follow`] turns the relay off.
    fn act(&mut self) {
        let now = Timestamp::now();
        if self.door.relay() && self.relay != Relay::On {
            self.switch_on(now);
        }
        if self.relay == Relay::On && now.since(self.beaten) >= NAP {
            self.beat(now);
        }
        let (leds, _) = self.player.update(now, self.signal());
        if let Some(outputs) = &mut self.outputs
            && let Err(error) = outputs.set_leds(leds)
        {
            self.fail(Fault::Leds(error));
        }
    }

    /// Switches the relay on, once a guard knows of it and there are outputs.
    fn switch_on(&mut self, now: Timestamp) {
        if self.outputs.is_some() && self.hands.is_guarded() {
            let waiting = std::mem::replace(&mut self.relay, Relay::Arming);
            if waiting != Relay::Arming && !self.guards.is_watched() {
                log::warn!("relay state=waiting why=\"no guard watches\"");
            }
            match self.guards.arm(now, &mut self.asks) {
                Ok(Armed::Yes) => {}
                Ok(Armed::NotYet) => return,
                Err(why) => return self.fail(Fault::Guard(why)),
            }
        }
        let Some(outputs) = &mut self.outputs else {
            // The decision is void: the relay must not go on by itself once the lines are back.
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

    /// Sends a heartbeat to the guards. If a guard is lost by that, it is a fault.
    fn beat(&mut self, now: Timestamp) {
        self.beaten = now;
        let on = self.relay != Relay::Off;
        if let Err(why) = self.guards.beat(on, now, &mut self.asks) {
            self.fail(Fault::Guard(why));
        }
    }

    /// Reads the guards' answers.
    fn hear_guards(&mut self, now: Timestamp) {
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
    fn take_up(&mut self, now: Timestamp) {
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
    fn ask(&mut self) -> Result<(), OutputError> {
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

    /// Logs faults that began or ended without a line of their own.
    fn log_faults(&mut self) {
        let (now, logged) = (self.faults, self.logged);
        for (what, now, logged) in [
            ("recognition_stuck", now.recognition, logged.recognition),
            ("outputs", now.outputs, logged.outputs),
            ("guard", now.guard, logged.guard),
        ] {
            match (logged, now) {
                (false, true) => log::error!("fault what={what}"),
                (true, false) => log::info!("fault_over what={what}"),
                _ => {}
            }
        }
        self.logged = self.faults;
    }

    fn log_events(&self, now: Timestamp, events: &Events) {
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
                    presentation,
                    score,
                    captured,
                } => {
                    log::info!(
                        "refused track={track} score={score:.2} frame={captured} presentation={presentation}"
                    );
                }
                Event::Undecided {
                    track,
                    presentation,
                    strange,
                    known,
                    score,
                    captured,
                } => {
                    log::info!(
                        "undecided track={track} score={score:.2} strange={strange} known={known} frame={captured} presentation={presentation}"
                    );
                }
                Event::Fixture {
                    track,
                    presentation,
                } => log::info!("fixture track={track} presentation={presentation}"),
                Event::Unsteady {
                    track,
                    presentation,
                } => log::warn!("unsteady track={track} presentation={presentation}"),
                Event::Strict => log::warn!("strict"),
                Event::StrictEnded => log::info!("strict_over"),
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

    /// The log's name for a person.
    fn name(&self, person: PersonId) -> String {
        let name = self.names.iter().find(|(id, _)| *id == person);
        match name {
            Some((_, name)) if self.call_by_name => journal::value(name),
            _ => person.to_string(),
        }
    }
}

fn describe(camera: &crate::capture::CameraInfo) -> String {
    let layout = camera.layout;
    let fps = camera.fps.map_or("?".to_owned(), |fps| format!("{fps:.0}"));
    // A source without a device has no device field.
    let device = match camera.device == crate::capture::Identity::default() {
        true => String::new(),
        false => format!(" device={}", journal::value(&camera.device.to_string())),
    };
    format!(
        "name={} path={} format={} size={}x{} fps={fps}{device}",
        journal::value(&camera.name),
        journal::value(&camera.path.to_string_lossy()),
        layout.format,
        layout.width,
        layout.height
    )
}
