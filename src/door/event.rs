//! What the door has to tell: the lines of the log, and what home automation hears.

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
    /// A person was recognised surely enough. Once a visit.
    Granted {
        /// Who.
        person: PersonId,
        /// The track that was recognised.
        track: u32,
        /// Score of the vote that decided.
        score: f32,
        /// When the camera took the frame that decided.
        captured: Timestamp,
        /// Votes for this person among the last M recognitions of the track.
        votes: u32,
    },
    /// A face was looked at M times and is nobody who may come in. Once a track.
    Refused {
        /// The track that was refused.
        track: u32,
        /// Highest score among the last M recognitions.
        score: f32,
        /// When the camera took the frame that decided.
        captured: Timestamp,
    },
    /// Too many refusals: faces open nothing until `until`.
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

/// Most events of one call: every face granted and refused, and the five others.
const CAPACITY: usize = 2 * MAX_FACES + 5;

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
