//! JPEG photos, decoded in colour and at a smaller scale if they are large, and the place of their EXIF data. The decoder is
//! [`JpegPhoto`].

use std::io::Read;

use image::metadata::Orientation;

use super::{Photo, PhotoFault, Stored, check, picture, zeros};
use crate::frame::{JpegError, JpegPhoto, PixelFormat};

/// Reads a file of `length` bytes.
pub(super) fn read(mut file: impl Read, length: u64) -> Result<Stored, PhotoFault> {
    let mut bytes = Vec::new();
    let room = usize::try_from(length).map_err(|_| PhotoFault::Memory)?;
    bytes
        .try_reserve_exact(room)
        .map_err(|_| PhotoFault::Memory)?;
    file.read_to_end(&mut bytes)
        .map_err(PhotoFault::Unreadable)?;
    let photo = JpegPhoto::decode(
        &bytes,
        |width, height| check(width, height).is_ok(),
        Photo::MOST,
        Photo::DECODER,
    );
    let photo = photo.map_err(|error| match error {
        JpegError::Size { width, height, .. } => PhotoFault::Pixels { width, height },
        JpegError::Memory { .. } => PhotoFault::Memory,
        error => PhotoFault::Jpeg(error),
    })?;
    let exif = photo.exif.and_then(|(from, to)| bytes.get(from..to));
    let orientation = exif.and_then(Orientation::from_exif_chunk);
    drop(bytes);
    let pixels = match photo.format {
        PixelFormat::Grey => {
            let mut colours = zeros(3 * photo.pixels.len())?;
            for (rgb, grey) in colours.chunks_exact_mut(3).zip(&photo.pixels) {
                rgb.fill(*grey);
            }
            colours
        }
        _ => photo.pixels,
    };
    Ok(Stored {
        picture: picture(photo.width, photo.height, pixels)?,
        width: photo.file_width,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
    })
}
