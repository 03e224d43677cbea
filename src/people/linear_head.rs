//! The linear head on the frozen embedding: one direction per person, trained against the embeddings of everyone else and of
//! strangers.
//!
//! The method is multinomial logistic regression with a class *nobody*. Its prior is a Gaussian around each person's mean
//! embedding (maximum a posteriori). With logits `SCALE * w_i . x` for person i and `SCALE * b` for nobody, it minimises
//!
//! ```text
//! mean over classes of the mean of -log p(class | x)  +  PULL/2 * sum_i |w_i - m_i|^2  +  PULL/2 * (b - NOBODY)^2
//! ```
//!
//! where `m_i` is person i's mean, of length 1. With few embeddings a person's direction stays at the mean; with many it moves
//! away from the people whom it would be mistaken for.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::face::Embedding;

/// The factor from a cosine to a logit. With 16, a cosine that is higher by 0.1 makes a class five times as likely.
const SCALE: f32 = 16.0;
/// The bias of the class *nobody* before training. It is between the cosines of strangers and those of the same person.
const NOBODY: f32 = 0.35;
/// How firmly directions are held at the means. For values from 0.03 to 0.3 the error stays within its spread.
const PULL: f32 = 0.1;
/// The number of steps of the descent.
const STEPS: usize = 300;

/// The directions, of length 1, that distinguish the people whose embeddings are `people` (each at least one) from each other and
/// from `strangers`, one entry per stranger. All strangers together are one class, in which each stranger counts the same,
/// however many embeddings they have. All embeddings have length 1 and the same number of dimensions.
#[must_use]
pub fn directions(people: &[Vec<&[f32]>], strangers: &[Vec<&[f32]>]) -> Vec<Vec<f32>> {
    let Some(dimensions) = people.first().and_then(|p| p.first()).map(|e| e.len()) else {
        return Vec::new();
    };
    let classes = people.len() + 1;
    let means = means(people, dimensions);
    // One row per example and one column per class. A class counts the same however many examples it has.
    let has_examples = |p: &&Vec<&[f32]>| !p.is_empty();
    let others = strangers.iter().filter(has_examples).count();
    let filled = people.iter().filter(has_examples).count() + usize::from(others > 0);
    let (mut rows, mut owners, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    // For each person: the class, the number of people who share it, and the examples.
    let known = people.iter().enumerate().map(|(class, p)| (class, 1, p));
    let all = known.chain(strangers.iter().map(|s| (people.len(), others, s)));
    for (class, share, examples) in all {
        for example in examples {
            rows.extend_from_slice(example);
            owners.push(class);
            weights.push(1.0 / (filled * share * examples.len()) as f32);
        }
    }
    let Ok(x) = Array2::from_shape_vec((owners.len(), dimensions), rows) else {
        return means.rows().into_iter().map(|m| m.to_vec()).collect();
    };
    let (mut w, mut b) = (means.clone(), NOBODY);
    // Nesterov's descent (1983) with the step size that the curvature allows: the curvature of softmax is at most 1/2, and a
    // row's length is 1.
    let step = 1.0 / (0.5 * SCALE * SCALE + PULL);
    let (mut ahead, mut b_ahead, mut momentum) = (w.clone(), b, 1.0_f32);
    for _ in 0..STEPS {
        let mut error = probabilities(x.view(), &ahead, b_ahead);
        for ((mut row, &owner), &weight) in error.rows_mut().into_iter().zip(&owners).zip(&weights)
        {
            row[owner] -= 1.0;
            row *= weight;
        }
        let known = error.slice(ndarray::s![.., ..classes - 1]);
        let slope = known.t().dot(&x) * SCALE + (&ahead - &means) * PULL;
        let b_slope = error.column(classes - 1).sum() * SCALE + (b_ahead - NOBODY) * PULL;
        let (w_before, b_before) = (w, b);
        w = &ahead - &(slope * step);
        b = b_ahead - b_slope * step;
        let next = 0.5 * (1.0 + (4.0 * momentum).mul_add(momentum, 1.0).sqrt());
        let carry = (momentum - 1.0) / next;
        ahead = &w + &((&w - &w_before) * carry);
        b_ahead = carry.mul_add(b - b_before, b);
        momentum = next;
    }
    let learnt = w.rows().into_iter().zip(means.rows());
    learnt
        .map(|(w, mean)| {
            let direction = Embedding::normalised(w.iter().copied());
            direction.map_or_else(|| mean.to_vec(), |d| d.values().to_vec())
        })
        .collect()
}

/// How alike a face is to a person: the mean of its cosines to the person's direction and to the nearest of their templates. The
/// direction represents what all photos have in common, and the nearest template represents a photo taken in similar light. For
/// people whom the embedder has never seen, both together miss fewer faces than either alone (`latchkey eval people` measures all
/// three).
#[must_use]
pub fn likeness<'a>(
    face: &[f32],
    direction: &[f32],
    templates: impl Iterator<Item = &'a [f32]>,
) -> f32 {
    let dot = |row: &[f32]| dot(face, row);
    let nearest = templates.map(dot).fold(f32::NEG_INFINITY, f32::max);
    let common = dot(direction);
    if nearest == f32::NEG_INFINITY {
        return common;
    }
    0.5 * (common + nearest)
}

