//! The doorstep: people who never lived, before a door that is not there, with the truth about them.
//!
//! `script` is what is asked for, `play` who comes when, `stage` draws it: a `place`, and before it each `person`, who is a
//! face drawn from `model` on a `head`, seen by `view`. `raster` draws triangles, `noise` is what nothing is without. For demonstrations,
//! tests and training; the pictures are of nobody.

mod head;
mod model;
mod noise;
mod person;
mod place;
mod play;
mod raster;
mod script;
mod stage;
mod view;

pub use model::{Model, Moves};
pub use noise::{rough, smooth};
pub use person::{Drawn, Person, Scratch};
pub use place::{HEIGHT, WIDTH};
pub use play::{NAMES, Play, Role, Visit, Who};
pub use raster::{Canvas, Colour, mix};
pub use script::{Script, ScriptError};
pub use stage::{Seen, Stage, picture};
pub use view::{Light, Pose};
