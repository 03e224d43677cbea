//! Turns the sums of source components in a target line into the bytes of the tensor.

use multiversion::multiversion;

use super::{Channels, SampleError, Target, TensorMut};
use crate::frame::{Layout, PixelFormat, Range};

/// One target line before it is encoded: averages of the source's components, and how much of each
/// target pixel lies inside the source (0 to 1).
pub(super) struct Line {
    pub parts: [Vec<f32>; 3],
    pub cover: Vec<f32>,
}

impl Line {
    /// Spare elements after the last pixel, because pixels are written in whole blocks.
    pub const SLACK: usize = 64;

    pub fn new(max_width: usize) -> Self {
        Self {
            parts: std::array::from_fn(|_| vec![0.0; max_width + Self::SLACK]),
            cover: vec![0.0; max_width],
        }
    }

    /// Makes the line `width` pixels long and black.
    pub fn clear(&mut self, width: usize) {
        for part in &mut self.parts {
            part.clear();
            part.resize(width + Self::SLACK, 0.0);
        }
        self.cover.clear();
        self.cover.resize(width, 0.0);
    }
}

/// Turns components into a tensor's values: `clamp(matrix * (parts, cover)) * gain + offset`.
#[derive(Clone, Copy)]
pub(super) struct Encoder {
    /// For every channel of the tensor: the weights of the three components, and what is added
    /// where the source covers the pixel. Yields 0 to 255 before clamping.
    matrix: [[f32; 4]; 3],
    gain: [f32; 3],
    offset: [f32; 3],
    /// Values a target pixel: 1 or 3.
    channels: usize,
    /// Whether only the first component matters.
    grey: bool,
}

/// Red, green, blue from Y, Cb, Cr and 1: ITU-R BT.601, with the weights of red and blue in luma 0.299
/// and 0.114. Limited range has 219 steps of luma above 16 and 224 of chroma around 128.
fn ycbcr(range: Range) -> [[f32; 4]; 3] {
    let (luma, chroma, black) = match range {
        Range::Limited => (255.0 / 219.0, 255.0 / 224.0, 16.0),
        Range::Full => (1.0, 1.0, 0.0),
    };
    let (red, blue) = (1.402 * chroma, 1.772 * chroma);
    let (green_cb, green_cr) = (-0.114 / 0.587 * blue, -0.299 / 0.587 * red);
    [[0.0, red], [green_cb, green_cr], [blue, 0.0]].map(|[cb, cr]: [f64; 2]| {
        let constant = -black * luma - 128.0 * (cb + cr);
        [luma, cb, cr, constant].map(|weight| weight as f32)
    })
}

impl Encoder {
    /// How to write pictures of `layout` into `target`.
    pub fn new(layout: Layout, target: &Target<'_>) -> Result<Self, SampleError> {
        let Layout { format, range, .. } = layout;
        let red = [1.0, 0.0, 0.0, 0.0];
        let green = [0.0, 1.0, 0.0, 0.0];
        let blue = [0.0, 0.0, 1.0, 0.0];
        let rgb = match format {
            PixelFormat::Grey => [red; 3],
            PixelFormat::Nv12 | PixelFormat::Yu12 | PixelFormat::Yuyv => ycbcr(range),
            PixelFormat::Rgb3 => [red, green, blue],
            PixelFormat::Bgr3 => [blue, green, red],
            PixelFormat::Mjpeg => return Err(SampleError::Compressed),
        };
        let encoding = target.encoding;
        let matrix = match encoding.channels {
            Channels::Rgb => rgb,
            Channels::Bgr => [rgb[2], rgb[1], rgb[0]],
            // Luma is exactly this sum of red, green and blue, also when those are made from Y, Cb and Cr.
            channels @ (Channels::Grey | Channels::Luma) => {
                let luma = |i: usize| 0.299 * rgb[0][i] + 0.587 * rgb[1][i] + 0.114 * rgb[2][i];
                let mut grey = [luma(0), luma(1), luma(2), luma(3)];
                if format.is_ycbcr() {
                    let [weight, ..] = rgb[0];
                    let black = if range == Range::Limited { 16.0 } else { 0.0 };
                    grey = match channels {
                        Channels::Luma => red,
                        _ => [weight, 0.0, 0.0, -black * weight],
                    };
                }
                [grey; 3]
            }
        };
        if !encoding
            .mean
            .iter()
            .chain(&encoding.scale)
            .all(|v| v.is_finite())
        {
            return Err(SampleError::Encoding);
        }
        let (step, zero) = match target.data {
            TensorMut::F32(_) => (1.0, 0.0),
            TensorMut::U8 {
                scale, zero_point, ..
            }
            | TensorMut::I8 {
                scale, zero_point, ..
            } => (scale, zero_point as f32),
        };
        if !(step.is_finite() && step > 0.0) {
            return Err(SampleError::Quantisation { scale: step });
        }
        Ok(Self {
            matrix,
            gain: encoding.scale.map(|scale| scale / step),
            offset: std::array::from_fn(|c| zero - encoding.mean[c] * encoding.scale[c] / step),
            channels: encoding.channels.count(),
            grey: matrix.iter().all(|m| m[1] == 0.0 && m[2] == 0.0),
        })
    }

