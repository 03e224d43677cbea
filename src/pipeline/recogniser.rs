//! One frame on the recognition thread: from a lease to the door's information about the frame.
//!
//! Allocates nothing once loaded (see [`Reader::read`] for MJPEG).

use super::IdentityTracker;
use super::gallery::MatcherUpdate;
use crate::door::Observation;
use crate::face::{FaceError, Reader};
use crate::frame::{ImageError, Lease};
use crate::people::Identifier;

/// The reader and the identity tracker together.
pub struct Recogniser {
    reader: Reader,
    tracker: IdentityTracker,
}

/// Why a frame could not be used.
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
            tracker: IdentityTracker::new(identifier),
        }
    }

    /// Replaces the identifier, and the embedder if `new` has one. Returns the old ones, for another thread to free.
    pub(super) fn exchange(&mut self, new: MatcherUpdate) -> MatcherUpdate {
        let embedder = new.embedder.map(|e| {
            // Looks at a face by another network have no meaning for this one.
            self.tracker.forget();
            self.reader.exchange(e)
        });
        MatcherUpdate {
            identifier: self.tracker.exchange(new.identifier),
            embedder,
        }
    }

    /// What is visible in `lease`.
    ///
    /// # Errors
    /// [`LookError`]; the frame then counts as not seen.
    pub fn look(&mut self, lease: &Lease) -> Result<Observation, LookError> {
        let image = lease.image()?;
        let faces = self.reader.read(&image)?;
        Ok(self.tracker.observe(lease.captured(), faces))
    }

    /// The reader, for the costs of the last frame and its networks.
    pub const fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }
}
