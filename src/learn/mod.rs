//! Learning the people who live here, on the device: from photos to embeddings that a head is learnt from.
//!
//! `augment` shows a photo as other light, movement and cameras would have shown it; `calibrate` finds where a cosine
//! begins to be somebody, and says how much of that is proven; `strangers` are people to be told from; `top` fine-tunes the
//! embedder. The head itself is [`crate::people`]'s business.

mod augment;
mod calibrate;
mod strangers;
mod top;

pub use augment::{Change, Changes, FaceCut, rgb};
pub use calibrate::{
    Calibration, TAIL, admissible, calibrate, clear_of, measure, needed, proven_far, wilson,
};
pub use strangers::{PEOPLE, built_in, drawn};
pub use top::{Lesson, TUNING_VIEWS, Top, Trunk};
