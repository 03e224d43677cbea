//! The report of recognition about one frame.

use crate::clock::Timestamp;
use crate::face::MAX_FACES;
use crate::people::{Motion, PersonId};

/// The report of recognition about one face in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The face of an enrolled person.
    Known {
        /// The person.
        person: PersonId,
        /// Confidence; larger is more certain. A value that is not finite makes the face a stranger's.
        score: f32,
        /// Whether the recognition is certain enough to count while the bar is strict.
        strong: bool,
    },
    /// A face that is good enough to recognise, but not of an enrolled person.
    Stranger {
        /// Confidence that the face is the most similar enrolled person's.
        score: f32,
    },
    /// The face is too small, blurred or turned to be recognised in this frame.
    Unclear,
}

/// One face of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// Identifies the face by its place: the same number from frame to frame as long as the face is followed.
    pub track: u32,
    /// Identifies whose face it is: a new number as soon as the face in a track is another person's. A number is never used for
    /// two identities. 0 for a face that was never recognised.
    pub presentation: u32,
    /// How the face has moved.
    pub motion: Motion,
    /// Whose face it is.
    pub verdict: Verdict,
}

impl Sighting {
    /// A face that is ignored: a part of another face, or one that is not looked at.
    #[must_use]
    pub const fn passed_over(track: u32) -> Self {
        Self {
            track,
            presentation: 0,
            motion: Motion::Still,
            verdict: Verdict::Unclear,
        }
    }
}

/// The content of one frame: up to [`MAX_FACES`] faces, in any order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    captured: Timestamp,
    len: usize,
    sightings: [Sighting; MAX_FACES],
}

impl Observation {
    /// A frame captured at `captured`, without faces.
    #[must_use]
    pub const fn new(captured: Timestamp) -> Self {
        let none = Sighting::passed_over(0);
        Self {
            captured,
            len: 0,
            sightings: [none; MAX_FACES],
        }
    }

    /// Adds a face. Returns false, and leaves the face out, if there are [`MAX_FACES`] already.
    pub const fn push(&mut self, sighting: Sighting) -> bool {
        if self.len == MAX_FACES {
            return false;
        }
        self.sightings[self.len] = sighting;
        self.len += 1;
        true
    }

    /// When the camera took the frame.
    #[must_use]
    pub const fn captured(&self) -> Timestamp {
        self.captured
    }

    /// The faces.
    #[must_use]
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings[..self.len]
    }

    /// The faces in the order of their tracks, each track once, with finite scores. A track that occurs twice is a tracker's
    /// mistake: then it stays unclear which of the two faces it is. A thing never counts as known.
    pub(super) fn in_order(&self) -> Self {
        let mut sorted = *self;
        sorted.sightings[..self.len].sort_unstable_by_key(|s| (s.track, s.presentation));
        let mut out = Self::new(self.captured);
        for s in sorted.sightings() {
            let verdict = match s.verdict {
                Verdict::Known { .. } if s.motion.is_thing() => Verdict::Unclear,
                Verdict::Known { score, .. } if !score.is_finite() => {
                    Verdict::Stranger { score: 0.0 }
                }
                Verdict::Stranger { score } if !score.is_finite() => {
                    Verdict::Stranger { score: 0.0 }
                }
                v => v,
            };
            match out.sightings[..out.len].last_mut() {
                Some(last) if last.track == s.track => {
                    (last.verdict, last.motion) = (Verdict::Unclear, Motion::Still);
                }
                _ => {
                    out.push(Sighting { verdict, ..*s });
                }
            }
        }
        out
    }
}
