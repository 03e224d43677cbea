//! Tests of the order of calls for every fault. A driver, a broker and guards record the calls that they receive, together with
//! the lines of the log. Everything runs in the test's own thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::fault::Fault;
use super::relay::Relay;
use super::{Controller, GalleryUpdate, Inbox};
use crate::broker::{BrokerClient, Request, Response};
use crate::capture::{CameraEvent, CameraFault, CameraInfo};
use crate::clock::Timestamp;
use crate::config::{Config, Overrides};
use crate::door::Indication;
use crate::frame::{Layout, PixelFormat};
use crate::output::{Guard, GuardError, Leds, OutputError, Outputs, Part};
use crate::passing;
use crate::pipeline::Shared;
use crate::wakeup::Wakeup;

thread_local! {
    /// What happened, in order.
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The part that refuses.
    static BROKEN: Cell<Option<Part>> = const { Cell::new(None) };
    static PRESSED: Cell<bool> = const { Cell::new(false) };
    static BROKER_GONE: Cell<bool> = const { Cell::new(false) };
    static RESPONSES: RefCell<VecDeque<Response>> = const { RefCell::new(VecDeque::new()) };
}

fn record(what: impl Into<String>) {
    let what = what.into();
    CALLS.with_borrow_mut(|calls| {
        // Repeated calls are recorded once.
        if calls.last() != Some(&what) {
            calls.push(what);
        }
    });
}

fn recorded() -> Vec<String> {
    CALLS.with_borrow_mut(std::mem::take)
}

/// A refusal of `part` starts a fault, so earlier calls are dropped.
fn refused(part: Part) -> Result<(), OutputError> {
    if BROKEN.get() != Some(part) {
        return Ok(());
    }
    if part != Part::Relay {
        BROKEN.set(None);
    }
    recorded();
    Err(OutputError::Gone {
        chip: "chip".to_owned(),
    })
}

struct FakeOutputs;

impl Outputs for FakeOutputs {
    fn set_relay(&mut self, on: bool) -> Result<(), OutputError> {
        if on {
            refused(Part::Relay)?;
        }
        record(if on {
            "driver: relay on"
        } else {
            "driver: relay off"
        });
        Ok(())
    }

    fn set_leds(&mut self, _: Leds) -> Result<(), OutputError> {
        refused(Part::Status)
    }

    fn button_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn button_pressed(&mut self) -> Result<bool, OutputError> {
        refused(Part::Button)?;
        Ok(PRESSED.take())
    }
}

impl Drop for FakeOutputs {
    fn drop(&mut self) {
        record("driver: dropped");
    }
}

struct FakeBroker {
    guarded: bool,
}

