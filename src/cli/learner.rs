//! The hidden command that is the learner: confines itself, loads its readers, and answers. What it answers is in
//! [`crate::learner`].

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, Failure, Loaded};
use crate::config::Overrides;
use crate::learner::{self, LearnerServer};
use crate::lesson::Changes;

/// Runs a learner: gives up what it does not need, and answers on standard output what is asked on standard input.
/// `photos` are files or folders, all that it will be able to read except the networks.
pub fn main(asked: &Overrides, photos: &[PathBuf], changes: Changes) -> ExitCode {
    learner::end_with_the_asker();
    let (from, to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let begin = || {
        let loaded = Loaded::new(asked)?;
        // Before the first byte of a photo is read, and before an engine can start threads of its own. What the kernel
        // reports about memory cannot be read afterwards.
        let count = learner::how_many();
        let bounded = learner::bounded(count);
        loaded.confine_to(photos);
        let readers = loaded.readers(loaded.gated(), count)?;
        Ok::<_, Failure>((loaded, readers, bounded))
    };
    let served = match begin() {
        Ok((loaded, readers, _bounded)) => {
            let (embedder, config) = (loaded.manifest.embedder(), &loaded.config);
            LearnerServer::new(
                embedder,
                &config.model_files,
                config.engine,
                readers,
                changes,
            )
            .serve(from, to)
        }
        Err(failure) => learner::refuse(to, failure.text, failure.exit == Exit::Machine),
    };
    // On an error the process that asks has gone, or reports the reason itself.
    match served {
        Ok(()) => Exit::Done.into(),
        Err(_) => Exit::Machine.into(),
    }
}
