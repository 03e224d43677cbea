//! What was tried over all draws: error rates with their intervals, the curve, and what came nearest to a mistake.

use std::path::{Path, PathBuf};

use image::{GenericImage, RgbImage, imageops};
use serde_json::{Value, json};

use super::Shot;
use crate::capture::Photo;
use crate::cli::{Failure, Loaded, draw};
use crate::face::{FaceError, Landmarks};
use crate::frame::Sampler;
use crate::lesson::FaceCut;
use crate::rates::wilson;

/// Ways to tell people apart, in the order of their columns: likeness, which the program uses; the head's direction alone;
/// the nearest template; the mean template; and likeness with an embedder that was fine-tuned for the household, if that was
/// asked for.
pub const METHODS: [&str; 5] = ["likeness", "direction", "nearest", "mean", "tuned"];

/// Everything that was tried, over all draws.
#[derive(Default)]
pub struct Tally {
    /// By draw, then by method, as many as were tried.
    pub draws: Vec<Vec<Outcome>>,
    pub impostor_people: usize,
    /// Scores by method, for the curve.
    genuine: [Vec<f32>; METHODS.len()],
    impostors: [Vec<f32>; METHODS.len()],
    /// Nearest to a mistake of the program: enrolled people by their scores, and strangers.
    missed: Vec<(f32, PathBuf, Landmarks)>,
    let_in: Vec<(f32, PathBuf, Landmarks)>,
}

/// What one method did in one draw.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    pub genuine: usize,
    pub impostors: usize,
    /// At the threshold at which [`FAR`](super::FAR) of the strangers get in.
    pub refused: usize,
    pub wrong: usize,
    /// At the threshold that was found with other strangers.
    pub calibrated_refused: usize,
    pub calibrated_let_in: usize,
}

