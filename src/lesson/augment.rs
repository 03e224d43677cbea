//! Augmentation shows a photo's face as other poses, light, lenses and cameras would have shown it. The same seed gives the same
//! result on every machine.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{blur, flip_horizontal_in_place};
use image::{Rgb, RgbImage};

use crate::chance::Chance;
use crate::face::{Landmarks, Point, similarity_between};
use crate::frame::{
    Channels, Encoding, Image, ImageError, Layout, PixelFormat, SampleError, Sampler, Similarity,
    Target, TensorMut,
};

/// The width and height of a cut-out face, in pixels.
const SIDE: u32 = 192;
/// The positions of the five landmarks in a cut-out face, in pixels: ArcFace's template, enlarged 1.1 times and centred.
const POINTS: Landmarks = {
    const fn at(x: f32, y: f32) -> Point {
        Point {
            x: 96.0 + 1.1 * (x - 56.0),
            y: 96.0 + 1.1 * (y - 72.0),
        }
    }
    [
        at(38.3, 51.7),
        at(73.5, 51.5),
        at(56.0, 71.7),
        at(41.5, 92.4),
        at(70.7, 92.2),
    ]
};

/// What can be changed in a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The head lies on its side or bends, by up to 90 degrees.
    Orientation,
    /// The landmarks are turned by a few degrees.
    Rotation,
    /// The face is mirrored left to right.
    Mirror,
    /// The landmarks are some pixels off, or too far apart.
    Crop,
    /// The face is lighter or darker.
    Brightness,
    /// The light is harder or softer.
    Contrast,
    /// The light has a colour.
    Colour,
    /// The head moved during the exposure.
    Motion,
    /// The lens is out of focus.
    Focus,
    /// The camera compressed the picture strongly.
    Jpeg,
    /// Something hides a part of the face.
    Occlusion,
    /// It is night, with the noise of a camera in the dark.
    Dark,
}

#[cfg(test)]
impl Change {
    const ALL: [Self; 12] = [
        Self::Orientation,
        Self::Rotation,
        Self::Mirror,
        Self::Crop,
        Self::Brightness,
        Self::Contrast,
        Self::Colour,
        Self::Motion,
        Self::Focus,
        Self::Jpeg,
        Self::Occlusion,
        Self::Dark,
    ];
}

/// The set of changes that may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes(u16);

impl Changes {
    /// All changes.
    pub const ALL: Self = Self(0xFFF);

    /// All changes but `without`.
    #[must_use]
    pub fn without(without: &[Change]) -> Self {
        Self(
            without
                .iter()
                .fold(Self::ALL.0, |set, c| set & !(1 << *c as u16)),
        )
    }

    /// Whether `change` is in the set.
    #[must_use]
    pub const fn has(self, change: Change) -> bool {
        self.0 & (1 << change as u16) != 0
    }
}

/// The probability with which an allowed change is made.
const OFTEN: f32 = 0.3;

/// A face cut out of a photo, with its landmarks.
#[derive(Clone)]
pub struct FaceCut {
    picture: RgbImage,
    landmarks: Landmarks,
}

impl FaceCut {
    /// Cuts the face with these landmarks out of `image`. `None` if all landmarks are at the same point.
    ///
    /// # Errors
    /// [`SampleError`] if the picture cannot be sampled.
    pub fn new(
        image: &Image<'_>,
        landmarks: &Landmarks,
        sampler: &mut Sampler,
    ) -> Result<Option<Self>, SampleError> {
        let Some(window) = similarity_between(landmarks, &POINTS) else {
            return Ok(None);
        };
        let mut picture = RgbImage::new(SIDE, SIDE);
        sample(image, &window.inverse(), &mut picture, sampler)?;
        let landmarks = landmarks.map(|p| {
            let (x, y) = window.apply(p.x, p.y);
            Point { x, y }
        });
        Ok(Some(Self { picture, landmarks }))
    }

