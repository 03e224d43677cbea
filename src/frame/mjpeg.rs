//! MJPEG: the JPEG pictures of cameras, decoded into memory that the sampler can read, at the smallest sufficient scale.
//!
//! A frame is not lost because of what cameras leave out, repeat or put between segments. Missing parts of the picture
//! itself are never replaced: a frame that lacks a few of its last lines is delivered without them, and a frame with any
//! other damage is dropped. So no one is recognised from lines that no camera has sent.

use super::jpeg::{Decoder, JpegError, scaled};
use super::{Image, Layout};
use crate::panics::contained;

/// Decodes the frames of a camera, and stores the last one. Allocates memory for the first frame of a size, and none for
/// later frames of that size.
pub struct JpegDecoder {
    max_pixels: u32,
    decoder: Decoder,
}

/// A frame may lack up to one in `MISSING` of its lines, at the bottom. A door is still visible in the frames of cameras
/// that drop the end of their last packet.
const MISSING: u32 = 8;

impl JpegDecoder {
    /// The default limit for the pixels of a frame. The largest sensors of UVC cameras have 16 million.
    pub const MAX_PIXELS: u32 = 24 << 20;

    /// A decoder for frames of up to [`Self::MAX_PIXELS`] pixels.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_pixels(Self::MAX_PIXELS)
    }

    /// A decoder for frames of up to `max_pixels` pixels. Decoding takes up to 6 bytes per pixel of the result, and for a
    /// progressive picture about 2 more bytes per pixel of each colour.
    #[must_use]
    pub fn with_max_pixels(max_pixels: u32) -> Self {
        Self {
            max_pixels,
            decoder: Decoder::default(),
        }
    }

    /// Decodes the picture at the start of `bytes`, at the smallest scale of 1/8, 1/4, 1/2 and 1 that is still at least
    /// `at_least` in both directions. A picture smaller than that is decoded in full size. Sides round up.
    ///
    /// The result is [`Rgb3`](super::PixelFormat::Rgb3), or [`Grey`](super::PixelFormat::Grey) if the picture has no
    /// colours, and is stored in this decoder. Pictures without Huffman tables, as many cameras send them, are read with the
    /// standard tables. A picture without its last lines has a smaller height; its end marker may be missing too. Data after
    /// the picture are ignored.
    ///
    /// # Errors
    /// [`JpegError`] if the picture is broken, of an unsupported kind, or too large.
    pub fn decode(&mut self, bytes: &[u8], at_least: (u32, u32)) -> Result<Image<'_>, JpegError> {
        let max_pixels = self.max_pixels;
        let decoder = std::panic::AssertUnwindSafe(&mut self.decoder);
        // Even if the decoder has a defect, only this frame may be lost. The decoder starts every picture from an empty
        // state.
        let decoded = contained(move || {
            let decoder = decoder;
            decoder.0.decode(bytes, |frame| {
                let (width, height) = (frame.width, frame.height);
                let side = 1..=Image::MAX_SIDE;
                if !side.contains(&width) || !side.contains(&height) || width * height > max_pixels
                {
                    return Err(JpegError::Size {
                        width,
                        height,
                        max_side: Image::MAX_SIDE,
                        max_pixels,
                    });
                }
                frame.fits(bytes.len())?;
                let serves = |eighths: &u32| {
                    scaled(width, *eighths) >= at_least.0 && scaled(height, *eighths) >= at_least.1
                };
                Ok([1, 2, 4].into_iter().find(serves).unwrap_or(8))
            })
        });
        let gave_up = || Err(JpegError::Broken("the decoder gave up on it".to_owned()));
        let decoded = decoded.unwrap_or_else(gave_up)?;
        if decoded.lines < decoded.height - decoded.height / MISSING {
            return Err(JpegError::Incomplete {
                lines: decoded.lines,
                height: decoded.height,
            });
        }
        let layout = Layout::packed(decoded.format, decoded.width, decoded.lines);
        Ok(Image::new(layout, self.decoder.pixels())?)
    }
}

