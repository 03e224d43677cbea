//! Maps with rotation (or upside down): each target pixel is sampled separately, with bilinear taps.
//!
//! Taps whose four pixels are all inside the source, which nearly all taps are, are processed in blocks: their bytes are
//! fetched one by one, but weighted side by side. For the others, every pixel is checked.

use std::ops::Range;

use multiversion::multiversion;

use super::encode::{Encoder, Line};
use super::source::{Plane, Planes, Source};
use super::{Similarity, TensorMut};

/// Taps that are weighted side by side.
const BLOCK: usize = Line::SLACK;

/// The most taps per target pixel in each direction; a map that shrinks more than that skips source
/// pixels.
const MAX_TAPS: u32 = 64;

/// A tap counts as inside if it is at least this far from the edge, in pixels. The error of positions in blocks is smaller.
const MARGIN: f64 = 0.02;

/// Positions of taps along a target line. The tap of column `i` is at `(x + i * dx, y + i * dy)`, in coordinates in which pixel
/// centres are whole numbers. Rounding a tap's position down gives the upper left of its four pixels.
#[derive(Clone, Copy)]
struct Ray {
    x: f64,
    y: f64,
    dx: f64,
    dy: f64,
}

impl Ray {
    /// The columns among `within` whose x lies in `[0, right]` and y in `[0, bottom]`, all moved
    /// inwards by `margin`.
    fn inside(&self, within: Range<usize>, right: f64, bottom: f64, margin: f64) -> Range<usize> {
        let (mut from, mut to) = (within.start as f64, within.end as f64);
        for (at, step, end) in [(self.x, self.dx, right), (self.y, self.dy, bottom)] {
            let (low, high) = (margin - at, end - margin - at);
            if low > high || (step == 0.0 && (low > 0.0 || high < 0.0)) {
                return within.start..within.start;
            }
            if step != 0.0 {
                let (a, b) = (low / step, high / step);
                from = from.max(a.min(b).ceil());
                to = to.min(a.max(b).floor() + 1.0);
            }
        }
        if from < to {
            from as usize..to as usize
        } else {
            within.start..within.start
        }
    }
}

/// Samples `source` into `data`, line by line; returns how many pixels were read.
pub(super) fn sample(
    source: &Source<'_>,
    map: &Similarity,
    (width, height): (usize, usize),
    encoder: &Encoder,
    line: &mut Line,
    data: &mut TensorMut<'_>,
) -> u64 {
    let (a, b) = (f64::from(map.a), f64::from(map.b));
    let taps = a.hypot(b).round().clamp(1.0, f64::from(MAX_TAPS)) as u32;
    let encoder = encoder.of_sums(1.0 / (taps * taps) as f32);
    let offset = |tap: u32| (f64::from(tap) + 0.5) / f64::from(taps);
    let mut read = 0;
    for row in 0..height {
        line.clear(width);
        for down in (0..taps).map(offset) {
            for right in (0..taps).map(offset) {
                let v = row as f64 + down;
                let ray = Ray {
                    x: a * right - b * v + f64::from(map.tx) - 0.5,
                    y: b * right + a * v + f64::from(map.ty) - 0.5,
                    dx: a,
                    dy: b,
                };
                read += add_taps(source, &ray, line);
            }
        }
        encoder.write(line, row, data);
    }
    read
}

/// Adds one tap to every pixel of `line`.
fn add_taps(source: &Source<'_>, ray: &Ray, line: &mut Line) -> u64 {
    let (w, h) = (f64::from(source.width), f64::from(source.height));
    let outer = ray.inside(0..line.cover.len(), w - 1.0, h - 1.0, -1.0);
    // Blocks read whole words, which must not reach beyond the end of a line.
    let reach = match source.planes {
        Planes::Luma(_) => w - 1.0,
        Planes::Yuyv(_) | Planes::Nv12(..) | Planes::Yu12(..) => {
            f64::from(source.width.div_ceil(2) * 2) - 2.0
        }
        Planes::Packed(_) => w - 2.0,
    };
    let inner = ray.inside(outer.clone(), reach.min(w - 1.0), h - 1.0, MARGIN);
    let mut read = 4 * inner.len() as u64;
    for column in (outer.start..inner.start).chain(inner.end..outer.end) {
        read += add_checked(source, ray, column, line);
    }
    let mut at = inner.start;
    while at < inner.end {
        let end = inner.end.min(at + BLOCK);
        add_block(source, ray, at..end, line);
        at = end;
    }
    read
}

