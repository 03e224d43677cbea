//! The operating point: from which cosine on a face is somebody, by what strangers' faces scored, and how much of the
//! false accept rate that goes with it is proven.
//!
//! FAR: the share of strangers' faces taken for somebody. FRR: the share of faces of the enrolled that are not taken
//! for them.

/// 95 %, one-sided.
const DOUBT: f64 = 0.05;
/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_964;

/// Where a cosine begins to be somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Lowest cosine that is somebody.
    pub threshold: f32,
    /// Strangers' faces that were tried.
    pub trials: usize,
    /// Those taken for somebody at the threshold.
    pub accepted: usize,
    /// The FAR is below this at 95 % confidence, as far as the tried strangers stand for all.
    pub proven: f64,
    /// Whether that is as little as was asked for.
    pub shown: bool,
}

/// The threshold for a FAR of `far` (above 0, up to 1), by the scores of strangers' faces. Where they are too few to show
/// that FAR, none of them is let in and the threshold is at least `least`, which was found with many more.
#[must_use]
pub fn calibrate(strangers: &[f32], far: f64, least: f32) -> Calibration {
    let trials = strangers.len();
    let mut sorted = strangers.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let shown = proven_far(0, trials) <= far;
    let allowed = if shown {
        // As many as leave the rate proven: it grows with them.
        let (mut most, mut too_many) = (0, trials);
        while too_many - most > 1 {
            let k = usize::midpoint(most, too_many);
            if proven_far(k, trials) <= far {
                most = k;
            } else {
                too_many = k;
            }
        }
        most
    } else {
        0
    };
    let refused = sorted.get(allowed).map(|s| s.next_up());
    let threshold = match refused {
        Some(above) if shown => above,
        Some(above) => above.max(least),
        None => least,
    };
    measure(strangers, far, threshold)
}

/// What strangers' faces say of a threshold that was set by somebody else.
#[must_use]
pub fn measure(strangers: &[f32], far: f64, threshold: f32) -> Calibration {
    let trials = strangers.len();
    let accepted = strangers.iter().filter(|s| **s >= threshold).count();
    let proven = proven_far(accepted, trials);
    Calibration {
        threshold,
        trials,
        accepted,
        proven,
        shown: proven <= far,
    }
}

/// A threshold for other scores of the same strangers that is as strict: as many deviations above their mean. The same one
/// where they are too few to tell.
#[must_use]
pub fn carry_over(threshold: f32, from: &[f32], to: &[f32]) -> f32 {
    let spread = |scores: &[f32]| {
        let n = scores.len().max(1) as f32;
        let mean = scores.iter().sum::<f32>() / n;
        let squares = scores.iter().map(|s| (s - mean) * (s - mean)).sum::<f32>();
        (mean, (squares / n).sqrt())
    };
    let ((mean, deviation), (new, new_deviation)) = (spread(from), spread(to));
    if from.len() < 10 || deviation < 1e-4 {
        return threshold;
    }
    let carried = ((threshold - mean) / deviation).mul_add(new_deviation, new);
    carried.clamp(-1.0, 1.0)
}

/// The upper end of the one-sided 95 % interval of a rate of which `accepted` in `trials` were seen (Clopper and Pearson,
/// 1934). For none in n that is about 3/n; 1 where nothing was tried.
#[must_use]
pub fn proven_far(accepted: usize, trials: usize) -> f64 {
    if accepted >= trials {
        return 1.0;
    }
    // The rate at which so few would be seen in one of twenty.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at_most(accepted, trials, middle) > DOUBT {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Probability of at most `k` of `n` at a rate of `p`, between 0 and 1.
fn at_most(k: usize, n: usize, p: f64) -> f64 {
    let mut log_term = n as f64 * (1.0 - p).ln();
    let mut sum = log_term.exp();
    for i in 0..k {
        log_term += ((n - i) as f64 / (i + 1) as f64).ln() + (p / (1.0 - p)).ln();
        sum += log_term.exp();
    }
    sum
}

/// 95 % interval of a share of `right` in `n` (Wilson, 1927).
#[must_use]
pub fn wilson(right: usize, n: usize) -> [f64; 2] {
    let (n, p) = (n.max(1) as f64, right as f64 / n.max(1) as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [
        ((centre - spread) / scale).max(0.0),
        ((centre + spread) / scale).min(1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wilson_of_a_textbook_case() {
        // 9 of 10: 0.596 to 0.982 (Agresti and Coull 1998, table of Wilson intervals).
        let [low, high] = wilson(9, 10);
        assert!((low - 0.5958).abs() < 1e-3 && (high - 0.9821).abs() < 1e-3);
    }

    #[test]
    fn bounds_of_textbook_cases() {
        // None of n: 1 - 0.05^(1/n), the rule of three. One of 20: 0.2161 (Clopper-Pearson tables, upper 95 %).
        assert!((proven_far(0, 100) - 0.029_513).abs() < 1e-5);
        assert!((proven_far(0, 3000) - 0.000_998).abs() < 1e-5);
        assert!((proven_far(1, 20) - 0.216_1).abs() < 1e-3);
        assert!((proven_far(0, 0) - 1.0).abs() < 1e-9 && (proven_far(5, 5) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn few_strangers_prove_little_and_keep_the_threshold_up() {
        let few: Vec<f32> = (0..100_u8).map(|i| f32::from(i) * 0.004).collect();
        let c = calibrate(&few, 0.001, 0.5);
        assert!(!c.shown && c.threshold >= 0.5 && c.accepted == 0);
        assert!((c.proven - 0.0295).abs() < 1e-3);
        // A stranger who looks like somebody is not let in, few or not.
        let c = calibrate(&[0.1, 0.7], 0.001, 0.5);
        assert!(c.threshold > 0.7 && c.accepted == 0);
        assert_eq!(calibrate(&[], 0.001, 0.5).threshold, 0.5);
    }

    #[test]
    fn a_threshold_carried_over_is_as_strict() {
        let from: Vec<f32> = (0..40).map(|i| 0.01 * i as f32).collect();
        let to: Vec<f32> = from.iter().map(|s| 0.5 * s + 0.2).collect();
        assert!((carry_over(0.6, &from, &to) - 0.5).abs() < 1e-5);
        assert_eq!(carry_over(0.6, &from[..5], &to[..5]), 0.6, "too few");
        assert_eq!(carry_over(0.6, &[0.1; 20], &[0.2; 20]), 0.6, "all the same");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_proven(scores in proptest::collection::vec(-1f32..1.0, 0..2000), far in 0.002_f64..0.5) {
            let c = calibrate(&scores, far, 0.5);
            prop_assert_eq!(c.trials, scores.len());
            prop_assert_eq!(c.accepted, scores.iter().filter(|s| **s >= c.threshold).count());
            prop_assert_eq!(c.shown, proven_far(0, scores.len()) <= far);
            prop_assert_eq!(measure(&scores, far, c.threshold), c);
            if c.shown {
                prop_assert!(c.proven <= far);
            } else {
                prop_assert!(c.accepted == 0 && c.threshold >= 0.5);
            }
        }
    }
}
