//! What the camera of the scenario `door` shows: photos and pictures of things, pasted into 640x480
//! frames at changing places and sizes, as raw frames in a camera's format. Which photo goes where is
//! fixed, so that two runs show the same.
//!
//! The two people with the most photos are enrolled, as Ada and Ben; the next three are strangers.
//! `enrolment` lists the photos to enrol, which no scene shows; `truth` lists the scenes in their order,
//! `SCENE WHO FRAMES`, WHO being a name, `stranger` or `none`; the frames are SCENE.N.raw.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage};
use latchkey::capture::{Photo, convert, pictures};
use latchkey::frame::PixelFormat;

#[derive(Parser)]
struct Arguments {
    /// Where the scenes go
    out: PathBuf,
    /// yuyv, nv12 or grey
    #[arg(long)]
    format: String,
    /// A folder of photos for every person, 250x250 with the face in the middle
    #[arg(long)]
    people: PathBuf,
    /// Pictures of things
    #[arg(long)]
    objects: PathBuf,
    /// Write every frame as PNG too, to look at
    #[arg(long)]
    png: bool,
}

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Frames of a scene: the face moves a little and comes closer.
const FRAMES: u32 = 3;
/// Photos of an enrolled person that are for enrolment; later ones are for visits.
const ENROLMENT: usize = 8;

/// Least side of a face or thing in GREY frames, in pixels.
const SMALLEST_GREY: u32 = 130;

/// Side of the middle of a photo that is pasted: the head, without who else is in the photo.
const HEAD: u32 = 160;
/// Side of the face itself in there, as a detector boxes it.
const FACE: f32 = 100.0;

#[derive(Clone, Copy)]
enum Who {
    /// 0 or 1, and which of the photos after those for enrolment.
    Enrolled(usize, usize),
    Stranger(usize),
    Thing,
    Nobody,
}

/// Name, who, side of the face or thing in pixels, and where its middle is.
const SCENES: [(&str, Who, u32, (u32, u32)); 8] = [
    ("empty", Who::Nobody, 0, (0, 0)),
    ("visit-1", Who::Enrolled(0, 0), 120, (190, 220)),
    ("thing", Who::Thing, 170, (440, 300)),
    ("visit-2", Who::Enrolled(1, 0), 200, (400, 250)),
    ("stranger-1", Who::Stranger(0), 150, (180, 260)),
    ("stranger-2", Who::Stranger(1), 80, (480, 330)),
    ("visit-3", Who::Enrolled(0, 1), 80, (480, 150)),
    ("stranger-3", Who::Stranger(2), 180, (320, 240)),
];
const NAMES: [&str; 2] = ["Ada", "Ben"];

fn main() -> Result<(), Box<dyn Error>> {
    let asked = Arguments::parse();
    // Every format shows other photos, things and places.
    let (variant, format) = match asked.format.as_str() {
        "yuyv" => (0, PixelFormat::Yuyv),
        "nv12" => (1, PixelFormat::Nv12),
        "grey" => (2, PixelFormat::Grey),
        other => return Err(format!("--format {other}: yuyv, nv12 or grey").into()),
    };
    let people = most_photographed(&asked.people, 5)?;
    let (enrolled, strangers) = people.split_at(2);
    let things = pictures::list(&asked.objects)?;
    std::fs::create_dir_all(&asked.out)?;

    let mut enrolment = String::new();
    for (name, photos) in NAMES.iter().zip(enrolled) {
        for photo in &photos[..ENROLMENT] {
            writeln!(enrolment, "{name} {}", photo.display())?;
        }
    }
    std::fs::write(asked.out.join("enrolment"), enrolment)?;

    let mut truth = String::new();
    for (scene, who, side, (x, y)) in SCENES {
        // Without colour the detector misses faces that are only an eighth of the frame's width.
        let side = if variant == 2 {
            side.max(SMALLEST_GREY)
        } else {
            side
        };
        let (said, picture, scale) = match who {
            Who::Enrolled(person, nth) => {
                let photo = &enrolled[person][ENROLMENT + 2 * variant + nth];
                (NAMES[person], Some(head(photo)?), side as f32 / FACE)
            }
            Who::Stranger(person) => {
                let photo = &strangers[person][variant];
                ("stranger", Some(head(photo)?), side as f32 / FACE)
            }
            Who::Thing => {
                let thing = &things[(2 * variant + 1) * things.len() / 6];
                let thing = Photo::open(thing)?.into_picture();
                let scale = side as f32 / thing.width() as f32;
                ("none", Some(thing), scale)
            }
            Who::Nobody => ("none", None, 1.0),
        };
        let x = if variant == 1 { WIDTH - x } else { x };
        for step in 0..FRAMES {
            let mut frame = background(variant as f32);
            if let Some(picture) = &picture {
                let scale = scale * (1.0 + 0.03 * step as f32);
                paste(&mut frame, picture, scale, (x + 5 * step, y + 3 * step));
            }
            let file = |kind: &str| asked.out.join(format!("{scene}.{}.{kind}", step + 1));
            let mut raw = Vec::new();
            convert::from_rgb(&frame, WIDTH, HEIGHT, format, &mut raw)?;
            std::fs::write(file("raw"), raw)?;
            if asked.png {
                frame.save(file("png"))?;
            }
        }
        writeln!(truth, "{scene} {said} {FRAMES}")?;
    }
    std::fs::write(asked.out.join("truth"), truth)?;
    Ok(())
}

