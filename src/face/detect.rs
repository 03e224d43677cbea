//! Finds faces: runs the detector over the whole picture and turns its anchors into boxes with six
//! points each.
//!
//! Does not judge whether a box is plausible as a face ([`super::plausible`]) nor how good it is.

use super::geometry::{Point, Rect};
use super::{FaceError, Stage, Stages};
use crate::frame::{Image, Sampler, Similarity};
use crate::nn::{DetectorManifest, Engine, ModelFile, Network, NnError};

/// Points of a detection, in the network's order.
pub mod point {
    /// The eye to the left in the picture.
    pub const EYE_LEFT: usize = 0;
    /// The eye to the right in the picture.
    pub const EYE_RIGHT: usize = 1;
    /// Tip of the nose.
    pub const NOSE: usize = 2;
    /// Middle of the mouth.
    pub const MOUTH: usize = 3;
}

/// Numbers an anchor has: centre, size, six points.
const VALUES: usize = 16;

/// A face as the detector sees it.
#[derive(Clone, Copy, Debug)]
pub struct Detection {
    /// Box around eyebrows to chin, in pixels of the picture.
    pub bbox: Rect,
    /// 0 to 1.
    pub score: f32,
    /// Eyes left and right as seen, nose, middle of the mouth, ears; pixels of the picture.
    pub points: [Point; 6],
}

/// A detector of the BlazeFace family, loaded.
pub struct Detector {
    network: Box<dyn Network>,
    manifest: DetectorManifest,
    /// Centre of every anchor in pixels of the input.
    anchors: Vec<Point>,
    /// Which of the two outputs holds boxes and which scores.
    boxes: usize,
    scores: usize,
    /// Anchors above the threshold; kept to be reused.
    candidates: Vec<Detection>,
    found: Vec<Detection>,
}

impl Detector {
    /// Loads the detector and compares its tensors with the manifest.
    ///
    /// # Errors
    /// [`NnError`] if the engine refuses it or it is of another shape than the manifest says.
    pub fn load(
        engine: &dyn Engine,
        model: &ModelFile,
        manifest: &DetectorManifest,
    ) -> Result<Self, NnError> {
        let network = engine.load(model)?;
        super::expect_input(model, network.as_ref(), &manifest.input.shape())?;
        let anchors = anchors(manifest);
        let find = |what: &str, shape: [usize; 3]| {
            let outputs = network.outputs();
            outputs
                .iter()
                .position(|spec| spec.shape == shape)
                .ok_or_else(|| NnError::Shape {
                    model: model.name(),
                    what: format!("no output for {what}: the outputs"),
                    got: format!("{:?}", outputs.iter().map(|o| &o.shape).collect::<Vec<_>>()),
                    want: format!("{shape:?}"),
                })
        };
        Ok(Self {
            boxes: find("boxes", [1, anchors.len(), VALUES])?,
            scores: find("scores", [1, anchors.len(), 1])?,
            candidates: Vec::with_capacity(anchors.len()),
            found: Vec::with_capacity(anchors.len()),
            network,
            manifest: manifest.clone(),
            anchors,
        })
    }

    /// Faces in the part of `image` that `window` maps the input to, best first. To look at the whole
    /// picture, give [`Detector::whole`].
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled or the network fails.
    pub fn detect(
        &mut self,
        image: &Image<'_>,
        window: &Similarity,
        sampler: &mut Sampler,
        stages: &mut Stages,
    ) -> Result<&[Detection], FaceError> {
        let mut target = super::target(self.network.as_mut(), &self.manifest.input);
        stages.sampled += sampler.sample(image, window, &mut target)?;
        stages.lap(Stage::DetectSample);
        self.network.invoke()?;
        stages.lap(Stage::DetectInvoke);
        self.read_anchors(window);
        suppress(&mut self.candidates, &mut self.found, self.manifest.overlap);
        stages.lap(Stage::DetectDecode);
        Ok(&self.found)
    }

    /// The window that shows the whole picture, letterboxed.
    #[must_use]
    pub fn whole(&self, image: &Image<'_>) -> Similarity {
        let (layout, input) = (image.layout(), &self.manifest.input);
        Similarity::letterbox((layout.width, layout.height), (input.width, input.height))
    }

    /// Side of the input in pixels, for windows on parts of a picture.
    #[must_use]
    pub const fn input_width(&self) -> u32 {
        self.manifest.input.width
    }

    /// Boxes that overlap more than this are the same face.
    #[must_use]
    pub const fn overlap(&self) -> f32 {
        self.manifest.overlap
    }

    /// The network, to time it alone.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }

    fn read_anchors(&mut self, window: &Similarity) {
        let boxes = self.network.output(self.boxes);
        let scores = self.network.output(self.scores);
        // The threshold as a logit, so that only candidates pay for an exponential.
        let threshold = self.manifest.threshold;
        let least = (threshold / (1.0 - threshold)).ln();
        let scale = window.scale();
        self.candidates.clear();
        for (i, anchor) in self.anchors.iter().enumerate() {
            let logit = scores.get(i);
            if logit.is_nan() || logit < least {
                continue;
            }
            let value = |k: usize| boxes.get(i * VALUES + k);
            let place = |k: usize| {
                let (x, y) = window.apply(anchor.x + value(k), anchor.y + value(k + 1));
                Point { x, y }
            };
            let (centre, width, height) = (place(0), value(2) * scale, value(3) * scale);
            let sound = [centre.x, centre.y, width, height]
                .iter()
                .all(|v| v.is_finite());
            if !sound || width <= 0.0 || height <= 0.0 {
                continue;
            }
            self.candidates.push(Detection {
                bbox: Rect {
                    x: centre.x - 0.5 * width,
                    y: centre.y - 0.5 * height,
                    width,
                    height,
                },
                score: 1.0 / (1.0 + (-logit).exp()),
                points: std::array::from_fn(|p| place(4 + 2 * p)),
            });
        }
    }
}

