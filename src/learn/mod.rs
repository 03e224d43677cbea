//! Learns the residents on the device: from a folder of photos to the gallery.
//!
//! `training` runs the steps. `folder` finds out whose photos are in which folder. `photos` and `strangers` have photos read and
//! keep those that can be used. `trials` tests how well people are recognised, with the scores that `household` gives to faces.
//! `calibrate` finds the threshold at which a face counts as an enrolled person, and the error rate that is proven for it.
//! `tuning` fine-tunes the embedder, and `tuned` judges the outcome. `results` has everything that was found. The head itself is
//! in [`crate::people`].
//!
//! No photo is decoded here; the [`learner`](crate::learner) does that.

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
