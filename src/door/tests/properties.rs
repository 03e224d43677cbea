//! What holds for any sequence of calls, checked against the whole history of what happened.
//!
//! The oracle is not the state machine again: it keeps every recognition ever made and asks of each
//! opening, in the words of the rules, whether it was allowed.

use crate::people::PersonId;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Call {
    /// A frame taken so many ms before the call.
    Frame(u64, Vec<Sighting>),
    Tick,
    Button,
    Fault(bool),
}

/// A call, so many ms after the one before (or before it).
type Step = (i64, Call);

fn verdict() -> impl Strategy<Value = Verdict> {
    let score = prop_oneof![8 => 0.0_f32..1.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)];
    let known = (0_u32..3, score.clone()).prop_map(|(person, score)| Verdict::Known {
        person: PersonId(person),
        score,
    });
    let stranger = score.prop_map(|score| Verdict::Stranger { score });
    prop_oneof![6 => known, 3 => stranger, 1 => Just(Verdict::Unclear)]
}

fn sightings() -> impl Strategy<Value = Vec<Sighting>> {
    let sighting = (0_u32..4, verdict()).prop_map(|(track, verdict)| Sighting { track, verdict });
    prop::collection::vec(sighting, 0..=4)
}

fn step() -> impl Strategy<Value = Step> {
    let age = prop_oneof![8 => 0_u64..100, 1 => 0_u64..5000];
    let call = prop_oneof![
        16 => (age, sightings()).prop_map(|(age, seen)| Call::Frame(age, seen)),
        3 => Just(Call::Tick),
        1 => Just(Call::Button),
        1 => any::<bool>().prop_map(Call::Fault),
    ];
    let dt = prop_oneof![40 => 0_i64..150, 5 => 0_i64..4000, 1 => -20_000_i64..0];
    (dt, call)
}

prop_compose! {
    fn policy()(
        of in 1_u32..6,
        part in 0.0_f64..1.0,
        vote_window_ms in 100_u64..3000,
        hold_ms in 100_u64..3000,
        hold in any::<bool>(),
        absence_ms in 100_u64..2000,
        lockout_after in 0_u32..4,
        lockout_window_ms in 1000_u64..5000,
        lockout_ms in 1000_u64..5000,
        refuse in any::<bool>(),
        button in any::<bool>(),
    ) -> Policy {
        Policy {
            votes: 1 + (f64::from(of) * part) as u32,
            of,
            vote_window_ms,
            hold_ms,
            retrigger: if hold { Retrigger::Hold } else { Retrigger::Visit },
            absence_ms,
            lockout_after,
            lockout_window_ms,
            lockout_ms,
            companions: if refuse { Companions::Refuse } else { Companions::Allow },
            button,
        }
    }
}

fn apply(door: &mut Door, now: Timestamp, call: &Call) -> Events {
    match call {
        Call::Frame(age, seen) => {
            let captured = captured(now, *age);
            let mut observation = Observation::new(captured);
            for sighting in seen {
                observation.push(*sighting);
            }
            door.observe(now, &observation)
        }
        Call::Tick => door.tick(now),
        Call::Button => door.button(now),
        Call::Fault(on) => door.fault(now, *on),
    }
}

fn captured(now: Timestamp, age: u64) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_sub(age * 1_000_000))
}

fn at(now: Timestamp, dt: i64) -> Timestamp {
    let nanos = dt.unsigned_abs() * 1_000_000;
    if dt < 0 {
        Timestamp::from_nanos(now.as_nanos().saturating_sub(nanos))
    } else {
        Timestamp::from_nanos(now.as_nanos() + nanos)
    }
}

/// One recognition of the history; None: a stranger.
struct Recognition {
    track: u32,
    captured: Timestamp,
    person: Option<PersonId>,
}

/// Everything that has happened so far, and what follows from it by the rules.
struct History {
    policy: Policy,
    now: Timestamp,
    /// Recognitions of frames that were accepted, since the last time that voided all.
    recognitions: Vec<Recognition>,
    last_frame: Option<Timestamp>,
    void_until: Option<Timestamp>,
    faulty: bool,
    locked_until: Option<Timestamp>,
    refusals: Vec<Timestamp>,
    /// Times at which the relay was rightly turned on or kept on.
    triggers: Vec<Timestamp>,
    /// When each person was last voted for, since they were let in.
    visits: HashMap<PersonId, Timestamp>,
    /// Who was voted for in this call.
    voted: Vec<PersonId>,
}

