//! An account of attempts: a bucket that every attempt fills a little and time empties at a steady rate.
//!
//! The account is stored as the time at which it will be empty (the virtual scheduling form of the generic cell rate algorithm,
//! ITU-T I.371), so it needs no fractions and no clock of its own. The cost of an attempt is the time that the attempt takes to
//! leak away: if a bucket holds `most` and an attempt costs `cost`, no more than `(most + time) / cost` attempts fit into
//! `time`.

use std::time::Duration;

use crate::clock::Timestamp;

/// One account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    empty_at: Timestamp,
}

impl Account {
    /// An empty account.
    pub(super) const fn new() -> Self {
        Self {
            empty_at: Timestamp::from_nanos(0),
        }
    }

    /// The content of the account, as the time that it takes to leak away.
    pub(super) const fn level(&self, now: Timestamp) -> Duration {
        self.empty_at.since(now)
    }

    /// Sets the level to `level`.
    pub(super) fn set(&mut self, now: Timestamp, level: Duration) {
        self.empty_at = now.plus(level);
    }

    /// Adds `cost`, up to a level of `most`. A level above `most` stays.
    pub(super) fn charge(&mut self, now: Timestamp, cost: Duration, most: Duration) {
        let level = self.level(now);
        self.set(now, level.saturating_add(cost).min(most).max(level));
    }

    /// Removes `cost` again, as far as it is still in the account.
    pub(super) fn refund(&mut self, now: Timestamp, cost: Duration) {
        self.set(now, self.level(now).saturating_sub(cost));
    }

    /// Keeps the content when the clock goes back from `before` to `now`.
    pub(super) fn jump_back(&mut self, before: Timestamp, now: Timestamp) {
        self.set(now, self.level(before));
    }
}
