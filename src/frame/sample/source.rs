//! The source picture as planes, which both ways of sampling (upright and rotated) read.

use crate::frame::{Image, PixelFormat};

/// Lines of bytes.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub bytes: &'a [u8],
    /// Bytes from line to line.
    pub stride: usize,
}

impl Plane<'_> {
    /// The byte at column `x` of line `y`.
    fn at(&self, x: usize, y: usize) -> f32 {
        let byte = self.bytes.get(y * self.stride + x);
        byte.copied().map_or(0.0, f32::from)
    }
}

/// Planes by how their bytes have to be read.
#[derive(Clone, Copy)]
pub(super) enum Planes<'a> {
    /// One byte per pixel: GREY, or the luma of a planar format when its colour is not needed.
    Luma(Plane<'a>),
    /// Y0 Cb Y1 Cr.
    Yuyv(Plane<'a>),
    /// Y; Cb Cr for every two pixels of every two lines.
    Nv12(Plane<'a>, Plane<'a>),
    /// Y; Cb; Cr, the latter two at half width and height.
    Yu12(Plane<'a>, Plane<'a>, Plane<'a>),
    /// Three bytes per pixel, RGB or BGR.
    Packed(Plane<'a>),
}

/// A picture to sample.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub planes: Planes<'a>,
    pub width: u32,
    pub height: u32,
}

impl<'a> Source<'a> {
    /// The planes of `image`, without the chroma planes if `luma_only`; `None` for MJPEG.
    pub fn new(image: &Image<'a>, luma_only: bool) -> Option<Self> {
        let layout = image.layout();
        let (stride, height) = (layout.stride as usize, layout.height as usize);
        let (first, rest) = image.bytes().split_at_checked(stride * height)?;
        let first = Plane {
            bytes: first,
            stride,
        };
        let planes = match layout.format {
            PixelFormat::Grey => Planes::Luma(first),
            PixelFormat::Nv12 | PixelFormat::Yu12 if luma_only => Planes::Luma(first),
            PixelFormat::Yuyv => Planes::Yuyv(first),
            PixelFormat::Rgb3 | PixelFormat::Bgr3 => Planes::Packed(first),
            PixelFormat::Nv12 => Planes::Nv12(
                first,
                Plane {
                    bytes: rest,
                    stride: stride.next_multiple_of(2),
                },
            ),
            PixelFormat::Yu12 => {
                let stride = stride.div_ceil(2);
                let (cb, cr) = rest.split_at_checked(stride * height.div_ceil(2))?;
                Planes::Yu12(
                    first,
                    Plane { bytes: cb, stride },
                    Plane { bytes: cr, stride },
                )
            }
            PixelFormat::Mjpeg => return None,
        };
        Some(Self {
            planes,
            width: layout.width,
            height: layout.height,
        })
    }

    /// The components of pixel (`x`, `y`): Y, or Y, Cb, Cr, or the three bytes in the order of memory.
    pub fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        let half = x / 2;
        match &self.planes {
            Planes::Luma(luma) => [luma.at(x, y), 0.0, 0.0],
            Planes::Yuyv(plane) => [
                plane.at(2 * x, y),
                plane.at(4 * half + 1, y),
                plane.at(4 * half + 3, y),
            ],
            Planes::Nv12(luma, chroma) => [
                luma.at(x, y),
                chroma.at(2 * half, y / 2),
                chroma.at(2 * half + 1, y / 2),
            ],
            Planes::Yu12(luma, cb, cr) => [luma.at(x, y), cb.at(half, y / 2), cr.at(half, y / 2)],
            Planes::Packed(plane) => [
                plane.at(3 * x, y),
                plane.at(3 * x + 1, y),
                plane.at(3 * x + 2, y),
            ],
        }
    }
}
