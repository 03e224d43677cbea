//! The protocol of Labeled Faces in the Wild: the file of pairs, and the results that are computed from the scores of pairs.
//!
//! This is pure arithmetic; the scores come from `pairs`.

use crate::rates::wilson;

/// A picture: the person's name, and the number of the picture among that person's, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Picture {
    pub name: String,
    pub number: u32,
}

/// Two pictures, of the same person or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub first: Picture,
    pub second: Picture,
    pub same: bool,
    pub fold: usize,
}

/// Reads a file of pairs: a first line with the number of folds and of pairs of each kind in a fold
/// (or the latter alone, for one fold), then fold by fold `NAME I J` for the same person and
/// `NAME I OTHER J` for different ones.
///
/// # Errors
/// The line and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Pair>, String> {
    let mut lines = text.lines().enumerate().map(|(i, l)| (i + 1, l.trim_end()));
    let (_, head) = lines.next().ok_or("line 1: the file is empty")?;
    let numbers: Result<Vec<usize>, _> = head.split_whitespace().map(str::parse).collect();
    let (folds, each) = match numbers.as_deref() {
        Ok([each]) => (1, *each),
        Ok([folds, each]) => (*folds, *each),
        _ => {
            return Err(format!(
                "line 1: {head:?} should be the number of folds and of pairs of each kind in a fold, such as `10 300`"
            ));
        }
    };
    if folds == 0 || each == 0 {
        return Err(format!("line 1: {head:?}: no folds or no pairs"));
    }
    let mut pairs = Vec::new();
    for (line, text) in lines.filter(|(_, l)| !l.is_empty()) {
        let fields: Vec<&str> = text.split('\t').collect();
        let fields = if fields.len() < 3 {
            text.split_whitespace().collect()
        } else {
            fields
        };
        let picture = |name: &str, number: &str| match number.parse() {
            Ok(number) => Ok(Picture {
                name: name.to_owned(),
                number,
            }),
            Err(_) => Err(format!(
                "line {line}: {number:?} should be the number of a picture"
            )),
        };
        let (first, second, same) = match fields[..] {
            [name, i, j] => (picture(name, i)?, picture(name, j)?, true),
            [name, i, other, j] => (picture(name, i)?, picture(other, j)?, false),
            _ => {
                return Err(format!(
                    "line {line}: {text:?} should be `NAME I J` or `NAME I OTHER J`"
                ));
            }
        };
        pairs.push(Pair {
            first,
            second,
            same,
            fold: pairs.len() / (2 * each),
        });
    }
    if pairs.len() != folds * 2 * each {
        return Err(format!(
            "the first line promises {folds} folds of 2 x {each} pairs, {} follow",
            pairs.len()
        ));
    }
    Ok(pairs)
}

/// The results of scores of pairs. Rates are 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The mean over the folds of the share of pairs judged correctly, at the threshold that is best on all other folds. With a
    /// single fold, at the threshold that is best on that fold.
    pub accuracy: f64,
    /// The 95 % interval (Wilson) of the share of pairs judged correctly.
    pub ci95: [f64; 2],
    /// The share of same pairs that is accepted at the threshold at which 1 of 100 different pairs is.
    pub tar_at_far_1e_2: f64,
    /// The share of same pairs that is accepted at the threshold at which 1 of 1000 different pairs is.
    pub tar_at_far_1e_3: f64,
    /// Mean of the folds' thresholds.
    pub threshold: f64,
}

/// Judges `scores` (one per pair; higher is more alike) by the protocol.
#[expect(clippy::cast_precision_loss, reason = "thousands of pairs")]
pub fn judge(pairs: &[Pair], scores: &[f32]) -> Judgement {
    let folds = pairs.iter().map(|p| p.fold + 1).max().unwrap_or(0);
    let scored = || pairs.iter().zip(scores.iter().copied());
    let (mut right_in_all, mut accuracy, mut thresholds) = (0, 0.0, 0.0);
    for fold in 0..folds {
        let others: Vec<(f32, bool)> = scored()
            .filter(|(p, _)| folds == 1 || p.fold != fold)
            .map(|(p, s)| (s, p.same))
            .collect();
        let threshold = best_threshold(others);
        let here = scored().filter(|(p, _)| p.fold == fold);
        let (n, right) = here.fold((0, 0), |(n, right), (p, s)| {
            (n + 1, right + usize::from((s >= threshold) == p.same))
        });
        right_in_all += right;
        accuracy += right as f64 / n as f64 / folds as f64;
        thresholds += f64::from(threshold) / folds as f64;
    }
    let of = |same: bool| -> Vec<f32> {
        scored()
            .filter(|(p, _)| p.same == same)
            .map(|(_, s)| s)
            .collect()
    };
    let (genuine, impostor) = (of(true), of(false));
    Judgement {
        accuracy,
        ci95: wilson(right_in_all, pairs.len()),
        tar_at_far_1e_2: tar_at_far(&genuine, &impostor, 1e-2),
        tar_at_far_1e_3: tar_at_far(&genuine, &impostor, 1e-3),
        threshold: thresholds,
    }
}

/// The error rates at one threshold, 0 to 1, with their 95 % intervals (Wilson).
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// The share of different pairs that is accepted.
    pub far: f64,
    pub far_ci95: [f64; 2],
    /// The share of same pairs that is refused.
    pub frr: f64,
    pub frr_ci95: [f64; 2],
}