/// The sorted photos of the `count` people who have the most.
fn most_photographed(folder: &Path, count: usize) -> Result<Vec<Vec<PathBuf>>, Box<dyn Error>> {
    let mut people = Vec::new();
    for person in std::fs::read_dir(folder)? {
        let person = person?.path();
        if person.is_dir() {
            people.push(pictures::list(&person)?);
        }
    }
    people.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    people.truncate(count);
    if people.len() < count || people.iter().any(|photos| photos.len() < 2 * ENROLMENT) {
        let least = 2 * ENROLMENT;
        return Err(format!(
            "{}: no {count} people with {least} photos",
            folder.display()
        )
        .into());
    }
    Ok(people)
}

/// The middle of a photo.
fn head(photo: &Path) -> Result<RgbImage, Box<dyn Error>> {
    let photo = Photo::open(photo)?.into_picture();
    let (width, height) = photo.dimensions();
    if width < HEAD || height < HEAD {
        return Err(format!("a photo of {width}x{height} is smaller than {HEAD}x{HEAD}").into());
    }
    let (x, y) = ((width - HEAD) / 2, (height - HEAD) / 2);
    Ok(crop_imm(&photo, x, y, HEAD, HEAD).to_image())
}

/// A wall in uneven light.
fn background(turn: f32) -> RgbImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (x, y) = (x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
        let light = 130.0 + 45.0 * x - 30.0 * y + 12.0 * (5.0 * x + 3.0 * y + turn).sin();
        Rgb([light + 8.0, light, light - 10.0].map(|v| v.clamp(0.0, 255.0) as u8))
    })
}

/// Puts `picture`, scaled, with its middle at `middle`; its rim fades into the background.
fn paste(frame: &mut RgbImage, picture: &RgbImage, scale: f32, middle: (u32, u32)) {
    let side = |length: u32| (length as f32 * scale).round() as u32;
    let (width, height) = (side(picture.width()), side(picture.height()));
    let picture = resize(picture, width, height, FilterType::CatmullRom);
    let fade = width as f32 / 12.0;
    for (x, y, over) in picture.enumerate_pixels() {
        let at = (
            (middle.0 + x).checked_sub(width / 2),
            (middle.1 + y).checked_sub(height / 2),
        );
        let (Some(at_x), Some(at_y)) = at else {
            continue;
        };
        let Some(under) = frame.get_pixel_mut_checked(at_x, at_y) else {
            continue;
        };
        let rim = x.min(y).min(width - 1 - x).min(height - 1 - y) as f32;
        let part = (rim / fade).min(1.0);
        for (under, over) in under.0.iter_mut().zip(over.0) {
            *under = (f32::from(*under) * (1.0 - part) + f32::from(over) * part) as u8;
        }
    }
}
