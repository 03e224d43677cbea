//! What a frame is: pixel formats, the layout of a picture in memory, leases of camera memory, and
//! the sampler that turns camera bytes into network input.
//!
//! It knows nothing of devices (see [`crate::capture`]) or of faces (see [`crate::face`]).

mod jpeg;
mod lease;
mod mjpeg;
mod sample;
mod slot;

pub use jpeg::{JpegError, JpegPhoto};
pub use lease::{Lease, Pool};
pub use mjpeg::JpegDecoder;
pub use sample::{Channels, Encoding, SampleError, Sampler, Similarity, Target, TensorMut};
pub use slot::Slot;

/// How a camera lays out its pixels. Names are those of V4L2's four-character codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// `GREY`: 8-bit luma, full range.
    Grey,
    /// `NV12`: a plane of luma, then a plane of interleaved Cb, Cr at half width and half height.
    Nv12,
    /// `YU12` (I420): a plane of luma, then Cb, then Cr, each at half width and half height.
    Yu12,
    /// `YUYV`: Y0 Cb Y1 Cr for every two pixels of a line.
    Yuyv,
    /// `RGB3`: 8-bit R, G, B.
    Rgb3,
    /// `BGR3`: 8-bit B, G, R.
    Bgr3,
    /// `MJPG`: one JPEG picture per frame, decoded before it is sampled.
    Mjpeg,
}

impl PixelFormat {
    /// Every format, in the order in which the sampler prefers them: colour before grey, fewer bytes per pixel first,
    /// compressed last.
    pub const ALL: [Self; 7] = [
        Self::Nv12,
        Self::Yu12,
        Self::Yuyv,
        Self::Rgb3,
        Self::Bgr3,
        Self::Mjpeg,
        Self::Grey,
    ];

    /// Whether the values are luma and two colour differences, which video has in limited range. Luma alone from a camera,
    /// and decoded JPEG pictures, are in full range.
    #[must_use]
    pub const fn is_ycbcr(self) -> bool {
        match self {
            Self::Nv12 | Self::Yu12 | Self::Yuyv => true,
            Self::Grey | Self::Rgb3 | Self::Bgr3 | Self::Mjpeg => false,
        }
    }

    /// V4L2's four-character code.
    #[must_use]
    pub const fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Grey => *b"GREY",
            Self::Nv12 => *b"NV12",
            Self::Yu12 => *b"YU12",
            Self::Yuyv => *b"YUYV",
            Self::Rgb3 => *b"RGB3",
            Self::Bgr3 => *b"BGR3",
            Self::Mjpeg => *b"MJPG",
        }
    }

    /// The format with this four-character code, if the sampler reads it.
    #[must_use]
    pub fn from_fourcc(code: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.fourcc() == code)
    }

    /// Bytes of one line of the first plane when lines follow each other without padding.
    #[must_use]
    pub const fn min_stride(self, width: u32) -> u32 {
        match self {
            Self::Grey | Self::Nv12 | Self::Yu12 => width,
            // A line of an odd width still ends in a whole Y0 Cb Y1 Cr group.
            Self::Yuyv => width.div_ceil(2) * 4,
            Self::Rgb3 | Self::Bgr3 => width * 3,
            Self::Mjpeg => 0,
        }
    }
}

impl std::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.fourcc()).unwrap_or("?"))
    }
}

/// How luma and chroma use their 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// 0 to 255, as in JPEG and in RGB.
    Full,
    /// Luma 16 to 235, chroma 16 to 240, as in video.
    Limited,
}

/// Size and arrangement of a picture in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How pixels are coded.
    pub format: PixelFormat,
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from one line of the first plane to the next (V4L2's `bytesperline`), padding included. The chroma planes of
    /// YU12 have half this stride, the chroma plane of NV12 has the same.
    pub stride: u32,
    /// How luma and chroma are scaled. Used only for NV12, YU12 and YUYV; all other formats have full range.
    pub range: Range,
}

impl Layout {
    /// The layout of a picture without padding at the end of lines. YUV is in limited range, as cameras without JPEG deliver
    /// it.
    #[must_use]
    pub const fn packed(format: PixelFormat, width: u32, height: u32) -> Self {
        Self {
            format,
            width,
            height,
            stride: format.min_stride(width),
            range: if format.is_ycbcr() {
                Range::Limited
            } else {
                Range::Full
            },
        }
    }

