//! Refines the five points of a detected face on a closer look at it.

use super::detect::Detection;
use super::geometry::Point;
use super::{FaceError, Stage, Stages};
use crate::frame::{Image, Sampler, Similarity};
use crate::nn::{Engine, LandmarksManifest, ModelFile, Network, NnError};

/// The five points: eyes, nose, corners of the mouth, each left to right as seen in the picture.
pub type Landmarks = [Point; 5];

/// A network that gives five points as fractions of its input, loaded.
pub struct Refiner {
    network: Box<dyn Network>,
    manifest: LandmarksManifest,
}

impl Refiner {
    /// Loads the network and compares its tensors with the manifest.
    ///
    /// # Errors
    /// [`NnError`] if the engine refuses it or it is of another shape than the manifest says.
    pub fn load(
        engine: &dyn Engine,
        model: &ModelFile,
        manifest: &LandmarksManifest,
    ) -> Result<Self, NnError> {
        let network = engine.load(model)?;
        super::expect_input(model, network.as_ref(), &manifest.input.shape())?;
        super::expect_output(model, network.as_ref(), 10)?;
        Ok(Self {
            network,
            manifest: manifest.clone(),
        })
    }

    /// The five points of the face at `detection`, in pixels of the picture.
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled or the network fails.
    pub fn refine(
        &mut self,
        image: &Image<'_>,
        detection: &Detection,
        sampler: &mut Sampler,
        stages: &mut Stages,
    ) -> Result<Landmarks, FaceError> {
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
        // The network counts pixels from the middle of the first one, the sampler from its corner.
        Ok(std::array::from_fn(|p| {
            let (x, y) = window.apply(
                output.get(2 * p) * width + 0.5,
                output.get(2 * p + 1) * height + 0.5,
            );
            Point { x, y }
        }))
    }

    /// The network, to time it alone.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }
}
