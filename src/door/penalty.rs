//! The consequences of attempts: none, a stricter bar, or a door that no face opens for a while.
//!
//! Two accounts count the same attempts. The slow account forgets one attempt per `lockout_window_ms` and decides between the
//! usual bar and the strict one. The fast account forgets `lockout_after` attempts per `lockout_window_ms` and decides about
//! lock-outs: people who pass by at that rate or below never lock the door, however long this continues.
//!
//! With A = `lockout_after` and W = `lockout_window_ms`:
//!
//! - The A-th attempt in quick succession makes the bar strict. It stays strict until no more than (A - 1) / 2 attempts are
//!   left in the slow account. So no more than A + T/W attempts meet the usual bar in a time T, plus the attempts of faces that
//!   were already before the door when the bar became strict: those attempts count in full, while attempts at the strict bar
//!   count up to 2A.
//! - The door locks at attempt 2A in quick succession. A lock-out leaves room for A more attempts before the next lock-out. The
//!   first lock-out lasts `lockout_ms`; each later one lasts twice as long as the one before, up to eight times the first.
//!   After the strict bar has ended, which takes at least A x W without attempts, the first length applies again.
//! - After a lock-out the door does not lock again during a pause in which a person who stands there can be let in. If the room
//!   for attempts is used up within the pause, faces that come later wait for the next pause.

use std::time::Duration;

use super::account::Account;
use super::policy::Policy;
use crate::clock::Timestamp;

/// How often the time of a lock-out doubles.
const DOUBLED: u32 = 3;

/// The time after a lock-out in which the next one does not begin.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Timestamp,
    /// The number of frames that the pause must still last, because a slow camera needs longer for the same number of looks.
    frames: u32,
    /// When the room for attempts was used up.
    full: Option<Timestamp>,
}

/// The consequences of the attempts until the present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalty {
    slow: Account,
    fast: Account,
    /// When the bar became strict.
    strict: Option<Timestamp>,
    locked_until: Option<Timestamp>,
    /// Number of lock-outs since the bar became strict.
    locks: u32,
    pause: Option<Pause>,
}

/// The consequence that has just begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Strict,
    Locked { until: Timestamp },
}

/// The consequence that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Strict,
    Locked,
}

/// The cost of an attempt in each account, and the levels that have consequences.
struct Tariff {
    slow: Duration,
    fast: Duration,
    attempts: u32,
}

impl Tariff {
    /// `None` if the owner wants no lock-out.
    fn of(policy: &Policy) -> Option<Self> {
        let attempts = policy.lockout_after;
        let slow = policy.lockout_window();
        (attempts > 0).then(|| Self {
            slow,
            fast: slow / attempts,
            attempts,
        })
    }

    /// The level of the slow account above which the bar becomes strict. It is one attempt below A, because a part of the
    /// attempts has leaked away by then.
    fn strict(&self) -> Duration {
        self.slow * (self.attempts - 1)
    }

    fn strict_ends(&self) -> Duration {
        self.strict() / 2
    }

    fn slow_most(&self) -> Duration {
        self.slow * self.attempts * 2
    }

    /// The level of the fast account above which the door locks.
    fn locks(&self) -> Duration {
        self.fast * (2 * self.attempts - 1)
    }

    fn fast_most(&self) -> Duration {
        self.fast * self.attempts * 2
    }

    fn after_lock(&self) -> Duration {
        self.fast * self.attempts
    }
}

impl Penalty {
    pub(super) const fn new() -> Self {
        Self {
            slow: Account::new(),
            fast: Account::new(),
            strict: None,
            locked_until: None,
            locks: 0,
            pause: None,
        }
    }

    pub(super) const fn locked_until(&self) -> Option<Timestamp> {
        self.locked_until
    }

    pub(super) const fn strict(&self) -> bool {
        self.strict.is_some()
    }

