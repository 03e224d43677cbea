//! The loop of the door's process: its threads, the messages between them, and how they end.
//!
//! ```text
//! capture ──slot──▶ recognition ──observations──▶ door ──▶ relay, LEDs
//!    ▲  leases come back  │                         ▲ button
//!    └────────────────────┘       main: signals, gallery, notifications
//! ```
//!
//! Each arrow is lock-free and bounded. The slot holds one frame. If the queue of observations is full, an observation is
//! dropped, because a newer one follows. The door thread owns the outputs and trusts no other thread: if the others make no
//! progress within bounded times, the door is shut.

mod door;
mod gallery;
mod identity_tracker;
mod liveness;
mod recogniser;
mod recognition;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::broker::Broker;
use crate::capture::{self, CaptureError};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::door::PolicyError;
use crate::face::Reader;
use crate::frame::Slot;
use crate::nn::Manifest;
use crate::output::{GuardError, OutputError, emergency};
use crate::panics;
use crate::people::{Bank, BankError, Identifier, Rule};
use crate::supervisor::Supervisor;
use crate::wakeup::{Wakeup, WakingSender};

pub use identity_tracker::IdentityTracker;
pub use recogniser::{LookError, Recogniser};

/// How far the loop has come. Readable from any thread.
#[derive(Debug, Default)]
pub struct Progress {
    looked: AtomicU64,
    unread: AtomicU64,
    damaged: AtomicU64,
    detect_sampled: AtomicU64,
}

impl Progress {
    /// Number of frames that were looked at.
    #[must_use]
    pub fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// Number of frames that could not be read, see [`LookError`].
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    /// The number of these unread frames whose picture was damaged on its way from the camera.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Number of pixels that the sampler read for the detector. None if the detector reads the camera's memory itself.
    #[must_use]
    pub fn detect_sampled(&self) -> u64 {
        self.detect_sampled.load(Ordering::Relaxed)
    }
}

/// Data that the threads share in addition to frames and observations.
pub(crate) struct Shared {
    /// Set once; every thread ends soon after.
    stop: AtomicBool,
    /// Whether the end is a failure, because the broker is gone.
    failed: AtomicBool,
    /// When recognition last went through its loop, in nanoseconds of [`Timestamp`].
    recognition_round: AtomicU64,
    /// When recognition last finished reading a frame, in nanoseconds of [`Timestamp`].
    frame_read: AtomicU64,
    /// When the door thread last went through its loop with its outputs as decided, in nanoseconds of [`Timestamp`].
    door_round: AtomicU64,
    progress: Arc<Progress>,
    /// The door thread polls this; every message to that thread signals it.
    door_wakeup: Arc<Wakeup>,
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Ends every thread.
    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.door_wakeup.wake();
    }

    /// Ends every thread, because an output or guard that is lost after this could not be replaced.
    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.stop();
    }
}

