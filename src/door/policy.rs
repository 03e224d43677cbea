//! What the owner decides about the door: the `[door]` table of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most recognitions of a track that can be kept (`of`).
pub const MAX_VOTES: u32 = 16;

/// Most refusals that can be counted (`lockout_after`).
pub(super) const MAX_REFUSALS: usize = 16;

/// What a person who stays in front of the camera does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Retrigger {
    /// Opens once a visit: for doors.
    #[default]
    Visit,
    /// Keeps the relay on for as long as recognised, and `hold_ms` longer: for lights.
    Hold,
}

/// Whether a stranger beside an enrolled person keeps the door shut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Companions {
    /// An enrolled person may bring anybody.
    #[default]
    Allow,
    /// Nobody is let in while another face in view is a stranger's.
    Refuse,
}

/// When the door opens and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Recognitions that must name the same person (N): 1 to `of`.
    pub votes: u32,
    /// Latest recognitions of a track that are looked at (M): 1 to [`MAX_VOTES`].
    pub of: u32,
    /// Age at which a recognition no longer counts, in ms: 100 to 60 000.
    pub vote_window_ms: u64,
    /// How long the relay stays on, in ms: 100 to 60 000.
    pub hold_ms: u64,
    /// What a person who stays in front of the camera does.
    pub retrigger: Retrigger,
    /// How long a person must not be recognised for their visit to be over, in ms: 100 to 3 600 000.
    pub absence_ms: u64,
    /// Refusals that lock the door: up to 16, or 0 for never.
    pub lockout_after: u32,
    /// Time within which these refusals must happen, in ms: 1000 to 3 600 000.
    pub lockout_window_ms: u64,
    /// How long faces then open nothing, in ms: 1000 to 3 600 000.
    pub lockout_ms: u64,
    /// Whether a stranger beside an enrolled person keeps the door shut.
    pub companions: Companions,
    /// Whether the exit button opens.
    pub button: bool,
}

/// 3 of 5 recognitions within 2 s open for 3 s; five refusals within a minute lock for 30 s (Android
/// locks its class-3 biometrics for 30 s after 5 false tries).
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

/// A value of the policy that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {fault}; {mend}")]
pub struct PolicyError {
    /// Key of the configuration.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// What is wrong with it.
    pub fault: &'static str,
    /// What to write instead.
    pub mend: String,
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
            let mend = format!("{what} between {min} and {max}");
            Err(PolicyError {
                key,
                value,
                fault,
                mend,
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
                mend: format!("give at most {} or raise of = {0}", self.of),
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
            MAX_REFUSALS as u64,
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
}
