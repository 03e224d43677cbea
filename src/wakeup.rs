//! Wakes a thread from `poll`, out of any other thread, without a lock: an eventfd, and channels that signal it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// An eventfd: any thread signals it, one thread polls it.
#[derive(Debug)]
pub struct Wakeup(OwnedFd);

impl Wakeup {
    /// A wakeup that is not signalled.
    ///
    /// # Errors
    /// The kernel's error, if it provides no descriptor.
    pub fn new() -> Result<Self, Errno> {
        eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map(Self)
    }

    /// Wakes the thread that polls. Never waits. If the kernel refuses (EAGAIN at 2^64 - 2), the eventfd is signalled already.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Resets the eventfd until the next [`Wakeup::wake`].
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    /// The descriptor to poll: readable while the eventfd is signalled.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits until the eventfd is signalled or `time` has passed, and resets it.
    pub fn wait(&self, time: Duration) {
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::IN)];
        if poll(&mut fds, timeout.as_ref()) == Ok(1) {
            self.clear();
        }
    }
}

/// The sending end of a channel to a thread that polls a [`Wakeup`]: every message wakes it.
#[derive(Clone, Debug)]
pub struct WakingSender<T> {
    channel: Sender<T>,
    wakeup: Arc<Wakeup>,
}

impl<T> WakingSender<T> {
    /// Sends into `channel` and signals `wakeup`.
    #[must_use]
    pub const fn new(channel: Sender<T>, wakeup: Arc<Wakeup>) -> Self {
        Self { channel, wakeup }
    }

    /// Sends `message` and wakes the receiver's thread; never waits.
    ///
    /// # Errors
    /// Returns the message if the channel is full or its receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.channel.try_send(message)?;
        self.wakeup.wake();
        Ok(())
    }
}
