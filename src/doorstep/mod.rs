//! The doorstep: synthetic people before a door that does not exist, with the ground truth about them.
//!
//! `script` describes a play, `play` decides who comes when, and `scene_renderer` draws the play: a `place`, and before it
//! each `person`, with a face from `model` on a `head`, seen by `view`. `raster` draws triangles, and `noise` gives every
//! surface its grain. It is meant for demonstrations, tests and training; the pictures show no real person.

mod head;
mod model;
mod noise;
mod person;
mod place;
mod play;
mod raster;
mod scene_renderer;
mod script;
mod view;

pub use model::{Model, Moves};
pub use noise::{rough, smooth};
pub use person::{Drawn, Person, Scratch};
pub use place::{HEIGHT, WIDTH};
pub use play::{NAMES, Play, Role, Visit, Who};
pub use raster::{Canvas, Colour, mix};
pub use scene_renderer::{GroundTruth, SceneRenderer, picture};
pub use script::{Script, ScriptError};
pub use view::{Light, Pose};
