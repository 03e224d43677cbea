//! Where frames come from: a V4L2 camera that may vanish and return at any moment, or a stand-in for
//! one: a folder of pictures, or the synthetic doorstep.
//!
//! A source runs on a thread of its own. It puts leases of its buffers into the [`Slot`], wakes the
//! consumer, and takes back what is dropped. It never looks at pixels; the sampler does that.
//! Whatever happens to a camera is an event, not an end: the whole stream is retired (mappings and
//! descriptors with it), and the source tries again until the camera returns.

mod buffer_pool;
mod choose;
pub mod convert;
mod doorstep;
mod frame_sender;
mod identity;
mod kinds;
mod photo;
pub mod pictures;
mod settings;
pub mod v4l2;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rustix::io::Errno;

use crate::frame::{ImageError, Layout, PixelFormat, Slot};
use crate::wakeup::{Wakeup, WakingSender};

pub use choose::{Candidate, Choice, FormatPreference, Interval, IntervalRange, SizeRange, choose};
pub use identity::DeviceIdentity;
pub use photo::{Photo, PhotoError, PhotoFault, UNREAD};
pub use settings::{CameraSettings, SettingsError, Source};
pub use v4l2::{
    CALLS as CAMERA_CALLS, CameraNodes, DeviceReport, FormatReport, OwnNodes, SizeReport, probe,
};

use frame_sender::FrameSender;

/// A camera that delivers.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraInfo {
    /// What the driver calls it; for pictures, their folder's name.
    pub name: String,
    /// Device node, or the folder of pictures.
    pub path: PathBuf,
    /// Which device it is; empty for pictures and the doorstep.
    pub device: DeviceIdentity,
    /// Layout of its frames. Pictures shown at their own size differ; each lease has its own layout.
    pub layout: Layout,
    /// Frames a second, if the driver reports them.
    pub fps: Option<f32>,
    /// Buffers that frames are lent from.
    pub buffers: u32,
}

/// Why a camera delivers nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraFault {
    /// No device node at all.
    #[error("no camera: there is no /dev/video*; plug one in")]
    Absent,
    /// The device node does not exist.
    #[error("not there; plug the camera in or fix camera.source")]
    Missing,
    /// Opening it is forbidden.
    #[error("permission denied; add the user to the group video: usermod -aG video USER")]
    Denied,
    /// Another program streams from it.
    #[error("in use by another program, maybe a running latchkey: stop it; `fuser -v` names it")]
    Busy,
    /// A video node, but nothing that captures pictures.
    #[error("{0}, not a camera; name another /dev/video* in camera.source")]
    NotACamera(&'static str),
    /// It has only the multiplanar interface.
    #[error(
        "captures through the multiplanar interface only, which is not supported; \
         use a USB camera or a driver with single-planar capture"
    )]
    Multiplanar,
    /// It cannot stream from mapped buffers.
    #[error("cannot stream (no V4L2_CAP_STREAMING); use another camera")]
    NoStreaming,
    /// None of its pixel formats can be read, or not the one that was asked for.
    #[error("does not offer {wanted}; it offers {offered}")]
    NoFormat {
        /// The format asked for, or the list of those that can be read.
        wanted: String,
        /// Four-character codes that it offers.
        offered: String,
    },
    /// The driver's answer to the format asked for makes no sense.
    #[error("the driver promises an impossible picture: {0}")]
    Layout(#[from] ImageError),
    /// Buffers that cannot hold the promised picture, or too few of them.
    #[error(
        "the driver grants {granted} buffers of {bytes} bytes; {need} bytes and 3 buffers needed"
    )]
    Buffers {
        /// Buffers granted.
        granted: u32,
        /// Bytes of the smallest.
        bytes: usize,
        /// Bytes that a picture takes.
        need: usize,
    },
    /// The driver handed out a buffer that it does not have.
    #[error("the driver handed out buffer {0}, which it did not have; a fault of the driver")]
    StrayBuffer(u32),
    /// A system call failed.
    #[error("{call}: {errno}")]
    Call {
        /// The call.
        call: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// No frame for too long.
    #[error("no frame for {0} ms; check the cable and the camera's power")]
    Stalled(u64),
    /// Only damaged frames for too long.
    #[error("only damaged frames for {0} ms; check the cable, or use a shorter one")]
    Damaged(u64),
    /// Unplugged.
    #[error("unplugged")]
    Gone,
    /// A camera is there, and not the one that `camera.device` pins. It was not opened.
    #[error(
        "is {seen}, and camera.device is {expected}; plug that one in where it was, or pin this one: `latchkey probe` prints the line"
    )]
    NotPinned {
        /// What is pinned.
        expected: Box<DeviceIdentity>,
        /// What was found.
        seen: Box<DeviceIdentity>,
    },
    /// A camera is there, but `auto` took up another one at first, and that one watches the door.
    #[error(
        "another camera than before ({0}); plug the first one in where it was, or name this one in \
         camera.source and start again"
    )]
    Another(String),
    /// A whole round through the pictures, and none could be decoded.
    #[error("none of the pictures can be decoded; put JPEG or PNG files there")]
    NoPicture,
}

