//! The state machine.

use std::time::Duration;

use super::event::{Event, Events, OpenedBy};
use super::observation::{Observation, Sighting, Verdict};
use super::penalty::{Begun, Ended, Penalty};
use super::policy::{Companions, Policy, PolicyError, Retrigger};
use super::presentation::Presentation;
use super::ring::Ring;
use crate::clock::Timestamp;
use crate::face::MAX_FACES;
use crate::people::{Motion, PersonId};

/// How many presentations are remembered: twice the faces of a frame, so that a full frame of new faces never pushes out the
/// frame before.
const MAX_PRESENTATIONS: usize = 2 * MAX_FACES;

/// How long a presentation is remembered after it was last seen. A detector sometimes loses a face that stands still.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many people are remembered who were let in and are still there. A household is a dozen; if there are more, the people
/// who came first count as gone.
const MAX_VISITS: usize = 2 * MAX_FACES;

/// The number of frames by which the camera's rate is measured.
const PACES: usize = 4;

/// How long a refusal is shown.
const REFUSED_SHOWN: Duration = Duration::from_secs(2);

/// How long a face is shown as seen after the last frame that it was in.
const FACE_SHOWN: Duration = Duration::from_millis(500);

/// What the LEDs should show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Indication {
    /// No one is there; everything works.
    Ready,
    /// A face is in view; the decision is still open or has been made.
    FaceSeen,
    /// The relay is on.
    Granted,
    /// A face has just been refused.
    Refused,
    /// Faces open nothing for the time being.
    LockedOut,
    /// Something the door depends on is broken.
    Fault,
    /// No one is there, everything works, and the owner's newest setup has a mistake. The door itself never returns this one.
    Notice,
}

/// The relay is on.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    until: Timestamp,
}

/// A person who was let in and is still there.
#[derive(Clone, Copy, Debug)]
struct Visit {
    person: PersonId,
    last_vote: Timestamp,
}

/// One door. See the [module](super) for its rules.
#[derive(Clone, Debug)]
pub struct Door {
    policy: Policy,
    /// The time of the last call.
    now: Timestamp,
    /// Only frames that are younger than this are evidence: it is the time of the last frame that was looked at, or the end of
    /// the last lock-out or fault.
    evidence_after: Option<Timestamp>,
    open: Option<Open>,
    penalty: Penalty,
    faulty: bool,
    presentations: Ring<Presentation, MAX_PRESENTATIONS>,
    visits: Ring<Visit, MAX_VISITS>,
    /// The times between the last frames. The camera is at least as fast as the shortest of them.
    paces: Ring<Duration, PACES>,
    /// Until this time it is not known who else is there, because a presentation with votes was forgotten to make room for
    /// another.
    crowded_until: Option<Timestamp>,
    refused_shown_until: Option<Timestamp>,
    face_shown_until: Option<Timestamp>,
}

