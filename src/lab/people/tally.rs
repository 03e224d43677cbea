//! The results over all draws: error rates with their intervals, the curve, and the faces that came nearest to a mistake. `sheet`
//! makes a picture of these.

use std::path::PathBuf;

use super::crowd::Shot;
use crate::face::Landmarks;
use crate::rates::wilson;

/// Ways to tell people apart, in the order of their columns: likeness, which the program uses; the head's direction alone; the
/// nearest template; the mean template; and likeness with an embedder that was fine-tuned for the household, if that was
/// requested.
pub const METHODS: [&str; 5] = ["likeness", "direction", "nearest", "mean", "tuned"];

/// The results of everything that was tested, over all draws.
#[derive(Default)]
pub struct Tally {
    /// The outcomes by draw, then by method, for as many methods as were tested.
    draws: Vec<Vec<Outcome>>,
    /// The number of other people who were tested on in a draw.
    pub impostor_people: usize,
    /// Scores by method, for the curve.
    genuine: [Vec<f32>; METHODS.len()],
    impostors: [Vec<f32>; METHODS.len()],
    /// The faces that came nearest to a mistake of the program, with their scores: enrolled people with low scores, and strangers
    /// with high ones.
    pub(super) missed: Vec<(f32, PathBuf, Landmarks)>,
    pub(super) let_in: Vec<(f32, PathBuf, Landmarks)>,
}

/// The counts of one method in one draw.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    pub genuine: usize,
    pub impostors: usize,
    /// Counts at the threshold at which a share [`FAR`](super::FAR) of the strangers gets in.
    pub refused: usize,
    pub wrong: usize,
    /// At the threshold that was found with other strangers.
    pub calibrated_refused: usize,
    pub calibrated_let_in: usize,
}

/// The error rates of one method over all draws.
pub struct Rates {
    /// The share of enrolled people's faces that is refused at the threshold at which a share [`FAR`](super::FAR) of the
    /// strangers gets in: the mean of the draws, the deviation between them, and the 95 % interval.
    pub frr: f64,
    pub spread: f64,
    pub frr_ci95: [f64; 2],
    /// The share of enrolled people's faces that is mistaken for another person at that threshold.
    pub wrong_name: f64,
    /// At the threshold that was found with other strangers.
    pub calibrated: Calibrated,
}

/// Error rates at the threshold that was found with other strangers.
pub struct Calibrated {
    pub frr: f64,
    pub far: f64,
    pub far_ci95: [f64; 2],
}

