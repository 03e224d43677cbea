//! Learning the residents on the device: from photos to the embeddings that a head is learnt from.
//!
//! `augment` changes a photo as other light, movement and cameras would have shown it; `calibrate` finds where a cosine
//! begins to be an enrolled person, and how much of that is proven; `strangers` are people to distinguish residents from;
//! `top` fine-tunes the embedder. The head itself is in [`crate::people`].

mod augment;
mod calibrate;
mod strangers;
mod top;

pub use augment::{Change, Changes, FaceCut, rgb};
pub use calibrate::{Calibration, TAIL, calibrate, clear_of, measure};
pub use strangers::{PEOPLE, built_in, drawn};
pub use top::{Lesson, TUNING_VIEWS, Top, Trunk};
