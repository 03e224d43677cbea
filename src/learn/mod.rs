//! Learning the residents on the device: from a folder of photos to the gallery.
//!
//! `training` is the course of it. `folder` finds whose photos are whose, `photos` and `strangers` have them read and keep
//! those that can be used, `trials` tries how well people are recognised, as `household` scores faces, and `calibrate` finds
//! where a cosine begins to be an enrolled person, and how much of that is proven. `tuning` fine-tunes the embedder, and
//! `tuned` judges the outcome; `results` has everything that was found. The head itself is in [`crate::people`].
//!
//! No photo is decoded here: the [`learner`](crate::learner) does that.

mod calibrate;
mod error;
mod folder;
mod household;
mod photos;
mod results;
mod strangers;
mod training;
mod trials;
mod tuned;
mod tuning;

pub use calibrate::{Calibration, calibrate};
pub(crate) use folder::{FolderError, Named, people};
pub(crate) use household::Genuine;
pub(crate) use photos::Learnt;
pub(crate) use results::Trained;
pub(crate) use strangers::FEW_STRANGERS;
pub(crate) use training::{DataSet, Plan, Training};
pub(crate) use tuned::{Outcome, Stand};