/// The dot product, computed in eight sums at once. A single sum would have to wait for each addition.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(a, b)| a * b)
        .sum();
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Each person's mean, of length 1.
fn means(people: &[Vec<&[f32]>], dimensions: usize) -> Array2<f32> {
    let mut means = Array2::zeros((people.len(), dimensions));
    for (mut mean, examples) in means.rows_mut().into_iter().zip(people) {
        for example in examples {
            mean += &ndarray::ArrayView1::from(*example);
        }
        let length = mean.dot(&mean).sqrt();
        if length.is_normal() {
            mean /= length;
        }
    }
    means
}

/// Probability of each class for each row of `x`, nobody last; rows add up to 1.
fn probabilities(x: ArrayView2<'_, f32>, w: &Array2<f32>, b: f32) -> Array2<f32> {
    let mut p = Array2::from_elem((x.nrows(), w.nrows() + 1), b);
    p.slice_mut(ndarray::s![.., ..w.nrows()])
        .assign(&x.dot(&w.t()));
    for mut row in p.rows_mut() {
        let most = row.fold(f32::NEG_INFINITY, |m, v| m.max(*v));
        row.mapv_inplace(|v| (SCALE * (v - most)).exp());
    }
    let sums: Array1<f32> = p.sum_axis(Axis(1));
    p /= &sums.insert_axis(Axis(1));
    p
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn unit(values: impl IntoIterator<Item = f32>) -> Vec<f32> {
        Embedding::normalised(values).unwrap().values().to_vec()
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Embeddings around a direction.
    fn around(direction: &[f32], n: usize, chance: &mut Chance) -> Vec<Vec<f32>> {
        (0..n)
            .map(|_| unit(direction.iter().map(|d| d + 0.15 * chance.normal())))
            .collect()
    }

    #[test]
    fn one_embedding_without_strangers_is_its_own_direction() {
        let ada = unit([0.6, 0.8, 0.0]);
        let learnt = directions(&[vec![&ada]], &[]);
        assert_eq!(learnt.len(), 1);
        assert!(dot(&learnt[0], &ada) > 0.999);
        assert!(directions(&[], &[]).is_empty());
    }

    /// At the answer, with its best length and bias, a change of the first direction along any axis increases the loss.
    #[test]
    fn the_answer_is_a_minimum() {
        let mut chance = Chance::new(3);
        let people: Vec<Vec<Vec<f32>>> = (0..3)
            .map(|_| {
                let centre: Vec<f32> = (0..8).map(|_| chance.normal()).collect();
                around(&unit(centre), 6, &mut chance)
            })
            .collect();
        let strangers = around(&[0.0; 8], 20, &mut chance);
        let views: Vec<Vec<&[f32]>> = people
            .iter()
            .map(|p| p.iter().map(Vec::as_slice).collect())
            .collect();
        let others: Vec<&[f32]> = strangers.iter().map(Vec::as_slice).collect();
        let each: Vec<Vec<&[f32]>> = others.iter().map(|s| vec![*s]).collect();
        let learnt = directions(&views, &each);
        // A direction has no length, so the minimum is also searched over the length.
        let loss = |w: &[Vec<f32>], b: f32| {
            let mut sum = 0.0_f64;
            for (class, examples) in views.iter().chain([&others]).enumerate() {
                for x in examples {
                    let mut logits: Vec<f64> =
                        w.iter().map(|w| f64::from(SCALE * dot(w, x))).collect();
                    logits.push(f64::from(SCALE * b));
                    let most = logits.iter().copied().fold(f64::MIN, f64::max);
                    let all: f64 = logits.iter().map(|l| (l - most).exp()).sum();
                    sum -= (logits[class] - most - all.ln()) / (4.0 * examples.len() as f64);
                }
            }
            for (w, m) in w.iter().zip(means(&views, 8).rows()) {
                let apart: f32 = w.iter().zip(m).map(|(w, m)| (w - m) * (w - m)).sum();
                sum += f64::from(0.5 * PULL * apart);
            }
            sum + f64::from(0.5 * PULL * (b - NOBODY) * (b - NOBODY))
        };
        // First a coarse search over the length and the bias, then over changes of the first direction.
        let scaled = |k: f32| -> Vec<Vec<f32>> {
            let each = learnt.iter();
            each.map(|w| w.iter().map(|v| v * k).collect()).collect()
        };
        let mut best = (f64::MAX, 1.0, 0.0);
        for k in 0..60 {
            for b in 0..40 {
                let (k, b) = (0.6 + 0.02 * k as f32, 0.02 * b as f32);
                let l = loss(&scaled(k), b);
                if l < best.0 {
                    best = (l, k, b);
                }
            }
        }
        for turn in 0..8 {
            for by in [-0.15_f32, 0.15] {
                let mut turned = scaled(best.1);
                turned[0][turn] += by;
                assert!(
                    loss(&turned, best.2) > best.0,
                    "turned by {by} along {turn}"
                );
            }
        }
    }

    #[test]
    fn a_stranger_counts_once_however_many_photos_there_are() {
        let mut chance = Chance::new(9);
        let ada = around(&unit([1.0, 0.3, 0.0, 0.0]), 10, &mut chance);
        let ada = [ada.iter().map(Vec::as_slice).collect::<Vec<_>>()];
        let [one, other] = [unit([0.5, 1.0, 0.0, 0.0]), unit([0.5, 0.0, 1.0, 0.0])];
        let once = directions(&ada, &[vec![&one[..]], vec![&other[..]]]);
        let often = directions(&ada, &[vec![&one[..]; 120], vec![&other[..]]]);
        assert!(dot(&once[0], &often[0]) > 0.999_99);
        let apart = directions(&ada, &[vec![&one[..]], vec![&one[..]], vec![&other[..]]]);
        assert!(dot(&once[0], &apart[0]) < 0.999_9, "two people count twice");
    }

    #[test]
    fn two_people_with_a_common_feature_stay_separate() {
        let mut chance = Chance::new(5);
        let ada = around(&unit([1.0, 0.3, 0.0, 0.0]), 10, &mut chance);
        let ben = around(&unit([1.0, -0.3, 0.0, 0.0]), 10, &mut chance);
        let people = [
            ada.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            ben.iter().map(Vec::as_slice).collect(),
        ];
        let learnt = directions(&people, &[]);
        let lead = |w: &[Vec<f32>], x: &[f32]| dot(&w[0], x) - dot(&w[1], x);
        let plain: Vec<Vec<f32>> = means(&people, 4)
            .rows()
            .into_iter()
            .map(|m| m.to_vec())
            .collect();
        let probe = unit([1.0, 0.3, 0.0, 0.0]);
        assert!(lead(&learnt, &probe) > 1.2 * lead(&plain, &probe));
    }
}