    /// The pixels of the cut-out.
    ///
    /// # Errors
    /// Never: a cut-out has a size that pictures may have.
    pub fn image(&self) -> Result<Image<'_>, ImageError> {
        Image::new(
            Layout::packed(PixelFormat::Rgb3, SIDE, SIDE),
            self.picture.as_raw(),
        )
    }

    /// The cut-out as a picture.
    #[must_use]
    pub const fn picture(&self) -> &RgbImage {
        &self.picture
    }

    /// Where the eyes, the nose and the mouth are, as far as known.
    #[must_use]
    pub const fn landmarks(&self) -> &Landmarks {
        &self.landmarks
    }

    /// View `number` of the face, to which some of `changes`, chosen at random, were made.
    ///
    /// # Errors
    /// [`SampleError`] if a picture cannot be sampled.
    pub fn view(
        &self,
        seed: u64,
        number: u32,
        changes: Changes,
        sampler: &mut Sampler,
    ) -> Result<Self, SampleError> {
        use Change::{
            Brightness, Colour, Contrast, Crop, Dark, Focus, Jpeg, Mirror, Motion, Occlusion,
            Orientation, Rotation,
        };
        let mut view = self.clone();
        let mut chance = Chance::new(seed ^ (u64::from(number) << 32));
        // The changes are in their physical order: the head, what is before the head, the light, the lens, the camera, the
        // detector.
        for change in [
            Mirror,
            Orientation,
            Occlusion,
            Brightness,
            Contrast,
            Colour,
            Focus,
            Motion,
            Dark,
            Jpeg,
            Rotation,
            Crop,
        ] {
            let often = if change == Mirror { 0.5 } else { OFTEN };
            // The random numbers are taken whether the change is allowed or not, so that the other changes stay the same.
            let happens = chance.happens(often);
            let mut own = Chance::new(chance.bits());
            if happens && changes.has(change) {
                view.change(change, &mut own, sampler)?;
            }
        }
        Ok(view)
    }

    /// Makes one change, of random strength.
    ///
    /// # Errors
    /// [`SampleError`] if the picture cannot be sampled.
    pub fn change(
        &mut self,
        change: Change,
        chance: &mut Chance,
        sampler: &mut Sampler,
    ) -> Result<(), SampleError> {
        match change {
            Change::Orientation => self.turn(chance.between(-90.0, 90.0), sampler)?,
            Change::Rotation => {
                let by = chance.normal() * 0.06;
                self.misplace(|p| Point {
                    x: by.cos() * p.x - by.sin() * p.y,
                    y: by.sin() * p.x + by.cos() * p.y,
                });
            }
            Change::Mirror => {
                flip_horizontal_in_place(&mut self.picture);
                let [a, b, c, d, e] = self.landmarks.map(|p| Point {
                    x: SIDE as f32 - p.x,
                    y: p.y,
                });
                self.landmarks = [b, a, c, e, d];
            }
            Change::Crop => {
                let (scale, x, y) = (
                    1.0 + 0.05 * chance.normal(),
                    2.0 * chance.normal(),
                    2.0 * chance.normal(),
                );
                self.misplace(|p| Point {
                    x: scale.mul_add(p.x, x),
                    y: scale.mul_add(p.y, y),
                });
            }
            Change::Brightness => {
                let gamma = chance.between(-0.6, 0.6).exp();
                self.tones(|v, _| 255.0 * (v / 255.0).powf(gamma));
            }
            Change::Contrast => {
                let (mean, by) = (self.light(), chance.between(0.5, 1.5));
                self.tones(|v, _| by.mul_add(v - mean, mean));
            }
            Change::Colour => {
                let cast = [chance.between(0.75, 1.25), 1.0, chance.between(0.75, 1.25)];
                self.tones(|v, c| v * cast[c]);
            }
            Change::Motion => self.smear(
                chance.between(4.0, 11.0),
                chance.between(0.0, std::f32::consts::PI),
            ),
            Change::Focus => self.picture = blur(&self.picture, chance.between(0.8, 2.4)),
            Change::Jpeg => self.compress(15 + chance.one_of(40) as u8),
            Change::Occlusion => self.hide(chance),
            Change::Dark => {
                let (light, noise) = (chance.between(0.12, 0.4), chance.between(3.0, 9.0));
                for value in self.picture.iter_mut() {
                    *value = tone(f32::from(*value).mul_add(light, noise * chance.normal()));
                }
            }
        }
        Ok(())
    }

    /// Turns the picture and the landmarks about the middle, by this number of degrees.
    fn turn(&mut self, degrees: f32, sampler: &mut Sampler) -> Result<(), SampleError> {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let middle = 0.5 * SIDE as f32;
        let window = Similarity {
            a: cos,
            b: sin,
            tx: middle - cos * middle + sin * middle,
            ty: middle - sin * middle - cos * middle,
        };
        let mut turned = RgbImage::new(SIDE, SIDE);
        // The picture still has the size that it was made with, so this does not fail.
        if let Ok(image) = self.image() {
            sample(&image, &window, &mut turned, sampler)?;
        }
        let back = window.inverse();
        self.landmarks = self.landmarks.map(|p| {
            let (x, y) = back.apply(p.x, p.y);
            Point { x, y }
        });
        self.picture = turned;
        Ok(())
    }

    /// Moves the landmarks with `to`, for which positions are relative to the landmarks' centre.
    fn misplace(&mut self, to: impl Fn(Point) -> Point) {
        let sum = self
            .landmarks
            .iter()
            .fold((0.0, 0.0), |s, p| (s.0 + p.x, s.1 + p.y));
        let middle = Point {
            x: sum.0 / 5.0,
            y: sum.1 / 5.0,
        };
        self.landmarks = self.landmarks.map(|p| {
            let moved = to(Point {
                x: p.x - middle.x,
                y: p.y - middle.y,
            });
            Point {
                x: moved.x + middle.x,
                y: moved.y + middle.y,
            }
        });
    }

    fn tones(&mut self, to: impl Fn(f32, usize) -> f32) {
        for (i, value) in self.picture.iter_mut().enumerate() {
            *value = tone(to(f32::from(*value), i % 3));
        }
    }

    /// Mean tone, 0 to 255.
    #[must_use]
    pub fn light(&self) -> f32 {
        let sum: u64 = self.picture.iter().map(|v| u64::from(*v)).sum();
        sum as f32 / self.picture.len() as f32
    }

    /// Replaces each pixel by the mean of a line of `length` pixels through it.
    fn smear(&mut self, length: f32, angle: f32) {
        let steps = length.ceil() as i32;
        let (dx, dy) = (
            angle.cos() * length / steps as f32,
            angle.sin() * length / steps as f32,
        );
        let from = self.picture.clone();
        let last = SIDE as i32 - 1;
        for (x, y, pixel) in self.picture.enumerate_pixels_mut() {
            let mut sum = [0_u32; 3];
            for i in 0..steps {
                let along = i as f32 - 0.5 * (steps - 1) as f32;
                let near = |at: u32, d: f32| {
                    (at as i32 + (along * d).round() as i32).clamp(0, last) as u32
                };
                let Rgb(there) = from.get_pixel(near(x, dx), near(y, dy));
                for (sum, value) in sum.iter_mut().zip(there) {
                    *sum += u32::from(*value);
                }
            }
            *pixel = Rgb(sum.map(|s| (s / steps as u32) as u8));
        }
    }

    /// Compresses to JPEG of this quality and decodes again.
    fn compress(&mut self, quality: u8) {
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
        // The picture is written to memory and read back from there, and neither fails.
        if self.picture.write_with_encoder(encoder).is_ok()
            && let Ok(picture) =
                image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg)
        {
            self.picture = picture.into_rgb8();
        }
    }

    /// Covers an eye, the nose or a corner of the mouth with a patch of one colour.
    fn hide(&mut self, chance: &mut Chance) {
        let at = self.landmarks[chance.one_of(5)];
        let [wide, high] = [chance.between(14.0, 36.0), chance.between(10.0, 24.0)];
        let colour = Rgb([0; 3].map(|_: u8| chance.bits() as u8));
        for (x, y, pixel) in self.picture.enumerate_pixels_mut() {
            if (x as f32 - at.x).abs() < wide && (y as f32 - at.y).abs() < high {
                *pixel = colour;
            }
        }
    }
}

