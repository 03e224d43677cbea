//! The place between camera and recognition: room for one frame, where a newer one replaces an
//! unread older one. Lock-free on both sides, so neither thread ever waits for the other.

use crossbeam_queue::ArrayQueue;

use super::Lease;

/// Holds the newest frame that has not been read yet.
pub struct Slot(ArrayQueue<Lease>);

impl Slot {
    /// An empty slot.
    #[must_use]
    pub fn new() -> Self {
        Self(ArrayQueue::new(1))
    }

    /// Puts `lease` in and returns the unread older lease that it replaces. Drop the older one at once, because it keeps one
    /// of the driver's buffers.
    #[must_use = "the replaced lease holds a buffer that the driver waits for"]
    pub fn put(&self, lease: Lease) -> Option<Lease> {
        self.0.force_push(lease)
    }

    /// Takes the newest frame out, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Lease> {
        self.0.pop()
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}
