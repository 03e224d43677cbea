//! Learning from photos, which may come from anyone, in a process of its own that can read them and answer, and no more.
//! The main process, which writes the gallery, decodes no picture: it sends requests, checks every response, and computes the rest.
//!
//! ```text
//! train, enroll ── requests: photos, by path ──▶ learner (this program again, confined: no file to write, no device,
//!   writes the     ◀── responses: embeddings, ──     no network, no program to start)
//!   gallery            weights, why not
//! ```
//!
//! The learner gets the same arguments. The main process escapes what it prints and passes it on. If it gives an impossible
//! answer, nothing is changed. If a photo ends it or keeps it busy for too long, that photo is left out, and another learner
//! reads the rest.
//!
//! What is learnt from the answers is in `learn`. The command that becomes the learner, and confines itself, is in `cli`.

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

/// The name of this program as the learner: its argument 0.
pub(crate) const NAME: &str = "latchkey-learner";

/// Begins to show how far a long piece of work of so many steps is. What it returns is called for each step, and ends the
/// show when it is dropped.
pub(crate) type Show = fn(&'static str, usize) -> Step;
/// One step of that work is done.
pub(crate) type Step = Box<dyn FnMut()>;
