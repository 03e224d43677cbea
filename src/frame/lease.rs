//! A frame on loan from the camera's memory.
//!
//! Nothing here copies pixels: a lease is an index into its pool's buffers, and dropping it gives the
//! buffer back. The pool defines which memory that is and what giving back means.

use std::sync::Arc;

use super::{Image, ImageError, Layout, PixelFormat};
use crate::clock::Timestamp;

/// The buffers of one running stream: where leases come from and go back to.
pub trait Pool: Send + Sync {
    /// The memory of buffer `index`, including the bytes behind the picture that may be read. Called only while that buffer
    /// is out on lease, so nothing writes to it meanwhile.
    fn bytes(&self, index: u32) -> &[u8];

    /// Takes buffer `index` back. Must neither block, lock nor allocate: it runs on the frame path.
    fn give_back(&self, index: u32);
}

/// A borrowed frame. Dropping it gives the buffer back to its pool.
pub struct Lease {
    pool: Arc<dyn Pool>,
    index: u32,
    /// The number of bytes at the start of the buffer that belong to the picture.
    used: usize,
    layout: Layout,
    captured: Timestamp,
    sequence: u32,
}

impl Lease {
    /// A lease of the first `used` bytes of buffer `index`, which the pool must not lend again until
    /// this lease is dropped.
    #[must_use]
    pub fn new(
        pool: Arc<dyn Pool>,
        index: u32,
        used: usize,
        layout: Layout,
        captured: Timestamp,
        sequence: u32,
    ) -> Self {
        Self {
            pool,
            index,
            used,
            layout,
            captured,
            sequence,
        }
    }

    /// The picture.
    ///
    /// # Errors
    /// [`ImageError`] if the driver delivered fewer bytes than the promised layout takes.
    pub fn image(&self) -> Result<Image<'_>, ImageError> {
        let bytes = self.pool.bytes(self.index);
        let image = Image::new(self.layout, &bytes[..self.used.min(bytes.len())])?;
        Ok(match self.layout.format {
            // An MJPEG picture ends where the driver reports its end.
            PixelFormat::Mjpeg => image,
            _ => Image { bytes, ..image },
        })
    }

    /// When the camera took the frame.
    #[must_use]
    pub const fn captured(&self) -> Timestamp {
        self.captured
    }

    /// The number that the driver gave the frame. Missing numbers are frames that the camera lost.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(self.index);
    }
}
