//! From a picture to its faces: detect, refine the landmarks, judge, align, embed.
//!
//! [`Reader`] is the entrance to this room; the other files are its steps in order. [`crate::people`] decides whose face it
//! is.

mod detect;
mod embed;
mod geometry;
mod landmarks;
mod numbers;
mod plausible;
mod quality;
mod reader;
mod stages;
mod track;

pub use detect::{Detection, Detector};
pub use embed::{Embedder, Embedding};
pub use geometry::{Point, Rect, similarity_between};
pub use landmarks::{Landmarks, Refiner};
pub use numbers::Numbers;
pub use quality::{Gate, Quality, Unfit, sharpness};
pub use reader::{Face, Reader, ReaderError, Settings};
pub use stages::{Stage, Stages};
pub use track::Tracker;

use crate::frame::{JpegError, SampleError, Target};
use crate::nn::{InputManifest, ModelFile, Network, NnError};

/// The most faces of one frame that are read. If there are more, the largest are read.
pub const MAX_FACES: usize = 8;

/// Why a picture's faces could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// A damaged JPEG.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// The picture could not be sampled.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] NnError),
}

/// The network's input as a sampling target, as its manifest describes it.
fn target<'a>(network: &'a mut dyn Network, input: &InputManifest) -> Target<'a> {
    Target {
        width: input.width,
        height: input.height,
        encoding: input.encoding(),
        data: network.input_mut(),
    }
}

/// Checks that the network's input is as the manifest describes it.
fn expect_input(model: &ModelFile, network: &dyn Network, want: &[usize]) -> Result<(), NnError> {
    let got = &network.input().shape;
    if got == want {
        return Ok(());
    }
    Err(NnError::Shape {
        model: model.name(),
        what: "the input".to_owned(),
        got: format!("{got:?}"),
        want: format!("{want:?}"),
    })
}

/// Checks that the network's output `number`, from 0, has `want` elements; further outputs, for training, are not used here.
fn expect_output(
    model: &ModelFile,
    network: &dyn Network,
    number: usize,
    want: usize,
) -> Result<(), NnError> {
    let got = network
        .outputs()
        .get(number)
        .map_or(0, |o| o.shape.iter().product());
    if got == want {
        return Ok(());
    }
    Err(NnError::Shape {
        model: model.name(),
        what: format!(
            "the number of elements of output {} (0: there is none)",
            number + 1
        ),
        got: got.to_string(),
        want: want.to_string(),
    })
}
