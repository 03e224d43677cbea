//! Pictures from the camera, for `latchkey enroll --camera`: guides the person before it by lines and by LEDs. The relay is
//! held off, and nothing is written unless that is asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;

use super::super::{Failure, Loaded};
use super::Arguments;
use crate::bell::{Bell, Caller};
use crate::capture::{self, CameraEvent};
use crate::clock::Timestamp;
use crate::door::Signal;
use crate::face::{Face, FaceError, Reader};
use crate::frame::{Image, JpegDecoder, PixelFormat, Sampler, Slot};
use crate::lesson::{FaceCut, rgb};
use crate::output::{self, Outputs, Player};
use crate::people::{Enrolment, Guide, Look, write_whole};

/// How long pictures are taken, at most.
const TIME: Duration = Duration::from_secs(60);
/// Between two pictures of one person, so that they differ.
const APART: Duration = Duration::from_millis(400);
/// How long the green LED shows that a picture was taken.
const FLASH: Duration = Duration::from_millis(300);
/// How long it shows that all are taken.
const DONE: Duration = Duration::from_secs(2);
/// A box wider than this part of the frame's height is too near to show a face whole when it turns.
const NEAR: f32 = 0.75;
/// The quality of pictures that are kept.
const JPEG_QUALITY: u8 = 92;

