//! That the shipped defaults of the door are safe: each is tried with what it is there to stop, and with a looser value in its
//! place, which must let it through. A default that becomes unsafe fails here, and so does a test that could not tell.
//!
//! The threshold needs faces: `doorstep.rs`. What holds for any policy: `src/door/tests`.

use latchkey::clock::Timestamp;
use latchkey::door::{Companions, Door, Event, Observation, Policy, Retrigger, Sighting, Verdict};
use latchkey::people::{Motion, PersonId};

const ADA: PersonId = PersonId(1);

fn face(track: u32, verdict: Verdict) -> Sighting {
    Sighting {
        track,
        presentation: track,
        motion: Motion::Moved,
        verdict,
    }
}

fn ada(track: u32) -> Sighting {
    let score = 0.6;
    let known = Verdict::Known {
        person: ADA,
        score,
        strong: score >= 0.6,
    };
    face(track, known)
}

fn stranger(track: u32) -> Sighting {
    face(track, Verdict::Stranger { score: 0.3 })
}

/// A door and what happened at it.
struct Scene {
    door: Door,
    now: u64,
    events: Vec<Event>,
}

impl Scene {
    fn new(policy: Policy) -> Self {
        Self {
            door: Door::new(policy).expect("a valid policy"),
            now: 60_000,
            events: Vec::new(),
        }
    }

    /// `ms` later these faces are seen.
    fn see(&mut self, ms: u64, faces: &[Sighting]) {
        self.now += ms;
        let now = Timestamp::from_millis(self.now);
        self.events.extend(self.door.tick(now).as_slice());
        let mut seen = Observation::new(now);
        for face in faces {
            assert!(seen.push(*face));
        }
        self.events.extend(self.door.observe(now, &seen).as_slice());
    }

    /// Nobody is seen for so long, ten frames a second.
    fn nobody(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.see(100, &[]);
        }
    }

    fn grants(&self) -> usize {
        let granted = |e: &&Event| matches!(e, Event::Granted { .. });
        self.events.iter().filter(granted).count()
    }

    /// For how much of the time so far the relay was on, ms, it being off at the end.
    fn on_ms(&self) -> u128 {
        assert!(!self.door.relay());
        let held = |e: &Event| match e {
            Event::Closed { held } => held.as_millis(),
            _ => 0,
        };
        self.events.iter().map(held).sum()
    }
}

/// The default passes, the looser policy does not.
fn shown(safe: impl Fn(Policy) -> bool, loosen: impl FnOnce(&mut Policy)) {
    let mut looser = Policy::default();
    loosen(&mut looser);
    assert_ne!(looser, Policy::default());
    assert!(safe(Policy::default()), "the shipped default is not safe");
    assert!(!safe(looser), "a looser value is not told from the default");
}

/// A stranger who stays for a minute and is taken for Ada in two looks of each five.
fn two_of_five(policy: Policy) -> bool {
    let mut scene = Scene::new(policy);
    for look in 0..600 {
        let mistaken = matches!(look % 5, 0 | 2);
        scene.see(100, &[if mistaken { ada(1) } else { stranger(1) }]);
    }
    scene.grants() == 0
}

#[test]
fn votes() {
    shown(two_of_five, |p| p.votes = 2);
}

#[test]
fn of() {
    shown(two_of_five, |p| p.of = 7);
}

/// A face that can be recognised now and then only, and is taken for Ada then: three looks in six seconds.
#[test]
fn vote_window() {
    let safe = |policy| {
        let mut scene = Scene::new(policy);
        for _ in 0..3 {
            scene.see(100, &[ada(1)]);
            for _ in 0..29 {
                scene.see(100, &[face(1, Verdict::Unclear)]);
            }
        }
        scene.grants() == 0
    };
    shown(safe, |p| p.vote_window_ms = 10_000);
}

/// An hour of strangers, a new one every 2.5 s, every seventh of whom is taken for Ada: a lock-out keeps out more than half of
/// those.
fn tries_are_few(policy: Policy) -> bool {
    let mut scene = Scene::new(policy);
    let mut mistaken = 0;
    for track in 1..=1440 {
        let like_ada = track % 7 == 0;
        mistaken += usize::from(like_ada);
        for _ in 0..8 {
            scene.see(
                100,
                &[if like_ada {
                    ada(track)
                } else {
                    stranger(track)
                }],
            );
        }
        scene.nobody(1700);
    }
    2 * scene.grants() < mistaken
}

#[test]
fn lockout_after() {
    shown(tries_are_few, |p| p.lockout_after = 0);
}

#[test]
fn lockout_length() {
    shown(tries_are_few, |p| p.lockout_ms = 1000);
}

/// Strangers a second apart are tries in quick succession, however the time is counted.
#[test]
fn lockout_window() {
    shown(tries_are_few, |p| p.lockout_window_ms = 1000);
}

/// Somebody who was let in and is gone leaves the door open for no longer than it takes to walk through.
#[test]
fn hold() {
    let safe = |policy| {
        let mut scene = Scene::new(policy);
        for _ in 0..5 {
            scene.see(100, &[ada(1)]);
        }
        scene.nobody(61_000);
        scene.grants() == 1 && scene.on_ms() <= 5000
    };
    shown(safe, |p| p.hold_ms = 10_000);
}

/// A resident who stays in front of the camera, to talk or to smoke, does not keep the door open.
#[test]
fn retrigger() {
    let safe = |policy| {
        let mut scene = Scene::new(policy);
        for _ in 0..600 {
            scene.see(100, &[ada(1)]);
        }
        scene.nobody(10_000);
        scene.grants() == 1 && scene.on_ms() <= 5000
    };
    shown(safe, |p| p.retrigger = Retrigger::Hold);
}

/// Nor does one who looks away for a second now and then.
#[test]
fn absence() {
    let safe = |policy| {
        let mut scene = Scene::new(policy);
        for _ in 0..20 {
            for _ in 0..15 {
                scene.see(100, &[ada(1)]);
            }
            for _ in 0..15 {
                scene.see(100, &[face(1, Verdict::Unclear)]);
            }
        }
        scene.nobody(10_000);
        scene.grants() == 1 && scene.on_ms() <= 5000
    };
    shown(safe, |p| p.absence_ms = 1000);
}

/// An enrolled person may bring a guest, and the guest opens nothing: neither before nor after, nor by looking a little like
/// the host. `refuse` would keep the host out.
#[test]
fn companions() {
    let safe = |policy| {
        let mut scene = Scene::new(policy);
        for look in 0..30 {
            let mistaken = look % 5 == 0;
            scene.see(100, &[if mistaken { ada(1) } else { stranger(1) }]);
        }
        let alone = scene.grants();
        for _ in 0..5 {
            scene.see(100, &[stranger(1), ada(2)]);
        }
        let host = scene.grants();
        for _ in 0..30 {
            scene.see(100, &[stranger(1)]);
        }
        (alone, host, scene.grants()) == (0, 1, 1)
    };
    shown(safe, |p| p.companions = Companions::Refuse);
}

/// Whoever is inside gets out.
#[test]
fn button() {
    let safe = |policy| {
        let mut scene = Scene::new(policy);
        scene.door.button(Timestamp::from_millis(scene.now));
        scene.door.relay()
    };
    shown(safe, |p| p.button = false);
}
