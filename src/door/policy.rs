//! The owner's decisions about the door: the `[door]` table of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::penalty::LONGEST;

/// The largest number of recognitions of a track that can be kept (`of`).
pub const MAX_VOTES: u32 = 16;

/// The largest number of attempts that can be configured (`lockout_after`).
const MAX_ATTEMPTS: u32 = 16;

/// How many more votes the strict bar requires and how many more recognitions it looks at than the usual bar.
const STRICTER: u32 = 2;

/// The longest vote window of a slow camera, as a multiple of the configured one.
const LONGEST_WINDOW: u32 = 8;

/// The effect of a person who stays in front of the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Retrigger {
    /// Opens once per visit: for doors.
    #[default]
    Visit,
    /// Keeps the relay on while the person is recognised, and `hold_ms` longer: for lights.
    Hold,
}

/// Whether a stranger beside an enrolled person keeps the door shut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Companions {
    /// An enrolled person may bring others.
    #[default]
    Allow,
    /// No one is let in while another face in view is a stranger's.
    Refuse,
}

/// When the door opens and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Recognitions that must name the same person (N): 1 to `of`.
    pub votes: u32,
    /// How many of the latest recognitions of a presentation are looked at (M): 1 to [`MAX_VOTES`].
    pub of: u32,
    /// The age at which a recognition stops counting, in ms: 100 to 60 000. If frames come so slowly that fewer than 2 M of
    /// them fit into this time, the time of 2 M frames applies instead, at most eight times as long.
    pub vote_window_ms: u64,
    /// How long the relay stays on, in ms: 100 to 60 000.
    pub hold_ms: u64,
    /// The effect of a person who stays in front of the camera.
    pub retrigger: Retrigger,
    /// How long a person must not be recognised before their visit is over, in ms: 100 to 3 600 000.
    pub absence_ms: u64,
    /// The number of attempts of strangers in quick succession that makes the bar strict; twice as many lock the door. Up to
    /// 16, or 0 for neither.
    pub lockout_after: u32,
    /// The time in which `lockout_after` attempts never lock the door, in ms: 1000 to 3 600 000. Each time that this period
    /// passes, one attempt less counts toward the strict bar.
    pub lockout_window_ms: u64,
    /// How long faces open nothing once the door is locked, in ms: 1000 to 3 600 000. Each lock-out that follows lasts
    /// twice as long as the one before, at most eight times as long as the first.
    pub lockout_ms: u64,
    /// Whether a stranger beside an enrolled person keeps the door shut.
    pub companions: Companions,
    /// Whether the exit button opens.
    pub button: bool,
}

/// 3 of 5 recognitions within 2 s open for 3 s. Five attempts within a minute make the bar strict, and ten lock the door for 30
/// s (Android locks its class-3 biometrics for 30 s after 5 false tries).
impl Default for Policy {
    fn default() -> Self {
        Self {
            votes: 3,
            of: 5,
            vote_window_ms: 2000,
            hold_ms: 3000,
            retrigger: Retrigger::Visit,
            absence_ms: 2000,
            lockout_after: 5,
            lockout_window_ms: 60_000,
            lockout_ms: 30_000,
            companions: Companions::Allow,
            button: true,
        }
    }
}

/// An invalid value of the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {fault}; {fix}")]
pub struct PolicyError {
    /// Key of the configuration.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// What is wrong with it.
    pub fault: &'static str,
    /// What to write instead.
    pub fix: String,
}

impl Policy {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`PolicyError`] for the first value that is not.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let hour = 3_600_000;
        let range = |key, value, min, max, what: &str| {
            let fault = match value {
                v if v < min => "too small",
                v if v > max => "too large",
                _ => return Ok(()),
            };
            let fix = format!("{what} between {min} and {max}");
            Err(PolicyError {
                key,
                value,
                fault,
                fix,
            })
        };
        let most = u64::from(MAX_VOTES);
        range("of", self.of.into(), 1, most, "give a number")?;
        range("votes", self.votes.into(), 1, most, "give a number")?;
        if self.votes > self.of {
            return Err(PolicyError {
                key: "votes",
                value: self.votes.into(),
                fault: "more votes than recognitions that are looked at",
                fix: format!("give at most {} or raise of = {0}", self.of),
            });
        }
        let ms = "give milliseconds";
        range("vote_window_ms", self.vote_window_ms, 100, 60_000, ms)?;
        range("hold_ms", self.hold_ms, 100, 60_000, ms)?;
        range("absence_ms", self.absence_ms, 100, hour, ms)?;
        let after = "give 0 for no lock-out or a number";
        range(
            "lockout_after",
            self.lockout_after.into(),
            0,
            MAX_ATTEMPTS.into(),
            after,
        )?;
        range("lockout_window_ms", self.lockout_window_ms, 1000, hour, ms)?;
        range("lockout_ms", self.lockout_ms, 1000, hour, ms)
    }

    pub(super) const fn vote_window(&self) -> Duration {
        Duration::from_millis(self.vote_window_ms)
    }

    pub(super) const fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(super) const fn absence(&self) -> Duration {
        Duration::from_millis(self.absence_ms)
    }

    pub(super) const fn lockout_window(&self) -> Duration {
        Duration::from_millis(self.lockout_window_ms)
    }

    pub(super) const fn lockout(&self) -> Duration {
        Duration::from_millis(self.lockout_ms)
    }

    pub(super) fn longest_lockout(&self) -> Duration {
        self.lockout() * LONGEST
    }

    /// The number of votes that the strict bar requires.
    pub(super) fn strict_votes(&self) -> u32 {
        (self.votes + STRICTER).min(MAX_VOTES)
    }

    /// The number of recognitions that the strict bar looks at.
    pub(super) fn strict_of(&self) -> u32 {
        (self.of + STRICTER).min(MAX_VOTES)
    }

    /// How long a stranger may stay for one attempt.
    pub(super) fn stay(&self) -> Duration {
        self.lockout_window() / 2
    }

    /// The age at which a recognition stops counting if frames come `pace` apart.
    pub(super) fn vote_window_at(&self, pace: Duration) -> Duration {
        let window = self.vote_window();
        window.max((pace * self.of * 2).min(window * LONGEST_WINDOW))
    }
}
