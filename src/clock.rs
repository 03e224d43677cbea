//! The one clock: nanoseconds of the kernel's `CLOCK_MONOTONIC`, which is also what V4L2 stamps its
//! frames with and what the kernel's trace is read against.
//!
//! Not wall-clock time: that is for people, and only the log prints it.
//!
//! A play that runs as fast as this machine can tells the time itself: [`halt`] stops the clock of the process, and it
//! goes on by [`pass`] when all that a frame leads to is [`settled`]. Nothing real may hang on such time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

/// What a play says the time is; 0 where the kernel says it.
static TOLD: AtomicU64 = AtomicU64::new(0);
/// Of how many frames everything is done that they lead to.
static SETTLED: AtomicU64 = AtomicU64::new(0);
/// Who waits for that.
static PLAYER: OnceLock<Thread> = OnceLock::new();

/// Stops the clock of the whole process. From now on time passes by [`pass`] only.
pub fn halt() {
    TOLD.store(Timestamp::kernel().0, Ordering::Release);
}

/// Whether time is told, not the kernel's.
#[must_use]
pub fn halted() -> bool {
    TOLD.load(Ordering::Acquire) != 0
}

/// Lets time pass where it was halted.
pub fn pass(by: Duration) {
    TOLD.store(Timestamp::now().plus(by).0, Ordering::Release);
}

/// Says that all is done that the first `frames` frames lead to.
pub fn settled(frames: u64) {
    SETTLED.store(frames, Ordering::Release);
    if let Some(player) = PLAYER.get() {
        player.unpark();
    }
}

/// Waits until `frames` frames are [`settled`], but no longer than `time`. Says whether they are.
/// For the one thread that plays.
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

/// The time of day that belongs to the present, also where the clock was halted.
#[must_use]
pub fn time_of_day() -> SystemTime {
    let ahead = Timestamp::now().since(Timestamp::kernel());
    let behind = Timestamp::kernel().since(Timestamp::now());
    SystemTime::now() + ahead - behind
}

/// A point in time: nanoseconds since boot, times of suspend left out, never going backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        match TOLD.load(Ordering::Acquire) {
            0 => Self::kernel(),
            told => Self(told),
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

    /// Time from `earlier` to this; zero if `earlier` is in fact later.
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
