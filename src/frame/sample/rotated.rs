//! Maps with rotation (or upside down): every target pixel on its own, by bilinear taps.
//!
//! Taps whose four pixels all lie inside the source, nearly all, go in blocks: their bytes are
//! fetched one by one, but weighed side by side. The others check every pixel.

use std::ops::Range;

use multiversion::multiversion;

use super::encode::{Encoder, Line};
use super::source::{Plane, Planes, Source};
use super::{Similarity, TensorMut};

/// Taps that are weighed side by side.
const BLOCK: usize = 32;

/// The most taps a target pixel in each direction; a map that shrinks more than that leaves source
/// pixels out.
pub(super) const MAX_TAPS: u32 = 64;

/// How far from the edge, in pixels, taps count as inside: more than single precision is off by.
const MARGIN: f64 = 0.02;

/// Positions of taps along a target line: that of column `i` is `(x + i * dx, y + i * dy)`, the centre
/// of the upper left of its four pixels being a whole number.
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
    let taps = a.hypot(b).ceil().clamp(1.0, f64::from(MAX_TAPS)) as u32;
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

/// Adds the tap of one column, leaving out what lies outside the source.
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

/// The four pixels of up to [`BLOCK`] taps, upper left first, and how far the tap is from there.
struct Taps {
    used: usize,
    left: [usize; BLOCK],
    top: [usize; BLOCK],
    odd: [bool; BLOCK],
    right: [f32; BLOCK],
    down: [f32; BLOCK],
}

impl Taps {
    #[inline(always)]
    fn new(ray: &Ray, columns: &Range<usize>) -> Self {
        let (x, y) = (
            (ray.x + columns.start as f64 * ray.dx) as f32,
            (ray.y + columns.start as f64 * ray.dy) as f32,
        );
        let (dx, dy) = (ray.dx as f32, ray.dy as f32);
        let mut taps = Self {
            used: columns.len().min(BLOCK),
            left: [0; BLOCK],
            top: [0; BLOCK],
            odd: [false; BLOCK],
            right: [0.0; BLOCK],
            down: [0.0; BLOCK],
        };
        for i in 0..BLOCK {
            // Never negative inside the source, so cutting off what is behind the point rounds down.
            let (x, y) = (x + i as f32 * dx, y + i as f32 * dy);
            let (left, top) = (x as i32, y as i32);
            taps.left[i] = left as usize;
            taps.top[i] = top as usize;
            taps.odd[i] = left & 1 == 1;
            taps.right[i] = x - left as f32;
            taps.down[i] = y - top as f32;
        }
        taps
    }

    /// The words that hold pixels (left, top) and (left + 1, top), and those below.
    #[inline(always)]
    fn fetch<const N: usize, T: Copy + Default>(
        &self,
        plane: &Plane<'_>,
        place: impl Fn(usize, usize, usize) -> (usize, usize),
        word: impl Fn([u8; N]) -> T,
    ) -> ([T; BLOCK], [T; BLOCK]) {
        let mut words = ([T::default(); BLOCK], [T::default(); BLOCK]);
        for i in 0..self.used {
            let (upper, lower) = place(self.left[i], self.top[i], plane.stride);
            let read = |at: usize| plane.bytes.get(at..)?.first_chunk::<N>();
            if let (Some(upper), Some(lower)) = (read(upper), read(lower)) {
                words.0[i] = word(*upper);
                words.1[i] = word(*lower);
            }
        }
        words
    }

