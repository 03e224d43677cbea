//! Fine-tuning: the embedder's top layers, trained on the people who live here.
//!
//! ```text
//! trunk 7x7x160 ─▶ 1x1 convolution, ReLU ─▶ 7x7 depthwise convolution ─▶ 1x1 convolution ─▶ 128 numbers
//! ```
//!
//! It starts from the weights that the network came with and stays near them: it minimises
//!
//! ```text
//! mean over classes of the mean of -log p(class | z)  +  HOLD * mean of (1 - z . z0)
//! ```
//!
//! where z is an example's new embedding of length 1, z0 is the frozen network's embedding of the photo that the example is a
//! view of, and p the head's softmax over the frozen directions and *nobody*. So the embedding of a view moves to where its
//! photo's was, a photo's embedding moves away from the people whom it would be mistaken for, and all other embeddings stay in
//! place.
//!
//! The computation is three matrix products and their derivatives: `ndarray` multiplies. A training framework would be larger
//! than this whole program and is not needed. [`super`]'s callers measure whether the result is good.

use ndarray::{Array, Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, Dimension, Zip};

use crate::chance::Chance;
use crate::face::Embedding;
use crate::nn::{Layer, Patch, PatchedLayer, Tensor, Weights, WeightsError};

/// The factor from a cosine to a logit, as in the head.
const SCALE: f32 = 16.0;
/// The bias of the class *nobody*, as in the head before training.
const NOBODY: f32 = 0.35;
/// How firmly embeddings are held in their places.
const HOLD: f32 = 1.0;
/// The number of passes over the examples.
const EPOCHS: usize = 12;
/// The number of examples in one step.
const BATCH: usize = 64;
/// The size of a weight's first step, relative to its layer's root mean square. The size falls to zero during training.
const RATE: f32 = 0.005;

/// The smallest number of views of a face that are learnt from in addition to the face itself, because the top layers should give
/// the same embedding when heads bend and light changes.
pub const TUNING_VIEWS: u32 = 6;

/// The output of the embedder's trunk for a face, 8 bits per number: real value = (stored - zero) * scale.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// The rows of the map one after the other, with the channel as the fastest index.
    pub values: Vec<i8>,
    /// The real value of one step.
    pub scale: f32,
    /// The stored value that represents real zero.
    pub zero: i32,
}

impl Trunk {
    /// Reads the embedder's output; `None` if its elements are not signed bytes.
    #[must_use]
    pub fn of(tensor: Tensor<'_>) -> Option<Self> {
        match tensor {
            Tensor::I8(values, scale, zero) => Some(Self {
                values: values.to_vec(),
                scale,
                zero,
            }),
            Tensor::F32(_) | Tensor::U8(..) => None,
        }
    }
}

/// A face to learn from.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The trunk's output for the face.
    pub trunk: Trunk,
    /// The person whose face it is, as the index of a direction; `None` for a stranger.
    pub who: Option<usize>,
    /// The frozen network's embedding of the photo that shows the face, or of which the face is a view.
    pub frozen: Embedding,
}

/// The three layers. The weights are matrices with one row per input, `[in, out]`, and for the second layer `[places, channels]`.
/// Each layer has biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    weights: [Array2<f32>; 3],
    biases: [Array1<f32>; 3],
}

/// What a forward pass keeps for the backward pass: the maps after the first layer, `[n * places, channels]`, those after the
/// second, `[n, channels]`, and the output.
struct Passed {
    wide: Array2<f32>,
    flat: Array2<f32>,
    out: Array2<f32>,
}

