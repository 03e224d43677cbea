//! Runs this program as the learner: confines it, loads its readers, and answers. The answers are made in [`crate::learner`].

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Exit, Failure, Loaded};
use crate::config::Overrides;
use crate::learner::{self, LearnerServer};
use crate::lesson::Changes;

/// Runs a learner: gives up all rights that it does not need, reads requests from standard input, and answers on standard output.
/// `photos` are files or folders. Apart from the networks, the learner will be able to read only these.
pub fn main(asked: &Overrides, photos: &[PathBuf], changes: Changes) -> ExitCode {
    learner::end_with_the_asker();
    let (from, to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let begin = || {
        let loaded = Loaded::new(asked)?;
        // The confinement comes before the first byte of a photo is read, and before an engine can start its threads. What the
        // kernel reports about memory is read first, because it cannot be read afterwards.
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
    // After an error, the main process has ended, or reports the reason itself.
    match served {
        Ok(()) => Exit::Done.into(),
        Err(_) => Exit::Machine.into(),
    }
}
