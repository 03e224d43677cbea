//! The recognition thread: takes the newest frame, looks at it, sends the result to the door thread.
//!
//! After the first frames it allocates nothing and takes no lock; between frames it is parked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::gallery::MatcherUpdate;
use super::{LookError, Recogniser, Shared};
use crate::clock::Timestamp;
use crate::door::Observation;
use crate::face::FaceError;
use crate::frame::Slot;
use crate::wakeup::WakingSender;

/// The longest sleep when no frame comes, because the thread's rounds must go on.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// The shortest time between two lines about looks. A console cannot show all of them.
const LOOKS_APART: Duration = Duration::from_millis(100);

/// The shortest time between two lines about unreadable frames. The `alive` line has their number.
const UNREAD_APART: Duration = Duration::from_secs(60);

/// Everything the thread works with.
pub struct Worker {
    pub recogniser: Recogniser,
    pub slot: Arc<Slot>,
    pub shared: Arc<Shared>,
    pub observations: WakingSender<Observation>,
    /// New identifiers and embedders, which come when the gallery has changed.
    pub new_matchers: Receiver<MatcherUpdate>,
    /// Where the old ones go, to be freed in another thread.
    pub old_matchers: Sender<MatcherUpdate>,
}

impl Worker {
    /// Runs until the loop stops.
    pub fn run(mut self) {
        // A camera whose frames cannot be read causes a few lines, and not one line per frame.
        let mut unread_logged: Option<Timestamp> = None;
        let mut look_logged = Timestamp::default();
        while !self.shared.stopping() {
            let now = Timestamp::now().as_nanos();
            self.shared.recognition_round.store(now, Ordering::Release);
            if let Ok(new) = self.new_matchers.try_recv() {
                let old = self.recogniser.exchange(new);
                let _ = self.old_matchers.try_send(old);
            }
            let Some(lease) = self.slot.take() else {
                std::thread::park_timeout(LONGEST_SLEEP);
                continue;
            };
            let looked = self.recogniser.look(&lease);
            drop(lease);
            match looked {
                Ok(observation) => {
                    let now = Timestamp::now();
                    self.shared
                        .frame_read
                        .store(now.as_nanos(), Ordering::Release);
                    let (progress, stages) =
                        (&self.shared.progress, self.recogniser.reader().stages());
                    progress.looked.fetch_add(1, Ordering::Relaxed);
                    let (sampled, second) = (stages.detect_sampled, stages.second_looks);
                    progress
                        .detect_sampled
                        .fetch_add(sampled, Ordering::Relaxed);
                    if now.since(look_logged) >= LOOKS_APART {
                        look_logged = now;
                        // The macro checks the level before anything else, so a line that is not logged costs one comparison.
                        log::debug!(
                            "looked frame={} faces={} detect_sampled={sampled} second_looks={second}",
                            observation.captured(),
                            observation.sightings().len()
                        );
                    }
                    // If the queue is full, the door thread is behind, and a newer observation follows.
                    let _ = self.observations.try_send(observation);
                }
                Err(error) => {
                    self.shared.progress.unread.fetch_add(1, Ordering::Relaxed);
                    if matches!(error, LookError::Face(FaceError::Jpeg(_))) {
                        self.shared.progress.damaged.fetch_add(1, Ordering::Relaxed);
                    }
                    let now = Timestamp::now();
                    if unread_logged.is_none_or(|at| now.since(at) >= UNREAD_APART) {
                        log::warn!("frame_unread why={:?}", error.to_string());
                        unread_logged = Some(now);
                    }
                }
            }
        }
    }
}