impl Top {
    /// The top layers of an embedder's file.
    ///
    /// # Errors
    /// [`WeightsError`] if the file has no such layers.
    pub fn of(file: &Weights) -> Result<Self, WeightsError> {
        let [a, b, c] = [
            file.layer("top/0")?,
            file.layer("top/1")?,
            file.layer("top/2")?,
        ];
        // The file has one output in a row.
        let matrix = |layer: &Layer, name: &str| {
            let [outputs, inputs] = [layer.shape[0], layer.shape[1..].iter().product()];
            Array2::from_shape_vec((outputs, inputs), layer.weights.clone())
                .map_err(|_| WeightsError::Shape(name.to_owned()))
        };
        let channels = b.bias.len();
        let places = b.weights.len() / channels.max(1);
        let depthwise = Array2::from_shape_vec((places, channels), b.weights)
            .map_err(|_| WeightsError::Shape("top/1".to_owned()))?;
        let top = Self {
            weights: [
                matrix(&a, "top/0")?.reversed_axes(),
                depthwise,
                matrix(&c, "top/2")?.reversed_axes(),
            ],
            biases: [a.bias, b.bias, c.bias].map(Array1::from),
        };
        if top.weights[0].ncols() != channels || top.weights[2].nrows() != channels {
            return Err(WeightsError::Shape("top/1".to_owned()));
        }
        Ok(top)
    }

    /// The layers as a patch for the embedder's file; the ranges of their outputs are those of `lessons`.
    #[must_use]
    pub fn patch(&self, lessons: &[Lesson]) -> Patch {
        let mut reaches = [(); 3].map(|()| Vec::new());
        for some in lessons.chunks(BATCH) {
            let passed = self.pass(self.maps(some).view());
            for (reach, values) in reaches
                .iter_mut()
                .zip([&passed.wide, &passed.flat, &passed.out])
            {
                // Every map is used, but not every number in it.
                let step = (values.len() / (BATCH * 256)).max(1);
                reach.extend(values.iter().step_by(step));
            }
        }
        let mut place = 0;
        Patch(reaches.map(|mut reach| {
            let weights = &self.weights[place];
            let bias = self.biases[place].to_vec();
            // The file has one output in a row, except for the second layer, which is stored as it is here.
            let weights: Vec<f32> = match place {
                1 => weights.iter().copied().collect(),
                _ => weights.t().iter().copied().collect(),
            };
            place += 1;
            let range = reach_of(&mut reach);
            PatchedLayer {
                weights,
                bias,
                range: [range.start, range.end],
            }
        }))
    }

    /// Writes the layers into an embedder's file; see [`Top::patch`].
    ///
    /// # Errors
    /// [`WeightsError`] if the file has no such layers.
    pub fn put(&self, file: &mut Weights, lessons: &[Lesson]) -> Result<(), WeightsError> {
        self.patch(lessons).put(file)
    }

    /// The embedding of a face; `None` if the output is zero, and so has no direction.
    #[must_use]
    pub fn embed(&self, trunk: &Trunk) -> Option<Embedding> {
        let maps = self.spread(&[trunk]);
        Embedding::normalised(self.pass(maps.view()).out)
    }

    /// The layers trained on `lessons` for the directions that the head has for the frozen network. `each` is called after every
    /// pass with the pass's number, 1 to [`Top::epochs`]. The same seed gives the same result.
    #[must_use]
    pub fn tuned(
        &self,
        lessons: &[Lesson],
        directions: &[Vec<f32>],
        seed: u64,
        mut each: impl FnMut(usize),
    ) -> Self {
        let mut top = self.clone();
        let mut steps = Steps::new(&top);
        let mut chance = Chance::new(seed);
        let weights = weights(lessons, directions.len());
        let mut order: Vec<usize> = (0..lessons.len()).collect();
        let rounds = EPOCHS * lessons.len().div_ceil(BATCH);
        let mut round = 0;
        for epoch in 1..=EPOCHS {
            chance.shuffle(&mut order);
            for some in order.chunks(BATCH) {
                let batch: Vec<&Lesson> = some.iter().map(|i| &lessons[*i]).collect();
                let share: Vec<f32> = some.iter().map(|i| weights[*i]).collect();
                let (_, slope) = top.slope(&batch, &share, directions);
                let left = 1.0 - round as f32 / rounds as f32;
                steps.take(&mut top, &slope, RATE * left);
                round += 1;
            }
            each(epoch);
        }
        top
    }

    /// The number of passes that [`Top::tuned`] makes over its lessons.
    #[must_use]
    pub const fn epochs() -> usize {
        EPOCHS
    }

    fn maps(&self, lessons: &[Lesson]) -> Array2<f32> {
        let trunks: Vec<&Trunk> = lessons.iter().map(|l| &l.trunk).collect();
        self.spread(&trunks)
    }

