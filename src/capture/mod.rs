//! Where frames come from: a V4L2 camera that may vanish and return at any moment, or a replacement for it, which is a
//! folder of pictures or the synthetic doorstep.
//!
//! A source runs on a thread of its own. It puts leases of its buffers into the [`Slot`], wakes the consumer, and takes back
//! the leases that are dropped. It never looks at pixels; the sampler does that. Whatever happens to a camera is reported as
//! an event and does not end the source. The whole stream is retired (with its mappings and descriptors), and the source
//! tries again until the camera returns.

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

/// A camera that delivers frames.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraInfo {
    /// The driver's name for the camera; for pictures, their folder's name.
    pub name: String,
    /// The device node, or the folder of pictures.
    pub path: PathBuf,
    /// Which device it is; empty for pictures and the doorstep.
    pub device: DeviceIdentity,
    /// The layout of the camera's frames. Pictures that are shown at their own size differ, and each lease has its own
    /// layout.
    pub layout: Layout,
    /// Frames per second, if the driver reports them.
    pub fps: Option<f32>,
    /// The number of buffers from which frames are lent.
    pub buffers: u32,
}

/// Why a camera delivers nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraFault {
    /// There is no device node at all.
    #[error("no camera: there is no /dev/video*; plug one in")]
    Absent,
    /// The device node does not exist.
    #[error("not there; plug the camera in or fix camera.source")]
    Missing,
    /// The user may not open the device node.
    #[error("permission denied; add the user to the group video: usermod -aG video USER")]
    Denied,
    /// Another program streams from the device.
    #[error("in use by another program, maybe a running latchkey: stop it; `fuser -v` names it")]
    Busy,
    /// A video node that does not capture pictures.
    #[error("{0}, not a camera; name another /dev/video* in camera.source")]
    NotACamera(&'static str),
    /// The device has only the multiplanar interface.
    #[error(
        "captures through the multiplanar interface only, which is not supported; \
         use a USB camera or a driver with single-planar capture"
    )]
    Multiplanar,
    /// The device cannot stream from mapped buffers.
    #[error("cannot stream (no V4L2_CAP_STREAMING); use another camera")]
    NoStreaming,
    /// None of the device's pixel formats can be read, or the requested format is not among them.
    #[error("does not offer {wanted}; it offers {offered}")]
    NoFormat {
        /// The requested format, or the list of formats that can be read.
        wanted: String,
        /// The four-character codes of the formats that the device offers.
        offered: String,
    },
    /// The driver's answer to the requested format is not a possible picture.
    #[error("the driver promises an impossible picture: {0}")]
    Layout(#[from] ImageError),
    /// The buffers cannot contain the promised picture, or there are too few of them.
    #[error(
        "the driver grants {granted} buffers of {bytes} bytes; {need} bytes and 3 buffers needed"
    )]
    Buffers {
        /// The number of buffers that the driver granted.
        granted: u32,
        /// The bytes of the smallest buffer.
        bytes: usize,
        /// The bytes that a picture takes.
        need: usize,
    },
    /// The driver handed out a buffer that it did not have.
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
    /// No frame came for too long.
    #[error("no frame for {0} ms; check the cable and the camera's power")]
    Stalled(u64),
    /// Only damaged frames came for too long.
    #[error("only damaged frames for {0} ms; check the cable, or use a shorter one")]
    Damaged(u64),
    /// The device was unplugged.
    #[error("unplugged")]
    Gone,
    /// There is a camera, but not the one that `camera.device` pins. It was not opened.
    #[error(
        "is {seen}, and camera.device is {expected}; plug that one in where it was, or pin this one: `latchkey probe` prints the line"
    )]
    NotPinned {
        /// The device that is pinned.
        expected: Box<DeviceIdentity>,
        /// The device that was found.
        seen: Box<DeviceIdentity>,
    },
    /// There is a camera, but with `auto` another camera was used first, and only that one watches the door.
    #[error(
        "another camera than before ({0}); plug the first one in where it was, or name this one in \
         camera.source and start again"
    )]
    Another(String),
    /// All pictures were tried once, and none could be decoded.
    #[error("none of the pictures can be decoded; put JPEG or PNG files there")]
    NoPicture,
}

/// A change of a camera's state. It is sent once per change, however often the source retries.
#[derive(Clone, Debug, PartialEq)]
pub enum CameraEvent {
    /// The camera's very first frame has come.
    Up(CameraInfo),
    /// Frames have stopped, or did not come in the first place.
    Down {
        /// Why.
        why: CameraFault,
        /// The device; the value of `camera.source` if no device was found.
        path: PathBuf,
    },
    /// The first frame after [`CameraEvent::Down`] has come, perhaps from another device node.
    Back {
        /// The camera that delivers frames.
        camera: CameraInfo,
        /// How long it was down.
        away: Duration,
    },
    /// All pictures were shown, once. Cameras never end.
    Ended,
}

/// The longest time for which a source waits for anything, including a silent camera. The liveness check in `pipeline`
/// allows twice as long.
pub const LONGEST_ROUND: Duration = Duration::from_secs(5);

/// What a source has done since it started. Readable from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames put into the slot.
    pub frames: AtomicU64,
    /// Frames that a newer one replaced before they were read.
    pub replaced: AtomicU64,
    /// Damaged or short frames, which are never delivered, and pictures that cannot be decoded.
    pub errors: AtomicU64,
    /// Leases that were given back. Equal to `frames` when no lease is out.
    pub returned: AtomicU64,
    /// Streams that were started and then ended in a fault.
    pub retired: AtomicU64,
    /// The number of rounds that the source has made, with or without frames: at least one per [`LONGEST_ROUND`], unless it
    /// is stuck.
    pub rounds: AtomicU64,
}

impl Counters {
    /// The current value of `counter`, for logs and tests.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a source could not be started. A missing camera is not among these reasons, because that is an event.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// An invalid setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no descriptor for waking the capture thread.
    #[error("eventfd: {0}; the process may have too many files open (ulimit -n)")]
    Wakeup(Errno),
    /// The thread could not be started.
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
    /// The folder contains no pictures.
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
    /// The counts of what the source has done.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Stops the source and waits until its thread has closed everything. Leases that are still out keep their own memory
    /// until they are dropped.
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

/// Starts the source that `settings` name. Its frames are put into `slot`, and `consumer` is unparked for each. Changes of
/// state are sent to `events`, which should have room for several; an event that does not fit is lost.
///
/// # Errors
/// [`CaptureError`] if a setting is wrong, a folder of pictures is unreadable, or the system is out of descriptors or
/// threads. A camera that is absent or broken is an event instead.
pub fn start(
    settings: &CameraSettings,
    slot: Arc<Slot>,
    consumer: Thread,
    events: WakingSender<CameraEvent>,
) -> Result<RunningSource, CaptureError> {
    start_through(settings, Box::new(OwnNodes), slot, consumer, events)
}

/// As [`start`], but `cameras` opens the camera's nodes.
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