impl FakeBroker {
    fn gone() -> io::Result<()> {
        if BROKER_GONE.get() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl BrokerClient for FakeBroker {
    fn request(&mut self, request: Request) -> io::Result<()> {
        Self::gone()?;
        record(match request {
            Request::Outputs => "broker: outputs requested",
            Request::Guard => "broker: guard requested",
            Request::End(_) => "broker: guard to be ended",
        });
        Ok(())
    }

    fn response(&mut self) -> io::Result<Option<Response>> {
        Self::gone()?;
        Ok(RESPONSES.with_borrow_mut(VecDeque::pop_front))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn is_guarded(&self) -> bool {
        self.guarded
    }
}

/// The other end of a guard's socket.
struct FakeGuard(OwnedFd);

impl FakeGuard {
    /// A guard that can be handed over, and its counterpart in the test.
    fn start() -> Self {
        let (ours, theirs) = passing::pair().expect("sockets");
        let guard = Guard::new(ours, 0, Timestamp::now());
        RESPONSES.with_borrow_mut(|responses| responses.push_back(Response::Guard(Ok(guard))));
        let fake = Self(theirs);
        fake.answer();
        fake
    }

    fn answer(&self) {
        let _ = send(&self.0, b"+", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Answers all messages, as a healthy guard does.
    fn play(&self) {
        let mut bytes = [0; 16];
        while matches!(
            recv(&self.0, &mut bytes[..], RecvFlags::DONTWAIT),
            Ok((_, 1..))
        ) {
            self.answer();
        }
    }
}

/// Records the log lines of the test's thread.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, line: &log::Record<'_>) {
        if self.enabled(line.metadata()) {
            let text = line.args().to_string();
            record(format!(
                "log: {}",
                text.split(' ').next().unwrap_or_default()
            ));
        }
    }

    fn flush(&self) {}
}

/// A door with the relay off, two healthy guards, and a camera that delivers.
struct Rig {
    controller: Controller,
    active: Option<FakeGuard>,
    spare: Option<FakeGuard>,
    camera: Sender<CameraEvent>,
    gallery: Sender<GalleryUpdate>,
}

impl Rig {
    fn new() -> Self {
        let _ = log::set_logger(&Lines).map(|()| log::set_max_level(log::LevelFilter::Info));
        BROKEN.set(None);
        BROKER_GONE.set(false);
        let (camera, camera_events) = bounded(8);
        let (gallery, gallery_updates) = bounded(8);
        let (_, observed) = bounded(1);
        let now = Timestamp::now().as_nanos();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            recognition_round: AtomicU64::new(now),
            frame_read: AtomicU64::new(now),
            door_round: AtomicU64::new(now),
            progress: Arc::default(),
            door_wakeup: Arc::new(Wakeup::new().expect("a descriptor")),
        });
        let inbox = Inbox {
            shared,
            observations: observed,
            camera: camera_events,
            gallery: gallery_updates,
        };
        let host = Overrides {
            board: Some("host".to_owned()),
            ..Overrides::default()
        };
        let mut config = Config::load(&host).expect("all by default");
        // This is longer than any test.
        config.recognition.watchdog_ms = 3_600_000;
        config.door.hold_ms = 10_000;
        let broker = Box::new(FakeBroker { guarded: true });
        let mut controller = Controller::new(&config, broker, inbox).expect("a policy");
        controller.set_outputs(Box::new(FakeOutputs));
        let info = CameraInfo {
            name: "fake".to_owned(),
            path: "/dev/video0".into(),
            device: crate::capture::DeviceIdentity::default(),
            layout: Layout::packed(PixelFormat::Grey, 640, 480),
            fps: None,
            buffers: 4,
        };
        camera.send(CameraEvent::Up(info)).expect("room");
        let mut rig = Self {
            controller,
            active: Some(FakeGuard::start()),
            spare: None,
            camera,
            gallery,
        };
        rig.rounds(2);
        rig.spare = Some(FakeGuard::start());
        rig.rounds(2);
        assert!(rig.controller.guards.is_watched());
        rig
    }

    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            for guard in [&self.active, &self.spare].into_iter().flatten() {
                guard.play();
            }
            self.controller.round();
        }
    }

    /// Opens by the button, which also works during most faults.
    fn open(&mut self) {
        PRESSED.set(true);
        self.rounds(3);
    }

    /// Makes `fault` happen, with the relay on.
    fn inject(mut self, fault: &Fault) -> Vec<String> {
        if !matches!(fault, Fault::Relay(_)) {
            self.open();
            assert_eq!(self.controller.relay, Relay::On, "{fault:?}");
        }
        recorded();
        match fault {
            Fault::Camera { why, path } => {
                let (why, path) = (why.clone(), path.clone());
                self.camera
                    .send(CameraEvent::Down { why, path })
                    .expect("room");
                self.rounds(1);
            }
            Fault::Recognition => {
                self.controller.watchdog = Duration::ZERO;
                self.rounds(1);
            }
            // The relay refuses to go on, so its state is unknown.
            Fault::Relay(_) => {
                BROKEN.set(Some(Part::Relay));
                self.open();
            }
            Fault::Leds(_) => {
                BROKEN.set(Some(Part::Status));
                self.rounds(1);
            }
            Fault::Button(_) => {
                BROKEN.set(Some(Part::Button));
                self.rounds(1);
            }
            Fault::Guard(GuardError::Dead) => {
                self.active = None;
                self.rounds(1);
            }
            // The guard acts like a process that is stopped, or sleeps so that no signal wakes it: its socket exists, and
            // accepts heartbeats.
            Fault::Guard(GuardError::Silent) => {
                let begun = Instant::now();
                let stuck = self.active.take();
                while self.controller.relay == Relay::On {
                    assert!(begun.elapsed() < Duration::from_secs(60), "never noticed");
                    std::thread::sleep(Duration::from_millis(20));
                    self.rounds(1);
                }
                drop(stuck);
            }
            Fault::Guard(GuardError::Full) => {
                let stuck = self.active.take();
                let now = Timestamp::now();
                for _ in 0..100_000 {
                    if self.controller.relay == Relay::On {
                        self.controller.send_heartbeat(now);
                    }
                }
                drop(stuck);
            }
            // A guard in `active` has started. A guard that has not started is the next kind of fault. Both errors are handled
            // alike.
            Fault::Guard(GuardError::Spawn(_) | GuardError::Start) => {
                self.controller.fail(fault.clone());
            }
            Fault::NoGuard(why) => {
                (self.active, self.spare) = (None, None);
                self.rounds(3);
                recorded();
                let none = Response::Guard(Err(*why));
                RESPONSES.with_borrow_mut(|responses| responses.push_back(none));
                self.rounds(1);
            }
            Fault::Broker(_) => {
                BROKER_GONE.set(true);
                self.rounds(1);
                assert!(self.controller.inbox.shared.stopping());
            }
            Fault::Gallery(why) => {
                self.gallery
                    .send(GalleryUpdate::Refused(why.clone()))
                    .expect("room");
                self.rounds(1);
            }
            Fault::Clock => {
                let past = Timestamp::from_nanos(1);
                let events = self.controller.door.tick(past);
                self.controller.apply(past, &events);
            }
            Fault::Stop => {
                self.controller.inbox.shared.stop();
                self.controller.run();
                return recorded();
            }
        }
        assert_eq!(self.controller.relay, Relay::Off, "{fault:?}");
        assert!(
            !self.controller.door.relay(),
            "{fault:?}: the decision is void"
        );
        recorded()
    }
}

