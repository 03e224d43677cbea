//! The state machine.

use std::time::Duration;

use super::event::{Event, Events, OpenedBy};
use super::observation::{Observation, Verdict};
use super::policy::{Companions, MAX_REFUSALS, Policy, PolicyError, Retrigger};
use super::ring::Ring;
use super::track::Track;
use crate::clock::Timestamp;
use crate::face::MAX_FACES;
use crate::people::PersonId;

/// Tracks that are remembered: twice the faces of a frame, so that a full frame of new faces never
/// pushes out the frame before.
const MAX_TRACKS: usize = 2 * MAX_FACES;

/// People who are remembered as having been let in and still there. A household is a dozen; should
/// there be more, those who came first count as gone.
const MAX_VISITS: usize = 2 * MAX_FACES;

/// How long a refusal is shown.
const REFUSED_SHOWN: Duration = Duration::from_secs(2);

/// How long a face is shown as seen after it was last in a frame.
const FACE_SHOWN: Duration = Duration::from_millis(500);

/// What the LEDs should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Nobody is there; everything works.
    Ready,
    /// A face is in view, the decision is still open or has been made.
    FaceSeen,
    /// The relay is on.
    Granted,
    /// A face has just been refused.
    Refused,
    /// Faces open nothing for the time being.
    LockedOut,
    /// Something the door depends on is broken.
    Fault,
    /// Nobody is there, everything works, and what the owner has set up last has a mistake. Never the door's own.
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
    /// Time of the last call.
    now: Timestamp,
    /// Frames that are not younger than this are no evidence: the last frame that was looked at, or
    /// the end of the last lock-out or fault.
    evidence_after: Option<Timestamp>,
    open: Option<Open>,
    locked_until: Option<Timestamp>,
    faulty: bool,
    tracks: Ring<Track, MAX_TRACKS>,
    visits: Ring<Visit, MAX_VISITS>,
    refusals: Ring<Timestamp, MAX_REFUSALS>,
    /// A track with votes had to be forgotten for want of room: until then, who else is there is not
    /// known.
    crowded_until: Option<Timestamp>,
    refused_shown_until: Option<Timestamp>,
    face_shown_until: Option<Timestamp>,
}

impl Door {
    /// A shut door that has seen nobody.
    ///
    /// # Errors
    /// [`PolicyError`] if a value of `policy` is out of its range.
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        policy.validate()?;
        let start = Timestamp::from_nanos(0);
        let nobody = Visit {
            person: PersonId(0),
            last_vote: start,
        };
        Ok(Self {
            policy,
            now: start,
            evidence_after: None,
            open: None,
            locked_until: None,
            faulty: false,
            tracks: Ring::new(Track::new(0, start)),
            visits: Ring::new(nobody),
            refusals: Ring::new(start),
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

    /// What the LEDs should say, as of the last call.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        if self.open.is_some() {
            Signal::Granted
        } else if self.faulty {
            Signal::Fault
        } else if self.locked_until.is_some() {
            Signal::LockedOut
        } else if self.refused_shown_until.is_some() {
            Signal::Refused
        } else if self.face_shown_until.is_some() {
            Signal::FaceSeen
        } else {
            Signal::Ready
        }
    }