/// A change of a camera's state. Sent once a change, however often the source retries.
#[derive(Clone, Debug, PartialEq)]
pub enum CameraEvent {
    /// The first frame ever has come.
    Up(CameraInfo),
    /// Frames have stopped, or did not come in the first place.
    Down {
        /// Why.
        why: CameraFault,
        /// Which device; the value of `camera.source` if none was found.
        path: PathBuf,
    },
    /// The first frame after [`CameraEvent::Down`] has come, maybe from another device node.
    Back {
        /// The camera that delivers now.
        camera: CameraInfo,
        /// How long it was down.
        away: Duration,
    },
    /// All pictures were shown, once. Cameras never end.
    Ended,
}

/// The longest that a source waits for anything, a silent camera included. Who watches it allows twice that.
pub const LONGEST_ROUND: Duration = Duration::from_secs(5);

/// What a source has done since it started. Readable from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames put into the slot.
    pub frames: AtomicU64,
    /// Frames that a newer one replaced before they were read.
    pub replaced: AtomicU64,
    /// Damaged or short frames, which are never delivered; undecodable pictures.
    pub errors: AtomicU64,
    /// Leases that came back. Equal to `frames` when nothing is out on lease.
    pub returned: AtomicU64,
    /// Streams that ended in a fault after having been started.
    pub retired: AtomicU64,
    /// How many rounds the source has made, with or without frames: one in [`LONGEST_ROUND`] at least, unless it is stuck.
    pub rounds: AtomicU64,
}

impl Counters {
    /// The value of `counter` now, for logs and tests.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a source could not be started. A missing camera is not among these: that is an event.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// An invalid setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No descriptor for waking the capture thread.
    #[error("eventfd: {0}; the process may have too many files open (ulimit -n)")]
    Wakeup(Errno),
    /// No thread.
    #[error("no thread for capture: {0}")]
    Thread(std::io::Error),
    /// The system refused the folder of pictures.
    #[error("{}: {source}; name a folder with JPEG or PNG pictures", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The folder of pictures has none.
    #[error("{path}: {fault}; name a folder with JPEG or PNG pictures", path = path.display())]
    Pictures {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
}

/// A running source. Dropping it stops it.
pub struct RunningSource {
    stop: Arc<AtomicBool>,
    wakeup: Arc<Wakeup>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl RunningSource {
    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Stops the source and waits until its thread has closed everything. Leases that are still out
    /// keep their own memory until they are dropped.
    pub fn stop(self) {}

    /// Starts `run` on a thread named `name`.
    fn spawn(
        name: &str,
        slot: Arc<Slot>,
        consumer: Thread,
        events: WakingSender<CameraEvent>,
        run: impl FnOnce(FrameSender) + Send + 'static,
    ) -> Result<Self, CaptureError> {
        let stop = Arc::new(AtomicBool::new(false));
        let wakeup = Arc::new(Wakeup::new().map_err(CaptureError::Wakeup)?);
        let counters = Arc::new(Counters::default());
        let sender = FrameSender::new(slot, consumer, events, &counters, &wakeup, &stop);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(sender))
            .map_err(CaptureError::Thread)?;
        Ok(Self {
            stop,
            wakeup,
            counters,
            thread: Some(thread),
        })
    }
}

impl Drop for RunningSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wakeup.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the capture thread panicked");
        }
    }
}

/// Starts the source that `settings` name. Its frames go into `slot`, and `consumer` is unparked for
/// each; changes of state go to `events`, which should have room for several: what does not fit is lost.
///
/// # Errors
/// [`CaptureError`] if a setting is wrong, a folder of pictures unreadable, or the system out of
/// descriptors or threads. A camera that is absent or broken is an event instead.
pub fn start(
    settings: &CameraSettings,
    slot: Arc<Slot>,
    consumer: Thread,
    events: WakingSender<CameraEvent>,
) -> Result<RunningSource, CaptureError> {
    start_through(settings, Box::new(OwnNodes), slot, consumer, events)
}

/// As [`start`], with a camera's nodes opened by `cameras`.
///
/// # Errors
/// As [`start`].
pub fn start_through(
    settings: &CameraSettings,
    mut cameras: Box<dyn CameraNodes>,
    slot: Arc<Slot>,
    consumer: Thread,
    events: WakingSender<CameraEvent>,
) -> Result<RunningSource, CaptureError> {
    settings.validate()?;
    match settings.parsed_source() {
        Source::Pictures(path) => {
            let show = pictures::Slideshow {
                files: pictures::list(&path)?,
                path,
                format: settings.format.unwrap_or(PixelFormat::Yuyv),
                size: (settings.width > 0).then_some((settings.width, settings.height)),
                fps: settings.fps,
                buffers: settings.buffers,
                frames_each: settings.picture_frames,
                looped: settings.picture_loop,
            };
            pictures::start(show, slot, consumer, events)
        }
        Source::Doorstep(script) => doorstep::start(settings, script, slot, consumer, events),
        source => {
            let settings = settings.clone();
            RunningSource::spawn("capture", slot, consumer, events, move |sender| {
                v4l2::run(&settings, &source, &mut *cameras, sender);
            })
        }
    }
}