    /// Bytes that a picture of this layout takes; 0 for MJPEG, whose pictures vary.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        let (stride, height) = (self.stride as usize, self.height as usize);
        let chroma_lines = self.height.div_ceil(2) as usize;
        match self.format {
            PixelFormat::Grey | PixelFormat::Yuyv | PixelFormat::Rgb3 | PixelFormat::Bgr3 => {
                stride * height
            }
            PixelFormat::Nv12 => stride * height + stride.next_multiple_of(2) * chroma_lines,
            PixelFormat::Yu12 => {
                stride * height + 2 * self.stride.div_ceil(2) as usize * chroma_lines
            }
            PixelFormat::Mjpeg => 0,
        }
    }
}

/// Why bytes cannot be a picture of the given layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A side is zero, or so large that sizes in bytes could overflow.
    #[error("a picture of {width}x{height} pixels: each side must be 1 to 16384")]
    Size {
        /// Pixels per line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// The stride is too short for the pixels of a line.
    #[error("lines of {stride} bytes are too short for {width} pixels of {format} ({need} bytes)")]
    Stride {
        /// Bytes per line.
        stride: u32,
        /// Pixels per line.
        width: u32,
        /// How pixels are coded.
        format: PixelFormat,
        /// Bytes that a line needs.
        need: u32,
    },
    /// There are fewer bytes than the layout takes.
    #[error("{have} bytes where a {width}x{height} {format} picture takes {need}")]
    Short {
        /// The number of bytes that there are.
        have: usize,
        /// The number of bytes that there should be.
        need: usize,
        /// Pixels per line.
        width: u32,
        /// Lines.
        height: u32,
        /// How pixels are coded.
        format: PixelFormat,
    },
}

/// The number of bytes that must be readable behind a picture if a network may read it in place, because vector instructions
/// read up to this far ahead (XNNPACK's `XNN_EXTRA_BYTES` is 16, 128 on some processors).
pub const BEHIND: usize = 128;

/// A picture: borrowed bytes that are known to contain everything that their layout describes.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    layout: Layout,
    bytes: &'a [u8],
}

impl<'a> Image<'a> {
    /// The largest side of a picture, in pixels.
    pub const MAX_SIDE: u32 = 16384;

    /// Interprets `bytes` as a picture of `layout`. Bytes beyond the layout are ignored, except for MJPEG.
    ///
    /// # Errors
    /// [`ImageError`] if the layout is impossible or `bytes` is shorter than it takes.
    pub fn new(layout: Layout, bytes: &'a [u8]) -> Result<Self, ImageError> {
        let Layout {
            format,
            width,
            height,
            stride,
            ..
        } = layout;
        let side = 1..=Self::MAX_SIDE;
        if !side.contains(&width) || !side.contains(&height) {
            return Err(ImageError::Size { width, height });
        }
        let need = format.min_stride(width);
        if stride < need || stride > 16 * Self::MAX_SIDE {
            return Err(ImageError::Stride {
                stride,
                width,
                format,
                need,
            });
        }
        let need = layout.bytes();
        if bytes.len() < need {
            return Err(ImageError::Short {
                have: bytes.len(),
                need,
                width,
                height,
                format,
            });
        }
        Ok(Self { layout, bytes })
    }

    /// Size and arrangement.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The bytes, at least [`Layout::bytes`] of them.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All luma as it is in memory, line after line, and the [`BEHIND`] bytes that follow it. `None` if lines are padded, if
    /// something else is stored between the luma values, or if fewer bytes follow.
    #[must_use]
    pub fn luma_in_place(&self) -> Option<&'a [u8]> {
        let Layout {
            format,
            width,
            height,
            stride,
            ..
        } = self.layout;
        let alone = matches!(
            format,
            PixelFormat::Grey | PixelFormat::Nv12 | PixelFormat::Yu12
        );
        let luma = width as usize * height as usize;
        (alone && stride == width).then(|| self.bytes.get(..luma + BEHIND))?
    }
}

#[cfg(test)]
mod tests {
    use super::PixelFormat;

    /// A new variant does not compile here until it is added.
    #[test]
    fn every_format_is_listed_once() {
        let place = |format| match format {
            PixelFormat::Nv12 => 0,
            PixelFormat::Yu12 => 1,
            PixelFormat::Yuyv => 2,
            PixelFormat::Rgb3 => 3,
            PixelFormat::Bgr3 => 4,
            PixelFormat::Mjpeg => 5,
            PixelFormat::Grey => 6,
        };
        let places: Vec<usize> = PixelFormat::ALL.into_iter().map(place).collect();
        assert_eq!(places, (0..PixelFormat::ALL.len()).collect::<Vec<_>>());
    }
}
