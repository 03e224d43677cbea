//! The times of frames, and figures computed from them. Nothing is timed here.

use crate::face::Stage;

/// The measurements of a set. Times are in microseconds, one entry per frame.
pub struct Measured {
    pub total: Vec<f64>,
    pub networks: Vec<f64>,
    pub stages: Vec<(Stage, Vec<f64>)>,
    pub bare: Vec<(&'static str, Vec<f64>)>,
    pub allocations: u64,
    pub sampled: u64,
    pub detect_sampled: u64,
    pub faces: usize,
}

impl Measured {
    /// The time outside the networks over the time in them. The ratio is computed frame by frame, so that a disturbance of the
    /// machine affects both of its sides alike.
    pub fn overhead(&self) -> f64 {
        let pairs = self.total.iter().zip(&self.networks);
        let ratios: Vec<f64> = pairs
            .map(|(total, networks)| total / networks - 1.0)
            .collect();
        quantile(&ratios, 0.5)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    /// The mean per frame of `count`, which was counted over all frames.
    pub fn per_frame(&self, count: u64) -> f64 {
        count as f64 / self.total.len() as f64
    }
}

/// The value below which a share `q` of `values` is.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into the values"
)]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (q * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The most memory this process has had resident, in MB of 10^6 bytes; 0 if the kernel does not report it.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