/// Adds the tap of one column, without the part that is outside the source.
#[cold]
fn add_checked(source: &Source<'_>, ray: &Ray, column: usize, line: &mut Line) -> u64 {
    let x = ray.x + column as f64 * ray.dx;
    let y = ray.y + column as f64 * ray.dy;
    let (left, top) = (x.floor(), y.floor());
    let mut read = 0;
    for (row, down) in [(top, 1.0 - (y - top)), (top + 1.0, y - top)] {
        for (pixel, right) in [(left, 1.0 - (x - left)), (left + 1.0, x - left)] {
            let inside = |at: f64, limit: u32| at >= 0.0 && at < f64::from(limit);
            if inside(pixel, source.width) && inside(row, source.height) {
                let weight = (down * right) as f32;
                let values = source.pixel(pixel as usize, row as usize);
                for (part, value) in line.parts.iter_mut().zip(values) {
                    part[column] += weight * value;
                }
                line.cover[column] += weight;
                read += 1;
            }
        }
    }
    read
}

/// The upper left of the four pixels of up to [`BLOCK`] taps, and how far each tap is from that pixel.
struct Taps {
    used: usize,
    left: [u32; BLOCK],
    top: [u32; BLOCK],
    right: [f32; BLOCK],
    down: [f32; BLOCK],
}

impl Taps {
    #[inline(always)]
    fn new(ray: &Ray, columns: &Range<usize>) -> Self {
        let mut taps = Self {
            used: columns.len().min(BLOCK),
            left: [0; BLOCK],
            top: [0; BLOCK],
            right: [0.0; BLOCK],
            down: [0.0; BLOCK],
        };
        // Fixed point with 16 fractional bits is cheap to split. The error stays below 1/8000 of a pixel because it starts
        // again every few taps.
        const RUN: usize = 16;
        let fixed = |x: f64| (x * 65536.0).round_ties_even() as i32;
        let fraction = |x: i32| (x & 0xffff) as f32 * (1.0 / 65536.0);
        let (dx, dy) = (fixed(ray.dx), fixed(ray.dy));
        for start in (0..BLOCK).step_by(RUN) {
            let column = (columns.start + start) as f64;
            let (x, y) = (
                fixed(ray.x + column * ray.dx),
                fixed(ray.y + column * ray.dy),
            );
            for i in 0..RUN {
                let x = x.wrapping_add(dx.wrapping_mul(i as i32));
                let y = y.wrapping_add(dy.wrapping_mul(i as i32));
                taps.left[start + i] = (x >> 16).cast_unsigned();
                taps.top[start + i] = (y >> 16).cast_unsigned();
                taps.right[start + i] = fraction(x);
                taps.down[start + i] = fraction(y);
            }
        }
        taps
    }

    /// Calls `keep` for every tap in use, with the tap's number, the bytes at offset `place(x, y)` and the bytes that are
    /// `down(y)` after them.
    #[inline(always)]
    fn fetch<const N: usize>(
        &self,
        plane: &Plane<'_>,
        place: impl Fn(u32, u32) -> u32,
        down: impl Fn(u32) -> u32,
        mut keep: impl FnMut(usize, [u8; N], [u8; N]),
    ) {
        // Offsets fit 32 bits: 16384 lines of at most 16 * 16384 bytes.
        let (mut at, mut behind) = ([0; BLOCK], [0; BLOCK]);
        for i in 0..BLOCK {
            at[i] = place(self.left[i], self.top[i]);
            behind[i] = down(self.top[i]);
        }
        for i in 0..self.used.min(BLOCK) {
            let at = at[i] as usize;
            if let Some(both) = plane.bytes.get(at..at + behind[i] as usize + N)
                && let (Some(upper), Some(lower)) = (both.first_chunk(), both.last_chunk())
            {
                keep(i, *upper, *lower);
            }
        }
    }

    /// For each tap, interpolates between the lowest bytes of four words, and adds the result to `sums`.
    #[inline(always)]
    fn blend(&self, sums: &mut [f32], words: impl Fn(usize) -> [u32; 4]) {
        let Some(sums) = sums.first_chunk_mut::<BLOCK>() else {
            return;
        };
        for (i, sum) in sums.iter_mut().enumerate() {
            let [a, b, c, d] = words(i).map(|byte| (byte & 0xff).cast_signed() as f32);
            let upper = a + (b - a) * self.right[i];
            let lower = c + (d - c) * self.right[i];
            *sum += upper + (lower - upper) * self.down[i];
        }
    }

    /// `odd` if the tap's left pixel is odd, otherwise `even`.
    #[inline(always)]
    fn by_parity(&self, i: usize, even: u32, odd: u32) -> u32 {
        if self.left[i] & 1 == 0 { even } else { odd }
    }
}

/// One word per tap, zero for unused taps.
type Words = [u32; BLOCK];

#[inline(always)]
fn add_luma(taps: &Taps, plane: &Plane<'_>, sums: &mut [f32]) {
    let stride = plane.stride as u32;
    let (mut upper, mut lower): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
    taps.fetch(
        plane,
        |x, y| y.wrapping_mul(stride).wrapping_add(x),
        |_| stride,
        |i, p, q| {
            upper[i] = u16::from_le_bytes(p).into();
            lower[i] = u16::from_le_bytes(q).into();
        },
    );
    taps.blend(sums, |i| {
        let (p, q) = (upper[i], lower[i]);
        [p, p >> 8, q, q >> 8]
    });
}

