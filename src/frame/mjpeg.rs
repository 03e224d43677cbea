//! JPEG pictures, as MJPEG cameras send them, decoded into memory that the sampler can read, at the
//! smallest scale that serves.
//!
//! Not on the allocation-free path: the crate that decodes allocates for every picture, and starts
//! short-lived threads for one that is wider than 128 pixels when decoded. A camera that offers
//! YUYV or NV12 at the wanted size and rate is better used that way.

use std::io::Read;

use jpeg_decoder::{Decoder, PixelFormat as Decoded};

use super::{Image, ImageError, Layout, PixelFormat};
use crate::panics::contained;

/// Why a JPEG picture cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// The bytes are no JPEG picture, or one cut short or broken.
    #[error("the JPEG picture is broken: {0}")]
    Broken(String),
    /// A kind of JPEG that neither cameras nor phones write.
    #[error(
        "the JPEG picture is {0}: only 8-bit grey and YCbCr or RGB pictures, DCT-coded, are read"
    )]
    Unsupported(String),
    /// A side is too long, or the picture too large in all.
    #[error(
        "a JPEG picture of {width}x{height} pixels: each side must be 1 to 16384, and all of it at \
         most {max_pixels} pixels"
    )]
    Size {
        /// Pixels a line.
        width: u32,
        /// Lines.
        height: u32,
        /// The limit.
        max_pixels: u32,
    },
    /// The decoded picture is not of the size it should have.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Decodes JPEG pictures, and holds the last one.
pub struct JpegDecoder {
    max_pixels: u32,
    pixels: Vec<u8>,
}

/// Start of a picture that says of itself that it is Motion JPEG, in an APP0 segment: then the
/// decoder takes the Huffman tables of the standard's annex K for those that are missing.
const MOTION_JPEG: [u8; 20] = *b"\xff\xd8\xff\xe0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";

impl JpegDecoder {
    /// The most pixels that a picture may have, unless said otherwise.
    pub const MAX_PIXELS: u32 = 64 << 20;

    /// A decoder of pictures up to [`Self::MAX_PIXELS`].
    #[must_use]
    pub const fn new() -> Self {
        Self::with_max_pixels(Self::MAX_PIXELS)
    }

    /// A decoder of pictures up to `max_pixels`. Decoding takes up to 12 bytes a pixel.
    #[must_use]
    pub const fn with_max_pixels(max_pixels: u32) -> Self {
        Self {
            max_pixels,
            pixels: Vec::new(),
        }
    }

    /// Decodes the picture that `bytes` start with, at the smallest of the scales 1/8, 1/4, 1/2 and 1
    /// at which it is `at_least` so wide and so high; in full size if it is smaller. Sides round up.
    ///
    /// The result is [`PixelFormat::Rgb3`], or [`PixelFormat::Grey`] if the picture has no colours,
    /// and lies in this decoder. Pictures without Huffman tables, as many cameras send them, are read
    /// with the usual ones. What follows the end of the picture is ignored.
    ///
    /// # Errors
    /// [`JpegError`] if the picture is broken, of a kind that is not read, or too large.
    pub fn decode(&mut self, bytes: &[u8], at_least: (u32, u32)) -> Result<Image<'_>, JpegError> {
        let header = Header::read(bytes)?;
        let (width, height) = (u32::from(header.width), u32::from(header.height));
        let side = 1..=Image::MAX_SIDE;
        if !side.contains(&width) || !side.contains(&height) || width * height > self.max_pixels {
            return Err(JpegError::Size {
                width,
                height,
                max_pixels: self.max_pixels,
            });
        }
        // Before memory is taken: every block of 8x8 pixels takes at least one bit in all.
        if bytes.len() as u64 * 8 < u64::from(width.div_ceil(8)) * u64::from(height.div_ceil(8)) {
            let short = format!("{} bytes are no {width}x{height} pixels", bytes.len());
            return Err(JpegError::Broken(short));
        }
        let eighths = [1, 2, 4].into_iter().find(|&eighths| {
            scaled(header.width, eighths) >= at_least.0
                && scaled(header.height, eighths) >= at_least.1
        });
        let eighths = eighths.unwrap_or(8);
        // The last picture's memory is not needed besides the next one's.
        self.pixels = Vec::new();
        // Even a defect of the decoder must cost no more than the frame.
        let decoded = contained(|| {
            if header.huffman_tables {
                decode(bytes, &header, eighths)
            } else {
                let rest = bytes.get(2..).unwrap_or_default();
                decode(MOTION_JPEG.chain(rest), &header, eighths)
            }
        });
        let gave_up = || Err(JpegError::Broken("the decoder gave up on it".to_owned()));
        let (format, pixels) = decoded.unwrap_or_else(gave_up)?;
        self.pixels = pixels;
        let (width, height) = (
            scaled(header.width, eighths),
            scaled(header.height, eighths),
        );
        let layout = Layout::packed(format, width, height);
        Ok(Image::new(layout, &self.pixels)?)
    }
}

impl Default for JpegDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// A side of a picture decoded at so many eighths of its size.
fn scaled(side: u16, eighths: u32) -> u32 {
    (u32::from(side) * eighths).div_ceil(8)
}

