//! The decision: it turns the reports of recognition about each frame into whether the relay is on.
//!
//! A pure state machine. It has no clock (time is passed in), does no input or output, holds no lock and allocates nothing on
//! the heap. It knows the numbers of people but not their names, and nothing about cameras, thresholds or pins.
//!
//! The state machine follows *presentations*: a presentation is one identity in one *track*, and a track is one face followed
//! from frame to frame. A person is let in when N of the last M recognitions of one presentation name the same person, all of
//! them younger than the vote window. A doubt always counts against opening: a frame that is stale, repeated or from the future
//! is ignored, votes of two presentations never add up, a score that is not a number makes the face a stranger's, and a clock
//! that runs backwards voids every vote and closes the door.
//!
//! A presentation of a person who may not come in is an attempt, whether the person is refused or leaves before. Attempts make
//! the bar strict for a while, and many attempts lock the door; `penalty` defines when and for how long.
//!
//! ```
//! use latchkey::clock::Timestamp;
//! use latchkey::door::{Door, Observation, Policy, Sighting, Verdict};
//! use latchkey::people::{Motion, PersonId};
//!
//! let mut door = Door::new(Policy::default())?; // 3 votes of 5 within 2 s open for 3 s
//! for frame in 1..=3 {
//!     let now = Timestamp::from_millis(frame * 100);
//!     let mut seen = Observation::new(now);
//!     let (person, score, strong) = (PersonId(7), 0.8, true);
//!     seen.push(Sighting {
//!         track: 1,
//!         presentation: 1,
//!         motion: Motion::Moved,
//!         verdict: Verdict::Known { person, score, strong },
//!     });
//!     for event in &door.observe(now, &seen) {
//!         println!("{event:?}"); // at the third frame: Granted, Opened
//!     }
//! }
//! assert!(door.relay());
//! door.tick(Timestamp::from_millis(3300));
//! assert!(!door.relay());
//! # Ok::<(), latchkey::door::PolicyError>(())
//! ```

mod account;
mod event;
mod observation;
mod penalty;
mod policy;
mod presentation;
mod ring;
mod state;
#[cfg(test)]
mod tests;

pub use event::{Event, Events, OpenedBy};
pub use observation::{Observation, Sighting, Verdict};
pub use policy::{Companions, MAX_VOTES, Policy, PolicyError, Retrigger};
pub use state::{Door, Indication};
