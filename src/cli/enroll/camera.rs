//! Takes pictures from the camera for `latchkey enroll --camera`, and guides the person before it with printed lines and LEDs.
//! The relay stays off, and no picture is written unless that is requested.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;

use super::super::{Failure, Loaded};
use super::Arguments;
use crate::capture::{self, CameraEvent};
use crate::clock::Timestamp;
use crate::door::Indication;
use crate::face::{Face, FaceError, Reader};
use crate::frame::{Image, JpegDecoder, PixelFormat, Sampler, Slot};
use crate::lesson::{FaceCut, rgb};
use crate::output::{self, Outputs, Player};
use crate::people::{Enrolment, EnrolmentFrame, EnrolmentGuide, write_whole};
use crate::wakeup::{Wakeup, WakingSender};

/// The longest time during which pictures are taken.
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest time between two pictures, so that they differ.
const APART: Duration = Duration::from_millis(400);
/// How long the green LED shows that a picture was taken.
const FLASH: Duration = Duration::from_millis(300);
/// How long the green LED shows that all pictures are taken.
const DONE: Duration = Duration::from_secs(2);
/// If a face's box is wider than this share of the frame's height, the face is too near to stay completely in view when it turns.
const NEAR: f32 = 0.75;
/// The quality of pictures that are kept.
const JPEG_QUALITY: u8 = 92;

