//! The door's events: the lines of the log, and the messages for home automation.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::face::MAX_FACES;
use crate::people::PersonId;

/// What opened the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedBy {
    /// A person who was recognised.
    Person(PersonId),
    /// The exit button.
    Button,
}

/// Something that happened to the door.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A person was recognised with enough certainty. Once per visit.
    Granted {
        /// The person.
        person: PersonId,
        /// The track that was recognised.
        track: u32,
        /// Score of the decisive vote.
        score: f32,
        /// When the camera took the decisive frame.
        captured: Timestamp,
        /// Votes for this person among the last M recognitions of the track.
        votes: u32,
    },
    /// A face was looked at M times or more and is not a person who may come in. Once per presentation.
    Refused {
        /// The track that was refused.
        track: u32,
        /// The number of the identity whose face it is.
        presentation: u32,
        /// Highest score among the last M recognitions.
        score: f32,
        /// When the camera took the decisive frame.
        captured: Timestamp,
    },
    /// A face left before it was let in or refused.
    Undecided {
        /// Its track.
        track: u32,
        /// The number of the identity whose face it is.
        presentation: u32,
        /// Number of recognitions as anyone who may not come in.
        strange: u32,
        /// Number of recognitions as a person who may come in.
        known: u32,
        /// Highest score of all recognitions.
        score: f32,
        /// When the camera took the frame of the last recognition.
        captured: Timestamp,
    },
    /// An object that looks like a face has not moved for so long that it counts as a thing. Once per presentation.
    Fixture {
        /// Its track.
        track: u32,
        /// Its number.
        presentation: u32,
    },
    /// One unknown face after another has appeared in one place. After this event, faces in that place are ignored.
    Unsteady {
        /// The track of the newest of these faces.
        track: u32,
        /// The number of its presentation.
        presentation: u32,
    },
    /// There were many attempts: the bar is strict.
    Strict,
    /// The usual bar holds again.
    StrictEnded,
    /// There were too many attempts: faces open nothing until `until`.
    LockedOut {
        /// When it ends.
        until: Timestamp,
    },
    /// The lock-out is over.
    LockoutEnded,
    /// The relay went on.
    Opened {
        /// What opened it.
        by: OpenedBy,
    },
    /// The relay went off.
    Closed {
        /// How long it was on.
        held: Duration,
    },
    /// The clock went backwards: all votes are void.
    ClockJumped,
}

/// The largest number of events of one call: one or two of every face, one of every remembered presentation, one of every
/// presentation that is forgotten to make room for another, and the seven other events.
const CAPACITY: usize = 5 * MAX_FACES + 7;

/// The events of one call, in the order in which they happened.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    items: [Event; CAPACITY],
    len: usize,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            items: [Event::ClockJumped; CAPACITY],
            len: 0,
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        debug_assert!(self.len < CAPACITY, "more events than one call can have");
        if let Some(place) = self.items.get_mut(self.len) {
            *place = event;
            self.len += 1;
        }
    }

    /// The events.
    #[must_use]
    pub fn as_slice(&self) -> &[Event] {
        &self.items[..self.len]
    }

    /// The events, one after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Event> {
        self.as_slice().iter()
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