impl History {
    /// The last M recognitions of a track that are not too old.
    fn last_m(&self, track: u32) -> Vec<Option<PersonId>> {
        let of_track = self.recognitions.iter().rev().filter(|r| r.track == track);
        of_track
            .take(self.policy.of as usize)
            .filter(|r| self.now.since(r.captured).as_millis() <= self.policy.vote_window_ms.into())
            .map(|r| r.person)
            .collect()
    }

    fn count(&self, track: u32, person: PersonId) -> usize {
        self.last_m(track)
            .iter()
            .filter(|p| **p == Some(person))
            .count()
    }

    fn agrees(&self, track: u32) -> bool {
        let last = self.last_m(track);
        last.iter()
            .flatten()
            .any(|p| self.count(track, *p) >= self.policy.votes as usize)
    }

    fn void(&mut self, until: Timestamp) {
        self.recognitions.clear();
        self.void_until = Some(until);
    }

    /// What the call says about times, before its events are looked at.
    fn begin(&mut self, now: Timestamp, call: &Call) {
        if now < self.now {
            self.void(now);
            self.last_frame = None;
            self.triggers.clear();
            self.visits.clear();
            for t in &mut self.refusals {
                *t = now.min(*t);
            }
            let longest = now.plus(Duration::from_millis(self.policy.lockout_ms));
            self.locked_until = self.locked_until.map(|t| t.min(longest));
        }
        self.now = now;
        if self.locked_until.is_some_and(|until| now >= until) {
            self.locked_until = None;
            self.void(now);
        }
        match call {
            Call::Frame(age, seen) => self.frame(captured(now, *age), seen),
            Call::Button if self.policy.button => self.triggers.push(now),
            Call::Fault(on) if *on != self.faulty => {
                self.faulty = *on;
                self.void(now);
                if *on {
                    self.triggers.clear();
                }
            }
            _ => {}
        }
    }

    fn frame(&mut self, captured: Timestamp, seen: &[Sighting]) {
        let old = self.now.since(captured).as_millis() > self.policy.vote_window_ms.into();
        if old || self.last_frame >= Some(captured) || self.void_until >= Some(captured) {
            return;
        }
        self.last_frame = Some(captured);
        if self.faulty || self.locked_until.is_some() {
            return;
        }
        for s in seen {
            if seen.iter().filter(|other| other.track == s.track).count() > 1 {
                continue;
            }
            let person = match s.verdict {
                Verdict::Known { person, score } if score.is_finite() => Some(person),
                Verdict::Unclear => continue,
                _ => None,
            };
            self.voted.extend(person);
            self.recognitions.push(Recognition {
                track: s.track,
                captured,
                person,
            });
        }
        // Whoever has enough votes, the newest of this frame among them, may open or keep open.
        let elected = |s: &Sighting| match s.verdict {
            Verdict::Known { person, .. } => {
                let newest = self.recognitions.iter().rev().find(|r| r.track == s.track);
                newest.is_some_and(|r| r.captured == captured && r.person == Some(person))
                    && self.count(s.track, person) >= self.policy.votes as usize
            }
            _ => false,
        };
        if seen.iter().any(elected) {
            self.triggers.push(self.now);
        }
    }

