//! Learning the residents on the device: from photos to the embeddings that a head is learnt from.
//!
//! `calibrate` finds where a cosine begins to be an enrolled person, and how much of that is proven. The head itself is in
//! [`crate::people`].

mod calibrate;

pub use calibrate::{Calibration, TAIL, calibrate, clear_of, measure};
