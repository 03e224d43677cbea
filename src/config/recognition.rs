//! The table `recognition`: its settings and their bounds. Their effects are defined in [`people`](crate::people) and
//! [`pipeline`](crate::pipeline).

use serde::Deserialize;

use crate::face::Gate;

/// How faces are matched to people.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecognitionSettings {
    /// The lowest cosine at which two faces are the same person's; the model set's value if absent.
    pub threshold: Option<f32>,
    /// The smallest lead over the next best person; the model set's value if absent.
    pub margin: Option<f32>,
    /// The lowest quality of a face that is recognised.
    pub gate: Gate,
    /// How long one frame may take before recognition counts as stuck, which shuts the door, in ms:
    /// 500 to 120 000.
    pub watchdog_ms: u64,
}

/// The usual settings. A frame takes tens of milliseconds; the slowest board and a cold start are far below 3 s.
impl Default for RecognitionSettings {
    fn default() -> Self {
        Self {
            threshold: None,
            margin: None,
            gate: Gate::default(),
            watchdog_ms: 3000,
        }
    }
}

impl RecognitionSettings {
    /// Checks the values. The error has the key and the fix.
    pub(super) fn validate(&self) -> Result<(), String> {
        let gate = self.gate;
        let within = |key: &str, value: f32, low: f32, high: f32| {
            if value >= low && value <= high {
                Ok(())
            } else {
                Err(format!("{key} = {value}: must be {low} to {high}"))
            }
        };
        if let Some(threshold) = self.threshold {
            within("threshold", threshold, 0.05, 0.99)?;
        }
        if let Some(margin) = self.margin {
            within("margin", margin, 0.0, 0.9)?;
        }
        let watchdog = self.watchdog_ms;
        if !(500..=120_000).contains(&watchdog) {
            return Err(format!("watchdog_ms = {watchdog}: must be 500 to 120000"));
        }
        within("gate.eye_distance", gate.eye_distance, 0.0, 1000.0)?;
        within("gate.yaw", gate.yaw, 0.0, 10.0)?;
        within("gate.roll", gate.roll, 0.0, 180.0)?;
        within("gate.sharpness", gate.sharpness, 0.0, 10.0)
    }
}