    /// The real values of the trunks' maps, with one row for each place. Missing values are zero.
    fn spread(&self, trunks: &[&Trunk]) -> Array2<f32> {
        let [places, channels] = [self.places(), self.weights[0].nrows()];
        let mut maps = Array2::zeros((trunks.len() * places, channels));
        for (map, trunk) in maps
            .axis_chunks_iter_mut(Axis(0), places.max(1))
            .zip(trunks)
        {
            for (value, stored) in map.into_iter().zip(&trunk.values) {
                *value = (f32::from(*stored) - trunk.zero as f32) * trunk.scale;
            }
        }
        maps
    }

    /// The number of places in a map.
    fn places(&self) -> usize {
        self.weights[1].nrows().max(1)
    }

    fn pass(&self, maps: ArrayView2<'_, f32>) -> Passed {
        let [a, b, c] = &self.weights;
        let [a_bias, b_bias, c_bias] = &self.biases;
        let mut wide = maps.dot(a);
        wide += a_bias;
        wide.mapv_inplace(|v| v.max(0.0));
        let mut flat = Array2::zeros((wide.nrows() / self.places(), b.ncols()));
        let each = wide.axis_chunks_iter(Axis(0), self.places());
        for (map, mut sum) in each.zip(flat.rows_mut()) {
            sum.assign(b_bias);
            for (at, weights) in map.rows().into_iter().zip(b.rows()) {
                Zip::from(&mut sum)
                    .and(&at)
                    .and(&weights)
                    .for_each(|s, v, w| *s += v * w);
            }
        }
        let mut out = flat.dot(c);
        out += c_bias;
        Passed { wide, flat, out }
    }

    /// The loss of a batch, and its derivative by every weight. `share` has the weight of each example.
    fn slope(&self, batch: &[&Lesson], share: &[f32], directions: &[Vec<f32>]) -> (f32, Self) {
        let trunks: Vec<&Trunk> = batch.iter().map(|l| &l.trunk).collect();
        let maps = self.spread(&trunks);
        let Passed { wide, flat, out } = self.pass(maps.view());
        let [_, b, c] = &self.weights;
        let mut loss = 0.0;
        let mut by_out = Array2::zeros(out.raw_dim());
        let rows = out.rows().into_iter().zip(by_out.rows_mut());
        for ((lesson, share), (out, by_out)) in batch.iter().zip(share).zip(rows) {
            loss += judge(lesson, *share, directions, out, by_out);
        }
        let by_flat = by_out.dot(&c.t());
        let mut by_wide = Array2::zeros(wide.raw_dim());
        let mut by_b = Array2::zeros(b.raw_dim());
        let each = wide.axis_chunks_iter(Axis(0), self.places());
        let by_each = by_wide.axis_chunks_iter_mut(Axis(0), self.places());
        for ((map, mut by_map), by_flat) in each.zip(by_each).zip(by_flat.rows()) {
            for (place, weights) in b.rows().into_iter().enumerate() {
                Zip::from(by_b.row_mut(place))
                    .and(map.row(place))
                    .and(&by_flat)
                    .for_each(|s, v, g| *s += v * g);
                // ReLU passes on only values above zero.
                Zip::from(by_map.row_mut(place))
                    .and(map.row(place))
                    .and(&weights)
                    .and(&by_flat)
                    .for_each(|s, v, w, g| *s = if *v > 0.0 { w * g } else { 0.0 });
            }
        }
        let slope = Self {
            weights: [maps.t().dot(&by_wide), by_b, flat.t().dot(&by_out)],
            biases: [&by_wide, &by_flat, &by_out].map(|m| m.sum_axis(Axis(0))),
        };
        (loss, slope)
    }
}