    /// When [`Door::tick`] must be called next, if nothing else happens before: the earliest time at
    /// which [`Door::relay`] or [`Door::signal`] may change by themselves.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let opened = self.open.map(|open| open.until);
        [
            opened,
            self.locked_until,
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

    /// The exit button was pressed. It opens during a lock-out and a fault too: people must get out.
    pub fn button(&mut self, now: Timestamp) -> Events {
        let mut events = Events::new();
        self.advance(now, &mut events);
        if self.policy.button {
            self.trigger(OpenedBy::Button, &mut events);
        }
        events
    }

    /// A part the door depends on broke (`true`) or works again (`false`). The relay goes off and
    /// all votes are void; lock-out and counted refusals stay.
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

    /// What moves the relay or watches over it has just broken: as [`Door::fault`], and the relay goes
    /// off also where something else was broken before and the button has opened since. It must not go
    /// on again by itself when the part is back.
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
        self.evidence_after = Some(captured);
        if !seen.sightings().is_empty() {
            self.face_shown_until = Some(now.plus(FACE_SHOWN));
        }
        if self.faulty || self.locked_until.is_some() {
            return events;
        }
        let seen = seen.in_order();
        self.record(now, &seen);
        // Refusals first: where one frame both locks the door and would open it, it stays shut.
        self.refuse(now, &seen, &mut events);
        if self.locked_until.is_none() {
            self.grant(now, &seen, &mut events);
        }
        events
    }

    /// Everything that time alone changes.
    fn advance(&mut self, now: Timestamp, events: &mut Events) {
        if now < self.now {
            self.jump_back(now, events);
        }
        self.now = now;
        if self.open.is_some_and(|open| now >= open.until) {
            self.close(now, events);
        }
        if self.locked_until.is_some_and(|until| now >= until) {
            self.locked_until = None;
            self.void_votes(now);
            events.push(Event::LockoutEnded);
        }
        for shown in [&mut self.refused_shown_until, &mut self.face_shown_until] {
            *shown = shown.filter(|&until| now < until);
        }
        self.crowded_until = self.crowded_until.filter(|&until| now <= until);
        let window = self.policy.vote_window();
        let absence = self.policy.absence();
        for track in self.tracks.as_mut_slice() {
            track.expire(now, window);
        }
        self.tracks
            .retain(|track| now.since(track.seen) <= window.max(absence));
        let lockout_window = self.policy.lockout_window();
        self.refusals.retain(|&at| now.since(at) <= lockout_window);
        self.end_visits(now);
    }

    /// A visit is over once its person has not been voted for during `absence_ms`. Votes from it do
    /// not count for the next one.
    fn end_visits(&mut self, now: Timestamp) {
        let absence = self.policy.absence();
        let tracks = &mut self.tracks;
        self.visits.retain(|visit| {
            let there = now.since(visit.last_vote) <= absence;
            if !there {
                for track in tracks.as_mut_slice() {
                    track.void(visit.person);
                }
            }
            there
        });
    }

    /// Nothing that was measured by the old time holds; what keeps the door shut stays, but no
    /// longer than it would if it began now.
    fn jump_back(&mut self, now: Timestamp, events: &mut Events) {
        events.push(Event::ClockJumped);
        self.close(now, events);
        self.tracks.clear();
        self.visits.clear();
        self.evidence_after = Some(now);
        self.crowded_until = None;
        self.refused_shown_until = None;
        self.face_shown_until = None;
        let latest = now.plus(self.policy.lockout());
        self.locked_until = self.locked_until.map(|until| until.min(latest));
        for at in self.refusals.as_mut_slice() {
            *at = now.min(*at);
        }
    }

    /// Forgets all evidence, and what frames captured until `now` will still say.
    fn void_votes(&mut self, now: Timestamp) {
        for track in self.tracks.as_mut_slice() {
            track.clear();
        }
        self.evidence_after = self.evidence_after.max(Some(now));
    }

    fn close(&mut self, at: Timestamp, events: &mut Events) {
        if let Some(open) = self.open.take() {
            let held = at.since(open.since);
            events.push(Event::Closed { held });
        }
    }

    /// Relay on, or on for longer.
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

