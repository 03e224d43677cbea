//! Finds the operating point from the scores of strangers' faces: the lowest cosine at which a face counts as an enrolled person,
//! and the false accept rate that is proven for it.
//!
//! FAR: the share of strangers who are mistaken for an enrolled person. FRR: the share of faces of the enrolled that are not
//! recognised.
//!
//! Strangers are counted as people here. Each has one score, the highest of their photos, because several photos of one person
//! are not independent and prove no more than one photo. The proven rate is for a single look at a stranger. A visit has many
//! looks, which are not independent, and the best of them scores higher than a single one.

use crate::rates::{admissible, proven_far};

/// The number of scores that [`clear_of`] uses to estimate how scores fall off.
pub const TAIL: usize = 10;

/// The threshold at which a face counts as an enrolled person, and its measured error rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The lowest cosine at which a face counts as an enrolled person.
    pub threshold: f32,
    /// The number of strangers (people, not photos) that the threshold was tested on.
    pub trials: usize,
    /// The number of these strangers who are mistaken for an enrolled person at the threshold.
    pub accepted: usize,
    /// At 95 % confidence, the FAR of a single look is below this, as far as the tested strangers represent all strangers.
    pub proven: f64,
    /// Whether the proven FAR is as low as requested.
    pub shown: bool,
}

/// The threshold for a FAR of `far` (above 0, up to 1), from the highest score of each stranger. If there are too few strangers
/// to show that FAR, none of them is let in, and the threshold is at least `least`, which was found with many more strangers.
#[must_use]
pub fn calibrate(strangers: &[f32], far: f64, least: f32) -> Calibration {
    let trials = strangers.len();
    let mut sorted = strangers.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let allowed = admissible(trials, far);
    let refused = sorted.get(allowed.unwrap_or(0)).map(|s| s.next_up());
    let threshold = match refused {
        Some(above) if allowed.is_some() => above,
        Some(above) => above.max(least),
        None => least,
    };
    measure(strangers, far, threshold)
}

/// What strangers' scores show about a threshold that was set without these strangers.
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

/// A threshold that hardly any other stranger reaches, from the highest score of each stranger. `None` if there are not more than
/// [`TAIL`] strangers.
///
/// The highest score of the same number of other strangers is above the highest of these with a probability of one half. If
/// scores fall off like an exponential of scale b, the difference of the two is logistic of scale b, and above 3 b with a
/// probability of `1 / (1 + e^3)`, which is 5 %. b is the mean excess of the [`TAIL`] highest over the next one (Hill's
/// estimator).
#[must_use]
pub fn clear_of(strangers: &[f32]) -> Option<f32> {
    let mut sorted = strangers.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (next, tail) = (*sorted.get(TAIL)?, &sorted[..TAIL]);
    let scale = tail.iter().map(|s| s - next).sum::<f32>() / TAIL as f32;
    Some((3.0_f32.mul_add(scale, sorted[0])).next_up().min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_strangers_prove_little_and_keep_the_threshold_up() {
        let few: Vec<f32> = (0..100_u8).map(|i| f32::from(i) * 0.004).collect();
        let c = calibrate(&few, 0.001, 0.5);
        assert!(!c.shown && c.threshold >= 0.5 && c.accepted == 0);
        assert!((c.proven - 0.0295).abs() < 1e-3);
        // A stranger who looks like an enrolled person is not let in, whether there are few or many.
        let c = calibrate(&[0.1, 0.7], 0.001, 0.5);
        assert!(c.threshold > 0.7 && c.accepted == 0);
        assert_eq!(calibrate(&[], 0.001, 0.5).threshold, 0.5);
    }

    #[test]
    fn one_in_twenty_of_other_strangers_is_above_the_highest() {
        let mut chance = crate::chance::Chance::new(4);
        let mut above = 0;
        for _ in 0..2000 {
            // The sum of the squares of two normal numbers has an exponential distribution.
            let mut scores =
                [(); 400].map(|()| 0.05 * (chance.normal().powi(2) + chance.normal().powi(2)));
            let (some, others) = scores.split_at_mut(200);
            let threshold = clear_of(some).expect("enough");
            above += usize::from(others.iter().any(|s| *s >= threshold));
        }
        // The scale is estimated from ten scores, so the rate is somewhat higher.
        assert!((60..200).contains(&above), "{above} of 2000");
        assert_eq!(clear_of(&[0.5; TAIL]), None);
    }

    proptest! {
        #[test]
        fn a_shown_rate_is_proven(scores in proptest::collection::vec(-1f32..1.0, 0..2000), far in 0.002_f64..0.5) {
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