fn tone(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// All of `image`, as RGB.
///
/// # Errors
/// [`SampleError`] if it cannot be sampled.
pub fn rgb(image: &Image<'_>, sampler: &mut Sampler) -> Result<RgbImage, SampleError> {
    let Layout { width, height, .. } = image.layout();
    let mut picture = RgbImage::new(width, height);
    let whole = Similarity::crop(0.0, 0.0, width as f32, width);
    sample(image, &whole, &mut picture, sampler)?;
    Ok(picture)
}

/// The part of `image` in `window`, as RGB.
fn sample(
    image: &Image<'_>,
    window: &Similarity,
    to: &mut RgbImage,
    sampler: &mut Sampler,
) -> Result<(), SampleError> {
    let (width, height) = to.dimensions();
    let mut target = Target {
        width,
        height,
        encoding: Encoding {
            channels: Channels::Rgb,
            mean: [0.0; 3],
            scale: [1.0; 3],
        },
        data: TensorMut::U8 {
            data: to.as_mut(),
            scale: 1.0,
            zero_point: 0,
        },
    };
    sampler.sample(image, window, &mut target).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face cut out of a picture of stripes. In the picture it is turned, and at another place than in the cut-out.
    fn cut() -> FaceCut {
        let picture = RgbImage::from_fn(320, 240, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let image = Image::new(
            Layout::packed(PixelFormat::Rgb3, 320, 240),
            picture.as_raw(),
        )
        .unwrap();
        let points = POINTS.map(|p| Point {
            x: 100.0 + 0.8 * p.x - 0.2 * p.y,
            y: 30.0 + 0.2 * p.x + 0.8 * p.y,
        });
        let mut sampler = Sampler::new(640, SIDE);
        FaceCut::new(&image, &points, &mut sampler)
            .unwrap()
            .unwrap()
    }

    fn apart(a: &FaceCut, b: &FaceCut) -> f32 {
        let pixels = a.picture.iter().zip(b.picture.iter());
        pixels.map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / a.picture.len() as f32
    }

    #[test]
    fn a_cut_has_its_points_at_the_template() {
        for (have, want) in cut().landmarks.iter().zip(POINTS) {
            assert!(have.distance(want) < 0.01);
        }
    }

    #[test]
    fn every_change_has_an_effect_that_follows_from_the_seed() {
        let mut sampler = Sampler::new(640, SIDE);
        for change in &Change::ALL {
            let of = |seed: u64, sampler: &mut Sampler| {
                let mut view = cut();
                view.change(*change, &mut Chance::new(seed), sampler)
                    .unwrap();
                view
            };
            let [one, same, other] = [7, 7, 8].map(|seed| of(seed, &mut sampler));
            let moved =
                |view: &FaceCut| view.landmarks != cut().landmarks || apart(view, &cut()) > 0.5;
            assert!(moved(&one), "{change:?}");
            assert!(
                one.landmarks == same.landmarks && one.picture == same.picture,
                "{change:?}"
            );
            let differs = one.landmarks != other.landmarks || one.picture != other.picture;
            assert!(differs || *change == Change::Mirror, "{change:?}");
        }
    }

    #[test]
    fn a_change_that_is_left_out_leaves_the_others_alone() {
        let mut sampler = Sampler::new(640, SIDE);
        let only = |change| {
            let others: Vec<Change> = Change::ALL
                .iter()
                .copied()
                .filter(|c| *c != change)
                .collect();
            Changes::without(&others)
        };
        // Over many views, a change that is switched off happens in none.
        for number in 0..40 {
            let view = cut()
                .view(1, number, only(Change::Jpeg), &mut sampler)
                .unwrap();
            assert_eq!(view.landmarks, cut().landmarks);
            let none = cut().view(1, number, Changes(0), &mut sampler).unwrap();
            assert!(none.picture == cut().picture);
        }
        let jpegs = (0..40).filter(|n| {
            let view = cut().view(1, *n, only(Change::Jpeg), &mut sampler).unwrap();
            view.picture != cut().picture
        });
        assert!((4..24).contains(&jpegs.count()));
    }

    #[test]
    fn mirrored_twice_and_turned_back_is_as_before() {
        let mut sampler = Sampler::new(640, SIDE);
        let mut view = cut();
        for _ in 0..2 {
            view.change(Change::Mirror, &mut Chance::new(1), &mut sampler)
                .unwrap();
        }
        assert!(view.picture == cut().picture && view.landmarks == cut().landmarks);
        view.turn(30.0, &mut sampler).unwrap();
        assert!(view.landmarks[0].distance(POINTS[0]) > 10.0);
        view.turn(-30.0, &mut sampler).unwrap();
        for (have, want) in view.landmarks.iter().zip(POINTS) {
            assert!(have.distance(want) < 0.05);
        }
    }
}
