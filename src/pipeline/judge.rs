//! Whose faces those of a frame are: tracks, presentations and names. It reads no pixels and decides nothing about the
//! door. Allocates nothing.

use crate::clock::Timestamp;
use crate::door::{Observation, Sighting, Verdict};
use crate::face::{Face, MAX_FACES, Rect, Tracker};
use crate::people::{Evidence, Identifier, Motion};

/// Follows faces from frame to frame and names them.
pub struct Judge {
    identifier: Identifier,
    tracker: Tracker,
    evidence: Evidence,
}

/// A face of a frame that is no thing, in which parts of it may look like smaller faces.
#[derive(Clone, Copy)]
struct Whole {
    bbox: Rect,
    score: f32,
    known: bool,
}

/// A face with more of its area than this in another one is a part of that.
const PART: f32 = 0.5;

impl Whole {
    /// Whether `face`, which is smaller, is a part of this one. Where this one is nobody's that is known, the smaller may be
    /// the face and the larger a mistake: the surer one is the face.
    fn holds(&self, face: &Face) -> bool {
        face.bbox.within(&self.bbox) > PART && (self.known || self.score >= face.score)
    }
}

impl Judge {
    /// Names faces with `identifier`.
    #[must_use]
    pub fn new(identifier: Identifier) -> Self {
        Self {
            identifier,
            tracker: Tracker::default(),
            evidence: Evidence::default(),
        }
    }

    /// Names faces with `identifier` from now on. Gives back the old one.
    pub fn exchange(&mut self, identifier: Identifier) -> Identifier {
        std::mem::replace(&mut self.identifier, identifier)
    }

    /// Forgets all looks so far.
    pub fn forget(&mut self) {
        self.evidence.clear();
    }

    /// What the door needs to know of a frame taken at `captured` with these faces, largest first.
    #[must_use]
    pub fn observe(&mut self, captured: Timestamp, faces: &[Face]) -> Observation {
        let mut boxes = [Rect::default(); MAX_FACES];
        for (place, face) in boxes.iter_mut().zip(faces) {
            *place = face.bbox;
        }
        let tracks = self.tracker.follow(captured, &boxes[..faces.len()]);
        let mut observation = Observation::new(captured);
        // Larger faces first: what lies in a face is a part of it.
        let mut whole = [None; MAX_FACES];
        for (place, (face, track)) in faces.iter().zip(tracks).enumerate() {
            let (now, bbox) = (captured, &face.bbox);
            let mut sighting = Sighting {
                track,
                presentation: 0,
                motion: Motion::Still,
                verdict: Verdict::Unclear,
            };
            if whole.iter().flatten().any(|w: &Whole| w.holds(face)) {
                observation.push(sighting);
                continue;
            }
            let seen = match &face.embedding {
                Err(_) => self.evidence.glimpse(now, track, bbox),
                Ok(face) => {
                    let same = self.identifier.threshold();
                    self.evidence.look(now, track, bbox, face, same)
                }
            };
            (sighting.presentation, sighting.motion) = (seen.number, seen.motion);
            let mut known = false;
            if let (Ok(embedding), Some(mean)) = (&face.embedding, seen.mean) {
                let found = self.identifier.identify_visit(embedding, mean);
                sighting.verdict = match found.who {
                    Some(person) => Verdict::Known {
                        person,
                        score: found.score,
                        strong: found.strong,
                    },
                    // A bad look at an enrolled person: the next frames will show.
                    None if found.doubt => Verdict::Unclear,
                    None => Verdict::Stranger { score: found.score },
                };
                known = found.who.is_some() || found.doubt;
            }
            if known && sighting.motion != Motion::Fixture {
                self.evidence.known(sighting.presentation);
            }
            if sighting.motion != Motion::Fixture {
                let (bbox, score) = (face.bbox, face.score);
                whole[place] = Some(Whole { bbox, score, known });
            }
            observation.push(sighting);
        }
        observation
    }
}
