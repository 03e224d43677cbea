//! Runs the door on single films and on an hour of them, in simulated time. No output is driven, and nothing waits.

use super::film::Film;
use crate::chance::Chance;
use crate::clock::Timestamp;
use crate::door::{Door, Event, Indication, Policy, PolicyError};
use crate::face::Face;
use crate::people::PersonId;
use crate::pipeline::IdentityTracker;

/// The time between two looks, in ms.
const STEP: u64 = 100;
/// In an hour of strangers, in ms: the time between two visits of strangers, and the time between two visits of residents.
const PAUSE: u64 = 3_000;
const RESIDENT_EVERY: u64 = 300_000;
pub const HOUR: u64 = 3_600_000;

/// Hours of strangers, one after the other.
#[derive(Default)]
pub struct Hours {
    pub played: u32,
    pub visits: usize,
    pub let_in: usize,
    pub refused: usize,
    pub strict_ms: u64,
    pub locked_ms: u64,
    /// Visits of residents in between.
    pub residents: usize,
    /// The number of these visits in which the resident was let in under the right name.
    pub residents_let_in: usize,
}

/// A door in simulated time.
pub struct Play {
    tracker: IdentityTracker,
    policy: Policy,
    door: Door,
    now: u64,
    strict: bool,
}

impl Play {
    pub fn new(tracker: IdentityTracker, policy: Policy) -> Result<Self, PolicyError> {
        Ok(Self {
            tracker,
            door: Door::new(policy.clone())?,
            policy,
            now: 1_000_000,
            strict: false,
        })
    }

    /// Shows a frame. Returns who is granted by it, and how many were refused.
    fn look(&mut self, faces: &[Face]) -> (Option<PersonId>, usize) {
        self.now += STEP;
        let at = Timestamp::from_millis(self.now);
        let seen = self.tracker.observe(at, faces);
        let (mut granted, mut refused) = (None, 0);
        for event in &self.door.observe(at, &seen) {
            match event {
                Event::Granted { person, .. } => granted = granted.or(Some(*person)),
                Event::Refused { .. } | Event::Undecided { .. } => refused += 1,
                Event::Strict => self.strict = true,
                Event::StrictEnded => self.strict = false,
                _ => {}
            }
        }
        (granted, refused)
    }

    /// Resets the door and all tracks, as if no one had come for a long time.
    fn begin(&mut self) -> Result<(), PolicyError> {
        self.tracker.forget();
        self.door = Door::new(self.policy.clone())?;
        self.now += HOUR;
        self.strict = false;
        Ok(())
    }

    /// Plays one visit. Returns the first person who is let in.
    pub fn visit(&mut self, film: &Film<'_>) -> Result<Option<PersonId>, PolicyError> {
        self.begin()?;
        let looks = film.iter().map(|faces| self.look(faces).0);
        // All of it is played, so that the next one begins where this ends.
        Ok(looks.fold(None, Option::or))
    }

    /// An hour in which strangers come one after the other, and a resident every five minutes.
    pub fn hour(
        &mut self,
        strangers: &[Film<'_>],
        residents: &[(PersonId, Film<'_>)],
        chance: &mut Chance,
        hours: &mut Hours,
    ) -> Result<(), PolicyError> {
        self.begin()?;
        let (began, mut next_resident) = (self.now, self.now + RESIDENT_EVERY);
        hours.played += 1;
        while self.now - began < HOUR {
            let resident = self.now >= next_resident && !residents.is_empty();
            let (who, film) = if resident {
                let (id, film) = &residents[chance.one_of(residents.len())];
                (Some(*id), film)
            } else {
                (None, &strangers[chance.one_of(strangers.len())])
            };
            let mut granted = false;
            let pause = std::iter::repeat_n(&[][..], (PAUSE / STEP) as usize);
            for faces in film.iter().copied().chain(pause) {
                let (person, refused) = self.look(faces);
                // A stranger counts as let in under any name, a resident only under the right one.
                granted |= person.is_some() && (who.is_none() || person == who);
                hours.refused += refused;
                let locked = self.door.indication() == Indication::LockedOut;
                hours.locked_ms += if locked { STEP } else { 0 };
                hours.strict_ms += if self.strict && !locked { STEP } else { 0 };
            }
            if resident {
                next_resident += RESIDENT_EVERY;
                hours.residents += 1;
                hours.residents_let_in += usize::from(granted);
            } else {
                hours.visits += 1;
                hours.let_in += usize::from(granted);
            }
        }
        Ok(())
    }
}
