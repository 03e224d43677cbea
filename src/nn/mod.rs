//! Neural networks as the rooms above use them: an engine loads the bytes of a verified model file, the one input tensor is
//! written in place, and the outputs are read in place.
//!
//! An engine consists of one [`Engine`] and one [`Network`]; nothing above this room names TensorFlow Lite.

mod manifest;
mod model;
mod patch;
pub mod tflite;
mod weights;

pub use manifest::{
    Align, AnchorsManifest, DetectorFamily, DetectorManifest, DirectManifest, EmbedderManifest,
    InputManifest, LandmarksManifest, MAX_DIMENSIONS, Manifest, ManifestError, Selection,
    StrangersManifest,
};
pub use model::{ModelError, ModelFile, hex};
pub use patch::{Patch, PatchedLayer};
pub use weights::{Layer, Weights, WeightsError};

use crate::frame::TensorMut;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// Unsigned 8-bit: real value = (stored - `zero_point`) * `scale`.
    U8 {
        /// Real value of one step.
        scale: f32,
        /// Stored value of real zero.
        zero_point: i32,
    },
    /// Signed 8-bit, scaled like [`Element::U8`].
    I8 {
        /// Real value of one step.
        scale: f32,
        /// Stored value of real zero.
        zero_point: i32,
    },
}

/// Shape and element type of a tensor. Pictures are `[1, height, width, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Length of every axis, outermost first.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub element: Element,
}

/// An output tensor, where the engine left it.
#[derive(Clone, Copy, Debug)]
pub enum Tensor<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Unsigned 8-bit values, see [`Element::U8`].
    U8(&'a [u8], f32, i32),
    /// Signed 8-bit values, see [`Element::I8`].
    I8(&'a [i8], f32, i32),
}

impl Tensor<'_> {
    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(d) => d.len(),
            Self::U8(d, ..) => d.len(),
            Self::I8(d, ..) => d.len(),
        }
    }

    /// True for a tensor without elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Real value of element `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Tensor::len`].
    #[must_use]
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "zero points are 8-bit values")]
    pub fn get(&self, i: usize) -> f32 {
        match *self {
            Self::F32(d) => d[i],
            Self::U8(d, scale, zero) => (f32::from(d[i]) - zero as f32) * scale,
            Self::I8(d, scale, zero) => (f32::from(d[i]) - zero as f32) * scale,
        }
    }
}

/// Why a network could not be loaded or did not run.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The engine refuses the model.
    #[error("{model}: {engine} cannot load it ({why}): {fix}")]
    Load {
        /// File name of the model.
        model: String,
        /// The engine.
        engine: String,
        /// The engine's error.
        why: String,
        /// What to do.
        fix: &'static str,
    },
    /// The model loads but its shape differs from the manifest.
    #[error("{model}: {what} is {got}, the manifest needs {want}: is this the right file?")]
    Shape {
        /// File name of the model.
        model: String,
        /// Which tensor or property.
        what: String,
        /// The value that was found.
        got: String,
        /// The value that is required.
        want: String,
    },
    /// The engine failed while running.
    #[error("{model}: the network did not run: {why}")]
    Invoke {
        /// File name of the model.
        model: String,
        /// The engine's error.
        why: String,
    },
}

/// Loads model files. An engine can be TensorFlow Lite on a CPU, an accelerator or another runtime.
pub trait Engine {
    /// Name, version and settings, for logs and reports.
    fn describe(&self) -> String;

    /// Makes `model` ready to run, with all memory allocated.
    ///
    /// # Errors
    /// [`NnError::Load`] if this engine cannot run the model.
    fn load(&self, model: &ModelFile) -> Result<Box<dyn Network>, NnError>;
}

/// A loaded network with one input.
pub trait Network: Send {
    /// Shape and type of the input.
    fn input(&self) -> &TensorSpec;

    /// Shapes and types of the outputs.
    fn outputs(&self) -> &[TensorSpec];

    /// The input tensor's own memory. Its content is undefined once the network has run: engines
    /// reuse it, so write all of it before every [`Network::invoke`].
    fn input_mut(&mut self) -> TensorMut<'_>;

    /// Runs the network on what is in the input. Allocates nothing.
    ///
    /// # Errors
    /// [`NnError::Invoke`] if the engine fails.
    fn invoke(&mut self) -> Result<(), NnError>;

    /// Whether [`Network::invoke_on`] can run on `memory`: the engine supports it, and the memory is long enough and has the
    /// required alignment.
    fn fits(&self, memory: &[u8]) -> bool;

    /// Runs the network on an input in the caller's memory. The first bytes of `memory` are the tensor, and
    /// [`BEHIND`](crate::frame::BEHIND) more bytes follow. Nothing is copied or allocated.
    ///
    /// # Errors
    /// [`NnError::Invoke`] if the memory does not fit or the engine fails.
    fn invoke_on(&mut self, memory: &[u8]) -> Result<(), NnError>;

    /// Output `index` of the last run, in place.
    ///
    /// # Panics
    /// If there is no such output.
    fn output(&self, index: usize) -> Tensor<'_>;
}

/// How the engine is built, which depends on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// Which engine to use; `tflite` is the only one.
    pub name: EngineName,
    /// Whether float layers run through XNNPACK.
    pub xnnpack: bool,
    /// The number of threads of one invocation, 1 to 16.
    pub threads: u8,
}

/// The available engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// TensorFlow Lite on the CPU, through the crate `tflitec`.
    TfLite,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            name: EngineName::TfLite,
            xnnpack: true,
            threads: 1,
        }
    }
}

impl EngineSettings {
    /// Builds the engine with these settings.
    #[must_use]
    pub fn build(&self) -> Box<dyn Engine> {
        match self.name {
            EngineName::TfLite => Box::new(tflite::TfLite::new(self.xnnpack, self.threads)),
        }
    }
}