/// The first of all faults, and the next one after each. A new kind of fault does not compile without its place here and its
/// trigger in [`Rig::inject`].
fn after(fault: Option<&Fault>) -> Option<Fault> {
    let gone = || OutputError::Gone {
        chip: "chip".to_owned(),
    };
    Some(match fault {
        None => Fault::Camera {
            why: CameraFault::Gone,
            path: "/dev/video0".into(),
        },
        Some(Fault::Camera { .. }) => Fault::Recognition,
        Some(Fault::Recognition) => Fault::Relay(gone()),
        Some(Fault::Relay(_)) => Fault::Leds(gone()),
        Some(Fault::Leds(_)) => Fault::Button(gone()),
        Some(Fault::Button(_)) => Fault::Guard(GuardError::Dead),
        Some(Fault::Guard(why)) => match why {
            GuardError::Dead => Fault::Guard(GuardError::Silent),
            GuardError::Silent => Fault::Guard(GuardError::Full),
            GuardError::Full => Fault::Guard(GuardError::Start),
            GuardError::Start => Fault::Guard(GuardError::Spawn(11)),
            GuardError::Spawn(_) => Fault::NoGuard(GuardError::Spawn(11)),
        },
        Some(Fault::NoGuard(_)) => Fault::Broker(String::new()),
        Some(Fault::Broker(_)) => Fault::Gallery("damaged".to_owned()),
        Some(Fault::Gallery(_)) => Fault::Clock,
        Some(Fault::Clock) => Fault::Stop,
        Some(Fault::Stop) => return None,
    })
}

#[test]
fn the_relay_goes_off_before_anything_else_whatever_breaks() {
    println!("fault | calls in order");
    let mut fault = after(None);
    while let Some(struck) = fault {
        let calls = Rig::new().inject(&struck);
        let name = format!("{struck:?}");
        let name = name.split(" {").next().unwrap_or_default();
        println!("{name} | {}", calls.join(", "));
        let first = calls.first().map(String::as_str);
        assert_eq!(first, Some("driver: relay off"), "{struck:?}: {calls:?}");
        let jumped = calls.contains(&"log: clock_jumped".to_owned());
        assert_eq!(
            jumped,
            matches!(struck, Fault::Clock),
            "{struck:?}: {calls:?}"
        );
        fault = after(Some(&struck));
    }
}

