//! A photo from a file, turned upright, in the form in which the sampler reads pictures.
//!
//! Reading a photo takes a bounded amount of memory, whatever is in the file: a large JPEG picture is decoded at a smaller
//! scale, and a large PNG picture is averaged down line by line. An even larger picture is refused because of the size in
//! its header.

mod error;
mod jpeg;
mod png;
mod shrink;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

pub use self::error::{PhotoError, PhotoFault, UNREAD};
use super::kinds::Kind;
use crate::frame::{Image, Layout, PixelFormat};
use crate::panics::contained;

/// A decoded photo.
pub struct Photo {
    picture: RgbImage,
    /// How many pixels of the file, across and down, one pixel of the picture represents.
    scale: f32,
}

/// Leaves out the pixels, which must not appear in a log.
impl std::fmt::Debug for Photo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height) = self.picture.dimensions();
        write!(f, "Photo({width}x{height})")
    }
}

impl Photo {
    /// The most pixels that a photo's file may have: cameras of phones have up to 200 million.
    pub const MAX_PIXELS: u64 = 256 << 20;
    /// The longest side of a photo in its file.
    pub const MAX_SIDE: u32 = 65_535;
    /// The largest file.
    pub const MAX_BYTES: u64 = 96 << 20;
    /// The most pixels that a photo has after it is read. A larger photo is read at a half, a third, a quarter and so on of
    /// its size. Faces that are worth learning from still have several hundred pixels then.
    pub const MOST: u32 = 8 << 20;
    /// The most bytes that reading a photo takes whose file has no more bytes than its picture, 24 MiB: the picture, what the
    /// decoder holds, and the file or, after it, a turned copy of the picture. A larger file takes that much more.
    pub const MEMORY: u64 = 2 * 3 * Self::MOST as u64 + Self::DECODER;
    /// The most bytes that decoding takes in addition to the file and the picture.
    const DECODER: u64 = 64 << 20;

    /// Reads and decodes the JPEG or PNG file at `path`, turned upright by its EXIF data, with at most [`Photo::MOST`]
    /// pixels.
    ///
    /// # Errors
    /// [`PhotoError`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, PhotoError> {
        // Because of a defect of a decoder, only this photo may be lost.
        let read = contained(|| read(path));
        read.unwrap_or(Err(PhotoFault::GaveUp))
            .map_err(|fault| PhotoError {
                path: path.to_owned(),
                fault,
            })
    }

    /// The photo's pixels.
    ///
    /// # Panics
    /// Never, because the size is bounded.
    #[must_use]
    pub fn image(&self) -> Image<'_> {
        let (width, height) = self.picture.dimensions();
        let layout = Layout::packed(PixelFormat::Rgb3, width, height);
        Image::new(layout, self.picture.as_raw()).expect("bounded")
    }

    /// How many pixels of the file, across and down, one pixel of the photo represents.
    #[must_use]
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The photo's pixels, as a picture that can be changed.
    #[must_use]
    pub fn into_picture(self) -> RgbImage {
        self.picture
    }
}

/// A picture as stored in its file, and how to turn it.
struct Stored {
    picture: RgbImage,
    /// Pixels per line in the file.
    width: u32,
    orientation: Orientation,
}

/// Reads the photo at `path`.
fn read(path: &Path) -> Result<Photo, PhotoFault> {
    let unreadable = PhotoFault::Unreadable;
    // Checked before the file is opened, because opening a pipe means waiting for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(PhotoFault::NoFile);
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > Photo::MAX_BYTES {
        return Err(PhotoFault::Bytes(length >> 20));
    }
    let mut file = BufReader::with_capacity(64 << 10, file);
    let stored = match Kind::of(head(&mut file).map_err(unreadable)?) {
        Kind::Jpeg => jpeg::read(file.take(Photo::MAX_BYTES), length)?,
        Kind::Png => png::read(file)?,
        Kind::Other(what) => return Err(PhotoFault::OtherKind(what)),
    };
    let scale = stored.width as f32 / stored.picture.width() as f32;
    let picture = match stored.orientation {
        Orientation::NoTransforms => stored.picture,
        // Phones store pictures in the orientation of the sensor, and record how to turn them.
        orientation => {
            let mut picture = DynamicImage::from(stored.picture);
            picture.apply_orientation(orientation);
            picture.into_rgb8()
        }
    };
    let (width, height) = picture.dimensions();
    if width.max(height) > Image::MAX_SIDE {
        return Err(PhotoFault::Pixels { width, height });
    }
    Ok(Photo { picture, scale })
}

/// The first bytes of a file.
fn head(file: &mut BufReader<std::fs::File>) -> std::io::Result<&[u8]> {
    let head = file.fill_buf()?;
    Ok(&head[..head.len().min(1024)])
}

/// Checks that a photo may have this size in its file.
fn check(width: u32, height: u32) -> Result<(), PhotoFault> {
    let side = 1..=Photo::MAX_SIDE;
    let pixels = u64::from(width) * u64::from(height);
    if !side.contains(&width) || !side.contains(&height) || pixels > Photo::MAX_PIXELS {
        return Err(PhotoFault::Pixels { width, height });
    }
    Ok(())
}

/// `count` zeros, if there is memory for them.
fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, PhotoFault> {
    let mut zeros = Vec::new();
    zeros
        .try_reserve_exact(count)
        .map_err(|_| PhotoFault::Memory)?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// A picture of these pixels.
fn picture(width: u32, height: u32, pixels: Vec<u8>) -> Result<RgbImage, PhotoFault> {
    RgbImage::from_raw(width, height, pixels).ok_or(PhotoFault::GaveUp)
}
