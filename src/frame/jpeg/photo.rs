//! Photos, decoded in full size if they are within the limit, and smaller otherwise. A photo is refused if anything is
//! missing.

use super::{Decoder, JpegError, scaled};
use crate::frame::{Image, PixelFormat};

/// A JPEG photo, as stored in its file.
pub struct JpegPhoto {
    /// RGB or grey.
    pub format: PixelFormat,
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Pixels per line in the file.
    pub file_width: u32,
    /// The pixels, without padding.
    pub pixels: Vec<u8>,
    /// Where the EXIF data are in the file: the first byte and the one after the last.
    pub exif: Option<(usize, usize)>,
}

impl JpegPhoto {
    /// Decodes the photo `bytes` at the largest of the scales 1, 1/2, 1/4 and 1/8 at which it has at most `most` pixels and
    /// the decoder needs at most `memory` bytes in addition to these pixels. Before that, `accepted` decides about the width
    /// and height in the file.
    ///
    /// # Errors
    /// [`JpegError`] if the photo is broken, incomplete, of an unsupported kind, or too large.
    pub fn decode(
        bytes: &[u8],
        accepted: impl FnOnce(u32, u32) -> bool,
        most: u32,
        memory: u64,
    ) -> Result<Self, JpegError> {
        let mut decoder = Decoder::default();
        let mut file_width = 0;
        let decoded = decoder.decode(bytes, |frame| {
            let (width, height) = (frame.width, frame.height);
            let too_large = || JpegError::Size {
                width,
                height,
                max_side: Image::MAX_SIDE,
                max_pixels: most,
            };
            if !accepted(width, height) {
                return Err(too_large());
            }
            frame.fits(bytes.len())?;
            file_width = width;
            let fits = |eighths: &u32| {
                let (width, height) = (scaled(width, *eighths), scaled(height, *eighths));
                width.max(height) <= Image::MAX_SIDE
                    && u64::from(width) * u64::from(height) <= most.into()
                    && frame.memory(*eighths) <= memory
            };
            [8, 4, 2, 1].into_iter().find(fits).ok_or_else(too_large)
        })?;
        if decoded.lines < decoded.height {
            return Err(JpegError::Incomplete {
                lines: decoded.lines,
                height: decoded.height,
            });
        }
        let exif = decoder.exif();
        Ok(Self {
            format: decoded.format,
            width: decoded.width,
            height: decoded.height,
            file_width,
            pixels: decoder.into_pixels(),
            exif,
        })
    }
}
