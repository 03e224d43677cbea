//! The rules, one by one. The rules about attempts are in `attempts`; rules that hold for any sequence are in `properties` and
//! `policies`.

mod attempts;
mod policies;
mod properties;

use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::face::MAX_FACES;
use crate::people::{Motion, PersonId};

const ANN: PersonId = PersonId(1);
const BOB: PersonId = PersonId(2);

/// An empty frame.
const NO_FACES: &[(u32, Verdict)] = &[];

fn ms(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn known(person: PersonId) -> Verdict {
    Verdict::Known {
        person,
        score: 0.9,
        strong: true,
    }
}

/// A person who is certain enough for the usual bar only.
fn likely(person: PersonId) -> Verdict {
    Verdict::Known {
        person,
        score: 0.55,
        strong: false,
    }
}

fn stranger() -> Verdict {
    Verdict::Stranger { score: 0.2 }
}

/// One identity in each track, which has the track's number and has moved.
fn sighting(track: u32, verdict: Verdict) -> Sighting {
    Sighting {
        track,
        presentation: track,
        motion: Motion::Moved,
        verdict,
    }
}

fn frame(captured: Timestamp, faces: &[(u32, Verdict)]) -> Observation {
    let mut seen = Observation::new(captured);
    for &(track, verdict) in faces {
        assert!(seen.push(sighting(track, verdict)));
    }
    seen
}

/// Shows frames of one face each, as [`show`] does.
fn show_one(door: &mut Door, from: u64, step: u64, faces: &[Sighting]) -> Vec<Event> {
    let times = (0..).map(|i| ms(from + i * step));
    let each = times.zip(faces);
    each.flat_map(|(t, face)| {
        let mut seen = Observation::new(t);
        seen.push(*face);
        door.observe(t, &seen).as_slice().to_vec()
    })
    .collect()
}

fn door(change: impl FnOnce(&mut Policy)) -> Door {
    let mut policy = Policy::default();
    change(&mut policy);
    Door::new(policy).expect("a valid policy")
}

/// Shows frames at the moment when they are taken, `step` ms apart. Returns all their events.
fn show(door: &mut Door, from: u64, step: u64, frames: &[&[(u32, Verdict)]]) -> Vec<Event> {
    let times = (0..).map(|i| ms(from + i * step));
    let each = times.zip(frames);
    each.flat_map(|(t, faces)| door.observe(t, &frame(t, faces)).as_slice().to_vec())
        .collect()
}

fn granted(events: &[Event]) -> Vec<PersonId> {
    let person = |e: &Event| match e {
        Event::Granted { person, .. } => Some(*person),
        _ => None,
    };
    events.iter().filter_map(person).collect()
}

fn refused(events: &[Event]) -> usize {
    let is = |e: &&Event| matches!(e, Event::Refused { .. });
    events.iter().filter(is).count()
}

fn locked_out(events: &[Event]) -> usize {
    let is = |e: &&Event| matches!(e, Event::LockedOut { .. });
    events.iter().filter(is).count()
}

#[test]
fn the_third_vote_opens_for_the_hold_time() {
    let mut door = door(|_| {});
    let a = (1, known(ANN));
    assert_eq!(show(&mut door, 1000, 100, &[&[a], &[a]]), []);
    assert!(!door.relay());
    let events = show(&mut door, 1200, 100, &[&[a]]);
    let decided = Event::Granted {
        person: ANN,
        track: 1,
        score: 0.9,
        captured: ms(1200),
        votes: 3,
    };
    let by = OpenedBy::Person(ANN);
    assert_eq!(events, [decided, Event::Opened { by }]);
    assert!(door.relay());
    assert_eq!(door.indication(), Indication::Granted);
    assert!(door.tick(ms(4199)).is_empty());
    assert!(door.relay());
    let held = Duration::from_secs(3);
    assert_eq!(door.tick(ms(4200)).as_slice(), [Event::Closed { held }]);
    assert!(!door.relay());
}

#[test]
fn strangers_take_places_and_unclear_faces_take_none() {
    let (a, s, u) = ((1, known(ANN)), (1, stranger()), (1, Verdict::Unclear));
    let all = |frames: &[&[(u32, Verdict)]]| granted(&show(&mut door(|_| {}), 0, 100, frames));
    assert_eq!(all(&[&[a], &[s], &[s], &[a], &[a]]), [ANN]);
    // When the third vote comes, the first one is the sixth last.
    assert_eq!(all(&[&[a], &[s], &[s], &[a], &[s], &[a]]), []);
    assert_eq!(
        all(&[&[a], &[u], &[u], &[u], &[u], &[u], &[a], &[a]]),
        [ANN]
    );
}

#[test]
fn votes_add_up_neither_over_tracks_nor_over_people() {
    let all = |frames: &[&[(u32, Verdict)]]| granted(&show(&mut door(|_| {}), 0, 100, frames));
    let a = |track| (track, known(ANN));
    assert_eq!(all(&[&[a(1)], &[a(2)], &[a(3)], &[a(1)], &[a(2)]]), []);
    assert_eq!(all(&[&[a(1), a(2)], &[a(1), a(2)]]), []);
    let b = (1, known(BOB));
    assert_eq!(all(&[&[a(1)], &[b], &[a(1)], &[b]]), []);
}

#[test]
fn votes_grow_old() {
    let a: &[_] = &[(1, known(ANN))];
    // 0, 1000, 2000: the first is exactly as old as the window when the third comes.
    assert_eq!(
        granted(&show(&mut door(|_| {}), 5000, 1000, &[a, a, a])),
        [ANN]
    );
    // The camera was faster before, and then stalled.
    let mut stalled = door(|_| {});
    show(&mut stalled, 4000, 100, &[NO_FACES; 10]);
    let slow = show(&mut stalled, 5000, 1001, &[a, a, a]);
    assert_eq!(granted(&slow), []);
}

#[test]
fn a_slow_camera_gets_as_many_looks() {
    let (a, s): (&[_], &[_]) = (&[(1, known(ANN))], &[(2, stranger())]);
    for step in [500, 1000, 1500] {
        let mut door = door(|_| {});
        show(&mut door, 10_000, step, &[NO_FACES; 6]);
        let from = 10_000 + 6 * step;
        assert_eq!(granted(&show(&mut door, from, step, &[a; 3])), [ANN]);
        let from = from + 20 * step;
        show(&mut door, from, step, &[NO_FACES; 6]);
        let events = show(&mut door, from + 6 * step, step, &[s; 5]);
        assert_eq!(refused(&events), 1, "every {step} ms");
    }
}

#[test]
fn stale_repeated_and_future_frames_are_no_evidence() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|_| {});
    let at = |door: &mut Door, now, captured| {
        granted(door.observe(ms(now), &frame(ms(captured), a)).as_slice())
    };
    assert_eq!(at(&mut door, 5000, 5000), []);
    assert_eq!(at(&mut door, 5100, 5100), []);
    assert_eq!(at(&mut door, 5200, 5100), [], "the same frame again");
    assert_eq!(at(&mut door, 5200, 5050), [], "an older frame");
    assert_eq!(at(&mut door, 5200, 5201), [], "a frame of the future");
    assert_eq!(at(&mut door, 5300, 5250), [ANN]);
    let mut door = self::door(|_| {});
    for (now, captured) in [(9000, 6000), (9001, 6100), (9002, 6200), (9003, 6300)] {
        assert_eq!(at(&mut door, now, captured), [], "older than the window");
    }
}