/// Adds the taps of up to [`BLOCK`] columns, all inside the source.
#[multiversion(targets("x86_64+avx2+fma"))]
fn add_block(source: &Source<'_>, ray: &Ray, columns: Range<usize>, line: &mut Line) {
    let taps = Taps::new(ray, &columns);
    let [y, u, v] = line.parts.each_mut().map(|part| &mut part[columns.start..]);
    for cover in &mut line.cover[columns] {
        *cover += 1.0;
    }
    match &source.planes {
        Planes::Luma(plane) => add_luma(&taps, plane, y),
        Planes::Yuyv(plane) => {
            let stride = plane.stride as u32;
            // Two groups Y0 Cb Y1 Cr of each line.
            let (mut p, mut q): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
            let (mut r, mut s): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
            taps.fetch(
                plane,
                |x, y| {
                    y.wrapping_mul(stride)
                        .wrapping_add((x & !1).wrapping_mul(2))
                },
                |_| stride,
                |i, upper, lower| {
                    let (upper, lower) = (u64::from_le_bytes(upper), u64::from_le_bytes(lower));
                    (p[i], q[i]) = (upper as u32, (upper >> 32) as u32);
                    (r[i], s[i]) = (lower as u32, (lower >> 32) as u32);
                },
            );
            taps.blend(y, |i| {
                [
                    taps.by_parity(i, p[i], p[i] >> 16),
                    taps.by_parity(i, p[i] >> 16, q[i]),
                    taps.by_parity(i, r[i], r[i] >> 16),
                    taps.by_parity(i, r[i] >> 16, s[i]),
                ]
            });
            for (shift, sums) in [(8, u), (24, v)] {
                // An even pixel's neighbour shares the first group's chroma.
                taps.blend(sums, |i| {
                    let q = taps.by_parity(i, p[i], q[i]);
                    let s = taps.by_parity(i, r[i], s[i]);
                    [p[i] >> shift, q >> shift, r[i] >> shift, s >> shift]
                });
            }
        }
        Planes::Nv12(plane, chroma) => {
            add_luma(&taps, plane, y);
            let stride = chroma.stride as u32;
            let (mut upper, mut lower): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
            taps.fetch(
                chroma,
                |x, y| (y / 2).wrapping_mul(stride).wrapping_add(x & !1),
                |y| (y & 1).wrapping_mul(stride),
                |i, p, q| {
                    upper[i] = u32::from_le_bytes(p);
                    lower[i] = u32::from_le_bytes(q);
                },
            );
            for (shift, sums) in [(0, u), (8, v)] {
                taps.blend(sums, |i| {
                    let (p, r) = (upper[i] >> shift, lower[i] >> shift);
                    let (q, s) = (taps.by_parity(i, p, p >> 16), taps.by_parity(i, r, r >> 16));
                    [p, q, r, s]
                });
            }
        }
        Planes::Yu12(plane, cb, cr) => {
            add_luma(&taps, plane, y);
            for (plane, sums) in [(cb, u), (cr, v)] {
                let stride = plane.stride as u32;
                let (mut upper, mut lower): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
                taps.fetch(
                    plane,
                    |x, y| (y / 2).wrapping_mul(stride).wrapping_add(x / 2),
                    |y| (y & 1).wrapping_mul(stride),
                    |i, p, q| {
                        upper[i] = u16::from_le_bytes(p).into();
                        lower[i] = u16::from_le_bytes(q).into();
                    },
                );
                taps.blend(sums, |i| {
                    let (p, r) = (upper[i], lower[i]);
                    let (q, s) = (taps.by_parity(i, p, p >> 8), taps.by_parity(i, r, r >> 8));
                    [p, q, r, s]
                });
            }
        }
        Planes::Packed(plane) => {
            let stride = plane.stride as u32;
            let (mut p, mut q): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
            let (mut r, mut s): (Words, Words) = ([0; BLOCK], [0; BLOCK]);
            taps.fetch(
                plane,
                |x, y| y.wrapping_mul(stride).wrapping_add(x.wrapping_mul(3)),
                |_| stride,
                |i, upper, lower| {
                    let (upper, lower) = (u64::from_le_bytes(upper), u64::from_le_bytes(lower));
                    (p[i], q[i]) = (upper as u32, (upper >> 24) as u32);
                    (r[i], s[i]) = (lower as u32, (lower >> 24) as u32);
                },
            );
            for (shift, sums) in [(0, y), (8, u), (16, v)] {
                taps.blend(sums, |i| {
                    [p[i] >> shift, q[i] >> shift, r[i] >> shift, s[i] >> shift]
                });
            }
        }
    }
}