/// The loss of one example, and its derivative by the embedding before it is scaled to length 1.
fn judge(
    lesson: &Lesson,
    share: f32,
    directions: &[Vec<f32>],
    out: ArrayView1<'_, f32>,
    mut by_out: ArrayViewMut1<'_, f32>,
) -> f32 {
    let length = out.dot(&out).sqrt().max(1e-6);
    let z = &out / length;
    let mut by_z = Array1::<f32>::zeros(z.len());
    let frozen = ArrayView1::from(lesson.frozen.values());
    let mut loss = share * HOLD * (1.0 - z.dot(&frozen));
    by_z.scaled_add(-share * HOLD, &frozen);
    let directions: Vec<ArrayView1<'_, f32>> = directions.iter().map(|d| d[..].into()).collect();
    let mut logits: Vec<f32> = directions.iter().map(|d| SCALE * z.dot(d)).collect();
    logits.push(SCALE * NOBODY);
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|l| (l - most).exp()).sum();
    let own = lesson.who.unwrap_or(directions.len());
    loss -= share * (logits[own] - most - sum.ln());
    for (place, direction) in directions.iter().enumerate() {
        let p = (logits[place] - most).exp() / sum - f32::from(u8::from(place == own));
        by_z.scaled_add(share * SCALE * p, direction);
    }
    // A change along the embedding has no effect.
    let along = by_z.dot(&z);
    by_out.assign(&((by_z - &z * along) / length));
    loss
}

/// The weight of each example, 1 on average, such that each class has the same weight.
fn weights(lessons: &[Lesson], people: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; people + 1];
    let class = |l: &Lesson| l.who.unwrap_or(people);
    for lesson in lessons {
        counts[class(lesson)] += 1;
    }
    let classes = counts.iter().filter(|c| **c > 0).count();
    let each = lessons.len() as f32 / classes.max(1) as f32;
    lessons
        .iter()
        .map(|l| each / counts[class(l)] as f32)
        .collect()
}

/// Adam (Kingma and Ba 2015), each layer's steps relative to its root mean square.
struct Steps {
    mean: Top,
    square: Top,
    count: i32,
}

impl Steps {
    fn new(top: &Top) -> Self {
        let zero = Top {
            weights: top.weights.each_ref().map(|w| Array2::zeros(w.raw_dim())),
            biases: top.biases.each_ref().map(|b| Array1::zeros(b.raw_dim())),
        };
        Self {
            mean: zero.clone(),
            square: zero,
            count: 0,
        }
    }

    fn take(&mut self, top: &mut Top, slope: &Top, rate: f32) {
        self.count += 1;
        for layer in 0..3 {
            let moments = [
                &mut self.mean.weights[layer],
                &mut self.square.weights[layer],
            ];
            let slope_of = &slope.weights[layer];
            step(&mut top.weights[layer], slope_of, moments, self.count, rate);
            let moments = [&mut self.mean.biases[layer], &mut self.square.biases[layer]];
            let slope_of = &slope.biases[layer];
            step(&mut top.biases[layer], slope_of, moments, self.count, rate);
        }
    }
}

fn step<D: Dimension>(
    values: &mut Array<f32, D>,
    slope: &Array<f32, D>,
    [mean, square]: [&mut Array<f32, D>; 2],
    count: i32,
    rate: f32,
) {
    const KEEP: [f32; 2] = [0.9, 0.99];
    let [unbiased, square_unbiased] = KEEP.map(|k| 1.0 - k.powi(count));
    let size = (values.iter().map(|v| v * v).sum::<f32>() / values.len().max(1) as f32).sqrt();
    Zip::from(values)
        .and(slope)
        .and(mean)
        .and(square)
        .for_each(|w, g, m, s| {
            *m = KEEP[0].mul_add(*m, (1.0 - KEEP[0]) * *g);
            *s = KEEP[1].mul_add(*s, (1.0 - KEEP[1]) * *g * *g);
            *w -= rate * size * (*m / unbiased) / ((*s / square_unbiased).sqrt() + 1e-8);
        });
}

