//! Reports of the loop's progress: the log's `alive` line for people, and notifications for the service manager.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use crate::capture::{Counters, LONGEST_ROUND};
use crate::clock::{self, Timestamp};

/// How often the service manager is notified.
const NOTIFY_INTERVAL: Duration = Duration::from_secs(1);
/// How long the source may make no round. It makes rounds even if a camera is silent or absent.
const SOURCE_TIMEOUT: Duration = LONGEST_ROUND.saturating_mul(2);
/// How long the door may make no round. It makes eight rounds per second.
const DOOR_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks that each thread makes rounds. If one does not, the service manager is not notified.
pub struct Liveness {
    watchdog: Duration,
    counters: Arc<Counters>,
    rounds: u64,
    /// When the source was last seen to have made a round.
    source_round: Timestamp,
    last_notified: Option<Timestamp>,
}

impl Liveness {
    /// Recognition counts as stuck after `watchdog`. `counters` belong to the source.
    pub fn new(watchdog: Duration, counters: Arc<Counters>) -> Self {
        Self {
            watchdog,
            counters,
            rounds: 0,
            source_round: Timestamp::now(),
            last_notified: None,
        }
    }

    /// Whether to notify the service manager that all is well. A play that sets its own time always does so.
    pub fn should_notify(&mut self, shared: &Shared) -> bool {
        let now = Timestamp::now();
        let rounds = Counters::get(&self.counters.rounds);
        if rounds != self.rounds {
            (self.rounds, self.source_round) = (rounds, now);
        }
        if self
            .last_notified
            .is_some_and(|at| now.since(at) < NOTIFY_INTERVAL)
        {
            return false;
        }
        let recognition = Timestamp::from_nanos(shared.recognition_round.load(Ordering::Acquire));
        let door = Timestamp::from_nanos(shared.door_round.load(Ordering::Acquire));
        let all = now.since(recognition) <= self.watchdog
            && now.since(self.source_round) <= SOURCE_TIMEOUT
            && now.since(door) <= DOOR_TIMEOUT;
        if all || clock::halted() {
            self.last_notified = Some(now);
            return true;
        }
        false
    }
}

/// Logs the `alive` line.
pub struct AliveLog {
    every: Option<Duration>,
    begun: Instant,
    last: Instant,
    counters: Arc<Counters>,
}

impl AliveLog {
    pub fn new(minutes: u32, counters: Arc<Counters>) -> Self {
        let every = (minutes > 0).then(|| Duration::from_secs(60 * u64::from(minutes)));
        let now = Instant::now();
        Self {
            every,
            begun: now,
            last: now,
            counters,
        }
    }

    pub fn log(&mut self, shared: &Shared) {
        if self.every.is_none_or(|every| self.last.elapsed() < every) {
            return;
        }
        self.last = Instant::now();
        let c = &self.counters;
        log::info!(
            "alive uptime_s={} frames={} looked={} replaced={} damaged={} unread={} detect_sampled={}",
            self.begun.elapsed().as_secs(),
            Counters::get(&c.frames),
            shared.progress.looked(),
            Counters::get(&c.replaced),
            Counters::get(&c.errors) + shared.progress.damaged(),
            shared.progress.unread(),
            shared.progress.detect_sampled(),
        );
    }
}
