//! Measures how well people are distinguished, how visits go at the door, how much time a frame takes, and whether the door was
//! right about a play. Nothing that runs at the door uses this module, and nothing here is printed or written to a file.
//!
//! | part | what is measured |
//! |---|---|
//! | `pairs`, `protocol` | pairs of pictures, by the protocol of Labeled Faces in the Wild |
//! | `people` | households among strangers, picked at random from many people's photos |
//! | `visits` | the same as visits at the door, in simulated time |
//! | `bench` | a frame's time, stage by stage |
//! | `review` | the log of a play against who really came |
//!
//! `chart` and `draw` make pictures of results. `named` finds whom a face looks like.

pub(crate) mod bench;
mod chart;
pub(crate) mod draw;
mod error;
mod named;
pub(crate) mod pairs;
pub(crate) mod people;
mod protocol;
pub(crate) mod review;
pub(crate) mod visits;

pub(crate) use chart::{Line, chart};
pub(crate) use error::LabError;
pub(crate) use named::{Named, name};

use crate::face::{Face, Point};
use crate::frame::Layout;

/// The face nearest to the middle of a photo, where the subject of these pictures is.
#[expect(clippy::cast_precision_loss, reason = "pixels of a photo")]
fn subject(faces: &[Face], layout: Layout) -> Option<&Face> {
    let middle = Point {
        x: 0.5 * layout.width as f32,
        y: 0.5 * layout.height as f32,
    };
    let off = |face: &Face| face.bbox.centre().distance(middle);
    faces.iter().min_by(|a, b| off(a).total_cmp(&off(b)))
}