#[test]
fn a_visit_opens_once_and_ends_with_absence() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|_| {});
    let there = show(&mut door, 0, 500, &[a; 40]);
    assert_eq!(granted(&there), [ANN]);
    assert!(!door.relay(), "held for only 3 of 20 s");
    // The person is gone from 19.5 s to 22 s. Earlier votes do not count again.
    let back = show(&mut door, 22_000, 100, &[a, a]);
    assert_eq!(granted(&back), []);
    assert_eq!(granted(&show(&mut door, 22_200, 100, &[a])), [ANN]);
}

#[test]
fn votes_of_an_ended_visit_do_not_open_again() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|p| {
        p.absence_ms = 500;
        p.vote_window_ms = 5000;
    });
    assert_eq!(granted(&show(&mut door, 0, 100, &[a; 5])), [ANN]);
    assert_eq!(granted(&show(&mut door, 1000, 100, &[a; 2])), []);
    assert_eq!(granted(&show(&mut door, 1200, 100, &[a])), [ANN]);
}

#[test]
fn a_light_stays_on_while_a_person_is_there() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|p| p.retrigger = Retrigger::Hold);
    let events = show(&mut door, 0, 500, &[a; 40]);
    assert_eq!(granted(&events), [ANN], "granted once");
    assert!(door.relay());
    assert_eq!(
        door.next_deadline(),
        Some(ms(20_000)),
        "face no longer shown"
    );
    let held = Duration::from_millis(21_500);
    assert!(door.tick(ms(22_499)).is_empty());
    assert_eq!(door.tick(ms(22_500)).as_slice(), [Event::Closed { held }]);
}

