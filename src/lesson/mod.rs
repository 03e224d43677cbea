//! Faces to learn from, and what is trained on them: what the learner's process computes.
//!
//! `augment` changes a photo as other light, movement and cameras would have shown it; `strangers` are synthetic people to
//! distinguish residents from; `top` fine-tunes the embedder. Whose the faces are, and whether the result is good, is found in
//! [`learn`](crate::learn).

mod augment;
mod strangers;
mod top;

pub use augment::{Change, Changes, FaceCut, rgb};
pub use strangers::{PEOPLE, built_in, drawn};
pub use top::{Lesson, TUNING_VIEWS, Top, Trunk};
