//! An account of attempts: a bucket that every attempt fills a little and time empties at a steady rate.
//!
//! It is stored as the time at which it will be empty (the virtual scheduling form of the generic cell rate algorithm,
//! ITU-T I.371), so it needs no fractions and no clock of its own. An attempt costs the time that it takes to leak away:
//! where a bucket holds `most` and an attempt costs `cost`, no more than `(most + time) / cost` attempts fit into `time`.

use std::time::Duration;

use crate::clock::Timestamp;

/// One account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    empty_at: Timestamp,
}

impl Account {
    /// An empty one.
    pub(super) const fn new() -> Self {
        Self {
            empty_at: Timestamp::from_nanos(0),
        }
    }

    /// Its content, as the time that it takes to leak away.
    pub(super) const fn level(&self, now: Timestamp) -> Duration {
        self.empty_at.since(now)
    }

    /// Makes its level `level`.
    pub(super) fn set(&mut self, now: Timestamp, level: Duration) {
        self.empty_at = now.plus(level);
    }

    /// Adds `cost`, up to `most`. A level above that stays.
    pub(super) fn charge(&mut self, now: Timestamp, cost: Duration, most: Duration) {
        let level = self.level(now);
        self.set(now, level.saturating_add(cost).min(most).max(level));
    }

    /// Takes `cost` out again, as far as it is still there.
    pub(super) fn refund(&mut self, now: Timestamp, cost: Duration) {
        self.set(now, self.level(now).saturating_sub(cost));
    }

    /// The clock went back from `before` to `now`: the content stays.
    pub(super) fn jump_back(&mut self, before: Timestamp, now: Timestamp) {
        self.set(now, self.level(before));
    }
}