    /// Whether each event was allowed, in the order in which they came.
    fn check(&mut self, call: &Call, events: &Events) -> Result<(), TestCaseError> {
        for event in events {
            match *event {
                Event::Granted {
                    person,
                    track,
                    score,
                    captured,
                    votes,
                } => {
                    prop_assert!(!self.faulty && self.locked_until.is_none());
                    prop_assert!(score.is_finite());
                    prop_assert_eq!(Some(captured), self.last_frame);
                    // Fewer than in the history where some belong to a visit that is over.
                    prop_assert!(self.count(track, person) >= votes as usize);
                    prop_assert!(votes >= self.policy.votes);
                    let last = self.visits.get(&person);
                    let absence = self.policy.absence_ms.into();
                    prop_assert!(
                        last.is_none_or(|t| self.now.since(*t).as_millis() > absence),
                        "granted twice in a visit"
                    );
                    if self.policy.companions == Companions::Refuse {
                        let others = (0..4).filter(|t| *t != track);
                        for other in others {
                            let strange = self.last_m(other).contains(&None);
                            prop_assert!(!strange || self.agrees(other), "a stranger beside");
                        }
                    }
                    self.visits.insert(person, self.now);
                    self.refusals.clear();
                }
                Event::Refused { track, .. } => {
                    prop_assert!(!self.faulty && self.locked_until.is_none());
                    prop_assert_eq!(self.last_m(track).len(), self.policy.of as usize);
                    prop_assert!(!self.agrees(track));
                    self.refusals.push(self.now);
                }
                Event::LockedOut { until } => {
                    let window = self.policy.lockout_window_ms.into();
                    let now = self.now;
                    let recent = |t: &&Timestamp| now.since(**t).as_millis() <= window;
                    let recent = self.refusals.iter().filter(recent).count();
                    prop_assert!(self.policy.lockout_after > 0);
                    prop_assert!(recent >= self.policy.lockout_after as usize);
                    prop_assert_eq!(
                        until,
                        now.plus(Duration::from_millis(self.policy.lockout_ms))
                    );
                    self.locked_until = Some(until);
                    self.refusals.clear();
                    self.void(now);
                }
                Event::LockoutEnded => {
                    prop_assert!(self.locked_until.is_none(), "ended too early");
                }
                Event::Opened {
                    by: OpenedBy::Button,
                } => {
                    prop_assert!(matches!(call, Call::Button));
                }
                Event::Opened { .. } | Event::Closed { .. } | Event::ClockJumped => {}
            }
        }
        // A refusal that should have locked but did not.
        let window = self.policy.lockout_window_ms.into();
        let recent = |t: &&Timestamp| self.now.since(**t).as_millis() <= window;
        let recent = self.refusals.iter().filter(recent).count();
        let after = self.policy.lockout_after as usize;
        prop_assert!(after == 0 || recent < after, "refusals without lock-out");
        // Too old once is too old for good, even if the clock then goes backwards.
        let now = self.now;
        self.refusals
            .retain(|t| now.since(*t).as_millis() <= window);
        // Votes prolong visits: after the events, since a grant is judged by the votes before it.
        let absence = self.policy.absence_ms.into();
        for person in self.voted.drain(..) {
            let visit = self.visits.get_mut(&person);
            if let Some(t) = visit.filter(|t| now.since(**t).as_millis() <= absence) {
                *t = now;
            }
        }
        Ok(())
    }

    /// Whether something that happened within the hold time keeps the relay on.
    fn may_be_on(&self) -> bool {
        let hold = self.policy.hold_ms.into();
        let mut triggers = self.triggers.iter();
        triggers.any(|t| self.now.since(*t).as_millis() < hold)
    }
}

