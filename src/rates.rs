//! Exact bounds and intervals at 95 % that follow from counts for a rate. What was counted does not matter here.

/// The doubt that 95 % leave, one-sided.
const DOUBT: f64 = 0.05;
/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_964;

/// How many of `trials` strangers may be let in while a FAR of `far` (above 0, up to 1) is proven; `None` if even zero
/// strangers do not prove it.
#[must_use]
pub fn admissible(trials: usize, far: f64) -> Option<usize> {
    if proven_far(0, trials) > far {
        return None;
    }
    // The proven rate grows with the number of strangers who are let in.
    let (mut most, mut too_many) = (0, trials);
    while too_many - most > 1 {
        let k = usize::midpoint(most, too_many);
        if proven_far(k, trials) <= far {
            most = k;
        } else {
            too_many = k;
        }
    }
    Some(most)
}

/// How many strangers are needed to show a rate of `far`, above 0 and below 1, if none of them is let in. This is the smallest
/// n with `(1 - far)^n <= 0.05`, about 3 / far (the rule of three).
#[must_use]
pub fn needed(far: f64) -> usize {
    let n = (DOUBT.ln() / (-far).ln_1p()).ceil();
    // A limit of 1e10 strangers: more than there are people.
    n.clamp(1.0, 1e10) as usize
}

/// The upper end of the one-sided 95 % interval of a rate that was seen `accepted` times in `trials` (Clopper and Pearson,
/// 1934). For none in n it is about 3/n; without trials it is 1.
#[must_use]
pub fn proven_far(accepted: usize, trials: usize) -> f64 {
    if accepted >= trials {
        return 1.0;
    }
    // The rate at which no more than `accepted` would be seen in one of twenty cases.
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

/// The 95 % interval of a share of `right` in `n` (Wilson, 1927).
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
    fn the_needed_number_shows_the_rate_and_one_less_does_not() {
        assert_eq!((needed(0.001), needed(0.05), needed(0.5)), (2995, 59, 5));
        for far in [0.9, 0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0002] {
            let n = needed(far);
            assert!(proven_far(0, n) <= far + 1e-12, "{far}");
            assert!(n == 1 || proven_far(0, n - 1) > far, "{far}");
        }
        assert!(needed(1e-300) > 1_000_000_000);
    }
}