/// Why the loop could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The camera cannot be started at all. An absent camera is no error: the loop waits for it.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Relay, LEDs or button are not available.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// No guard is available to watch the relay.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The process that opens devices and starts guards is gone.
    #[error("the broker, which opens devices and starts guards, is gone")]
    Broker,
    /// The model set's bank of strangers cannot be read.
    #[error(transparent)]
    Bank(#[from] BankError),
    /// The policy is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The system refused a thread, a descriptor or a signal handler.
    #[error("{what}: {source}")]
    System {
        /// What was requested.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::System { what, source }
}

/// Watches the camera and works the door until SIGTERM or SIGINT, or until a source of pictures ends. `reader` belongs to the
/// model set `set`.
///
/// # Errors
/// [`RunError`] if something is missing that the loop cannot wait for. The relay is off in this case, too.
pub fn run(
    config: &Config,
    set: &Manifest,
    rule: Rule,
    reader: Reader,
    progress: &Arc<Progress>,
    broker: Broker,
    supervisor: &Supervisor,
) -> Result<(), RunError> {
    panics::abort(emergency::off);
    let signals = signals()?;
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        recognition_round: AtomicU64::new(Timestamp::now().as_nanos()),
        frame_read: AtomicU64::new(Timestamp::now().as_nanos()),
        door_round: AtomicU64::new(Timestamp::now().as_nanos()),
        progress: Arc::clone(progress),
        door_wakeup: Arc::new(Wakeup::new().map_err(|e| system("eventfd")(e.into()))?),
    });
    let networks = gallery::Networks {
        set: set.clone(),
        folders: config.model_files.clone(),
        engine: config.engine,
        bank: Bank::open(set.embedder(), &config.model_files)?,
    };
    let mut gallery =
        gallery::GalleryWatcher::new(&config.gallery, rule, networks, reader.embedder_sha256());

    // The outputs come first: whatever happens after this, they are off and held.
    let (observations, observed) = bounded(8);
    let (camera_events, camera_inbox) = bounded(64);
    let (gallery_updates, gallery_inbox) = bounded(4);
    let wakeup = &shared.door_wakeup;
    let observations = WakingSender::new(observations, Arc::clone(wakeup));
    let camera_events = WakingSender::new(camera_events, Arc::clone(wakeup));
    let gallery_updates = WakingSender::new(gallery_updates, Arc::clone(wakeup));
    let controller = door::Controller::open(
        config,
        broker.client,
        door::Inbox {
            shared: Arc::clone(&shared),
            observations: observed,
            camera: camera_inbox,
            gallery: gallery_inbox,
        },
    )?;
    let door_thread = std::thread::Builder::new()
        .name("door".to_owned())
        .spawn(move || controller.run())
        .map_err(system("a thread for the door"))?;

    let (matcher_updates, new_matchers) = bounded(1);
    let (old_matchers, to_free) = bounded(4);
    let slot = Arc::new(Slot::new());
    let recogniser = Recogniser::new(reader, Identifier::empty(rule));
    let worker = recognition::Worker {
        recogniser,
        slot: Arc::clone(&slot),
        shared: Arc::clone(&shared),
        observations,
        new_matchers,
        old_matchers,
    };
    let recognition_thread = std::thread::Builder::new()
        .name("recognition".to_owned())
        .spawn(move || worker.run())
        .map_err(system("a thread for recognition"));
    let recognition_thread = match recognition_thread {
        Ok(thread) => thread,
        Err(e) => {
            shared.stop();
            let _ = door_thread.join();
            return Err(e);
        }
    };
    let consumer = recognition_thread.thread().clone();
    let camera = capture::start_through(
        &config.camera,
        broker.cameras,
        slot,
        consumer.clone(),
        camera_events,
    );

    if let Ok(camera) = &camera {
        let watchdog = Duration::from_millis(config.recognition.watchdog_ms);
        let mut liveness = liveness::Liveness::new(watchdog, Arc::clone(camera.counters()));
        let mut alive_log =
            liveness::AliveLog::new(config.log.alive_minutes, Arc::clone(camera.counters()));
        supervisor.ready();
        while !shared.stopping() && !door_thread.is_finished() {
            if let Some(change) = gallery.poll() {
                // The door comes first, because a gallery that cannot be used shuts it. A channel is full only while a thread
                // is stalled; the next round tries again.
                if gallery_updates.try_send(change.update).is_err()
                    || matcher_updates.try_send(change.matcher).is_err()
                {
                    gallery.invalidate();
                }
            }
            // Freed here, so that the frame path does not have to do it.
            while to_free.try_recv().is_ok() {}
            alive_log.log(&shared);
            if liveness.should_notify(&shared) {
                supervisor.alive();
            }
            if let Some(signal) = wait(&signals, Duration::from_millis(250)) {
                // The relay comes before the log.
                shared.stop();
                log::info!("stopping signal={signal}");
                supervisor.stopping();
                break;
            }
        }
    }
    shared.stop();
    consumer.unpark();
    // The door comes first: nothing may delay the relay.
    let _ = door_thread.join();
    let result = camera.map(capture::RunningSource::stop);
    let _ = recognition_thread.join();
    log::info!("stopped frames={}", shared.progress.looked());
    result?;
    if shared.failed.load(Ordering::Acquire) {
        return Err(RunError::Broker);
    }
    Ok(())
}

/// Sockets that become readable when the process is asked to stop, each with the name of its signal.
type Signals = [(&'static str, UnixStream); 2];

fn signals() -> Result<Signals, RunError> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let socket = |signal| {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal, theirs)?;
        Ok(ours)
    };
    let what = "signal handlers";
    Ok([
        ("term", socket(SIGTERM).map_err(system(what))?),
        ("int", socket(SIGINT).map_err(system(what))?),
    ])
}

/// Waits up to `time`; returns the signal that came.
fn wait(signals: &Signals, time: Duration) -> Option<&'static str> {
    let timeout = Timespec::try_from(time).ok();
    let mut fds = [&signals[0].1, &signals[1].1].map(|s| PollFd::new(s, PollFlags::IN));
    let _ = poll(&mut fds, timeout.as_ref());
    let came = |(_, socket): &&(&str, UnixStream)| matches!((&*socket).read(&mut [0]), Ok(1));
    signals.iter().find(came).map(|(name, _)| *name)
}
