//! Photos may come from anyone. So a separate process learns from them, which can read the photos and answer, and nothing else.
//! The main process, which writes the gallery, decodes no picture: it sends requests, checks every response, and computes the rest.
//!
//! ```text
//! train, enroll ── requests: photos, by path ──▶ learner (this program again, confined: no file to write, no device,
//!   writes the     ◀── responses: embeddings, ──     no network, no program to start)
//!   gallery            weights, why not
//! ```
//!
//! The learner gets the same arguments. The main process escapes the learner's output and passes it on. If the learner gives an
//! impossible answer, nothing is changed. If a photo ends the learner or keeps it busy for too long, that photo is left out, and
//! another learner reads the rest.
//!
//! `learn` uses the answers. The command that becomes the learner, and confines itself, is in `cli`.

mod client;
mod error;
mod process;
mod readers;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use client::{Learner, largest, read_all};
pub(crate) use error::LearnerError;
pub(crate) use readers::{bounded, each, how_many};
pub(crate) use serve::{LearnerServer, end_with_the_asker, refuse};
pub(crate) use wire::{Sight, Subject, plain};

/// The name of this program when it is the learner, given as argument 0.
pub(crate) const NAME: &str = "latchkey-learner";

/// Begins to show the progress of a long piece of work with this number of steps. The returned function must be called for each
/// step. Dropping it ends the display.
pub(crate) type Show = fn(&'static str, usize) -> Step;
/// Records that one step of the work is done.
pub(crate) type Step = Box<dyn FnMut()>;
