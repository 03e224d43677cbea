//! Wakes a thread out of `poll`, from any other, without a lock: an eventfd, and channels that ring it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Any thread rings it; one thread polls it.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The kernel's error, if it gives no descriptor.
    pub fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map(Self)
    }

    /// Rings. Never waits. If the kernel refuses (EAGAIN at 2^64 - 2), the bell rings already.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Silences it until it is rung again.
    pub fn silence(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    /// What to poll: readable while it rings.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits until it rings or `time` has passed, and silences it.
    pub fn wait(&self, time: Duration) {
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::IN)];
        if poll(&mut fds, timeout.as_ref()) == Ok(1) {
            self.silence();
        }
    }
}

/// The sending end of a channel to a thread that polls a bell: every message rings it.
#[derive(Clone, Debug)]
pub struct Caller<T> {
    channel: Sender<T>,
    bell: Arc<Bell>,
}

impl<T> Caller<T> {
    /// Sends into `channel` and rings `bell`.
    #[must_use]
    pub const fn new(channel: Sender<T>, bell: Arc<Bell>) -> Self {
        Self { channel, bell }
    }

    /// Sends `message` and rings; never waits.
    ///
    /// # Errors
    /// Gives the message back if the channel is full or its receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.channel.try_send(message)?;
        self.bell.ring();
        Ok(())
    }
}
