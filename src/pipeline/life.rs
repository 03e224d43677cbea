//! Whether the loop gets on: for people a line now and then, for the service manager the progress of every thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use crate::capture::Counters;
use crate::clock::{self, Timestamp};

/// How often the service manager hears.
const TELL: Duration = Duration::from_secs(1);
/// The source goes round every five seconds even where a camera is silent or away, see `capture`.
const SOURCE: Duration = Duration::from_secs(10);
/// The door goes round eight times a second.
const DOOR: Duration = Duration::from_secs(3);

/// Sees whether each thread goes round. One that does not keeps the service manager from hearing anything.
pub struct Life {
    watchdog: Duration,
    counters: Arc<Counters>,
    rounds: u64,
    /// When the source last was seen to have gone round.
    source: Timestamp,
    told: Option<Timestamp>,
}

impl Life {
    /// Recognition counts as stuck after `watchdog`; `counters` are the source's.
    pub fn new(watchdog: Duration, counters: Arc<Counters>) -> Self {
        Self {
            watchdog,
            counters,
            rounds: 0,
            source: Timestamp::now(),
            told: None,
        }
    }

    /// Whether the service manager is to hear now that all is well. A play of its own time says so, too.
    pub fn goes_on(&mut self, shared: &Shared) -> bool {
        let now = Timestamp::now();
        let rounds = Counters::get(&self.counters.rounds);
        if rounds != self.rounds {
            (self.rounds, self.source) = (rounds, now);
        }
        if self.told.is_some_and(|told| now.since(told) < TELL) {
            return false;
        }
        let pulse = Timestamp::from_nanos(shared.pulse.load(Ordering::Acquire));
        let door = Timestamp::from_nanos(shared.door.load(Ordering::Acquire));
        let all = now.since(pulse) <= self.watchdog
            && now.since(self.source) <= SOURCE
            && now.since(door) <= DOOR;
        if all || clock::halted() {
            self.told = Some(now);
            return true;
        }
        false
    }
}

/// A line now and then that says how the loop does.
pub struct Signs {
    every: Option<Duration>,
    begun: Instant,
    last: Instant,
    counters: Arc<Counters>,
}

impl Signs {
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

    pub fn tell(&mut self, shared: &Shared) {
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