/// Centres of the anchors in pixels of the input. Neighbouring layers of one stride share their grid:
/// each cell lists the anchors of all of them before the next cell begins.
#[expect(clippy::cast_precision_loss, reason = "pixels of a small picture")]
fn anchors(manifest: &DetectorManifest) -> Vec<Point> {
    let mut centres = Vec::new();
    for layers in manifest.anchors.strides.chunk_by(|a, b| a == b) {
        let stride = layers[0];
        let in_cell = layers.len() * manifest.anchors.per_cell as usize;
        for row in 0..manifest.input.height.div_ceil(stride) {
            for column in 0..manifest.input.width.div_ceil(stride) {
                let centre = Point {
                    x: (column as f32 + 0.5) * stride as f32,
                    y: (row as f32 + 0.5) * stride as f32,
                };
                centres.extend(std::iter::repeat_n(centre, in_cell));
            }
        }
    }
    centres
}

/// Weighted non-maximum suppression: every group of overlapping candidates becomes their average,
/// weighted by score, with the best score of the group (Bazarevsky et al., BlazeFace, 2019, section
/// 3.4: steadier from frame to frame than keeping the best box alone). Empties `candidates`.
pub fn suppress(candidates: &mut Vec<Detection>, found: &mut Vec<Detection>, overlap: f32) {
    found.clear();
    candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    while let Some(best) = candidates.first().copied() {
        let (mut sum, mut weight) = (Sum::default(), 0.0);
        candidates.retain(|c| {
            let same = c.bbox.overlap(&best.bbox) > overlap;
            if same {
                sum.add(c);
                weight += c.score;
            }
            !same
        });
        if weight > 0.0 {
            found.push(sum.divided(weight, best.score));
        } else {
            // Boxes without area overlap nothing, not even themselves.
            candidates.remove(0);
        }
    }
}

#[derive(Default)]
struct Sum([f32; 4], [Point; 6]);

impl Sum {
    fn add(&mut self, d: &Detection) {
        let b = d.bbox;
        for (sum, v) in self.0.iter_mut().zip([b.x, b.y, b.width, b.height]) {
            *sum += d.score * v;
        }
        for (sum, p) in self.1.iter_mut().zip(d.points) {
            sum.x += d.score * p.x;
            sum.y += d.score * p.y;
        }
    }

    fn divided(&self, weight: f32, score: f32) -> Detection {
        let [x, y, width, height] = self.0.map(|v| v / weight);
        Detection {
            bbox: Rect {
                x,
                y,
                width,
                height,
            },
            score,
            points: self.1.map(|p| Point {
                x: p.x / weight,
                y: p.y / weight,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Manifest;

    fn at(x: f32, score: f32) -> Detection {
        Detection {
            bbox: Rect {
                x,
                y: 0.0,
                width: 10.0,
                height: 10.0,
            },
            score,
            points: [Point { x, y: 5.0 }; 6],
        }
    }

    #[test]
    fn overlapping_candidates_become_their_weighted_average() {
        let (mut candidates, mut found) =
            (vec![at(2.0, 0.6), at(0.0, 0.9), at(100.0, 0.7)], vec![]);
        suppress(&mut candidates, &mut found, 0.3);
        assert_eq!(found.len(), 2);
        // (0.9 * 0 + 0.6 * 2) / 1.5
        assert!((found[0].bbox.x - 0.8).abs() < 1e-6);
        assert!((found[0].points[3].x - 0.8).abs() < 1e-6);
        assert!((found[0].score - 0.9).abs() < 1e-6);
        assert!((found[1].bbox.x - 100.0).abs() < 1e-6);
    }

    #[test]
    fn boxes_without_area_do_not_hang_it() {
        let flat = Detection {
            bbox: Rect::default(),
            ..at(0.0, 0.9)
        };
        let (mut candidates, mut found) = (vec![flat, at(0.0, 0.8)], vec![]);
        suppress(&mut candidates, &mut found, 0.3);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn blazeface_short_range_has_896_anchors_in_two_grids() {
        let manifest = Manifest::load(&"reference".parse().unwrap()).unwrap();
        let anchors = anchors(&manifest.detector);
        assert_eq!(anchors.len(), 896);
        // 16x16 cells of 8 pixels with 2 anchors, then 8x8 cells of 16 pixels with 6.
        assert_eq!(anchors[0], Point { x: 4.0, y: 4.0 });
        assert_eq!(anchors[511], Point { x: 124.0, y: 124.0 });
        assert_eq!(anchors[512 + 5], Point { x: 8.0, y: 8.0 });
        assert_eq!(anchors[512 + 6], Point { x: 24.0, y: 8.0 });
    }
}