/// Scores of one method in one draw.
pub struct Scores<'a> {
    /// Of faces of the enrolled: whether the nearest person is the right one, and the cosine.
    pub genuine: Vec<(bool, f32, Option<&'a Shot>)>,
    /// Of strangers.
    pub impostors: Vec<(f32, &'a Shot)>,
    /// The threshold that was found with other strangers.
    pub threshold: f32,
}

/// The score above which at most a share `far` of `strangers` lies.
fn quantile(strangers: &[f32], far: f64) -> f32 {
    let mut sorted = strangers.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let allowed = (far * sorted.len() as f64).floor() as usize;
    sorted.get(allowed).copied().unwrap_or(-1.0)
}

/// FRR at every FAR that was measured.
fn curve(genuine: &[f32], impostors: &[f32]) -> Vec<(f64, f64)> {
    let mut own = genuine.to_vec();
    own.sort_unstable_by(f32::total_cmp);
    let mut others = impostors.to_vec();
    others.sort_unstable_by(|a, b| b.total_cmp(a));
    let n = others.len().max(1) as f64;
    let mut points = Vec::new();
    // Evenly spaced on a logarithmic scale.
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
    /// Adds what every method did in one draw.
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

    /// FRR at every FAR that was measured, of method `m`.
    pub fn curve(&self, m: usize) -> Vec<(f64, f64)> {
        curve(&self.genuine[m], &self.impostors[m])
    }

    /// Methods that were tried.
    pub fn methods(&self) -> usize {
        self.draws.first().map_or(0, Vec::len)
    }

    fn sum(&self, m: usize, of: impl Fn(&Outcome) -> usize) -> usize {
        self.draws.iter().map(|d| of(&d[m])).sum()
    }

    fn method(&self, m: usize) -> Value {
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
        json!({
            "frr_at_far_1e_3": mean,
            "spread": spread,
            "ci95": wilson(refused, genuine),
            "wrong_name_rate": share(self.sum(m, |o| o.wrong), genuine),
            "calibrated": {
                "frr": share(self.sum(m, |o| o.calibrated_refused), genuine),
                "far": share(let_in, impostors),
                "far_ci95": wilson(let_in, impostors),
            },
        })
    }

    pub fn report(&self, size: usize, photos: usize) -> Value {
        let mut all = self.method(0);
        all["people"] = json!(size);
        all["photos"] = json!(photos);
        all["draws"] = json!(self.draws.len());
        all["faces"] = json!(self.sum(0, |o| o.genuine));
        all["impostors"] = json!(self.impostor_people);
        all["impostor_faces"] = json!(self.sum(0, |o| o.impostors) / self.draws.len().max(1));
        for (m, name) in METHODS.iter().enumerate().take(self.methods()).skip(1) {
            all[*name] = self.method(m);
        }
        all
    }

    pub fn print(&self, size: usize, photos: usize, loaded: &Loaded, engine: &str) {
        println!(
            "{size} people, {photos} photos of each; {} with {}, {engine}",
            loaded.manifest.embedder, loaded.manifest.name
        );
        println!(
            "{} draws; {} faces of the enrolled tried, {} other people with {} faces a draw",
            self.draws.len(),
            self.sum(0, |o| o.genuine),
            self.impostor_people,
            self.sum(0, |o| o.impostors) / self.draws.len().max(1)
        );
        for (m, name) in METHODS.iter().enumerate().take(self.methods()) {
            let all = self.method(m);
            let percent = |v: &Value| 100.0 * v.as_f64().unwrap_or(f64::NAN);
            println!(
                "{name:9} FRR at FAR 0.1 % {:5.2} % (spread {:.2}, 95 % {:.2} to {:.2}), wrong name {:.3} %; threshold \
                 from others: FRR {:.2} %, FAR {:.3} %",
                percent(&all["frr_at_far_1e_3"]),
                percent(&all["spread"]),
                percent(&all["ci95"][0]),
                percent(&all["ci95"][1]),
                percent(&all["wrong_name_rate"]),
                percent(&all["calibrated"]["frr"]),
                percent(&all["calibrated"]["far"]),
            );
        }
    }

    /// Of all that was tried, what came nearest to a mistake.
    fn keep_worst(&mut self) {
        const WORST: usize = 12;
        self.missed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.let_in.sort_by(|a, b| b.0.total_cmp(&a.0));
        for list in [&mut self.missed, &mut self.let_in] {
            list.dedup_by(|a, b| a.1 == b.1);
            list.truncate(WORST);
        }
    }

    /// The enrolled with the lowest scores above, the strangers with the highest below.
    pub fn sheet(&self, out: &Path) -> Result<(), Failure> {
        const SIDE: u32 = 128;
        let columns = self.missed.len().max(self.let_in.len()).max(1) as u32;
        let mut sheet = RgbImage::new(columns * SIDE, 2 * SIDE + 40);
        draw::write(
            &mut sheet,
            4,
            6,
            1,
            "enrolled, least like themselves",
            draw::KNOWN,
        );
        draw::write(
            &mut sheet,
            4,
            i64::from(SIDE) + 26,
            1,
            "strangers, most like a resident",
            draw::UNKNOWN,
        );
        for (row, list) in [&self.missed, &self.let_in].into_iter().enumerate() {
            for (column, (score, photo, landmarks)) in list.iter().enumerate() {
                let photo = Photo::open(photo)?;
                let mut sampler = Sampler::new(photo.image().layout().width, 256);
                let cut = FaceCut::new(&photo.image(), landmarks, &mut sampler)
                    .map_err(FaceError::from)?;
                let Some(cut) = cut else { continue };
                let small =
                    imageops::resize(cut.picture(), SIDE, SIDE, imageops::FilterType::Triangle);
                let (x, y) = (column as u32 * SIDE, row as u32 * (SIDE + 20) + 20);
                // The sheet has room for all.
                let _ = sheet.copy_from(&small, x, y);
                draw::write(
                    &mut sheet,
                    i64::from(x) + 4,
                    i64::from(y) + 116,
                    1,
                    &format!("{score:.2}"),
                    draw::KNOWN,
                );
            }
        }
        sheet
            .save(out)
            .map_err(|e| Failure::machine(format!("{}: cannot be written: {e}", out.display())))
    }
}