#[test]
fn the_end_of_the_hold_time_turns_the_relay_off_before_it_is_logged() {
    let mut rig = Rig::new();
    rig.open();
    recorded();
    let late = Timestamp::now().plus(Duration::from_secs(11));
    let events = rig.controller.door.tick(late);
    rig.controller.apply(late, &events);
    let calls = recorded();
    println!("hold time over | {}", calls.join(", "));
    assert_eq!(
        calls,
        ["driver: relay off", "log: closed", "log: relay"],
        "driver first"
    );
}

#[test]
fn the_relay_goes_on_only_once_a_guard_has_answered() {
    let mut rig = Rig::new();
    recorded();
    PRESSED.set(true);
    rig.controller.round();
    rig.controller.round();
    assert_eq!(rig.controller.relay, Relay::Arming);
    assert!(!recorded().contains(&"driver: relay on".to_owned()));
    rig.rounds(2);
    assert_eq!(rig.controller.relay, Relay::On);
}

#[test]
fn a_press_is_served_by_the_second_guard_while_the_first_is_stuck() {
    let mut rig = Rig::new();
    // The stuck guard accepts heartbeats, but answers none.
    let stuck = rig.active.take();
    recorded();
    PRESSED.set(true);
    let pressed = Instant::now();
    while rig.controller.relay != Relay::On {
        assert!(pressed.elapsed() < Duration::from_secs(60), "never served");
        rig.controller.sleep();
        rig.rounds(1);
        // The other guard answers at once.
        rig.spare.iter().for_each(FakeGuard::play);
    }
    println!(
        "pressed to relay on: {:.0} ms",
        pressed.elapsed().as_secs_f64() * 1e3
    );
    assert!(recorded().contains(&"driver: relay on".to_owned()));
    // The stuck guard is given up without touching the relay, because the other guard watches it.
    let on = Instant::now();
    while on.elapsed() < Duration::from_millis(900) {
        rig.controller.sleep();
        rig.rounds(1);
    }
    assert_eq!(rig.controller.relay, Relay::On);
    assert!(recorded().contains(&"broker: guard to be ended".to_owned()));
    drop(stuck);
}

#[test]
fn a_press_while_no_guard_is_there_waits_for_one_and_blocks_nothing() {
    let mut rig = Rig::new();
    (rig.active, rig.spare) = (None, None);
    rig.rounds(3);
    PRESSED.set(true);
    rig.rounds(3);
    assert_eq!(rig.controller.relay, Relay::Arming);
    // The person at the door sees that nothing opens yet, and the log has the reason.
    assert_eq!(rig.controller.indication(), Indication::Fault);
    assert!(recorded().contains(&"log: relay".to_owned()));
    rig.active = Some(FakeGuard::start());
    rig.rounds(5);
    assert_eq!(rig.controller.relay, Relay::On);
    assert_eq!(rig.controller.indication(), Indication::Granted);
}

#[test]
fn outputs_that_come_back_are_off_and_get_new_guards() {
    let mut rig = Rig::new();
    rig.open();
    BROKEN.set(Some(Part::Button));
    rig.rounds(1);
    rig.controller.last_retry = Timestamp::from_nanos(0);
    recorded();
    rig.rounds(1);
    assert!(recorded().contains(&"broker: outputs requested".to_owned()));
    let back: Box<dyn Outputs> = Box::new(FakeOutputs);
    RESPONSES.with_borrow_mut(|responses| responses.push_back(Response::Outputs(Ok(back))));
    rig.rounds(2);
    let calls = recorded();
    assert!(
        calls.contains(&"broker: guard to be ended".to_owned()),
        "{calls:?}"
    );
    assert!(!calls.contains(&"driver: relay on".to_owned()), "{calls:?}");
    (rig.active, rig.spare) = (Some(FakeGuard::start()), Some(FakeGuard::start()));
    rig.rounds(4);
    rig.open();
    assert_eq!(rig.controller.relay, Relay::On);
}
