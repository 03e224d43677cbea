//! One frame on the recognition thread: from a lease to what the door needs to know about it.
//!
//! Allocates nothing once loaded (see [`Reader::read`] for MJPEG).

use super::gallery::Knowledge;
use crate::door::{Observation, Sighting, Verdict};
use crate::face::{FaceError, MAX_FACES, Reader, Rect, Tracker};
use crate::frame::{ImageError, Lease};
use crate::people::{Evidence, Identifier};

/// Reader, identifier and tracker at work together.
pub struct Recogniser {
    reader: Reader,
    identifier: Identifier,
    tracker: Tracker,
    evidence: Evidence,
}

/// Why a frame told nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The camera delivered fewer bytes than it promised.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The picture could not be read.
    #[error(transparent)]
    Face(#[from] FaceError),
}

impl Recogniser {
    /// Reads faces with `reader` and names them with `identifier`.
    #[must_use]
    pub fn new(reader: Reader, identifier: Identifier) -> Self {
        Self {
            reader,
            identifier,
            tracker: Tracker::default(),
            evidence: Evidence::default(),
        }
    }

    /// Puts new knowledge into place and gives back the old, for somebody else to free.
    pub(super) fn exchange(&mut self, new: Knowledge) -> Knowledge {
        let embedder = new.embedder.map(|e| {
            // What another network said of a face means nothing to this one.
            self.evidence = Evidence::default();
            self.reader.exchange(e)
        });
        Knowledge {
            identifier: std::mem::replace(&mut self.identifier, new.identifier),
            embedder,
        }
    }

    /// What is to be seen in `lease`.
    ///
    /// # Errors
    /// [`LookError`]; the frame then counts as not seen.
    pub fn look(&mut self, lease: &Lease) -> Result<Observation, LookError> {
        let image = lease.image()?;
        let faces = self.reader.read(&image)?;
        let mut boxes = [Rect::default(); MAX_FACES];
        for (place, face) in boxes.iter_mut().zip(faces) {
            *place = face.bbox;
        }
        let tracks = self.tracker.follow(lease.captured(), &boxes[..faces.len()]);
        let mut observation = Observation::new(lease.captured());
        for (face, track) in faces.iter().zip(tracks) {
            let verdict = match &face.embedding {
                Err(_) => Verdict::Unclear,
                Ok(embedding) => {
                    let mean = self.evidence.add(track, embedding);
                    let found = self.identifier.identify_visit(embedding, mean);
                    match found.who {
                        Some(person) => Verdict::Known {
                            person,
                            score: found.score,
                        },
                        // A bad look at somebody, or somebody else in their place: the next frames will tell.
                        None if found.doubt => Verdict::Unclear,
                        None => Verdict::Stranger { score: found.score },
                    }
                }
            };
            observation.push(Sighting { track, verdict });
        }
        Ok(observation)
    }

    /// The reader, for its account of the last frame and its networks.
    pub const fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }
}