/// The range of `values` without the outermost 1 in 10,000 at either end, because a single outlier would reduce the resolution of
/// all other values.
fn reach_of(values: &mut [f32]) -> std::ops::Range<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = |part: f64| {
        values
            .get((last as f64 * part) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    at(1e-4)..at(1.0 - 1e-4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<const N: usize>(chance: &mut Chance) -> Vec<f32> {
        (0..N).map(|_| chance.normal()).collect()
    }

    /// Layers of 4 places, 3 to 5 to 2 channels, and examples of two people and strangers.
    fn small(seed: u64) -> (Top, Vec<Lesson>, Vec<Vec<f32>>) {
        let mut chance = Chance::new(seed);
        let matrix = |rows, columns, values: Vec<f32>| {
            Array2::from_shape_vec((rows, columns), values).expect("as many")
        };
        let top = Top {
            weights: [
                matrix(3, 5, numbers::<15>(&mut chance)),
                matrix(4, 5, numbers::<20>(&mut chance)),
                matrix(5, 2, numbers::<10>(&mut chance)),
            ],
            biases: [
                numbers::<5>(&mut chance).into(),
                numbers::<5>(&mut chance).into(),
                numbers::<2>(&mut chance).into(),
            ],
        };
        let unit = |chance: &mut Chance| Embedding::normalised(numbers::<2>(chance)).expect("some");
        let lessons = (0..12).map(|i| Lesson {
            trunk: Trunk {
                values: (0..12).map(|_| chance.bits() as i8).collect(),
                scale: 0.01,
                zero: -3,
            },
            who: [Some(0), Some(1), None][i % 3],
            frozen: unit(&mut chance),
        });
        let lessons = lessons.collect();
        let directions = vec![vec![1.0, 0.0], vec![0.6, 0.8]];
        (top, lessons, directions)
    }

    /// Each weight of each layer, by finite differences.
    #[test]
    fn the_slope_is_the_derivative_of_the_loss() {
        let (top, lessons, directions) = small(1);
        let batch: Vec<&Lesson> = lessons.iter().collect();
        let share = weights(&lessons, 2);
        let (_, slope) = top.slope(&batch, &share, &directions);
        let off = |change: &dyn Fn(&mut Top, f32)| {
            let of = |by: f32| {
                let mut other = top.clone();
                change(&mut other, by);
                f64::from(other.slope(&batch, &share, &directions).0)
            };
            (of(1e-3) - of(-1e-3)) / 2e-3
        };
        for layer in 0..3 {
            for ((row, column), have) in slope.weights[layer].indexed_iter() {
                let want = off(&|t, by| t.weights[layer][[row, column]] += by);
                assert!(
                    (f64::from(*have) - want).abs() < 0.02 * want.abs().max(1.0),
                    "{layer}: {have} {want}"
                );
            }
            for (place, have) in slope.biases[layer].iter().enumerate() {
                let want = off(&|t, by| t.biases[layer][place] += by);
                assert!(
                    (f64::from(*have) - want).abs() < 0.02 * want.abs().max(1.0),
                    "{layer}: {have} {want}"
                );
            }
        }
    }

    #[test]
    fn tuning_lowers_the_loss_and_follows_from_the_seed() {
        let (top, lessons, directions) = small(2);
        let loss = |top: &Top| {
            let batch: Vec<&Lesson> = lessons.iter().collect();
            top.slope(&batch, &weights(&lessons, 2), &directions).0
        };
        let tuned = top.tuned(&lessons, &directions, 7, |_| ());
        assert!(loss(&tuned) < loss(&top));
        assert_eq!(tuned, top.tuned(&lessons, &directions, 7, |_| ()));
        assert_ne!(tuned, top.tuned(&lessons, &directions, 8, |_| ()));
    }

    /// The file's layers through these matrices and back: they change by rounding only.
    #[test]
    fn layers_written_to_a_file_give_the_same_embeddings() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(root.join("models/latchkey/embedder.tflite"))
            .expect("part of the project");
        let mut file = Weights::parse(bytes).expect("a file");
        let top = Top::of(&file).expect("its layers");
        let mut chance = Chance::new(3);
        let mut lesson = |_| Lesson {
            // Mostly zero, as after ReLU.
            trunk: Trunk {
                values: (0..7 * 7 * 160)
                    .map(|_| (100.0 * chance.normal() - 128.0) as i8)
                    .collect(),
                scale: 0.03,
                zero: -128,
            },
            who: None,
            frozen: Embedding::normalised([1.0]).expect("some"),
        };
        let lessons: Vec<Lesson> = (0..40).map(&mut lesson).collect();
        top.put(&mut file, &lessons).expect("put");
        let again = Top::of(&file).expect("its layers");
        for lesson in &lessons {
            let [was, is] = [&top, &again].map(|t| t.embed(&lesson.trunk).expect("a direction"));
            assert!(was.cosine(is.values()) > 0.999);
        }
    }
}
