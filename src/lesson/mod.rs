//! Faces to learn from, and the training on them. The learner's process computes this.
//!
//! `augment` changes a photo as other light, movement and cameras would have shown it. `strangers` has synthetic people, from
//! whom residents are distinguished. `top` fine-tunes the embedder. [`learn`](crate::learn) knows whose faces they are, and finds
//! out whether the result is good.

mod augment;
mod strangers;
mod top;

pub use augment::{Change, Changes, FaceCut, rgb};
pub use strangers::{PEOPLE, built_in, drawn};
pub use top::{Lesson, TUNING_VIEWS, Top, Trunk};
