//! Pictures in place of a camera: a folder of them, each shown for some frames at a steady rate.
//!
//! It has the same leases, slot and events as a camera. Unlike a camera it allocates, because it decodes and converts, which
//! a camera does in hardware.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use image::{RgbImage, imageops};

pub use super::kinds::is_clutter;

use super::Photo;
use super::buffer_pool::BufferPool;
use super::convert::from_rgb;
use super::frame_sender::FrameSender;
use super::kinds::{Kind, is_named_as_picture};
use super::{CameraEvent, CameraFault, CameraInfo, CaptureError, Counters, RunningSource};
use crate::clock::Timestamp;
use crate::frame::{Layout, PixelFormat, Slot};
use crate::wakeup::WakingSender;

/// What to show, and how.
#[derive(Clone, Debug)]
pub struct Slideshow {
    /// Where the pictures come from; used in events.
    pub path: PathBuf,
    /// JPEG and PNG files, in the order in which they are shown.
    pub files: Vec<PathBuf>,
    /// Pixel format of the frames.
    pub format: PixelFormat,
    /// The size of the frames, into which pictures are fitted between black bars; `None` if each picture has its own size.
    pub size: Option<(u32, u32)>,
    /// Frames per second, at least 1.
    pub fps: u32,
    /// The number of buffers from which frames are lent, at least 1.
    pub buffers: u32,
    /// The number of frames for which each picture is shown.
    pub frames_each: u32,
    /// Whether to start over after the last picture.
    pub looped: bool,
}

/// Why a file of unknown kind is not used.
pub const NO_PICTURE: &str = super::kinds::UNKNOWN;

/// Whether the content of a file is a JPEG or PNG picture, or the file has a picture's name. In the second case, reading it
/// shows what it is.
#[must_use]
pub fn is_picture(path: &Path) -> bool {
    if path.is_dir() {
        return false;
    }
    is_named_as_picture(path) || matches!(Kind::read(path), Ok(Kind::Jpeg | Kind::Png))
}

/// Why a file cannot be used as a picture, with what to do about it, as half a sentence that follows its name. `None` if its
/// content is a JPEG or PNG picture.
#[must_use]
pub fn refusal(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some("is a folder".to_owned());
    }
    match Kind::read(path) {
        Ok(Kind::Jpeg | Kind::Png) => None,
        Ok(Kind::Other(what)) => Some(what.to_owned()),
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

/// The pictures in the folder `path`, sorted; only `path` itself if it is a file.
///
/// # Errors
/// [`CaptureError::Unreadable`] if the folder cannot be read, [`CaptureError::Pictures`] if it contains no pictures.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let wrong = |fault: String| CaptureError::Pictures {
        path: path.to_owned(),
        fault,
    };
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |e| CaptureError::Unreadable {
        path: path.to_owned(),
        source: crate::fault::of_path(e, path),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if is_picture(&file) && !is_clutter(&file) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(wrong("no pictures there".to_owned()));
    }
    files.sort();
    Ok(files)
}

/// Starts the slideshow. As [`super::start`], for pictures only.
///
/// # Errors
/// [`CaptureError`] if the system is out of descriptors or threads.
pub fn start(
    show: Slideshow,
    slot: Arc<Slot>,
    consumer: Thread,
    events: WakingSender<CameraEvent>,
) -> Result<RunningSource, CaptureError> {
    RunningSource::spawn("pictures", slot, consumer, events, move |mut sender| {
        run(&show, &mut sender);
        if sender.stopped() {
            sender.discard_unread();
        }
    })
}

fn run(show: &Slideshow, sender: &mut FrameSender) {
    let period = Duration::from_secs(1) / show.fps.max(1);
    let mut pool = BufferPool::new(show.buffers, sender);
    let mut next = Timestamp::now();
    loop {
        let mut shown = false;
        for file in &show.files {
            let (layout, bytes) = match prepare(file, show) {
                Ok(prepared) => prepared,
                Err(error) => {
                    log::warn!("picture_left_out why={:?}", error.to_string());
                    Counters::count(&sender.counters.errors);
                    continue;
                }
            };
            for _ in 0..show.frames_each.max(1) {
                sender.wait(next.since(Timestamp::now()));
                if sender.stopped() {
                    return;
                }
                // A camera's clock does not wait for the decoder, and does not hurry to catch up.
                next = next.plus(period).max(Timestamp::now());
                pool.send(layout, &bytes, sender, |layout| info(show, layout));
            }
            shown = true;
        }
        if !shown {
            sender.state.down(CameraFault::NoPicture, &show.path);
            return;
        }
        if !show.looped {
            // The last frame is shown as long as the others.
            sender.wait(next.since(Timestamp::now()));
            sender.state.ended();
            return;
        }
    }
}

/// A picture as the camera would deliver it.
fn prepare(file: &Path, show: &Slideshow) -> Result<(Layout, Vec<u8>), Box<dyn std::error::Error>> {
    let mut rgb = Photo::open(file)?.into_picture();
    if let Some((width, height)) = show.size {
        rgb = fit(&rgb, width, height);
    }
    let mut bytes = Vec::new();
    let layout = from_rgb(&rgb, rgb.width(), rgb.height(), show.format, &mut bytes)?;
    Ok((layout, bytes))
}