/// The error rates at `threshold`; scores that reach it are accepted.
#[expect(clippy::cast_precision_loss, reason = "thousands of pairs")]
pub fn rates(pairs: &[Pair], scores: &[f32], threshold: f32) -> Rates {
    let share = |same: bool| {
        let of = || {
            pairs
                .iter()
                .zip(scores)
                .filter(move |(p, _)| p.same == same)
        };
        let wrong = of().filter(|(_, s)| (**s >= threshold) != same).count();
        let n = of().count();
        (wrong as f64 / n.max(1) as f64, wilson(wrong, n))
    };
    let ((far, far_ci95), (frr, frr_ci95)) = (share(false), share(true));
    Rates {
        far,
        far_ci95,
        frr,
        frr_ci95,
    }
}

/// The threshold that judges most of `scored` correctly. It is halfway between two neighbouring scores.
fn best_threshold(mut scored: Vec<(f32, bool)>) -> f32 {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    // If all are accepted, the same pairs are judged correctly. Each step up refuses one more pair.
    let mut right = scored.iter().filter(|(_, same)| *same).count();
    let (mut best, mut threshold) = (right, f32::NEG_INFINITY);
    for (i, (score, same)) in scored.iter().enumerate() {
        right = if *same { right - 1 } else { right + 1 };
        let next = scored.get(i + 1).map_or(f32::INFINITY, |s| s.0);
        if right > best && next > *score {
            best = right;
            threshold = if next.is_finite() {
                0.5 * (score + next)
            } else {
                score.next_up()
            };
        }
    }
    threshold
}

/// The share of `genuine` that is accepted at the lowest threshold at which at most a share `far` of `impostor` is.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "thousands of pairs"
)]
fn tar_at_far(genuine: &[f32], impostor: &[f32], far: f64) -> f64 {
    let mut impostor = impostor.to_vec();
    impostor.sort_by(|a, b| b.total_cmp(a));
    let allowed = (far * impostor.len() as f64).floor() as usize;
    // The first impostor that must not be accepted.
    let limit = impostor.get(allowed).copied().unwrap_or(f32::NEG_INFINITY);
    let accepted = genuine.iter().filter(|s| **s > limit).count();
    accepted as f64 / genuine.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "2\t2\nAda\t1\t2\nAda\t1\t3\nAda\t1\tGrace\t1\nAda\t2\tGrace\t1\n\
                        Eve\t1\t2\nEve\t1\t3\nEve\t1\tMary\t1\nEve\t2\tMary\t1\n";

    #[test]
    fn rates_count_what_a_threshold_does() {
        let pairs = parse(FILE).unwrap();
        // Same, same, different, different, twice.
        let scores = [0.9, 0.4, 0.5, 0.1, 0.5, 0.8, 0.2, 0.3];
        let rates = rates(&pairs, &scores, 0.5);
        assert_eq!((rates.far, rates.frr), (0.25, 0.25));
        // Wilson's interval of 1 in 4, from the closed form by hand: 0.0456 to 0.6994.
        for (have, want) in rates.far_ci95.iter().zip([0.0456, 0.6994]) {
            assert!((have - want).abs() < 1e-4, "{have} is not {want}");
        }
    }

    #[test]
    fn reads_folds_of_same_and_different() {
        let pairs = parse(FILE).unwrap();
        assert_eq!(pairs.len(), 8);
        assert_eq!(
            pairs.iter().map(|p| p.fold).collect::<Vec<_>>(),
            [0, 0, 0, 0, 1, 1, 1, 1]
        );
        assert_eq!(
            pairs[3].second,
            Picture {
                name: "Grace".to_owned(),
                number: 1
            }
        );
        assert!(pairs[1].same && !pairs[2].same);
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        assert!(parse("").unwrap_err().starts_with("line 1"));
        assert!(parse("ten 300").unwrap_err().starts_with("line 1"));
        assert!(
            parse("1 1\nAda\t1\tx\nAda\t1\tEve\t1")
                .unwrap_err()
                .starts_with("line 2")
        );
        assert!(
            parse("1 1\nAda\t1\nAda\t1\tEve\t1")
                .unwrap_err()
                .starts_with("line 2")
        );
        assert!(
            parse("1 2\nAda\t1\t2\nAda\t1\tEve\t1")
                .unwrap_err()
                .contains("2 follow")
        );
    }

    #[test]
    fn thresholds_come_from_the_other_folds() {
        let pairs = parse(FILE).unwrap();
        // Fold 0 separates at 0.5, fold 1 at 0.3: each is judged at the other's.
        let scores = [0.9, 0.6, 0.4, 0.1, 0.5, 0.4, 0.2, 0.1];
        let judged = judge(&pairs, &scores);
        // With 0.3, fold 0 mistakes the different pair with 0.4 for a same pair. With 0.5, fold 1 accepts the same pair with 0.5,
        // but not the one with 0.4.
        assert!((judged.accuracy - 0.75).abs() < 1e-9, "{}", judged.accuracy);
    }

    #[test]
    fn perfect_scores_are_perfect() {
        let pairs = parse(FILE).unwrap();
        let scores: Vec<f32> = pairs
            .iter()
            .map(|p| if p.same { 0.8 } else { 0.1 })
            .collect();
        let judged = judge(&pairs, &scores);
        assert!((judged.accuracy - 1.0).abs() < 1e-9);
        assert!((judged.tar_at_far_1e_3 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn tar_at_far_of_a_known_list() {
        let impostor: Vec<f32> = (0..100u8).map(|i| f32::from(i) / 100.0).collect();
        let genuine = [0.985, 0.975, 0.5, 0.995];
        // One of a hundred impostors (0.99) may pass, 0.98 must not.
        assert!((tar_at_far(&genuine, &impostor, 1e-2) - 0.5).abs() < 1e-9);
        // No impostor may pass, so only scores above 0.99 are accepted.
        assert!((tar_at_far(&genuine, &impostor, 1e-3) - 0.25).abs() < 1e-9);
    }
}