/// Takes pictures until there are enough or the time is over, and prints what would help meanwhile. Returns those that went
/// into `enrolment` as JPEG; they are empty if pictures must not be kept.
pub fn pictures(
    loaded: &Loaded,
    reader: &mut Reader,
    enrolment: &mut Enrolment,
    arguments: &Arguments,
) -> Result<Vec<Vec<u8>>, Failure> {
    let slot = Arc::new(Slot::new());
    let (sender, events) = crossbeam_channel::bounded(16);
    // Events are read between frames; no thread waits for the bell.
    let bell = Bell::new().map_err(|e| Failure::machine(format!("eventfd: {e}")))?;
    let mut lights = Lights::open(loaded);
    let camera = capture::start(
        &loaded.config.camera,
        Arc::clone(&slot),
        std::thread::current(),
        Caller::new(sender, Arc::new(bell)),
    )?;
    let count = usize::from(arguments.count);
    let mut guide = Guide::new(count);
    let mut eyes = Eyes {
        reader,
        jpeg: JpegDecoder::new(),
        sampler: Sampler::new(1920, 256),
        keeps: arguments.keep.is_some(),
    };
    let (begun, mut last, mut printed) = (Instant::now(), None::<Instant>, String::new());
    let mut print = |text: String| {
        if text != printed {
            eprintln!("latchkey: {text}");
            printed = text;
        }
    };
    let mut taken = Vec::new();
    let (mut was_up, mut down) = (false, None);
    print("look at the camera".to_owned());
    while taken.len() < count && begun.elapsed() < TIME {
        while let Ok(event) = events.try_recv() {
            match event {
                CameraEvent::Down { why, path } => {
                    let text = format!("{}: {why}", path.display());
                    if !was_up {
                        return Err(Failure::machine(text));
                    }
                    // It may come back: what was taken so far is not lost.
                    print(text.clone());
                    down = Some(text);
                }
                CameraEvent::Ended => return Ok(taken),
                CameraEvent::Up(_) | CameraEvent::Back { .. } => (was_up, down) = (true, None),
            }
        }
        let Some(lease) = slot.take() else {
            std::thread::park_timeout(Duration::from_millis(50));
            lights.go_on();
            continue;
        };
        if last.is_some_and(|last| last.elapsed() < APART) {
            lights.go_on();
            continue;
        }
        let Ok(image) = lease.image() else { continue };
        // A damaged frame is skipped.
        let Ok(seen) = eyes.see(&image, enrolment) else {
            continue;
        };
        let elapsed = begun.elapsed();
        let verdict = guide.judge(&seen.look, elapsed);
        match verdict {
            // What the guide accepts is fit to be enrolled. The enrolment also refuses the same picture twice.
            Ok(()) if enrolment.add(&seen.faces).is_ok() => {
                last = Some(Instant::now());
                taken.push(seen.jpeg);
                print(format!("{} of {count}", taken.len()));
                lights.show(Signal::Granted, FLASH);
            }
            Ok(()) => {}
            Err(advice) => {
                print(advice.to_string());
                let signal = match seen.look.faces {
                    0 => Signal::Ready,
                    1 if seen.look.unfit.is_none() => Signal::FaceSeen,
                    _ => Signal::Refused,
                };
                lights.show(signal, Duration::ZERO);
            }
        }
        lights.go_on();
    }
    camera.stop();
    if taken.len() == count {
        let end = Instant::now() + DONE;
        lights.show(Signal::Granted, DONE);
        while lights.outputs.is_some() && Instant::now() < end {
            lights.go_on();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    match down {
        Some(why) if taken.is_empty() => Err(Failure::machine(why)),
        _ => Ok(taken),
    }
}

/// Writes `pictures` into `folder` under names that are free; returns their number.
pub fn keep<'a>(folder: &Path, pictures: impl Iterator<Item = &'a [u8]>) -> Result<usize, Failure> {
    let failed = |e: std::io::Error| {
        Failure::machine(format!(
            "{}: the pictures cannot be kept: {e}",
            folder.display()
        ))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let (mut number, mut count) = (0, 0);
    for picture in pictures {
        let place = loop {
            number += 1;
            let place = folder.join(format!("camera-{number:03}.jpg"));
            if !place.exists() {
                break place;
            }
        };
        write_whole(&place.with_added_extension("new"), &place, picture).map_err(failed)?;
        count += 1;
    }
    Ok(count)
}

/// What reads frames.
struct Eyes<'a> {
    reader: &'a mut Reader,
    jpeg: JpegDecoder,
    sampler: Sampler,
    /// Whether pictures may be kept.
    keeps: bool,
}

/// What a frame shows.
struct Seen {
    look: Look,
    faces: Vec<Face>,
    /// The frame; empty if it must not be kept.
    jpeg: Vec<u8>,
}

impl Eyes<'_> {
    fn see(&mut self, image: &Image<'_>, enrolment: &Enrolment) -> Result<Seen, FaceError> {
        if image.layout().format == PixelFormat::Mjpeg {
            let mut jpeg = std::mem::take(&mut self.jpeg);
            let seen = jpeg
                .decode(image.bytes(), (640, 360))
                .map_err(FaceError::from)
                .and_then(|image| self.see_pixels(&image, enrolment));
            self.jpeg = jpeg;
            return seen;
        }
        self.see_pixels(image, enrolment)
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels of a frame")]
    fn see_pixels(&mut self, image: &Image<'_>, enrolment: &Enrolment) -> Result<Seen, FaceError> {
        let faces = self.reader.read(image)?.to_vec();
        let mut look = Look {
            faces: Enrolment::rivals(&faces),
            unfit: None,
            quality: Default::default(),
            too_near: false,
            light: 0.0,
            nearest: -1.0,
        };
        let mut jpeg = Vec::new();
        if let Some(face) = faces.first() {
            let (width, height) = (image.layout().width as f32, image.layout().height as f32);
            let b = face.bbox;
            let inside =
                b.x >= 0.0 && b.y >= 0.0 && b.x + b.width <= width && b.y + b.height <= height;
            look.too_near = !inside || b.width > NEAR * height;
            look.unfit = face.embedding.err();
            look.quality = face.quality;
            let cut = FaceCut::new(image, &face.landmarks, &mut self.sampler)?;
            look.light = cut.map_or(0.0, |cut| cut.light());
            look.nearest = face.embedding.map_or(-1.0, |e| enrolment.nearest(&e));
            if self.keeps {
                let picture = rgb(image, &mut self.sampler)?;
                // Writing into memory does not fail.
                let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
                let _ = picture.write_with_encoder(encoder);
            }
        }
        Ok(Seen { look, faces, jpeg })
    }
}

/// The LEDs, if they can be opened.
struct Lights {
    outputs: Option<Box<dyn Outputs>>,
    player: Player,
    signal: Signal,
    /// Until when it is shown, whatever else comes.
    until: Instant,
}

impl Lights {
    fn open(loaded: &Loaded) -> Self {
        let wiring = &loaded.config.output;
        let outputs = output::open(wiring);
        if let Err(e) = &outputs {
            eprintln!("latchkey: enrolling without LEDs: {e}");
        }
        Self {
            outputs: outputs.ok(),
            player: Player::new(wiring.leds.wired(), Signal::Ready, Timestamp::now()),
            signal: Signal::Ready,
            until: Instant::now(),
        }
    }

    /// Shows `signal` from now on, for `time` at least. Only `Granted` replaces a signal whose time is not over.
    fn show(&mut self, signal: Signal, time: Duration) {
        let now = Instant::now();
        if now >= self.until || signal == Signal::Granted {
            (self.signal, self.until) = (signal, now + time);
        }
    }

    fn go_on(&mut self) {
        if self.signal == Signal::Granted && Instant::now() >= self.until {
            self.signal = Signal::FaceSeen;
        }
        let (leds, _) = self.player.update(Timestamp::now(), self.signal);
        if let Some(outputs) = &mut self.outputs
            && let Err(e) = outputs.set_leds(leds)
        {
            eprintln!("latchkey: enrolling goes on without LEDs: {e}");
            self.outputs = None;
        }
    }
}