impl Door {
    /// A shut door that has seen no one.
    ///
    /// # Errors
    /// [`PolicyError`] if a value of `policy` is out of its range.
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        policy.validate()?;
        let start = Timestamp::from_nanos(0);
        let filler = Visit {
            person: PersonId(0),
            last_vote: start,
        };
        Ok(Self {
            policy,
            now: start,
            evidence_after: None,
            open: None,
            penalty: Penalty::new(),
            faulty: false,
            presentations: Ring::new(Presentation::new(0, 0, start)),
            visits: Ring::new(filler),
            paces: Ring::new(Duration::ZERO),
            crowded_until: None,
            refused_shown_until: None,
            face_shown_until: None,
        })
    }

    /// Whether the relay must be on, as of the last call.
    #[must_use]
    pub const fn relay(&self) -> bool {
        self.open.is_some()
    }

    /// What the LEDs should show, as of the last call.
    #[must_use]
    pub const fn indication(&self) -> Indication {
        if self.open.is_some() {
            Indication::Granted
        } else if self.faulty {
            Indication::Fault
        } else if self.penalty.locked_until().is_some() {
            Indication::LockedOut
        } else if self.refused_shown_until.is_some() {
            Indication::Refused
        } else if self.face_shown_until.is_some() {
            Indication::FaceSeen
        } else {
            Indication::Ready
        }
    }

    /// When [`Door::tick`] must be called next, if nothing else happens before: the earliest time at which [`Door::relay`] or
    /// [`Door::indication`] may change by themselves.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let opened = self.open.map(|open| open.until);
        [
            opened,
            self.penalty.locked_until(),
            self.refused_shown_until,
            self.face_shown_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) -> Events {
        let mut events = Events::new();
        self.advance(now, &mut events);
        events
    }

    /// The exit button was pressed. The button opens during a lock-out and a fault too, because people must get out.
    pub fn button(&mut self, now: Timestamp) -> Events {
        let mut events = Events::new();
        self.advance(now, &mut events);
        if self.policy.button {
            self.trigger(OpenedBy::Button, &mut events);
        }
        events
    }

    /// A part that the door depends on broke (`true`) or works again (`false`). The relay goes off and all votes are void;
    /// lock-out and counted attempts stay.
    pub fn fault(&mut self, now: Timestamp, faulty: bool) -> Events {
        let mut events = Events::new();
        self.advance(now, &mut events);
        if faulty != self.faulty {
            self.faulty = faulty;
            self.void_votes(now);
            if faulty {
                self.close(now, &mut events);
            }
        }
        events
    }

    /// A part that moves or watches the relay has just broken. This does what [`Door::fault`] does. In addition, the relay goes
    /// off even if something else was broken before and the button has opened since: it must not go on again by itself when the
    /// part is back.
    pub fn shut(&mut self, now: Timestamp) -> Events {
        let mut events = self.fault(now, true);
        self.close(now, &mut events);
        events
    }

    /// A frame was looked at.
    pub fn observe(&mut self, now: Timestamp, seen: &Observation) -> Events {
        let mut events = Events::new();
        self.advance(now, &mut events);
        let captured = seen.captured();
        let repeated = self.evidence_after.is_some_and(|after| captured <= after);
        let stale = now.since(captured) > self.policy.vote_window();
        if repeated || stale || captured > now {
            return events;
        }
        if let Some(before) = self.evidence_after {
            self.paces.push(captured.since(before), PACES);
        }
        self.evidence_after = Some(captured);
        if !seen.sightings().is_empty() {
            self.face_shown_until = Some(now.plus(FACE_SHOWN));
        }
        if self.faulty || self.penalty.locked_until().is_some() {
            return events;
        }
        self.penalty.frame();
        let seen = seen.in_order();
        self.record(now, &seen, &mut events);
        // Refusals come first: if one frame would both lock the door and open it, the door stays shut.
        self.refuse(now, &seen, &mut events);
        if self.penalty.locked_until().is_none() {
            self.grant(now, &seen, &mut events);
        }
        events
    }

    /// The age at which a recognition stops counting.
    fn window(&self) -> Duration {
        let paces = self.paces.as_slice();
        let known = paces.len() == PACES;
        let pace = paces.iter().min().copied().filter(|_| known);
        self.policy.vote_window_at(pace.unwrap_or_default())
    }

    /// Applies everything that time alone changes.
    fn advance(&mut self, now: Timestamp, events: &mut Events) {
        if now < self.now {
            self.jump_back(now, events);
        }
        self.now = now;
        if self.open.is_some_and(|open| now >= open.until) {
            self.close(now, events);
        }
        let window = self.window();
        while let Some(ended) = self.penalty.end(now, window, &self.policy) {
            match ended {
                Ended::Strict => events.push(Event::StrictEnded),
                Ended::Locked => {
                    self.void_votes(now);
                    events.push(Event::LockoutEnded);
                }
            }
        }
        for shown in [&mut self.refused_shown_until, &mut self.face_shown_until] {
            *shown = shown.filter(|&until| now < until);
        }
        self.crowded_until = self.crowded_until.filter(|&until| now <= until);
        for place in 0..self.presentations.len() {
            let presentation = &mut self.presentations.as_mut_slice()[place];
            presentation.expire(now, window);
            if !presentation.gone && now.since(presentation.seen) > window {
                self.part(now, place, events);
            }
        }
        let remembered = REMEMBERED.max(window).max(self.policy.absence());
        self.presentations
            .retain(|p| now.since(p.seen) <= remembered);
        self.end_visits(now);
    }

    /// Ends the visit of a person who has not been voted for during `absence_ms`. The person's votes do not count for the next
    /// visit.
    fn end_visits(&mut self, now: Timestamp) {
        let absence = self.policy.absence();
        let presentations = &mut self.presentations;
        self.visits.retain(|visit| {
            let there = now.since(visit.last_vote) <= absence;
            if !there {
                for presentation in presentations.as_mut_slice() {
                    presentation.void(visit.person);
                }
            }
            there
        });
    }

    /// Discards what was measured with the old time. What keeps the door shut stays, but no longer than it would if it began
    /// now.
    fn jump_back(&mut self, now: Timestamp, events: &mut Events) {
        events.push(Event::ClockJumped);
        self.close(now, events);
        self.presentations.clear();
        self.visits.clear();
        self.paces.clear();
        self.evidence_after = Some(now);
        self.crowded_until = None;
        self.refused_shown_until = None;
        self.face_shown_until = None;
        self.penalty.jump_back(self.now, now, &self.policy);
    }

    /// Forgets all evidence, including that of frames captured until `now` that arrive later.
    fn void_votes(&mut self, now: Timestamp) {
        for presentation in self.presentations.as_mut_slice() {
            presentation.clear();
        }
        self.evidence_after = self.evidence_after.max(Some(now));
    }

    fn close(&mut self, at: Timestamp, events: &mut Events) {
        if let Some(open) = self.open.take() {
            let held = at.since(open.since);
            events.push(Event::Closed { held });
        }
    }

    /// Turns the relay on, or keeps it on for longer.
    fn trigger(&mut self, by: OpenedBy, events: &mut Events) {
        let now = self.now;
        let until = now.plus(self.policy.hold());
        let since = self.open.map(|open| open.since);
        if since.is_none() {
            events.push(Event::Opened { by });
        }
        self.open = Some(Open {
            since: since.unwrap_or(now),
            until,
        });
    }

    /// Records what every face of the frame was recognised as, and what attempts this costs.
    fn record(&mut self, now: Timestamp, seen: &Observation, events: &mut Events) {
        for sighting in seen.sightings() {
            let Some(place) = self.place_of(now, sighting, events) else {
                continue;
            };
            let presentation = &mut self.presentations.as_mut_slice()[place];
            presentation.appear(now, sighting.motion);
            presentation.vote(seen.captured(), sighting.verdict, &self.policy);
            if sighting.motion.is_thing() && !presentation.fixed {
                (presentation.fixed, presentation.reported) = (true, true);
                let (track, presentation) = (sighting.track, sighting.presentation);
                events.push(match sighting.motion {
                    Motion::Unsteady => Event::Unsteady {
                        track,
                        presentation,
                    },
                    _ => Event::Fixture {
                        track,
                        presentation,
                    },
                });
            }
            let presentation = &mut self.presentations.as_mut_slice()[place];
            if presentation.pays(now, &self.policy) {
                self.penalty.charge(now, presentation.began, &self.policy);
            }
            if let Verdict::Known { person, .. } = sighting.verdict {
                let mut visits = self.visits.as_mut_slice().iter_mut();
                if let Some(visit) = visits.find(|v| v.person == person) {
                    visit.last_vote = now;
                }
            }
        }
    }

    /// The place of the sighting's presentation. If the presentation is new, the previous one in its track has gone. `None` for
    /// a face that was never recognised.
    fn place_of(
        &mut self,
        now: Timestamp,
        sighting: &Sighting,
        events: &mut Events,
    ) -> Option<usize> {
        let (id, track) = (sighting.presentation, sighting.track);
        if id == 0 {
            return None;
        }
        for place in 0..self.presentations.len() {
            let other = &self.presentations.as_slice()[place];
            if other.track == track && other.id != id && !other.gone {
                self.part(now, place, events);
            }
        }
        let presentations = self.presentations.as_mut_slice();
        if let Some(place) = presentations.iter().position(|p| p.id == id) {
            let presentation = &mut presentations[place];
            // Votes of two tracks never add up, even if both tracks are given the same identity.
            if presentation.track != track {
                presentation.track = track;
                presentation.doubt();
            }
            return Some(place);
        }
        if presentations.len() == MAX_PRESENTATIONS {
            let oldest = (0..presentations.len())
                .min_by_key(|i| (presentations[*i].seen, presentations[*i].id))?;
            if presentations[oldest].has_votes() {
                self.crowded_until = Some(now.plus(self.policy.vote_window()));
            }
            let id = presentations[oldest].id;
            self.part(now, oldest, events);
            self.presentations.retain(|p| p.id != id);
        }
        self.presentations
            .push(Presentation::new(id, track, now), MAX_PRESENTATIONS);
        Some(self.presentations.len() - 1)
    }

    /// Handles that the presentation at `place` has gone: it is charged what it owes, and gets its log line if it had none.
    fn part(&mut self, now: Timestamp, place: usize, events: &mut Events) {
        let presentation = &mut self.presentations.as_mut_slice()[place];
        presentation.gone = true;
        presentation.doubt();
        if presentation.pays_on_leaving(now) {
            self.penalty.charge(now, presentation.began, &self.policy);
        }
        // A single look that no second look confirms is ignored.
        let looks = presentation.strange + presentation.known;
        if presentation.settled || presentation.reported || looks < 2 {
            return;
        }
        presentation.reported = true;
        let p = *presentation;
        events.push(Event::Undecided {
            track: p.track,
            presentation: p.id,
            strange: p.strange,
            known: p.known,
            score: p.score,
            captured: p.looked,
        });
    }

    fn refuse(&mut self, now: Timestamp, seen: &Observation, events: &mut Events) {
        for sighting in seen.sightings() {
            let mut presentations = self.presentations.as_mut_slice().iter_mut();
            let fits =
                |p: &&mut Presentation| p.id == sighting.presentation && !p.settled && !p.reported;
            let Some(presentation) = presentations.find(fits) else {
                continue;
            };
            let Some(score) = presentation.rejected(&self.policy) else {
                continue;
            };
            presentation.reported = true;
            events.push(Event::Refused {
                track: presentation.track,
                presentation: presentation.id,
                score,
                captured: seen.captured(),
            });
            self.refused_shown_until = Some(now.plus(REFUSED_SHOWN));
        }
        self.punish(now, events);
    }

    /// Applies the consequences of the attempts.
    fn punish(&mut self, now: Timestamp, events: &mut Events) {
        while let Some(begun) = self.penalty.begin(now, &self.policy) {
            match begun {
                Begun::Strict => events.push(Event::Strict),
                Begun::Locked { until } => {
                    self.void_votes(now);
                    events.push(Event::LockedOut { until });
                }
            }
        }
    }

    fn grant(&mut self, now: Timestamp, seen: &Observation, events: &mut Events) {
        let strict = self.penalty.strict();
        for sighting in seen.sightings() {
            let recognised = !matches!(sighting.verdict, Verdict::Unclear);
            let mut presentations = self.presentations.as_slice().iter();
            let presentation = presentations
                .find(|p| p.id == sighting.presentation)
                .filter(|p| recognised && self.penalty.admits(p.began));
            let elected = presentation.and_then(|p| p.elected(&self.policy, strict));
            let Some((person, vote, votes)) = elected else {
                continue;
            };
            if self.policy.companions == Companions::Refuse && !self.alone(seen, sighting.track) {
                continue;
            }
            self.settle(now, sighting);
            let visiting = self.visits.as_slice().iter().any(|v| v.person == person);
            if visiting {
                if self.policy.retrigger == Retrigger::Hold {
                    self.trigger(OpenedBy::Person(person), events);
                }
                continue;
            }
            events.push(Event::Granted {
                person,
                track: sighting.track,
                score: vote.score,
                captured: vote.captured,
                votes,
            });
            let visit = Visit {
                person,
                last_vote: now,
            };
            self.visits.push(visit, MAX_VISITS);
            self.refused_shown_until = None;
            self.trigger(OpenedBy::Person(person), events);
        }
    }

    /// The sighting's presentation is of a person who may come in. What the face has cost is refunded, also if it seemed to be
    /// another identity just before; no more than one attempt is refunded.
    fn settle(&mut self, now: Timestamp, sighting: &Sighting) {
        let window = self.window();
        let mut paid = false;
        for presentation in self.presentations.as_mut_slice() {
            let its = presentation.id == sighting.presentation;
            if its && presentation.settled {
                return;
            }
            presentation.settled |= its;
            if its || presentation.track == sighting.track && now.since(presentation.seen) <= window
            {
                paid |= presentation.takes_back();
            }
        }
        if paid {
            self.penalty.refund(now, &self.policy);
        }
    }

    /// Whether every face other than that of `track` is certainly no stranger's. Another enrolled person may have been mistaken
    /// for a stranger in a frame or two; enough votes for that person rule out a stranger. A face that cannot be recognised and
    /// has no such votes may be any person's, and there may be more faces than a full frame can report.
    fn alone(&self, seen: &Observation, track: u32) -> bool {
        let mut others = self
            .presentations
            .as_slice()
            .iter()
            .filter(|p| p.track != track);
        let known = |id| {
            let mut presentations = self.presentations.as_slice().iter();
            presentations.any(|p| p.track == id && p.agrees(&self.policy))
        };
        let mut sightings = seen.sightings().iter().filter(|s| s.track != track);
        self.crowded_until.is_none()
            && seen.sightings().len() < MAX_FACES
            && !others.any(|p| p.is_strange(&self.policy))
            && !sightings.any(|s| s.verdict == Verdict::Unclear && !known(s.track))
    }
}
