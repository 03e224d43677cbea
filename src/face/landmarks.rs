//! A closer look at a detection: its five points, and whether it is a face.

use super::detect::Detection;
use super::geometry::Point;
use super::{FaceError, Stage, Stages};
use crate::frame::{Image, Sampler, Similarity};
use crate::nn::{Engine, LandmarksManifest, ModelFile, Network, NnError};

/// The five points: eyes, nose, corners of the mouth, each left to right as seen in the picture.
pub type Landmarks = [Point; 5];

/// The result of a closer look at a detection.
#[derive(Clone, Copy, Debug)]
pub struct CloserLook {
    /// The five points, in pixels of the picture.
    pub landmarks: Landmarks,
    /// Whether the detection is a face; `None` if the network does not decide that.
    pub is_face: Option<bool>,
}

/// A network, loaded, whose output is five points as fractions of its input.
pub struct Refiner {
    network: Box<dyn Network>,
    manifest: LandmarksManifest,
    /// The lowest logit of a face, if the network computes a logit.
    least: Option<f32>,
}

impl Refiner {
    /// Loads the network and compares its tensors with the manifest.
    ///
    /// # Errors
    /// [`NnError`] if the engine refuses it or its shape differs from the manifest.
    pub fn load(
        engine: &dyn Engine,
        model: &ModelFile,
        manifest: &LandmarksManifest,
    ) -> Result<Self, NnError> {
        let network = engine.load(model)?;
        super::expect_input(model, network.as_ref(), &manifest.input.shape())?;
        super::expect_output(model, network.as_ref(), 0, 10)?;
        if manifest.face.is_some() {
            super::expect_output(model, network.as_ref(), 1, 1)?;
        }
        Ok(Self::of(network, manifest.clone()))
    }

    fn of(network: Box<dyn Network>, manifest: LandmarksManifest) -> Self {
        Self {
            network,
            least: manifest.face.map(|sure| (sure / (1.0 - sure)).ln()),
            manifest,
        }
    }

    /// Looks closer at `detection`.
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled or the network fails.
    pub fn refine(
        &mut self,
        image: &Image<'_>,
        detection: &Detection,
        sampler: &mut Sampler,
        stages: &mut Stages,
    ) -> Result<CloserLook, FaceError> {
        let input = &self.manifest.input;
        let (centre, bbox) = (detection.bbox.centre(), detection.bbox);
        let side = bbox.width.max(bbox.height) * self.manifest.crop;
        let window = Similarity::crop(
            centre.x - 0.5 * side,
            centre.y - 0.5 * side,
            centre.x + 0.5 * side,
            input.width,
        );
        let mut target = super::target(self.network.as_mut(), &self.manifest.input);
        stages.sampled += sampler.sample(image, &window, &mut target)?;
        stages.lap(Stage::LandmarksSample);
        self.network.invoke()?;
        stages.lap(Stage::LandmarksInvoke);
        let output = self.network.output(0);
        let (width, height) = (input.width as f32, input.height as f32);
        // The network's origin is the centre of the first pixel, the sampler's is that pixel's corner.
        let landmarks = std::array::from_fn(|p| {
            let (x, y) = window.apply(
                output.get(2 * p) * width + 0.5,
                output.get(2 * p + 1) * height + 0.5,
            );
            Point { x, y }
        });
        // If the output is not a number, the detection is no face.
        let is_face = self
            .least
            .map(|least| self.network.output(1).get(0) >= least);
        Ok(CloserLook { landmarks, is_face })
    }

    /// The network, to time it alone.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::face::geometry::Rect;
    use crate::frame::{Channels, Layout, PixelFormat, TensorMut};
    use crate::nn::{InputManifest, Tensor, TensorSpec};

    /// A network with a fixed output: the points of a face, and the next one of its logits.
    struct Fake {
        input: Vec<f32>,
        spec: TensorSpec,
        logits: Vec<f32>,
        now: f32,
    }

    /// Eyes, nose and corners of the mouth where a face has them, in the centre of the crop.
    const POINTS: [f32; 10] = [0.35, 0.4, 0.65, 0.4, 0.5, 0.55, 0.4, 0.7, 0.6, 0.7];

    impl Network for Fake {
        fn input(&self) -> &TensorSpec {
            &self.spec
        }
        fn outputs(&self) -> &[TensorSpec] {
            &[]
        }
        fn input_mut(&mut self) -> TensorMut<'_> {
            TensorMut::F32(&mut self.input)
        }
        fn invoke(&mut self) -> Result<(), NnError> {
            self.now = self.logits.pop().expect("no more looks than logits");
            Ok(())
        }
        fn fits(&self, _: &[u8]) -> bool {
            false
        }
        fn invoke_on(&mut self, _: &[u8]) -> Result<(), NnError> {
            self.invoke()
        }
        fn output(&self, index: usize) -> Tensor<'_> {
            match index {
                0 => Tensor::F32(&POINTS),
                _ => Tensor::F32(std::slice::from_ref(&self.now)),
            }
        }
    }

    /// A refiner that returns these logits one after the other. A face has a score of at least `face`.
    pub fn refiner(face: Option<f32>, logits: &[f32]) -> Refiner {
        let spec = TensorSpec {
            shape: vec![1, 8, 8, 1],
            element: crate::nn::Element::F32,
        };
        let manifest = LandmarksManifest {
            file: String::new(),
            sha256: String::new(),
            licence: String::new(),
            source: String::new(),
            input: InputManifest {
                width: 8,
                height: 8,
                across: 1,
                channels: Channels::Grey,
                mean: [0.0; 3],
                scale: [1.0; 3],
            },
            crop: 1.2,
            face,
        };
        let network = Fake {
            input: vec![0.0; 64],
            spec,
            logits: logits.iter().rev().copied().collect(),
            now: 0.0,
        };
        Refiner::of(Box::new(network), manifest)
    }

    #[test]
    fn a_face_needs_a_sufficient_score_and_nan_is_no_face() {
        let layout = Layout::packed(PixelFormat::Grey, 64, 64);
        let luma = [90; 64 * 64];
        let image = Image::new(layout, &luma).unwrap();
        let detection = Detection {
            bbox: Rect {
                x: 16.0,
                y: 16.0,
                width: 32.0,
                height: 32.0,
            },
            score: 0.9,
            points: [Point::default(); 4],
            corners: None,
            refined: None,
        };
        let mut sampler = Sampler::new(64, 8);
        let mut stages = Stages::start();
        let mut look = |refiner: &mut Refiner| {
            let look = refiner.refine(&image, &detection, &mut sampler, &mut stages);
            look.unwrap()
        };
        // A score of 0.8 is a logit of 1.386.
        let mut sure = refiner(Some(0.8), &[1.39, 1.38, f32::NAN, f32::INFINITY]);
        let faces: Vec<_> = (0..4).map(|_| look(&mut sure).is_face).collect();
        assert_eq!(faces, [Some(true), Some(false), Some(false), Some(true)]);
        let mut silent = refiner(None, &[9.0]);
        let seen = look(&mut silent);
        assert_eq!(seen.is_face, None);
        // The points are fractions of a crop of 1.2 times the box, measured from the centre of the first of its eight
        // pixels.
        let scale = 1.2 * 32.0 / 8.0;
        let eye = seen.landmarks[0];
        assert!(
            (eye.x - (12.8 + (0.35 * 8.0 + 0.5) * scale)).abs() < 1e-3,
            "{eye:?}"
        );
    }
}