/// The scores of one method in one draw.
pub struct Scores<'a> {
    /// For faces of enrolled people: whether the nearest person is the right one, the score, and the photo.
    pub genuine: Vec<(bool, f32, Option<&'a Shot>)>,
    /// For faces of strangers: the score, and the photo.
    pub impostors: Vec<(f32, &'a Shot)>,
    /// The threshold that was found with other strangers.
    pub threshold: f32,
}

/// The score above which at most a share `far` of `strangers` is.
fn quantile(strangers: &[f32], far: f64) -> f32 {
    let mut sorted = strangers.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let allowed = (far * sorted.len() as f64).floor() as usize;
    sorted.get(allowed).copied().unwrap_or(-1.0)
}

/// The FRR at each measured FAR.
fn curve(genuine: &[f32], impostors: &[f32]) -> Vec<(f64, f64)> {
    let mut own = genuine.to_vec();
    own.sort_unstable_by(f32::total_cmp);
    let mut others = impostors.to_vec();
    others.sort_unstable_by(|a, b| b.total_cmp(a));
    let n = others.len().max(1) as f64;
    let mut points = Vec::new();
    // The points are evenly spaced on a logarithmic scale.
    let mut rank = 0_usize;
    while rank < others.len() {
        let limit = others[rank];
        let refused = own.partition_point(|s| *s <= limit);
        points.push((
            rank.max(1) as f64 / n,
            refused as f64 / own.len().max(1) as f64,
        ));
        rank = (rank + 1).max(rank * 11 / 10);
    }
    points
}

impl Tally {
    /// Adds the scores of every method in one draw.
    pub fn add(&mut self, methods: &[Scores<'_>]) {
        let each = methods.iter().enumerate();
        let outcomes = each.map(|(m, scores)| {
            let strangers: Vec<f32> = scores.impostors.iter().map(|(s, _)| *s).collect();
            let limit = quantile(&strangers, super::FAR);
            let point = scores.threshold;
            let mut outcome = Outcome {
                genuine: scores.genuine.len(),
                impostors: strangers.len(),
                calibrated_let_in: strangers.iter().filter(|s| **s >= point).count(),
                ..Outcome::default()
            };
            for (right, score, _) in &scores.genuine {
                outcome.refused += usize::from(!(*right && *score > limit));
                outcome.wrong += usize::from(!right && *score > limit);
                outcome.calibrated_refused += usize::from(!(*right && *score >= point));
                self.genuine[m].push(if *right { *score } else { -1.0 });
            }
            self.impostors[m].extend(strangers);
            outcome
        });
        let outcomes = outcomes.collect();
        self.draws.push(outcomes);
        if let Some(ours) = methods.first() {
            let of = |score: f32, shot: &Shot| (score, shot.photo.clone(), shot.landmarks);
            let missed = ours.genuine.iter();
            self.missed
                .extend(missed.filter_map(|(_, score, shot)| Some(of(*score, (*shot)?))));
            let let_in = ours.impostors.iter();
            self.let_in
                .extend(let_in.map(|(score, shot)| of(*score, shot)));
            self.keep_worst();
        }
    }

    /// The FRR of method `m` at each measured FAR.
    pub fn curve(&self, m: usize) -> Vec<(f64, f64)> {
        curve(&self.genuine[m], &self.impostors[m])
    }

    /// The number of methods that were tested.
    pub fn methods(&self) -> usize {
        self.draws.first().map_or(0, Vec::len)
    }

    fn sum(&self, m: usize, of: impl Fn(&Outcome) -> usize) -> usize {
        self.draws.iter().map(|d| of(&d[m])).sum()
    }

    /// The error rates of method `m`.
    pub fn rates(&self, m: usize) -> Rates {
        let (refused, genuine) = (self.sum(m, |o| o.refused), self.sum(m, |o| o.genuine));
        let each: Vec<f64> = self
            .draws
            .iter()
            .map(|d| d[m].refused as f64 / d[m].genuine.max(1) as f64)
            .collect();
        let mean = each.iter().sum::<f64>() / each.len().max(1) as f64;
        let spread = (each.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>()
            / each.len().max(1) as f64)
            .sqrt();
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        let let_in = self.sum(m, |o| o.calibrated_let_in);
        let impostors = self.sum(m, |o| o.impostors);
        Rates {
            frr: mean,
            spread,
            frr_ci95: wilson(refused, genuine),
            wrong_name: share(self.sum(m, |o| o.wrong), genuine),
            calibrated: Calibrated {
                frr: share(self.sum(m, |o| o.calibrated_refused), genuine),
                far: share(let_in, impostors),
                far_ci95: wilson(let_in, impostors),
            },
        }
    }

    /// The number of households that were picked.
    pub fn draws(&self) -> usize {
        self.draws.len()
    }

    /// The number of enrolled people's faces that were tested on, in all draws.
    pub fn faces(&self) -> usize {
        self.sum(0, |o| o.genuine)
    }

    /// The number of strangers' faces that were tested on in a draw.
    pub fn impostor_faces(&self) -> usize {
        self.sum(0, |o| o.impostors) / self.draws.len().max(1)
    }

    /// Keeps only the faces that came nearest to a mistake.
    fn keep_worst(&mut self) {
        const WORST: usize = 12;
        self.missed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.let_in.sort_by(|a, b| b.0.total_cmp(&a.0));
        for list in [&mut self.missed, &mut self.let_in] {
            list.dedup_by(|a, b| a.1 == b.1);
            list.truncate(WORST);
        }
    }
}