/// `picture` scaled to the largest size that fits into `width` by `height`, centred on black.
fn fit(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let scale = (f64::from(width) / f64::from(picture.width()))
        .min(f64::from(height) / f64::from(picture.height()));
    let side = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    let (w, h) = (side(picture.width(), width), side(picture.height(), height));
    let scaled = imageops::resize(picture, w, h, imageops::FilterType::Triangle);
    let mut framed = RgbImage::new(width, height);
    imageops::replace(
        &mut framed,
        &scaled,
        i64::from((width - w) / 2),
        i64::from((height - h) / 2),
    );
    framed
}

/// Describes the slideshow as a camera.
fn info(show: &Slideshow, layout: Layout) -> CameraInfo {
    let path = show.path.clone();
    CameraInfo {
        name: path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
        path,
        device: super::DeviceIdentity::default(),
        layout,
        fps: Some(show.fps as f32),
        buffers: show.buffers,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crossbeam_channel::{Receiver, bounded};
    use tempfile::TempDir;

    use super::*;
    use crate::frame::Lease;
    use crate::wakeup::Wakeup;

    const RED: [u8; 3] = [255, 0, 0];
    const GREEN: [u8; 3] = [0, 255, 0];
    const BLUE: [u8; 3] = [0, 0, 255];

    /// A folder with one plain 8x4 picture of each colour.
    fn folder(colours: &[[u8; 3]]) -> TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (i, colour) in colours.iter().enumerate() {
            RgbImage::from_pixel(8, 4, image::Rgb(*colour))
                .save(dir.path().join(format!("{i}.png")))
                .expect("a picture");
        }
        dir
    }

    fn show(dir: &Path) -> Slideshow {
        Slideshow {
            path: dir.to_owned(),
            files: list(dir).expect("pictures"),
            format: PixelFormat::Rgb3,
            size: None,
            fps: 200,
            buffers: 3,
            frames_each: 5,
            looped: false,
        }
    }

    struct Watched {
        running: RunningSource,
        slot: Arc<Slot>,
        events: Receiver<CameraEvent>,
    }

    /// `sender` with a wakeup that no thread waits for.
    fn waking(sender: crossbeam_channel::Sender<CameraEvent>) -> WakingSender<CameraEvent> {
        WakingSender::new(sender, Arc::new(Wakeup::new().expect("an eventfd")))
    }

    fn watch(show: Slideshow) -> Watched {
        let slot = Arc::new(Slot::new());
        let (sender, events) = bounded(8);
        let running = start(
            show,
            Arc::clone(&slot),
            std::thread::current(),
            waking(sender),
        );
        Watched {
            running: running.expect("a start"),
            slot,
            events,
        }
    }

    impl Watched {
        /// The next frame, or `None` after 5 s without one.
        fn next(&self) -> Option<Lease> {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(5) {
                if let Some(lease) = self.slot.take() {
                    return Some(lease);
                }
                std::thread::park_timeout(Duration::from_millis(10));
            }
            None
        }

        fn event(&self) -> Option<CameraEvent> {
            self.events.recv_timeout(Duration::from_secs(5)).ok()
        }
    }

    fn first_pixel(lease: &Lease) -> [u8; 3] {
        let bytes = lease.image().expect("a picture").bytes();
        [bytes[0], bytes[1], bytes[2]]
    }

    #[test]
    fn every_picture_is_shown_and_every_buffer_comes_back() {
        let dir = folder(&[RED, GREEN, BLUE]);
        let mut show = show(dir.path());
        // The rate is low enough that a consumer that does nothing else misses no picture.
        (show.fps, show.frames_each) = (20, 3);
        let watched = watch(show);
        let mut seen: Vec<[u8; 3]> = Vec::new();
        let mut last: Option<(u32, Timestamp)> = None;
        while seen.len() < 3 {
            let lease = watched.next().expect("a frame");
            if let Some((sequence, captured)) = last {
                assert!(lease.sequence() > sequence);
                assert!(lease.captured() > captured);
            }
            last = Some((lease.sequence(), lease.captured()));
            if seen.last() != Some(&first_pixel(&lease)) {
                seen.push(first_pixel(&lease));
            }
        }
        assert_eq!(seen, [RED, GREEN, BLUE]);
        let Some(CameraEvent::Up(info)) = watched.event() else {
            panic!("no Up first");
        };
        assert_eq!(info.layout, Layout::packed(PixelFormat::Rgb3, 8, 4));
        assert_eq!(watched.event(), Some(CameraEvent::Ended));
        drop(watched.slot.take());
        let counters = Arc::clone(watched.running.counters());
        watched.running.stop();
        assert_eq!(Counters::get(&counters.frames), 9);
        assert_eq!(Counters::get(&counters.returned), 9);
        assert!(watched.events.try_recv().is_err(), "more than Up and Ended");
    }

    #[test]
    fn the_newest_frame_wins() {
        let dir = folder(&[RED, GREEN]);
        let watched = watch(show(dir.path()));
        // The consumer looks only at the end. Of 10 frames, only the last is still there.
        assert!(matches!(watched.event(), Some(CameraEvent::Up(_))));
        assert_eq!(watched.event(), Some(CameraEvent::Ended));
        let lease = watched.slot.take().expect("the last frame");
        assert_eq!((first_pixel(&lease), lease.sequence()), (GREEN, 9));
        assert!(watched.slot.take().is_none());
        let counters = watched.running.counters();
        assert_eq!(Counters::get(&counters.replaced), 9);
        assert_eq!(Counters::get(&counters.returned), 9);
        drop(lease);
        assert_eq!(Counters::get(&counters.returned), 10);
    }

    #[test]
    fn lent_buffers_are_left_alone_and_missed_frames_lost() {
        let dir = folder(&[RED, GREEN]);
        let mut show = show(dir.path());
        (show.looped, show.frames_each) = (true, 1);
        let watched = watch(show);
        let held: Vec<_> = (0..3).map(|_| watched.next().expect("a frame")).collect();
        let before: Vec<_> = held.iter().map(first_pixel).collect();
        // All three buffers are lent.
        std::thread::sleep(Duration::from_millis(100));
        assert!(watched.slot.take().is_none());
        assert_eq!(held.iter().map(first_pixel).collect::<Vec<_>>(), before);
        let sequence = held[2].sequence();
        drop(held);
        let next = watched.next().expect("frames again");
        assert!(next.sequence() > sequence + 1, "no frame was lost");
    }

    #[test]
    fn leases_outlive_their_source() {
        let dir = folder(&[BLUE]);
        let mut show = show(dir.path());
        show.looped = true;
        let watched = watch(show);
        let lease = watched.next().expect("a frame");
        let counters = Arc::clone(watched.running.counters());
        watched.running.stop();
        assert!(watched.slot.take().is_none(), "stop leaves nothing behind");
        assert_eq!(first_pixel(&lease), BLUE);
        drop(lease);
        assert_eq!(
            Counters::get(&counters.frames),
            Counters::get(&counters.returned)
        );
    }

    #[test]
    fn broken_pictures_are_left_out() {
        let dir = folder(&[RED]);
        std::fs::write(dir.path().join("broken.jpg"), b"no picture").expect("written");
        let watched = watch(show(dir.path()));
        assert_eq!(first_pixel(&watched.next().expect("a frame")), RED);
        assert!(matches!(watched.event(), Some(CameraEvent::Up(_))));
        assert_eq!(watched.event(), Some(CameraEvent::Ended));
        assert_eq!(Counters::get(&watched.running.counters().errors), 1);

        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("broken.jpg"), b"no picture").expect("written");
        let watched = watch(show(dir.path()));
        let why = CameraFault::NoPicture;
        let path = dir.path().to_owned();
        assert_eq!(watched.event(), Some(CameraEvent::Down { why, path }));
    }

    #[test]
    fn folders_without_pictures_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("notes.txt"), b"").expect("written");
        let error = list(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no pictures there"), "{error}");
        let error = list(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn pictures_are_fitted_between_black_bars() {
        let wide = RgbImage::from_pixel(8, 4, image::Rgb(RED));
        let framed = fit(&wide, 16, 16);
        assert_eq!(framed.dimensions(), (16, 16));
        for (x, y, pixel) in framed.enumerate_pixels() {
            let wanted = if (4..12).contains(&y) { RED } else { [0; 3] };
            assert_eq!(pixel.0, wanted, "{x} {y}");
        }
        // Pictures are also scaled down, but never to nothing.
        let line = RgbImage::from_pixel(2000, 1, image::Rgb(BLUE));
        assert_eq!(fit(&line, 20, 20).get_pixel(10, 9).0, BLUE);
    }

    /// The same, started through the settings, with conversion to a camera's format.
    #[test]
    fn started_by_settings() {
        let dir = folder(&[RED]);
        let settings = super::super::CameraSettings {
            source: format!("pictures:{}", dir.path().display()),
            format: Some(PixelFormat::Nv12),
            width: 32,
            height: 16,
            ..Default::default()
        };
        let slot = Arc::new(Slot::new());
        let (sender, events) = bounded(8);
        let here = std::thread::current();
        let running = super::super::start(&settings, Arc::clone(&slot), here, waking(sender));
        let watched = Watched {
            running: running.expect("a start"),
            slot,
            events,
        };
        let lease = watched.next().expect("a frame");
        let image = lease.image().expect("a picture");
        assert_eq!(image.layout(), Layout::packed(PixelFormat::Nv12, 32, 16));
        // Red in limited range: luma, then Cb Cr.
        assert_eq!(
            (image.bytes()[0], &image.bytes()[512..514]),
            (81, &[90, 240][..])
        );
        assert_eq!(
            watched
                .running
                .counters()
                .retired
                .load(std::sync::atomic::Ordering::Relaxed),
            0
        );
    }
}
