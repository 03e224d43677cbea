//! The only clock: nanoseconds of the kernel's `CLOCK_MONOTONIC`. V4L2 also stamps its frames with this clock, and the kernel's
//! trace is read against it.
//!
//! It is not wall-clock time, which is for people and is only printed in the log.
//!
//! A play, which runs as fast as this machine can, sets the time itself: [`halt`] stops the clock of the process, and [`pass`]
//! advances it when everything that follows from a frame is [`settled`]. Nothing real may depend on such time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

/// The time that a play has set; 0 while the kernel's clock is used.
static PLAY_TIME: AtomicU64 = AtomicU64::new(0);
/// The number of frames, counted from the first, that are settled.
static SETTLED: AtomicU64 = AtomicU64::new(0);
/// The thread that waits for frames to be settled.
static PLAYER: OnceLock<Thread> = OnceLock::new();

/// Stops the clock of the whole process. After this, time passes by [`pass`] only.
pub fn halt() {
    PLAY_TIME.store(Timestamp::kernel().0, Ordering::Release);
}

/// Whether a play sets the time instead of the kernel.
#[must_use]
pub fn halted() -> bool {
    PLAY_TIME.load(Ordering::Acquire) != 0
}

/// Advances the halted clock.
pub fn pass(by: Duration) {
    PLAY_TIME.store(Timestamp::now().plus(by).0, Ordering::Release);
}

/// Reports that everything that follows from the first `frames` frames is done.
pub fn settled(frames: u64) {
    SETTLED.store(frames, Ordering::Release);
    if let Some(player) = PLAYER.get() {
        player.unpark();
    }
}

/// Waits until `frames` frames are [`settled`], but at most for `time`. Returns whether they are settled. Only the one thread
/// that plays may call this.
#[must_use]
pub fn settle(frames: u64, time: Duration) -> bool {
    PLAYER.get_or_init(std::thread::current);
    let end = Instant::now() + time;
    loop {
        if SETTLED.load(Ordering::Acquire) >= frames {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::park_timeout(left);
    }
}

/// The time of day at present, also if the clock is halted.
#[must_use]
pub fn time_of_day() -> SystemTime {
    let ahead = Timestamp::now().since(Timestamp::kernel());
    let behind = Timestamp::kernel().since(Timestamp::now());
    SystemTime::now() + ahead - behind
}

/// A point in time: nanoseconds since boot, without times of suspend, never going backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        match PLAY_TIME.load(Ordering::Acquire) {
            0 => Self::kernel(),
            played => Self(played),
        }
    }

    fn kernel() -> Self {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        // Seconds since boot and a nanosecond part below 1e9: neither is ever negative.
        Self::from_nanos(t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs())
    }

    /// `nanos` nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `millis` milliseconds since boot.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this point in time; zero if `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point in time, `by` later. Stays at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Seconds since boot with microseconds, as the kernel's log and trace print them: `12.345678`.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0 / 1000;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}
