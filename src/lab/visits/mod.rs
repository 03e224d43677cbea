//! Visits played from photos through tracks, evidence, votes and lock-out, as frames of the camera go through them at the door. A
//! visit is many looks at one person, and the best of them decides.
//!
//! Frames are made of each photo: its face, with what is around it, before a grey wall. It comes nearer, sways, bends its
//! head and is lit differently from look to look. Or the photos of a folder already are the frames of a film.

mod film;
mod house;
mod play;
mod tally;

pub use self::house::{House, Judgement};
pub use self::play::HOUR;
pub use self::tally::{Tally, Visited};

/// What a photo stands for in a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each photo is a visit: its face is held before a wall.
    Photos,
    /// A frame of a film: the photos of a folder, in the order of their names, are looks one after the other.
    Frames,
}

/// Which visits are played, and how often.
pub struct Plan {
    pub kind: Kind,
    /// Strangers that the head learns from.
    pub unknown: usize,
    /// How often household and strangers are drawn.
    pub draws: u16,
    pub seed: u64,
    /// Looks of a visit, ten a second.
    pub looks: u16,
}
