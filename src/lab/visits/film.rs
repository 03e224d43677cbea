//! Makes the frames of a visit from a photo, and finds what the set's networks see in them. The door, in `play`, decides who that
//! is.

use std::path::Path;

use super::{Kind, Plan};
use crate::capture::Photo;
use crate::chance::Chance;
use crate::face::{Embedding, Face, Reader, Rect};
use crate::frame::{
    Channels, Encoding, Image, Layout, PixelFormat, Sampler, Similarity, Target, TensorMut,
};
use crate::lab::people::seed_of;
use crate::lab::{LabError, subject};

/// A frame of the camera, in pixels.
const FRAME: (u32, u32) = (640, 480);
/// The width of a face when the person comes, and when the person stands before the camera, in pixels.
const NEARER: [f32; 2] = [120.0, 180.0];
/// The width of the part of the photo that is shown around a face, in widths of the face.
const AROUND: f32 = 2.4;
/// The tone of the wall, 0 to 255.
const WALL: u8 = 120;

/// The faces of each frame, in the order of the frames.
pub type Film<'a> = Vec<&'a [Face]>;

/// What was read from a photo.
pub struct Shot {
    /// The embedding that is enrolled from the photo.
    pub embedding: Option<Embedding>,
    /// The faces in each look at the photo. There is one look if the photo is a frame of a film.
    pub looks: Vec<Vec<Face>>,
}

/// A photo, and the looks at it.
pub fn shoot(
    reader: &mut Reader,
    path: &Path,
    plan: &Plan,
    noise: &[i8],
) -> Result<Shot, LabError> {
    let photo = Photo::open(path)?;
    let image = photo.image();
    let faces = reader.read(&image)?.to_vec();
    let face = subject(&faces, image.layout());
    let embedding = face.and_then(|f| f.embedding.ok());
    let looks = match (plan.kind, face) {
        (Kind::Frames, _) => vec![faces],
        (Kind::Photos, None) => Vec::new(),
        (Kind::Photos, Some(face)) => film(
            reader,
            &image,
            &face.bbox,
            plan.looks,
            noise,
            &mut Chance::new(seed_of(path, plan.seed)),
        )?,
    };
    Ok(Shot { embedding, looks })
}

/// The looks at a face whose picture is held before a wall.
fn film(
    reader: &mut Reader,
    image: &Image<'_>,
    bbox: &Rect,
    looks: u16,
    noise: &[i8],
    chance: &mut Chance,
) -> Result<Vec<Vec<Face>>, LabError> {
    let (width, height) = FRAME;
    let mut frame = vec![0; (width * height) as usize];
    let mut sampler = Sampler::new(image.layout().width, width);
    let layout = Layout::packed(PixelFormat::Grey, width, height);
    let (sway, nod) = (chance.between(5.0, 40.0), chance.between(-0.15, 0.15));
    let (phase, light) = (chance.between(0.0, 6.3), chance.between(0.75, 1.25));
    let mut film = Vec::new();
    for look in 0..looks {
        let along = f32::from(look) / f32::from(looks.max(2) - 1);
        let size = NEARER[0] * (NEARER[1] / NEARER[0]).powf(along) * chance.between(0.98, 1.02);
        let swing = (phase + 4.0 * along).sin();
        let at = [
            320.0 + sway * swing + chance.between(-4.0, 4.0),
            240.0 + chance.between(-6.0, 6.0),
        ];
        let (sin, cos) = (nod * swing).sin_cos();
        let scale = bbox.width / size;
        let (a, b, centre) = (scale * cos, scale * sin, bbox.centre());
        let map = Similarity {
            a,
            b,
            tx: centre.x - a * at[0] + b * at[1],
            ty: centre.y - b * at[0] - a * at[1],
        };
        sampler.sample(
            image,
            &map,
            &mut Target {
                width,
                height,
                encoding: Encoding {
                    channels: Channels::Grey,
                    mean: [0.0; 3],
                    scale: [1.0; 3],
                },
                data: TensorMut::U8 {
                    data: &mut frame,
                    scale: 1.0,
                    zero_point: 0,
                },
            },
        )?;
        let (gain, grain) = (
            light * chance.between(0.97, 1.03),
            chance.one_of(noise.len()),
        );
        let inside = |value: f32, side: u32| (0.0..side as f32).contains(&value);
        for (k, pixel) in frame.iter_mut().enumerate() {
            let (u, v) = (
                (k as u32 % width) as f32 + 0.5,
                (k as u32 / width) as f32 + 0.5,
            );
            let half = 0.5 * AROUND * size;
            let (x, y) = map.apply(u, v);
            let there = (u - at[0]).abs() < half
                && (v - at[1]).abs() < half
                && inside(x, image.layout().width)
                && inside(y, image.layout().height);
            let value = f32::from(if there { *pixel } else { WALL }) * gain;
            let grain = f32::from(noise[(k + grain) % noise.len()]);
            *pixel = (value + grain).clamp(0.0, 255.0) as u8;
        }
        let picture = Image::new(layout, &frame)?;
        film.push(reader.read(&picture)?.to_vec());
    }
    Ok(film)
}

/// The sensor's noise, with a standard deviation of 3. Its length is greater than a frame's width, and no multiple of it.
pub fn noise(seed: u64) -> Vec<i8> {
    let mut chance = Chance::new(seed);
    (0..65_521).map(|_| (3.0 * chance.normal()) as i8).collect()
}