    /// Whether a face that has been present since `began` may be let in.
    pub(super) fn admits(&self, began: Timestamp) -> bool {
        let full = self.pause.and_then(|pause| pause.full);
        self.locked_until.is_none() && full.is_none_or(|full| began <= full)
    }

    /// Records an attempt of a presentation that began at `began`. An attempt that may have met the usual bar counts in full,
    /// however many there are.
    pub(super) fn charge(&mut self, now: Timestamp, began: Timestamp, policy: &Policy) {
        if let Some(tariff) = Tariff::of(policy) {
            let usual = self.strict.is_none_or(|since| began < since);
            let most = if usual {
                Duration::MAX
            } else {
                tariff.slow_most()
            };
            self.slow.charge(now, tariff.slow, most);
            self.fast.charge(now, tariff.fast, tariff.fast_most());
        }
    }

    /// Takes one attempt back, because it was by a person who may come in.
    pub(super) fn refund(&mut self, now: Timestamp, policy: &Policy) {
        if let Some(tariff) = Tariff::of(policy) {
            self.slow.refund(now, tariff.slow);
            self.fast.refund(now, tariff.fast);
        }
    }

    /// Counts a frame that was looked at.
    pub(super) const fn frame(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.frames = pause.frames.saturating_sub(1);
        }
    }

    /// Ends the consequences that are over by time alone. More than one call may be needed.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        window: Duration,
        policy: &Policy,
    ) -> Option<Ended> {
        let tariff = Tariff::of(policy)?;
        if self.locked_until.is_some_and(|until| now >= until) {
            self.locked_until = None;
            self.strict = self.strict.or(Some(now));
            let level = self.slow.level(now).max(tariff.slow_most());
            self.slow.set(now, level);
            self.fast.set(now, tariff.after_lock());
            self.pause = Some(Pause {
                until: now.plus(window),
                frames: 2 * policy.of,
                full: None,
            });
            return Some(Ended::Locked);
        }
        let over = |pause: &Pause| now >= pause.until && pause.frames == 0;
        self.pause = self.pause.filter(|pause| !over(pause));
        let fades = self.slow.level(now) <= tariff.strict_ends();
        if self.strict.is_some() && fades && self.locked_until.is_none() {
            self.strict = None;
            self.locks = 0;
            return Some(Ended::Strict);
        }
        None
    }

    /// Begins the consequences of the attempts. More than one call may be needed.
    pub(super) fn begin(&mut self, now: Timestamp, policy: &Policy) -> Option<Begun> {
        let tariff = Tariff::of(policy)?;
        if self.locked_until.is_some() {
            return None;
        }
        if self.strict.is_none() && self.slow.level(now) > tariff.strict() {
            self.strict = Some(now);
            return Some(Begun::Strict);
        }
        if self.fast.level(now) <= tariff.locks() {
            return None;
        }
        if let Some(pause) = &mut self.pause {
            pause.full = pause.full.or(Some(now));
            return None;
        }
        let until = now.plus(policy.lockout() * (1 << self.locks.min(DOUBLED)));
        self.locks = self.locks.saturating_add(1);
        self.strict = self.strict.or(Some(now));
        self.locked_until = Some(until);
        Some(Begun::Locked { until })
    }

    /// The clock went back from `before` to `now`. Whatever keeps the door shut stays in force, but for no longer than if it had
    /// begun at `now`.
    pub(super) fn jump_back(&mut self, before: Timestamp, now: Timestamp, policy: &Policy) {
        self.slow.jump_back(before, now);
        self.fast.jump_back(before, now);
        self.strict = self.strict.and(Some(now));
        let left = |until: Timestamp| until.since(before);
        let longest = policy.longest_lockout();
        self.locked_until = self
            .locked_until
            .map(|until| now.plus(left(until).min(longest)));
        self.pause = self.pause.map(|pause| Pause {
            until: now.plus(left(pause.until)),
            full: pause.full.and(Some(now)),
            ..pause
        });
    }
}

/// The longest lock-out, as a multiple of the first.
pub(super) const LONGEST: u32 = 1 << DOUBLED;