/// Lets the decoder do its work on a picture whose header was found good.
fn decode(
    reader: impl Read,
    header: &Header,
    eighths: u32,
) -> Result<(PixelFormat, Vec<u8>), JpegError> {
    let mut decoder = Decoder::new(reader);
    // The decoder chooses the smallest scale at which one side is as long as requested: it is asked
    // for the longer one, which no smaller scale rounds to the same length (or both to length 1).
    let (mut width, mut height) = (u16::MAX, u16::MAX);
    if header.width >= header.height {
        width = scaled(header.width, eighths) as u16;
    } else {
        height = scaled(header.height, eighths) as u16;
    }
    decoder.scale(width, height)?;
    let pixels = decoder.decode()?;
    let format = match decoder.info().map(|info| info.pixel_format) {
        Some(Decoded::L8) => PixelFormat::Grey,
        Some(Decoded::RGB24) => PixelFormat::Rgb3,
        other => return Err(JpegError::Unsupported(format!("decoded to {other:?}"))),
    };
    Ok((format, pixels))
}

impl From<jpeg_decoder::Error> for JpegError {
    fn from(error: jpeg_decoder::Error) -> Self {
        use jpeg_decoder::Error;
        match error {
            Error::Format(what) => Self::Broken(what),
            Error::Unsupported(what) => Self::Unsupported(format!("of an unread kind ({what:?})")),
            Error::Io(error) => Self::Broken(error.to_string()),
            Error::Internal(error) => Self::Broken(error.to_string()),
        }
    }
}

/// What has to be known of a picture before it is decoded.
struct Header {
    width: u16,
    height: u16,
    /// Whether it brings any.
    huffman_tables: bool,
}

impl Header {
    /// Reads the segments before the first scan (ITU-T T.81, annex B).
    fn read(bytes: &[u8]) -> Result<Self, JpegError> {
        let broken = |what: &str| JpegError::Broken(what.to_owned());
        let unsupported = |what: &str| JpegError::Unsupported(what.to_owned());
        let cut = || broken("it ends within its header");
        let mut rest = bytes
            .strip_prefix(b"\xff\xd8")
            .ok_or_else(|| broken("it does not start like one"))?;
        let mut size = None;
        let mut huffman_tables = false;
        loop {
            let (&mark, after) = rest.split_first().ok_or_else(cut)?;
            if mark != 0xff {
                return Err(broken("its header holds bytes outside of segments"));
            }
            rest = after;
            let &marker = rest.first().ok_or_else(cut)?;
            if marker == 0xff {
                // A fill byte.
                continue;
            }
            let (length, after) = rest[1..].split_first_chunk().ok_or_else(cut)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let segment = length.checked_sub(2).and_then(|len| after.get(..len));
            let segment = segment.ok_or_else(cut)?;
            rest = &after[segment.len()..];
            match marker {
                0xc4 => huffman_tables = true,
                0xc0..=0xc2 => {
                    let &[bits, h1, h0, w1, w0, components, ..] = segment else {
                        return Err(cut());
                    };
                    if bits != 8 {
                        return Err(unsupported("of more than 8 bits"));
                    }
                    if components != 1 && components != 3 {
                        return Err(unsupported("neither grey nor of three colours"));
                    }
                    size = Some((u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])));
                }
                0xc3 | 0xc5..=0xcf => {
                    return Err(unsupported(
                        "lossless, hierarchical or arithmetically coded",
                    ));
                }
                0xda => {
                    let (width, height) = size.ok_or_else(|| broken("it does not say its size"))?;
                    return Ok(Self {
                        width,
                        height,
                        huffman_tables,
                    });
                }
                // Restart markers and the like have no length, and no place in a header.
                0x00..=0x01 | 0xd0..=0xd9 => {
                    return Err(broken("its header is out of order"));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};
    use proptest::prelude::*;

    /// A picture without sharp edges, which survives compression, and no two quarters of it alike.
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

    /// The segment with this marker: where it starts and ends.
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
    fn the_smallest_scale_that_serves_is_the_picture_averaged() {
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
    fn what_follows_the_picture_is_ignored() {
        let mut bytes = jpeg(20, 20);
        bytes.extend([0xff, 0, 0xd8, 0xff, 0x99]);
        bytes.resize(bytes.len() + 4096, 0);
        JpegDecoder::new()
            .decode(&bytes, (1, 1))
            .expect("the picture is good");
    }

    #[test]
    fn pictures_cut_short_are_refused() {
        let bytes = jpeg(24, 17);
        let mut decoder = JpegDecoder::new();
        for end in 0..bytes.len() {
            assert!(decoder.decode(&bytes[..end], (24, 17)).is_err(), "{end}");
        }
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
            (8193, 8192),
        ] {
            claim_size(&mut bytes, width, height);
            let refused = decoder.decode(&bytes, (1, 1)).err();
            assert!(
                matches!(refused, Some(JpegError::Size { .. })),
                "{width}x{height}: {refused:?}"
            );
        }
        // Within the limit, but a picture of this size has more bytes.
        claim_size(&mut bytes, 8192, 8192);
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
        ) {
            let mut bytes = jpeg(size.0, size.1);
            for (at, byte) in faults {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut decoder = JpegDecoder::with_max_pixels(1 << 16);
            if let Ok(image) = decoder.decode(&bytes, at_least) {
                let layout = image.layout();
                prop_assert!(layout.width * layout.height <= 1 << 16);
                prop_assert_eq!(image.bytes().len(), layout.bytes());
            }
        }
    }
}
