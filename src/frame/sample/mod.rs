//! The sampler: the one place that reads pixels. One pass from camera bytes to a network's input
//! tensor: crop, rotate, scale, convert colours and encode, without a picture in between.
//!
//! What it computes, for every format and map, to within 1/255 of the range:
//!
//! - The source is a grid of RGB pixels on an endless black plane. A pixel of a YUV picture has the
//!   chroma sample that it shares with its neighbours, uninterpolated. What falls outside the
//!   source is black, and what falls halfway outside is half as bright.
//! - A map without rotation (`b` = 0, `a` > 0) averages exactly the square around a target pixel's centre whose side is
//!   `max(scale, 1)` source pixels. When the map shrinks, these squares tile the source; when it enlarges or keeps the size,
//!   that is bilinear interpolation.
//! - Any other map averages n x n bilinear taps that are evenly spaced within the target pixel, with n = round(scale) from 1
//!   to 64. Up to a scale of 1.5 that is one tap, as alignment for recognition is usually done. Above 1.5, taps are at most
//!   1.25 source pixels apart.
//! - Colours are clamped to 0..=255 once, after averaging. YUV is ITU-R BT.601; GREY is full range.
//!
//! It is not a picture library: it has no filters, no perspective and no gamma, and it writes only tensors.

mod encode;
mod plain;
mod rotated;
mod similarity;
mod source;
#[cfg(test)]
mod tests;
mod upright;

use super::Image;
use encode::{Encoder, Line};
pub use similarity::Similarity;
use source::Source;
use upright::Upright;

/// The channels of a pixel in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma: 0.299 R + 0.587 G + 0.114 B.
    Grey,
    /// Luma in the camera's own range, even if that is the limited one. The bytes of a luma plane stay unchanged.
    Luma,
}

impl Channels {
    /// Values per pixel: 3 or 1.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey | Self::Luma => 1,
        }
    }
}

/// The number that represents a colour value: `(raw - mean[c]) * scale[c]` for `raw` of 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoding {
    /// The channels of a pixel.
    pub channels: Channels,
    /// The values to subtract, in the order of the tensor's channels; only the first is used if there is one channel.
    pub mean: [f32; 3],
    /// The factors to multiply by after that, in the same order.
    pub scale: [f32; 3],
}

/// The elements of a tensor, `height * width * channels` of them in that order (NHWC, one picture).
/// Quantised elements are `round(value / scale) + zero_point`, clamped to their type.
#[derive(Debug)]
pub enum TensorMut<'a> {
    /// 32-bit floating point.
    F32(&'a mut [f32]),
    /// Quantised to 8 bits without sign.
    U8 {
        /// The elements.
        data: &'a mut [u8],
        /// Value of one step.
        scale: f32,
        /// The element that represents the value 0.
        zero_point: i32,
    },
    /// Quantised to 8 bits with sign.
    I8 {
        /// The elements.
        data: &'a mut [i8],
        /// Value of one step.
        scale: f32,
        /// The element that represents the value 0.
        zero_point: i32,
    },
}

impl TensorMut<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::U8 { data, .. } => data.len(),
            Self::I8 { data, .. } => data.len(),
        }
    }
}

/// Where to sample to.
#[derive(Debug)]
pub struct Target<'a> {
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Which numbers to write.
    pub encoding: Encoding,
    /// Where to write them.
    pub data: TensorMut<'a>,
}

/// Why a picture cannot be sampled.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// The picture is compressed.
    #[error("an MJPG picture has no pixels to sample: decode it first")]
    Compressed,
    /// The map has a number that is not finite, or maps everything to one point.
    #[error("{map:?} is no similarity: all four numbers must be finite, and a or b not zero")]
    Map {
        /// The map.
        map: Similarity,
    },
    /// The encoding has a number that is not finite.
    #[error("the input encoding's mean and scale must be finite")]
    Encoding,
    /// The tensor's quantisation has no positive, finite step.
    #[error("a tensor quantised in steps of {scale}: the scale must be finite and above 0")]
    Quantisation {
        /// The step.
        scale: f32,
    },
    /// The tensor does not have the size that the target claims.
    #[error("{have} elements where {width}x{height} pixels of {channels} channels take {need}")]
    Size {
        /// The number of elements that there are.
        have: usize,
        /// The number of elements that there should be.
        need: u128,
        /// Pixels per line.
        width: u32,
        /// Lines.
        height: u32,
        /// Values per pixel.
        channels: usize,
    },
}

/// Samples pictures into tensors. It holds the buffers for that, so it allocates nothing later.
pub struct Sampler {
    upright: Upright,
    line: Line,
}

impl Sampler {
    /// A sampler of pictures up to `max_source_width` pixels wide into targets up to
    /// `max_target_side` pixels wide. Beyond that it still works, allocating once more at the first
    /// picture that is wider than all before it.
    #[must_use]
    pub fn new(max_source_width: u32, max_target_side: u32) -> Self {
        // No picture is larger than this, so larger buffers would be useless.
        let source = max_source_width.min(Image::MAX_SIDE) as usize;
        let target = max_target_side.min(Image::MAX_SIDE) as usize;
        Self {
            upright: Upright::new(source, target),
            line: Line::new(target),
        }
    }

    /// Samples `image` into `target`; `map` gives the place in the picture for every position in the target.
    ///
    /// Returns the number of source pixels read. A pixel that is read several times counts each time; a map that shrinks by
    /// a whole number, without rotation, reads each pixel once.
    ///
    /// # Errors
    /// [`SampleError`] if the picture is compressed, a number is not finite, or the tensor is not of the size that the
    /// target claims. In these cases nothing has been written.
    pub fn sample(
        &mut self,
        image: &Image<'_>,
        map: &Similarity,
        target: &mut Target<'_>,
    ) -> Result<u64, SampleError> {
        if !map.is_usable() {
            return Err(SampleError::Map { map: *map });
        }
        let (have, channels) = (target.data.len(), target.encoding.channels.count());
        let need = u128::from(target.width) * u128::from(target.height) * channels as u128;
        if need != have as u128 {
            return Err(SampleError::Size {
                have,
                need,
                width: target.width,
                height: target.height,
                channels,
            });
        }
        let encoder = Encoder::new(image.layout(), target)?;
        if need == 0 {
            return Ok(0);
        }
        let grey = target.encoding.channels.count() == 1;
        let source = Source::new(image, grey).ok_or(SampleError::Compressed)?;
        let size = (target.width as usize, target.height as usize);
        if let Some(read) = plain::sample(&source, map, size, &target.encoding, &mut target.data) {
            return Ok(read);
        }
        let (line, data) = (&mut self.line, &mut target.data);
        Ok(if map.b == 0.0 && map.a > 0.0 {
            let upright = &mut self.upright;
            upright.sample(&source, map, size, &encoder, line, data)
        } else {
            rotated::sample(&source, map, size, &encoder, line, data)
        })
    }
}
