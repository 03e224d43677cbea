//! Turns an aligned face into an embedding: a direction that is similar for all faces of the same person.

use std::path::PathBuf;

use super::geometry::{Point, similarity_between};
use super::landmarks::Landmarks;
use super::quality::sharpness;
use super::{FaceError, ReaderError, Stage, Stages};
use crate::frame::{Image, Sampler};
use crate::nn::{EmbedderManifest, Engine, EngineSettings, ModelFile, Network, NnError, Tensor};

/// A direction in up to [`Embedding::MAX`] dimensions, of length 1. It is stored inline, so that passing it on allocates
/// nothing.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    values: [f32; Self::MAX],
    len: usize,
}

impl Embedding {
    /// The most dimensions an embedding may have.
    pub const MAX: usize = crate::nn::MAX_DIMENSIONS;

    /// `values` scaled to length 1. `None` if there are no values, too many values, or if they have no direction.
    #[must_use]
    pub fn normalised(values: impl IntoIterator<Item = f32>) -> Option<Self> {
        let (mut held, mut len) = ([0.0; Self::MAX], 0);
        for value in values {
            *held.get_mut(len)? = value;
            len += 1;
        }
        let norm = held[..len].iter().map(|v| v * v).sum::<f32>().sqrt();
        if !norm.is_normal() {
            return None;
        }
        for value in &mut held[..len] {
            *value /= norm;
        }
        Some(Self { values: held, len })
    }

    /// The numbers.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values[..self.len]
    }

    /// The cosine of the angle to `other`, -1 to 1. Both must have the same number of dimensions.
    #[must_use]
    pub fn cosine(&self, other: &[f32]) -> f32 {
        self.values().iter().zip(other).map(|(a, b)| a * b).sum()
    }
}

/// An embedding network that has been loaded.
pub struct Embedder {
    network: Box<dyn Network>,
    manifest: EmbedderManifest,
    sha256: String,
    /// Where the five points must be, in pixels of the input.
    template: [Point; 5],
}

impl Embedder {
    /// Loads the network and compares its tensors with the manifest.
    ///
    /// # Errors
    /// [`NnError`] if the engine refuses it or its shape differs from the manifest.
    pub fn load(
        engine: &dyn Engine,
        model: &ModelFile,
        manifest: &EmbedderManifest,
    ) -> Result<Self, NnError> {
        let network = engine.load(model)?;
        super::expect_input(model, network.as_ref(), &manifest.input.shape())?;
        super::expect_output(model, network.as_ref(), 0, manifest.dimensions)?;
        #[expect(clippy::cast_precision_loss, reason = "at most 1024 pixels")]
        // Templates have their origin in the centre of the first pixel, the sampler in that pixel's corner.
        let template = manifest.template.map(|[x, y]| Point {
            x: x * manifest.input.width as f32 + 0.5,
            y: y * manifest.input.height as f32 + 0.5,
        });
        Ok(Self {
            network,
            manifest: manifest.clone(),
            sha256: model.sha256().to_owned(),
            template,
        })
    }

    /// Verifies and loads the network of `manifest`, whose file is in one of `folders`.
    ///
    /// # Errors
    /// [`ReaderError`], with the file, what is wrong with it and the fix.
    pub fn open(
        manifest: &EmbedderManifest,
        folders: &[PathBuf],
        engine: EngineSettings,
    ) -> Result<Self, ReaderError> {
        let file = ModelFile::find(&manifest.file, folders)?;
        let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;
        Ok(Self::load(engine.build().as_ref(), &file, manifest)?)
    }

    /// The checksum of the network. Embeddings of another network are not comparable.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Samples the face into the input, with its landmarks moved onto the template, and returns how sharp the face is (see
    /// [`sharpness`]). `None` if all landmarks coincide.
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled.
    pub fn align(
        &mut self,
        image: &Image<'_>,
        landmarks: &Landmarks,
        sampler: &mut Sampler,
        stages: &mut Stages,
    ) -> Result<Option<f32>, FaceError> {
        // The least squares are computed in the template's space, as in the training of embedders. The sampler needs the
        // inverse, from the template to the picture.
        let Some(window) = similarity_between(landmarks, &self.template) else {
            return Ok(None);
        };
        let mut target = super::target(self.network.as_mut(), &self.manifest.input);
        stages.sampled += sampler.sample(image, &window.inverse(), &mut target)?;
        stages.lap(Stage::AlignSample);
        let sharp = sharpness(&target);
        stages.lap(Stage::Quality);
        Ok(Some(sharp))
    }

    /// The embedding of the face that [`Embedder::align`] has put into the input; `None` if the network's numbers have no
    /// direction.
    ///
    /// # Errors
    /// [`FaceError`] if the network fails.
    pub fn embed(&mut self, stages: &mut Stages) -> Result<Option<Embedding>, FaceError> {
        self.network.invoke()?;
        stages.lap(Stage::EmbedInvoke);
        let output = self.network.output(0);
        Ok(Embedding::normalised(
            (0..output.len()).map(|i| output.get(i)),
        ))
    }

    /// The output of the layers below the top for the last face. It is the network's second output, if the network has one.
    #[must_use]
    pub fn trunk(&self) -> Option<Tensor<'_>> {
        (self.network.outputs().len() > 1).then(|| self.network.output(1))
    }

    /// The network, to time it alone.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_one_whatever_the_scale() {
        let e = Embedding::normalised([3.0, 4.0]).unwrap();
        assert!((e.values()[0] - 0.6).abs() < 1e-6 && (e.values()[1] - 0.8).abs() < 1e-6);
        assert!((e.cosine(&[0.6, 0.8]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn no_direction_no_embedding() {
        assert!(Embedding::normalised([0.0; 8]).is_none());
        assert!(Embedding::normalised([1.0, f32::NAN]).is_none());
        assert!(Embedding::normalised([f32::INFINITY, 0.0]).is_none());
        assert!(Embedding::normalised([]).is_none());
        assert!(Embedding::normalised([1.0; Embedding::MAX + 1]).is_none());
    }
}