    /// Interpolates between four bytes of every tap and adds the result to `sums`.
    #[inline(always)]
    fn blend(&self, sums: &mut [f32], bytes: impl Fn(usize) -> [u32; 4]) {
        let mut values = [0.0; BLOCK];
        for i in 0..BLOCK {
            let [a, b, c, d] = bytes(i).map(|byte| (byte & 0xff) as i32 as f32);
            let upper = a + (b - a) * self.right[i];
            let lower = c + (d - c) * self.right[i];
            values[i] = upper + (lower - upper) * self.down[i];
        }
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}

/// Adds the taps of up to [`BLOCK`] columns, all inside the source.
#[multiversion(targets("x86_64+avx2+fma"))]
fn add_block(source: &Source<'_>, ray: &Ray, columns: Range<usize>, line: &mut Line) {
    let taps = Taps::new(ray, &columns);
    let [y, u, v] = line.parts.each_mut().map(|part| &mut part[columns.clone()]);
    for cover in &mut line.cover[columns] {
        *cover += 1.0;
    }
    let each = |x: usize, y: usize, stride: usize| {
        let at = y * stride + x;
        (at, at + stride)
    };
    let luma = |plane: &Plane<'_>, sums: &mut [f32]| {
        let words = taps.fetch(plane, each, u16::from_le_bytes);
        taps.blend(sums, |i| {
            let (p, q) = (u32::from(words.0[i]), u32::from(words.1[i]));
            [p, p >> 8, q, q >> 8]
        });
    };
    match &source.planes {
        Planes::Luma(plane) => luma(plane, y),
        Planes::Yuyv(plane) => {
            let (p, q) = taps.fetch(
                plane,
                |x, y, stride| each(x / 2 * 4, y, stride),
                u64::from_le_bytes,
            );
            // Two groups Y0 Cb Y1 Cr: an even pixel and its neighbour share the first one's chroma.
            let first = |w: u64, odd: bool| (w >> if odd { 16 } else { 0 }) as u32;
            let second = |w: u64, odd: bool| (w >> if odd { 32 } else { 0 }) as u32;
            taps.blend(y, |i| {
                let (p, q) = (first(p[i], taps.odd[i]), first(q[i], taps.odd[i]));
                [p, p >> 16, q, q >> 16]
            });
            taps.blend(u, |i| {
                let (r, s) = (second(p[i], taps.odd[i]), second(q[i], taps.odd[i]));
                [p[i] as u32 >> 8, r >> 8, q[i] as u32 >> 8, s >> 8]
            });
            taps.blend(v, |i| {
                let (r, s) = (second(p[i], taps.odd[i]), second(q[i], taps.odd[i]));
                [p[i] as u32 >> 24, r >> 24, q[i] as u32 >> 24, s >> 24]
            });
        }
        Planes::Nv12(plane, chroma) => {
            luma(plane, y);
            let (p, q) = taps.fetch(
                chroma,
                |x, y, stride| {
                    let x = x & !1;
                    (y / 2 * stride + x, y.div_ceil(2) * stride + x)
                },
                u32::from_le_bytes,
            );
            let second = |w: u32, odd: bool| w >> if odd { 16 } else { 0 };
            taps.blend(u, |i| {
                let (r, s) = (second(p[i], taps.odd[i]), second(q[i], taps.odd[i]));
                [p[i], r, q[i], s]
            });
            taps.blend(v, |i| {
                let (r, s) = (second(p[i], taps.odd[i]), second(q[i], taps.odd[i]));
                [p[i] >> 8, r >> 8, q[i] >> 8, s >> 8]
            });
        }
        Planes::Yu12(plane, cb, cr) => {
            luma(plane, y);
            let half = |x: usize, y: usize, stride: usize| {
                (y / 2 * stride + x / 2, y.div_ceil(2) * stride + x / 2)
            };
            for (plane, sums) in [(cb, u), (cr, v)] {
                let (p, q) = taps.fetch(plane, half, |word| u32::from(u16::from_le_bytes(word)));
                let second = |w: u32, odd: bool| w >> if odd { 8 } else { 0 };
                taps.blend(sums, |i| {
                    let (r, s) = (second(p[i], taps.odd[i]), second(q[i], taps.odd[i]));
                    [p[i], r, q[i], s]
                });
            }
        }
        Planes::Packed(plane) => {
            let (p, q) = taps.fetch(
                plane,
                |x, y, stride| each(3 * x, y, stride),
                u64::from_le_bytes,
            );
            for (shift, sums) in [(0, y), (8, u), (16, v)] {
                taps.blend(sums, |i| {
                    let (p, q) = (p[i] >> shift, q[i] >> shift);
                    [p as u32, (p >> 24) as u32, q as u32, (q >> 24) as u32]
                });
            }
        }
    }
}