fn start() -> Timestamp {
    Timestamp::from_millis(100_000)
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn every_opening_is_owed_to_votes_or_the_button(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut door = Door::new(policy.clone()).expect("in range");
        let mut history = History {
            policy,
            now: Timestamp::from_nanos(0),
            recognitions: Vec::new(),
            last_frame: None,
            void_until: None,
            faulty: false,
            locked_until: None,
            refusals: Vec::new(),
            triggers: Vec::new(),
            visits: HashMap::new(),
            voted: Vec::new(),
        };
        let mut now = start();
        let mut was_on = false;
        for (dt, call) in &steps {
            now = at(now, *dt);
            let events = apply(&mut door, now, call);
            history.begin(now, call);
            history.check(call, &events)?;
            prop_assert!(!door.relay() || history.may_be_on(), "on without a reason");
            let pressed = matches!(call, Call::Button) && history.policy.button;
            prop_assert!(door.relay() || !pressed, "a press opens, whatever happens");
            let granted = events.iter().any(|e| matches!(e, Event::Granted { .. }));
            prop_assert!(door.relay() || !granted, "a grant opens");
            // Opened and Closed tell every change.
            let mut on = was_on;
            for event in &events {
                match event {
                    Event::Opened { .. } => { prop_assert!(!on); on = true; }
                    Event::Closed { .. } => { prop_assert!(on); on = false; }
                    _ => {}
                }
            }
            prop_assert_eq!(on, door.relay());
            was_on = on;
        }
    }

    #[test]
    fn strangers_never_open(
        policy in policy(),
        steps in prop::collection::vec((0_i64..500, sightings()), 1..120),
    ) {
        let mut door = Door::new(policy).expect("in range");
        let mut now = start();
        for (dt, seen) in steps {
            now = at(now, dt);
            let strange = |s: Sighting| match s.verdict {
                Verdict::Known { score, .. } => Sighting { verdict: Verdict::Stranger { score }, ..s },
                _ => s,
            };
            let seen = seen.into_iter().map(strange).collect();
            apply(&mut door, now, &Call::Frame(0, seen));
            prop_assert!(!door.relay());
        }
    }

    #[test]
    fn the_relay_is_off_once_the_hold_time_is_over(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut door = Door::new(policy.clone()).expect("in range");
        let mut now = start();
        for (dt, call) in &steps {
            now = at(now, *dt);
            apply(&mut door, now, call);
            let mut later = door.clone();
            later.tick(now.plus(Duration::from_millis(policy.hold_ms)));
            prop_assert!(!later.relay());
        }
    }

    #[test]
    fn nothing_shows_before_the_next_deadline_and_deadlines_pass(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..60),
        part in 0.0_f64..1.0,
    ) {
        let mut door = Door::new(policy).expect("in range");
        let mut now = start();
        for (dt, call) in &steps {
            now = at(now, *dt);
            apply(&mut door, now, call);
            let shows = (door.relay(), door.signal());
            let mut later = door.clone();
            if let Some(deadline) = door.next_deadline() {
                prop_assert!(deadline > now);
                let before = deadline.since(now).mul_f64(part).saturating_sub(Duration::from_nanos(1));
                later.tick(now.plus(before));
                prop_assert_eq!((later.relay(), later.signal()), shows);
                later.tick(deadline);
                prop_assert!(later.next_deadline().is_none_or(|next| next > deadline));
            } else {
                later.tick(now.plus(Duration::from_secs(86_400)));
                prop_assert_eq!((later.relay(), later.signal()), shows);
            }
        }
    }

    #[test]
    fn the_order_of_faces_in_a_frame_does_not_matter(
        policy in policy(),
        steps in prop::collection::vec(
            step().prop_flat_map(|(dt, call)| {
                let shuffled = match &call {
                    Call::Frame(_, seen) => Just(seen.clone()).prop_shuffle().boxed(),
                    _ => Just(Vec::new()).boxed(),
                };
                (Just(dt), Just(call), shuffled)
            }),
            1..60,
        ),
    ) {
        let mut one = Door::new(policy.clone()).expect("in range");
        let mut two = Door::new(policy).expect("in range");
        let mut now = start();
        for (dt, call, shuffled) in steps {
            now = at(now, dt);
            let other = match &call {
                Call::Frame(age, _) => Call::Frame(*age, shuffled),
                other => other.clone(),
            };
            let (a, b) = (apply(&mut one, now, &call), apply(&mut two, now, &other));
            prop_assert_eq!(a.as_slice(), b.as_slice());
            prop_assert_eq!((one.relay(), one.signal()), (two.relay(), two.signal()));
        }
    }

    #[test]
    fn somebody_known_is_let_in_at_the_nth_frame(
        policy in policy(),
        part in 0.01_f64..1.0,
        blinks in prop::collection::vec(any::<bool>(), 0..10),
    ) {
        let votes = u64::from(policy.votes);
        let gap = part * policy.vote_window_ms as f64 / (votes as f64 + blinks.len() as f64);
        let mut door = Door::new(policy).expect("in range");
        let mut now = start();
        let mut seen = 0;
        let mut blinks = blinks.into_iter();
        while seen < votes {
            now = now.plus(Duration::from_secs_f64(gap / 1000.0));
            prop_assert!(!door.relay());
            let unclear = blinks.next().unwrap_or(false);
            let verdict = if unclear { Verdict::Unclear } else { known(ANN) };
            seen += u64::from(!unclear);
            apply(&mut door, now, &Call::Frame(0, vec![Sighting { track: 3, verdict }]));
        }
        prop_assert!(door.relay());
    }
}