#[test]
fn a_track_of_strangers_is_one_refusal() {
    let s: &[_] = &[(1, stranger())];
    let mut door = door(|_| {});
    let events = show(&mut door, 0, 100, &[s; 50]);
    let refusal = Event::Refused {
        track: 1,
        presentation: 1,
        score: 0.2,
        captured: ms(400),
    };
    assert_eq!(events, [refusal]);
    assert_eq!(
        door.indication(),
        Indication::FaceSeen,
        "refused is shown for 2 s only"
    );
    // The same face comes back after an absence, together with another face.
    let events = show(
        &mut door,
        7000,
        100,
        &[&[(2, stranger()), (3, stranger())][..]; 9],
    );
    assert_eq!(refused(&events), 2);
    assert_eq!(door.indication(), Indication::Refused);
}

#[test]
fn a_person_who_was_let_in_is_not_refused_on_turning_away() {
    let (a, s): (&[_], &[_]) = (&[(1, known(ANN))], &[(1, stranger())]);
    let events = show(&mut door(|_| {}), 0, 100, &[a, a, a, s, s, s, s, s, s]);
    assert_eq!((granted(&events).len(), refused(&events)), (1, 0));
}

#[test]
fn strangers_beside_a_resident_keep_the_door_shut_if_companions_are_refused() {
    let (a, b, s) = ((1, known(ANN)), (2, known(BOB)), (2, stranger()));
    let all = |frames: &[&[(u32, Verdict)]]| {
        let mut door = door(|p| p.companions = Companions::Refuse);
        granted(&show(&mut door, 0, 100, frames))
    };
    assert_eq!(all(&[&[a, s], &[a], &[a], &[a], &[a]]), []);
    assert_eq!(all(&[&[a, b], &[a, b], &[a, b]]), [ANN, BOB]);
    // Bob was mistaken for a stranger once, but his other votes show who he is.
    assert_eq!(all(&[&[s], &[a, b], &[a, b], &[a, b]]), [ANN, BOB]);
    // A face that cannot be recognised may be any person's, unless it was recognised before.
    let (turned, bob_turned) = ((4, Verdict::Unclear), (b.0, Verdict::Unclear));
    assert_eq!(all(&[&[a, turned], &[a, turned], &[a, turned]]), []);
    assert_eq!(
        all(&[&[a, turned], &[a, turned], &[a, turned], &[a]]),
        [ANN]
    );
    assert_eq!(
        all(&[&[b], &[b], &[a, b], &[a, bob_turned], &[a]]),
        [BOB, ANN]
    );
    // With as many faces as a frame can hold, there may be more.
    let crowd: Vec<_> = (0..MAX_FACES as u32)
        .map(|track| (10 + track, known(ANN)))
        .collect();
    assert_eq!(all(&[&crowd, &crowd, &crowd]), []);
    let mut door = door(|_| {});
    assert_eq!(granted(&show(&mut door, 0, 100, &[&[a, s][..]; 3])), [ANN]);
}

#[test]
fn more_tracks_than_can_be_remembered_keep_the_door_shut() {
    let all = |strange: Verdict, crowd: u32| {
        let mut door = door(|p| {
            p.companions = Companions::Refuse;
            p.votes = 4;
        });
        let mut events = show(&mut door, 0, 10, &[&[(1, known(ANN)), (2, strange)]]);
        for frame in 1..4 {
            let first = 100 * frame;
            let others = (first..first + crowd).map(|track| (track, known(BOB)));
            let faces: Vec<_> = others.chain([(1, known(ANN))]).collect();
            events.extend(show(&mut door, u64::from(frame) * 10, 10, &[&faces]));
        }
        granted(&events)
    };
    assert_eq!(all(known(BOB), 4), [ANN]);
    assert_eq!(all(stranger(), 4), [], "a stranger, remembered");
    assert_eq!(all(stranger(), 7), [], "a stranger had to be forgotten");
}

#[test]
fn a_fault_closes_and_voids_but_the_button_still_opens() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|_| {});
    show(&mut door, 0, 100, &[a; 3]);
    assert!(door.relay());
    let held = Duration::from_millis(100);
    let closed = [Event::Closed { held }];
    assert_eq!(door.fault(ms(300), true).as_slice(), closed);
    assert_eq!(door.indication(), Indication::Fault);
    assert_eq!(show(&mut door, 400, 100, &[a; 30]), []);
    door.button(ms(4000));
    assert!(door.fault(ms(4100), true).is_empty(), "no news");
    assert!(door.relay(), "the button was pressed after the fault");
    door.fault(ms(8000), false);
    assert_eq!(granted(&show(&mut door, 8001, 100, &[a; 2])), []);
    assert_eq!(granted(&show(&mut door, 8201, 100, &[a])), [ANN]);
}

