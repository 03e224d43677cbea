//! The frame that is measured: photos beside each other. It is in memory, in place of a camera's frame. The caller chooses its
//! pixel format.

use std::path::PathBuf;

use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};

use crate::capture::{Photo, PhotoError};
use crate::frame::{BEHIND, Pool};

/// One frame in memory, which is lent again and again. Like a camera's frame, it begins at a page boundary and has further bytes
/// after its end.
pub struct Still {
    bytes: Vec<u8>,
    at: usize,
}

impl Still {
    pub fn new(frame: &[u8]) -> Self {
        const PAGE: usize = 4096;
        let mut bytes = vec![0; PAGE + frame.len() + BEHIND];
        let at = bytes.as_ptr().align_offset(PAGE);
        bytes[at..at + frame.len()].copy_from_slice(frame);
        Self { bytes, at }
    }
}

impl Pool for Still {
    fn bytes(&self, _index: u32) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn give_back(&self, _index: u32) {}
}

/// A frame with `faces` photos beside each other, on an uneven background.
pub fn scene(
    photos: &[PathBuf],
    faces: u32,
    (width, height): (u32, u32),
) -> Result<RgbImage, PhotoError> {
    let mut canvas = RgbImage::from_fn(width, height, |x, y| {
        // A gradient with a fine pattern, which no detector mistakes for a face.
        let v = 60 + (x * 80 / width) + (y * 40 / height) + (x * 7 + y * 13) % 11;
        let v = u8::try_from(v.min(255)).unwrap_or(255);
        Rgb([v, v / 2 + 60, 200 - v / 2])
    });
    if photos.is_empty() {
        return Ok(canvas);
    }
    let side = (width / faces).min(height) * 9 / 10;
    for i in 0..faces {
        let path = &photos[i as usize % photos.len()];
        let picture = Photo::open(path)?.into_picture();
        let (wide, tall) = picture.dimensions();
        let fit = |v: u32| (v * side / wide.max(tall)).max(1);
        let picture = resize(&picture, fit(wide), fit(tall), FilterType::Triangle);
        let middle = width * (2 * i + 1) / (2 * faces);
        let (x, y) = (
            i64::from(middle) - i64::from(picture.width() / 2),
            i64::from(height / 2) - i64::from(picture.height() / 2),
        );
        overlay(&mut canvas, &picture, x, y);
    }
    Ok(canvas)
}