impl Default for JpegDecoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};
    use proptest::prelude::*;

    /// A picture without sharp edges, so that it survives compression. All of its quarters differ.
    fn colour(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
            let wave = (x * 5.0).sin() * 40.0 + 128.0;
            image::Rgb([200.0 * x + 20.0, 180.0 * y + 30.0, wave].map(|v| v as u8))
        })
    }

    fn encode(pixels: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95)
            .write_image(pixels, width, height, colour)
            .expect("the picture is of its size");
        bytes
    }

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        encode(
            &colour(width, height),
            width,
            height,
            ExtendedColorType::Rgb8,
        )
    }

    /// Where the segment with this marker starts and ends.
    fn segment(bytes: &[u8], marker: u8) -> std::ops::Range<usize> {
        let start = bytes
            .windows(2)
            .position(|pair| pair == [0xff, marker])
            .expect("the segment is there");
        let length = u16::from_be_bytes([bytes[start + 2], bytes[start + 3]]);
        start..start + 2 + usize::from(length)
    }

    fn claim_size(bytes: &mut [u8], width: u16, height: u16) {
        let start = segment(bytes, 0xc0).start;
        bytes[start + 5..start + 7].copy_from_slice(&height.to_be_bytes());
        bytes[start + 7..start + 9].copy_from_slice(&width.to_be_bytes());
    }

    #[test]
    fn the_smallest_sufficient_scale_is_the_averaged_picture() {
        let original = colour(640, 480);
        let bytes = jpeg(640, 480);
        let mut decoder = JpegDecoder::new();
        for (at_least, scale) in [
            ((0, 0), 8),
            ((80, 60), 8),
            ((81, 60), 4),
            ((80, 61), 4),
            ((160, 120), 4),
            ((128, 128), 2),
            ((320, 240), 2),
            ((321, 1), 1),
            ((640, 480), 1),
            ((5000, 5000), 1),
        ] {
            let image = decoder
                .decode(&bytes, at_least)
                .expect("the picture is good");
            let layout = Layout::packed(PixelFormat::Rgb3, 640 / scale, 480 / scale);
            assert_eq!(image.layout(), layout, "{at_least:?}");
            for (i, &value) in image.bytes().iter().enumerate() {
                let (pixel, c) = (i as u32 / 3, i % 3);
                let (x, y) = (pixel % layout.width * scale, pixel / layout.width * scale);
                let sum: u32 = (0..scale * scale)
                    .map(|k| u32::from(original.get_pixel(x + k % scale, y + k / scale)[c]))
                    .sum();
                let average = sum as f32 / (scale * scale) as f32;
                let off = (f32::from(value) - average).abs();
                assert!(off < 6.0, "({x}, {y})[{c}] is {value}, not {average}");
            }
        }
    }

    #[test]
    fn odd_sizes_round_up_at_every_scale() {
        let mut decoder = JpegDecoder::new();
        for (width, height) in [(1, 1), (3, 5), (9, 1), (1, 70), (17, 33), (130, 4)] {
            let bytes = jpeg(width, height);
            for eighths in [1, 2, 4, 8_u32] {
                let want = (
                    (width * eighths).div_ceil(8),
                    (height * eighths).div_ceil(8),
                );
                let image = decoder.decode(&bytes, want).expect("the picture is good");
                let have = (image.layout().width, image.layout().height);
                assert_eq!(have, want, "{width}x{height} at {eighths}/8");
            }
        }
    }

    #[test]
    fn grey_pictures_stay_grey() {
        let picture = GrayImage::from_fn(50, 31, |x, y| image::Luma([(x * 3 + y * 2) as u8]));
        let bytes = encode(&picture, 50, 31, ExtendedColorType::L8);
        let mut decoder = JpegDecoder::new();
        let image = decoder
            .decode(&bytes, (50, 31))
            .expect("the picture is good");
        assert_eq!(image.layout(), Layout::packed(PixelFormat::Grey, 50, 31));
        for (have, want) in image.bytes().iter().zip(picture.iter()) {
            assert!(have.abs_diff(*want) < 4, "{have} is not {want}");
        }
    }

    #[test]
    fn huffman_tables_may_be_missing() {
        let bytes = jpeg(90, 70);
        let mut bare = bytes.clone();
        while bare.windows(2).any(|pair| pair == [0xff, 0xc4]) {
            bare.drain(segment(&bare, 0xc4));
        }
        assert!(bare.len() < bytes.len());
        let (mut one, mut other) = (JpegDecoder::new(), JpegDecoder::new());
        let whole = one.decode(&bytes, (90, 70)).expect("the picture is good");
        let bare = other
            .decode(&bare, (90, 70))
            .expect("usual tables are known");
        assert_eq!(whole.bytes(), bare.bytes());
    }

    #[test]
    fn data_after_the_picture_are_ignored() {
        let mut bytes = jpeg(20, 20);
        bytes.extend([0xff, 0, 0xd8, 0xff, 0x99]);
        bytes.resize(bytes.len() + 4096, 0);
        JpegDecoder::new()
            .decode(&bytes, (1, 1))
            .expect("the picture is good");
    }

    /// Wherever a frame is cut off, the part of it that is shown is exactly what was sent.
    #[test]
    fn frames_cut_short_are_shown_without_the_missing_lines_or_refused() {
        for (width, height) in [(24, 17), (64, 64)] {
            let bytes = jpeg(width, height);
            let mut decoder = JpegDecoder::new();
            let whole = decoder.decode(&bytes, (width, height)).expect("good");
            let whole = whole.bytes().to_vec();
            let mut shown = [0; 2];
            for end in 0..bytes.len() {
                let Ok(image) = decoder.decode(&bytes[..end], (width, height)) else {
                    shown[0] += 1;
                    continue;
                };
                shown[1] += 1;
                let lines = image.layout().height;
                assert!(lines >= height - height / MISSING, "{end}: {lines}");
                let end = 3 * width as usize * lines as usize;
                assert!(image.bytes() == &whole[..end], "{end}: not what was sent");
            }
            // At least the frame that lacks only its end marker is shown.
            assert!(shown[0] > 100 && shown[1] >= 2, "{shown:?}");
        }
    }

    #[test]
    fn a_second_frame_of_a_size_takes_no_other_memory() {
        let bytes = jpeg(64, 48);
        let mut decoder = JpegDecoder::new();
        let first = decoder
            .decode(&bytes, (64, 48))
            .expect("good")
            .bytes()
            .as_ptr();
        let second = decoder
            .decode(&bytes, (64, 48))
            .expect("good")
            .bytes()
            .as_ptr();
        assert_eq!(first, second);
    }

    #[test]
    fn sizes_beyond_the_limit_are_refused() {
        let mut bytes = jpeg(16, 16);
        let mut decoder = JpegDecoder::new();
        for (width, height) in [
            (0, 16),
            (65535, 65535),
            (16385, 1),
            (1, 16385),
            (5017, 5017),
        ] {
            claim_size(&mut bytes, width, height);
            let refused = decoder.decode(&bytes, (1, 1)).err();
            assert!(
                matches!(refused, Some(JpegError::Size { .. })),
                "{width}x{height}: {refused:?}"
            );
        }
        // The size is within the limit, but a picture of this size has more bytes.
        claim_size(&mut bytes, 4096, 4096);
        let refused = decoder.decode(&bytes, (1, 1)).err();
        assert!(matches!(refused, Some(JpegError::Broken(_))), "{refused:?}");
        let mut small = JpegDecoder::with_max_pixels(100);
        let refused = small.decode(&jpeg(11, 10), (1, 1)).err();
        assert!(
            matches!(refused, Some(JpegError::Size { .. })),
            "{refused:?}"
        );
        assert!(small.decode(&jpeg(10, 10), (1, 1)).is_ok());
    }

    #[test]
    fn other_kinds_are_refused() {
        let mut lossless = jpeg(16, 16);
        let start = segment(&lossless, 0xc0).start;
        lossless[start + 1] = 0xc3;
        let refused = JpegDecoder::new().decode(&lossless, (1, 1)).err();
        assert!(
            matches!(refused, Some(JpegError::Unsupported(_))),
            "{refused:?}"
        );
        let refused = JpegDecoder::new().decode(b"\x89PNG\r\n", (1, 1)).err();
        assert!(matches!(refused, Some(JpegError::Broken(_))), "{refused:?}");
    }

    proptest! {
        #[test]
        fn broken_pictures_never_panic(
            size in (1_u32..40, 1_u32..40), at_least in (0_u32..50, 0_u32..50),
            faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = jpeg(size.0, size.1);
            for (at, byte) in faults {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut decoder = JpegDecoder::with_max_pixels(1 << 16);
            let cut = cut.index(2 * bytes.len()).min(bytes.len());
            for bytes in [&bytes[..], &bytes[..cut]] {
                if let Ok(image) = decoder.decode(bytes, at_least) {
                    let layout = image.layout();
                    prop_assert!(layout.width * layout.height <= 1 << 16);
                    prop_assert_eq!(image.bytes().len(), layout.bytes());
                }
            }
        }

        #[test]
        fn any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), start in any::<bool>()) {
            if start {
                bytes.splice(0..0, *b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0");
            }
            let _ = JpegDecoder::with_max_pixels(1 << 16).decode(&bytes, (1, 1));
        }
    }
}
