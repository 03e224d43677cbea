//! The output of the BlazeFace family: for each anchor a box and six points, relative to it, and a logit.

use super::super::geometry::Point;
use super::{Detection, detection, logit, output};
use crate::frame::Similarity;
use crate::nn::{AnchorsManifest, InputManifest, ModelFile, Network, NnError};

/// Numbers per anchor: centre, size, six points.
const VALUES: usize = 16;

/// Where the anchors are, and what each output means.
pub struct Anchors {
    /// The centre of every anchor, in pixels of the input.
    centres: Vec<Point>,
    boxes: usize,
    scores: usize,
}

impl Anchors {
    /// Compares the outputs of `network` with the manifest.
    ///
    /// # Errors
    /// [`NnError`] if the outputs have other shapes.
    pub fn new(
        model: &ModelFile,
        network: &dyn Network,
        manifest: &AnchorsManifest,
        input: &InputManifest,
    ) -> Result<Self, NnError> {
        let centres = centres(manifest, input);
        Ok(Self {
            boxes: output(model, network, "boxes", &[1, centres.len(), VALUES])?,
            scores: output(model, network, "scores", &[1, centres.len(), 1])?,
            centres,
        })
    }

    /// The number of anchors.
    pub const fn count(&self) -> usize {
        self.centres.len()
    }

    /// Adds the detections whose score is `threshold` or more.
    pub fn read(
        &self,
        network: &dyn Network,
        threshold: f32,
        window: &Similarity,
        out: &mut Vec<Detection>,
    ) {
        let (boxes, scores) = (network.output(self.boxes), network.output(self.scores));
        // The threshold as a logit, so that an exponential is computed only for candidates.
        let least = logit(threshold);
        for (i, anchor) in self.centres.iter().enumerate() {
            let logit = scores.get(i);
            if logit.is_nan() || logit < least {
                continue;
            }
            let value = |k: usize| boxes.get(i * VALUES + k);
            let place = |k: usize| Point {
                x: anchor.x + value(k),
                y: anchor.y + value(k + 1),
            };
            // The last two points are the ears.
            let points = std::array::from_fn(|p| place(4 + 2 * p));
            let size = [value(2), value(3)];
            out.extend(detection(logit, place(0), size, points, None, window));
        }
    }
}

/// The centres of the anchors, in pixels of the input. Neighbouring layers with the same stride share their grid: each cell
/// lists the anchors of all these layers before the next cell begins.
#[expect(clippy::cast_precision_loss, reason = "pixels of a small picture")]
fn centres(manifest: &AnchorsManifest, input: &InputManifest) -> Vec<Point> {
    let mut centres = Vec::new();
    for layers in manifest.strides.chunk_by(|a, b| a == b) {
        let stride = layers[0];
        let in_cell = layers.len() * manifest.per_cell as usize;
        for row in 0..input.height.div_ceil(stride) {
            for column in 0..input.width.div_ceil(stride) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{DetectorFamily, Manifest};

    #[test]
    fn blazeface_short_range_has_896_anchors_in_two_grids() {
        let manifest = Manifest::load(&"reference".parse().unwrap()).unwrap();
        let DetectorFamily::BlazeFace { anchors } = &manifest.detector.family else {
            panic!("the reference detector is BlazeFace");
        };
        let anchors = centres(anchors, &manifest.detector.input);
        assert_eq!(anchors.len(), 896);
        // 16x16 cells of 8 pixels with 2 anchors, then 8x8 cells of 16 pixels with 6.
        assert_eq!(anchors[0], Point { x: 4.0, y: 4.0 });
        assert_eq!(anchors[511], Point { x: 124.0, y: 124.0 });
        assert_eq!(anchors[512 + 5], Point { x: 8.0, y: 8.0 });
        assert_eq!(anchors[512 + 6], Point { x: 24.0, y: 8.0 });
    }
}