/// Takes pictures until there are enough or the time is over, and meanwhile prints what would help. Returns the pictures that
/// went into `enrolment`, as JPEG. They are empty if pictures must not be kept.
pub fn pictures(
    loaded: &Loaded,
    reader: &mut Reader,
    enrolment: &mut Enrolment,
    arguments: &Arguments,
) -> Result<Vec<Vec<u8>>, Failure> {
    let slot = Arc::new(Slot::new());
    let (sender, events) = crossbeam_channel::bounded(16);
    // Events are read between frames; no thread waits for the wakeup.
    let wakeup = Wakeup::new().map_err(|e| Failure::machine(format!("eventfd: {e}")))?;
    let mut leds = StatusLeds::open(loaded);
    let camera = capture::start(
        &loaded.config.camera,
        Arc::clone(&slot),
        std::thread::current(),
        WakingSender::new(sender, Arc::new(wakeup)),
    )?;
    let count = usize::from(arguments.count);
    let mut guide = EnrolmentGuide::new(count);
    let mut frames = FrameReader {
        reader,
        jpeg: JpegDecoder::new(),
        sampler: Sampler::new(1920, 256),
        keep_pictures: arguments.keep.is_some(),
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
    while taken.len() < count && begun.elapsed() < LONGEST {
        while let Ok(event) = events.try_recv() {
            match event {
                CameraEvent::Down { why, path } => {
                    let text = format!("{}: {why}", path.display());
                    if !was_up {
                        return Err(Failure::machine(text));
                    }
                    // The camera may come back, so the pictures that were already taken are kept.
                    print(text.clone());
                    down = Some(text);
                }
                CameraEvent::Ended => return Ok(taken),
                CameraEvent::Up(_) | CameraEvent::Back { .. } => (was_up, down) = (true, None),
            }
        }
        let Some(lease) = slot.take() else {
            std::thread::park_timeout(Duration::from_millis(50));
            leds.update();
            continue;
        };
        if last.is_some_and(|last| last.elapsed() < APART) {
            leds.update();
            continue;
        }
        let Ok(image) = lease.image() else { continue };
        // A damaged frame is skipped.
        let Ok(seen) = frames.read(&image, enrolment) else {
            continue;
        };
        let elapsed = begun.elapsed();
        match guide.check(&seen.frame, elapsed) {
            // A face that the guide accepts is fit to be enrolled. The enrolment also refuses the same picture twice.
            Ok(()) if enrolment.add(&seen.faces).is_ok() => {
                last = Some(Instant::now());
                taken.push(seen.jpeg);
                print(format!("{} of {count}", taken.len()));
                leds.show(Indication::Granted, FLASH);
            }
            Ok(()) => {}
            Err(prompt) => {
                print(prompt.to_string());
                let indication = match seen.frame.faces {
                    0 => Indication::Ready,
                    1 if seen.frame.unfit.is_none() => Indication::FaceSeen,
                    _ => Indication::Refused,
                };
                leds.show(indication, Duration::ZERO);
            }
        }
        leds.update();
    }
    camera.stop();
    if taken.len() == count {
        let end = Instant::now() + DONE;
        leds.show(Indication::Granted, DONE);
        while leds.outputs.is_some() && Instant::now() < end {
            leds.update();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    match down {
        Some(why) if taken.is_empty() => Err(Failure::machine(why)),
        _ => Ok(taken),
    }
}

/// Writes `pictures` into `folder` under unused names. Returns the number of pictures.
pub fn write_pictures<'a>(
    folder: &Path,
    pictures: impl Iterator<Item = &'a [u8]>,
) -> Result<usize, Failure> {
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

/// Finds in a frame what the guide and the enrolment need.
struct FrameReader<'a> {
    reader: &'a mut Reader,
    jpeg: JpegDecoder,
    sampler: Sampler,
    /// Whether pictures may be kept.
    keep_pictures: bool,
}

/// What a frame shows.
struct FrameContents {
    frame: EnrolmentFrame,
    faces: Vec<Face>,
    /// The frame as JPEG; empty if it must not be kept.
    jpeg: Vec<u8>,
}

impl FrameReader<'_> {
    fn read(
        &mut self,
        image: &Image<'_>,
        enrolment: &Enrolment,
    ) -> Result<FrameContents, FaceError> {
        if image.layout().format == PixelFormat::Mjpeg {
            let mut jpeg = std::mem::take(&mut self.jpeg);
            let seen = jpeg
                .decode(image.bytes(), (640, 360))
                .map_err(FaceError::from)
                .and_then(|image| self.read_image(&image, enrolment));
            self.jpeg = jpeg;
            return seen;
        }
        self.read_image(image, enrolment)
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels of a frame")]
    fn read_image(
        &mut self,
        image: &Image<'_>,
        enrolment: &Enrolment,
    ) -> Result<FrameContents, FaceError> {
        let faces = self.reader.read(image)?.to_vec();
        let mut frame = EnrolmentFrame {
            faces: Enrolment::possible_subjects(&faces),
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
            frame.too_near = !inside || b.width > NEAR * height;
            frame.unfit = face.embedding.err();
            frame.quality = face.quality;
            let cut = FaceCut::new(image, &face.landmarks, &mut self.sampler)?;
            frame.light = cut.map_or(0.0, |cut| cut.light());
            frame.nearest = face.embedding.map_or(-1.0, |e| enrolment.nearest(&e));
            if self.keep_pictures {
                let picture = rgb(image, &mut self.sampler)?;
                // Writing into memory does not fail.
                let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
                let _ = picture.write_with_encoder(encoder);
            }
        }
        Ok(FrameContents { frame, faces, jpeg })
    }
}

/// The LEDs, if they can be opened.
struct StatusLeds {
    outputs: Option<Box<dyn Outputs>>,
    player: Player,
    indication: Indication,
    /// The time until which the indication is shown, whatever else is requested.
    until: Instant,
}

impl StatusLeds {
    fn open(loaded: &Loaded) -> Self {
        let wiring = &loaded.config.output;
        let outputs = output::open(wiring);
        if let Err(e) = &outputs {
            eprintln!("latchkey: enrolling without LEDs: {e}");
        }
        Self {
            outputs: outputs.ok(),
            player: Player::new(wiring.leds.wired(), Indication::Ready, Timestamp::now()),
            indication: Indication::Ready,
            until: Instant::now(),
        }
    }

    /// Shows `indication` for at least `time`. Only `Granted` replaces an indication whose time is not over.
    fn show(&mut self, indication: Indication, time: Duration) {
        let now = Instant::now();
        if now >= self.until || indication == Indication::Granted {
            (self.indication, self.until) = (indication, now + time);
        }
    }

    /// Sets the LEDs to the current state of the pattern.
    fn update(&mut self) {
        if self.indication == Indication::Granted && Instant::now() >= self.until {
            self.indication = Indication::FaceSeen;
        }
        let (leds, _) = self.player.update(Timestamp::now(), self.indication);
        if let Some(outputs) = &mut self.outputs
            && let Err(e) = outputs.set_leds(leds)
        {
            eprintln!("latchkey: enrolling goes on without LEDs: {e}");
            self.outputs = None;
        }
    }
}