    /// Writes down what every face of the frame was recognised as.
    fn record(&mut self, now: Timestamp, seen: &Observation) {
        for sighting in seen.sightings() {
            let mut known = self.tracks.as_slice().iter();
            let place = match known.position(|t| t.id == sighting.track) {
                Some(place) => place,
                // Nothing to remember yet.
                None if sighting.verdict == Verdict::Unclear => continue,
                None => self.new_track(now, sighting.track),
            };
            let track = &mut self.tracks.as_mut_slice()[place];
            track.seen = now;
            track.vote(seen.captured(), sighting.verdict, &self.policy);
            if let Verdict::Known { person, .. } = sighting.verdict {
                let mut visits = self.visits.as_mut_slice().iter_mut();
                if let Some(visit) = visits.find(|v| v.person == person) {
                    visit.last_vote = now;
                }
            }
        }
    }

    /// Makes room for a track if there is none, and returns the place of the new one.
    fn new_track(&mut self, now: Timestamp, id: u32) -> usize {
        if self.tracks.len() == MAX_TRACKS {
            let oldest = self.tracks.as_slice().iter();
            if let Some(oldest) = oldest.min_by_key(|t| (t.seen, t.id)).copied() {
                if oldest.has_votes() {
                    self.crowded_until = Some(now.plus(self.policy.vote_window()));
                }
                self.tracks.retain(|track| track.id != oldest.id);
            }
        }
        self.tracks.push(Track::new(id, now), MAX_TRACKS);
        self.tracks.len() - 1
    }

    fn refuse(&mut self, now: Timestamp, seen: &Observation, events: &mut Events) {
        for sighting in seen.sightings() {
            let mut tracks = self.tracks.as_mut_slice().iter_mut();
            let Some(track) = tracks.find(|t| t.id == sighting.track && !t.settled) else {
                continue;
            };
            let Some(score) = track.rejected(&self.policy) else {
                continue;
            };
            track.settled = true;
            events.push(Event::Refused {
                track: track.id,
                score,
                captured: seen.captured(),
            });
            self.refused_shown_until = Some(now.plus(REFUSED_SHOWN));
            self.refusals.push(now, MAX_REFUSALS);
        }
        let after = self.policy.lockout_after as usize;
        if after > 0 && self.refusals.len() >= after {
            let until = now.plus(self.policy.lockout());
            self.locked_until = Some(until);
            self.refusals.clear();
            self.void_votes(now);
            events.push(Event::LockedOut { until });
        }
    }

    fn grant(&mut self, now: Timestamp, seen: &Observation, events: &mut Events) {
        for sighting in seen.sightings() {
            let recognised = !matches!(sighting.verdict, Verdict::Unclear);
            let mut tracks = self.tracks.as_slice().iter();
            let track = tracks
                .find(|t| t.id == sighting.track)
                .filter(|_| recognised);
            let Some((person, vote, votes)) = track.and_then(|t| t.elected(&self.policy)) else {
                continue;
            };
            if self.policy.companions == Companions::Refuse && !self.alone(seen, sighting.track) {
                continue;
            }
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
            self.refusals.clear();
            self.refused_shown_until = None;
            let mut tracks = self.tracks.as_mut_slice().iter_mut();
            if let Some(track) = tracks.find(|t| t.id == sighting.track) {
                track.settled = true;
            }
            self.trigger(OpenedBy::Person(person), events);
        }
    }

    /// Whether no other face than that of `track` is a stranger's, or may be. Another enrolled person
    /// may have been taken for a stranger in a frame or two: enough votes for them say otherwise. A face
    /// that cannot be recognised and has no such votes may be anybody's, and a frame that is full of
    /// faces may hold more.
    fn alone(&self, seen: &Observation, track: u32) -> bool {
        let mut others = self.tracks.as_slice().iter().filter(|t| t.id != track);
        let known = |id| {
            let mut tracks = self.tracks.as_slice().iter();
            tracks.any(|t| t.id == id && t.agrees(&self.policy))
        };
        let mut sightings = seen.sightings().iter().filter(|s| s.track != track);
        self.crowded_until.is_none()
            && seen.sightings().len() < MAX_FACES
            && !others.any(|t| t.is_strange(&self.policy))
            && !sightings.any(|s| s.verdict == Verdict::Unclear && !known(s.track))
    }
}