    /// The same encoder for components that were summed instead of averaged. `share` is 1 divided by their number.
    pub fn of_sums(mut self, share: f32) -> Self {
        for weight in self.matrix.as_flattened_mut() {
            *weight *= share;
        }
        self
    }

    /// Encodes `line` as line `row` of the target.
    pub fn write(&self, line: &Line, row: usize, data: &mut TensorMut<'_>) {
        write_line(self, line, row * line.cover.len() * self.channels, data);
    }

    /// Writes line `row`, of `width` pixels, as a copy of line `from`.
    pub fn repeat(&self, width: usize, from: usize, row: usize, data: &mut TensorMut<'_>) {
        let len = width * self.channels;
        let (from, to) = (from * len..(from + 1) * len, row * len);
        match data {
            TensorMut::F32(data) => data.copy_within(from, to),
            TensorMut::U8 { data, .. } => data.copy_within(from, to),
            TensorMut::I8 { data, .. } => data.copy_within(from, to),
        }
    }
}

/// Encodes `line` into the tensor, starting at element `at`.
#[multiversion(targets("x86_64+avx2+fma"))]
fn write_line(encoder: &Encoder, line: &Line, at: usize, data: &mut TensorMut<'_>) {
    // Float-to-integer casts saturate, and truncate the fraction.
    match data {
        TensorMut::F32(data) => encode(encoder, line, &mut data[at..], |value| value),
        TensorMut::U8 { data, .. } => {
            encode(encoder, line, &mut data[at..], |value| (value + 0.5) as u8);
        }
        TensorMut::I8 { data, .. } => encode(encoder, line, &mut data[at..], |value| {
            (((value + 128.5) as u8) ^ 0x80).cast_signed()
        }),
    }
}

#[inline(always)]
fn encode<T>(encoder: &Encoder, line: &Line, out: &mut [T], put: impl Fn(f32) -> T) {
    let Encoder {
        matrix,
        gain,
        offset,
        ..
    } = encoder;
    let finish = |c: usize, raw: f32| put(raw.clamp(0.0, 255.0) * gain[c] + offset[c]);
    let [y, u, v] = &line.parts;
    let one = |c: usize, y: f32, cover: f32| finish(c, matrix[c][0] * y + matrix[c][3] * cover);
    let all = |c: usize, y: f32, u: f32, v: f32, cover: f32| {
        let m = &matrix[c];
        finish(c, m[0] * y + m[1] * u + m[2] * v + m[3] * cover)
    };
    match (encoder.grey, encoder.channels) {
        (true, 1) => {
            for ((out, &y), &cover) in out.iter_mut().zip(y).zip(&line.cover) {
                *out = one(0, y, cover);
            }
        }
        (true, _) => {
            let pixels = out.as_chunks_mut::<3>().0;
            for ((out, &y), &cover) in pixels.iter_mut().zip(y).zip(&line.cover) {
                *out = [one(0, y, cover), one(1, y, cover), one(2, y, cover)];
            }
        }
        (false, 1) => {
            let parts = y.iter().zip(u).zip(v).zip(&line.cover);
            for (out, (((&y, &u), &v), &cover)) in out.iter_mut().zip(parts) {
                *out = all(0, y, u, v, cover);
            }
        }
        (false, _) => {
            let parts = y.iter().zip(u).zip(v).zip(&line.cover);
            let pixels = out.as_chunks_mut::<3>().0;
            for (out, (((&y, &u), &v), &cover)) in pixels.iter_mut().zip(parts) {
                *out = [
                    all(0, y, u, v, cover),
                    all(1, y, u, v, cover),
                    all(2, y, u, v, cover),
                ];
            }
        }
    }
}
