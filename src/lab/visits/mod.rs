//! Plays visits made from photos. They go through tracks, evidence, votes and lock-out, as frames of the camera do at the door. A
//! visit is many looks at one person, and the best look decides.
//!
//! Frames are made from each photo: its face, with its surroundings, is shown before a grey wall. The face comes nearer, sways,
//! bends and is lit differently from look to look. Alternatively, the photos of a folder already are the frames of a film.

mod film;
mod house;
mod play;
mod tally;

pub use self::house::{House, Judgement};
pub use self::play::HOUR;
pub use self::tally::{Tally, Visited};

/// What a photo represents in a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each photo is a visit, in which its face is held before a wall.
    Photos,
    /// Each photo is a frame of a film. The photos of a folder, in the order of their names, are looks one after the other.
    Frames,
}

/// Which visits are played, and how often.
pub struct Plan {
    pub kind: Kind,
    /// The number of strangers that the head learns from.
    pub unknown: usize,
    /// How many times a household and strangers are picked at random.
    pub draws: u16,
    pub seed: u64,
    /// The number of looks in a visit, ten per second.
    pub looks: u16,
}