#[test]
fn a_second_fault_closes_a_door_that_the_button_opened_during_the_first() {
    let mut door = door(|_| {});
    door.fault(ms(0), true);
    door.button(ms(1000));
    let held = Duration::from_millis(500);
    assert_eq!(door.shut(ms(1500)).as_slice(), [Event::Closed { held }]);
    assert!(!door.relay());
    assert!(door.fault(ms(1600), false).is_empty());
    assert!(!door.relay(), "not on again by itself");
    door.button(ms(2000));
    assert!(door.relay());
}

#[test]
fn neither_fault_nor_clock_ends_a_lockout() {
    let s: &[_] = &[(1, stranger()), (2, stranger())];
    let mut door = door(|p| p.lockout_after = 1);
    show(&mut door, 50_000, 10, &[s; 5]);
    door.fault(ms(51_000), true);
    door.fault(ms(52_000), false);
    assert_eq!(door.indication(), Indication::LockedOut);
    assert_eq!(door.tick(ms(1000)).as_slice(), [Event::ClockJumped]);
    assert_eq!(door.indication(), Indication::LockedOut);
    assert_eq!(
        door.next_deadline(),
        Some(ms(29_020)),
        "what was left of 30 s at 52 s, from the jump on"
    );
}

#[test]
fn a_clock_that_runs_backwards_closes_and_voids() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|_| {});
    show(&mut door, 50_000, 100, &[a; 3]);
    let held = Duration::ZERO;
    let jump = [Event::ClockJumped, Event::Closed { held }];
    assert_eq!(door.tick(ms(40_000)).as_slice(), jump);
    assert!(!door.relay());
    assert_eq!(granted(&show(&mut door, 40_001, 100, &[a; 3])), [ANN]);
}

#[test]
fn waking_up_after_a_suspend_finds_the_door_shut() {
    let a: &[_] = &[(1, known(ANN))];
    let mut door = door(|_| {});
    show(&mut door, 0, 100, &[a; 3]);
    door.observe(ms(3_600_000), &frame(ms(3_600_000), a));
    assert!(!door.relay());
}

#[test]
fn scores_that_are_not_numbers_count_as_strangers() {
    for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let person = ANN;
        let strong = true;
        let known = Verdict::Known {
            person,
            score,
            strong,
        };
        let odd: &[_] = &[(1, known)];
        let mut door = door(|_| {});
        let events = show(&mut door, 0, 100, &[odd; 5]);
        let (track, presentation, score, captured) = (1, 1, 0.0, ms(400));
        assert_eq!(
            events,
            [Event::Refused {
                track,
                presentation,
                score,
                captured
            }]
        );
    }
}

#[test]
fn a_track_that_is_twice_in_a_frame_is_unclear() {
    let twice: &[_] = &[(1, known(ANN)), (1, known(ANN))];
    let mut door = door(|_| {});
    assert_eq!(show(&mut door, 0, 100, &[twice; 10]), []);
}

#[test]
fn the_button_can_be_disabled() {
    let mut door = door(|p| p.button = false);
    assert!(door.button(ms(10)).is_empty());
    assert!(!door.relay());
}

#[test]
fn the_door_allocates_nothing_on_the_heap() {
    assert!(!std::mem::needs_drop::<(Door, Events, Observation)>());
}

#[test]
fn impossible_policies_are_refused_with_key_value_and_fix() {
    let cases = [
        (
            "votes = 6\n",
            "votes = 6: more votes than recognitions that are looked at; give at most 5 or raise of = 5",
        ),
        (
            "votes = 0\n",
            "votes = 0: too small; give a number between 1 and 16",
        ),
        (
            "of = 17\n",
            "of = 17: too large; give a number between 1 and 16",
        ),
        (
            "hold_ms = 99\n",
            "hold_ms = 99: too small; give milliseconds between 100 and 60000",
        ),
        (
            "hold_ms = 60001\n",
            "hold_ms = 60001: too large; give milliseconds between 100 and 60000",
        ),
        (
            "lockout_after = 17\n",
            "lockout_after = 17: too large; give 0 for no lock-out or a number between 0 and 16",
        ),
        (
            "lockout_ms = 18446744073709551\n",
            "lockout_ms = 18446744073709551: too large; give milliseconds between 1000 and 3600000",
        ),
    ];
    for (toml, expected) in cases {
        let policy: Policy = toml::from_str(toml).expect(toml);
        let error = Door::new(policy).expect_err(toml);
        assert_eq!(error.to_string(), expected);
    }
    toml::from_str::<Policy>("vote = 3").expect_err("no such key");
    let read: Policy = toml::from_str("retrigger = 'hold'\ncompanions = 'refuse'").expect("valid");
    assert_eq!(
        (read.retrigger, read.companions),
        (Retrigger::Hold, Companions::Refuse)
    );
}
