//! Maps without rotation: columns and lines can be averaged one after the other, exactly.
//!
//! For every target line the source lines under it are summed up, byte by byte; then, for every
//! target column, the sums under it, by weights that are computed once a picture.

use multiversion::multiversion;

use super::encode::{Encoder, Line};
use super::source::{Plane, Planes, Source};
use super::{Similarity, TensorMut};

/// Numbers that one step of the horizontal pass multiplies and adds.
const LANES: usize = 8;

/// Buffers of the two passes.
pub(super) struct Upright {
    /// Sums of the source lines under a target line, components interleaved.
    sums: Vec<f32>,
    /// The same of single planes, before they are interleaved.
    planes: [Vec<f32>; 3],
    columns: Vec<Column>,
    weights: Vec<[f32; LANES]>,
}

/// Where the source of one target column lies in the sums.
struct Column {
    start: usize,
    first_weight: usize,
    end_weight: usize,
    /// How much of the column lies inside the source, 0 to 1.
    cover: f32,
}

/// How components alternate in the sums.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Y
    Luma,
    /// Y0 Cb Y1 Cr
    Pairs,
    /// R G B or B G R
    Triples,
}

impl Order {
    /// Pixels that fit into [`LANES`].
    const fn pixels(self) -> usize {
        match self {
            Self::Luma => 8,
            Self::Pairs => 4,
            Self::Triples => 2,
        }
    }

    /// Numbers a pixel.
    const fn parts(self) -> usize {
        match self {
            Self::Luma => 1,
            Self::Pairs => 2,
            Self::Triples => 3,
        }
    }
}

/// The part of a line or column of `limit` pixels that the square around a target pixel's centre
/// covers: from, to. Boundaries next to nothing off a pixel's edge are moved onto it, so that
/// rounding never costs another line; `None` if nothing is covered.
fn covered(centre: f64, side: f64, limit: u32) -> Option<(f64, f64)> {
    let snap = |x: f64| {
        let edge = x.round();
        if (x - edge).abs() < 1e-4 { edge } else { x }
    };
    let from = snap(centre - side / 2.0).max(0.0);
    let to = snap(centre + side / 2.0).min(f64::from(limit));
    (from < to).then_some((from, to))
}

/// How much of `[from, to)` lies in `[at, at + size)`.
fn overlap((from, to): (f64, f64), at: usize, size: usize) -> f32 {
    let (start, end) = (at as f64, (at + size) as f64);
    (to.min(end) - from.max(start)).max(0.0) as f32
}

/// Source lines under a target line, with weights: those at the two ends, and those between.
struct Stack {
    ends: [(usize, f32); 2],
    body: std::ops::Range<usize>,
    body_weight: f32,
}

impl Stack {
    /// The lines of `size` (1 or 2) picture lines each that `[from, to)` covers.
    fn new((from, to): (f64, f64), size: usize) -> Self {
        let cells = size as f64;
        let mut body = (from / cells) as usize..(to / cells).ceil() as usize;
        let full = size as f32;
        let mut ends = [(body.start, 0.0); 2];
        let head = overlap((from, to), body.start * size, size);
        if head < full {
            ends[0] = (body.start, head);
            body.start += 1;
        }
        if !body.is_empty() {
            let last = body.end - 1;
            let tail = overlap((from, to), last * size, size);
            if tail < full {
                ends[1] = (last, tail);
                body.end = last;
            }
        }
        Self {
            ends,
            body,
            body_weight: full,
        }
    }

    /// Lines that are read.
    fn lines(&self) -> usize {
        self.body.len() + self.ends.iter().filter(|end| end.1 > 0.0).count()
    }
}

impl Upright {
    pub fn new(max_source_width: usize, max_target_width: usize) -> Self {
        // Every column starts a block of weights, and one pixel may be shared by two columns.
        let blocks = max_source_width.div_ceil(2) + 3 * max_target_width;
        Self {
            sums: vec![0.0; 3 * (max_source_width + 1) + LANES],
            planes: std::array::from_fn(|_| vec![0.0; max_source_width + 2]),
            columns: Vec::with_capacity(max_target_width),
            weights: Vec::with_capacity(blocks),
        }
    }

    /// Samples `source` into `data`, line by line; returns how many pixels were read.
    pub fn sample(
        &mut self,
        source: &Source<'_>,
        map: &Similarity,
        (width, height): (usize, usize),
        encoder: &Encoder,
        line: &mut Line,
        data: &mut TensorMut<'_>,
    ) -> u64 {
        let scale = f64::from(map.a);
        let side = scale.max(1.0);
        let order = match source.planes {
            Planes::Luma(_) => Order::Luma,
            Planes::Yuyv(_) | Planes::Nv12(..) | Planes::Yu12(..) => Order::Pairs,
            Planes::Packed(_) => Order::Triples,
        };
        let span = self.plan_columns(map, source.width, width, order);
        let mut read = 0;
        for row in 0..height {
            let centre = scale * (row as f64 + 0.5) + f64::from(map.ty);
            line.clear(width);
            if let Some(rows) = covered(centre, side, source.height)
                && !span.is_empty()
            {
                let stack = Stack::new(rows, 1);
                read += (stack.lines() * span.len()) as u64;
                self.add_lines(source, &stack, rows, &span);
                self.add_columns(order, ((rows.1 - rows.0) / side) as f32, line);
            }
            encoder.write(line, row, data);
        }
        read
    }

    /// Computes weights and places of all columns. Returns the pixels of a source line that any of
    /// them covers, starting at an even one.
    fn plan_columns(
        &mut self,
        map: &Similarity,
        limit: u32,
        width: usize,
        order: Order,
    ) -> std::ops::Range<usize> {
        let scale = f64::from(map.a);
        let side = scale.max(1.0);
        // Lines are summed up unweighted: one division here is for both directions.
        let share = (1.0 / side / side) as f32;
        self.columns.clear();
        self.weights.clear();
        let mut span = 0..0;
        for column in 0..width {
            let first_weight = self.weights.len();
            let centre = scale * (column as f64 + 0.5) + f64::from(map.tx);
            let Some(part) = covered(centre, side, limit) else {
                self.columns.push(Column {
                    start: 0,
                    first_weight,
                    end_weight: first_weight,
                    cover: 0.0,
                });
                continue;
            };
            let (mut pixel, end) = (part.0 as usize, part.1.ceil() as usize);
            if order == Order::Pairs {
                pixel &= !1;
            }
            if span.is_empty() {
                span = pixel & !1..end;
            }
            span.end = end;
            let start = (pixel - span.start) * order.parts();
            while pixel < end {
                let weight = |i: usize| share * overlap(part, pixel + i, 1);
                self.weights.push(match order {
                    Order::Luma => std::array::from_fn(weight),
                    Order::Pairs => {
                        let [a, b, c, d] = std::array::from_fn(weight);
                        [a, a + b, b, a + b, c, c + d, d, c + d]
                    }
                    Order::Triples => {
                        let [a, b] = std::array::from_fn(weight);
                        [a, a, a, b, b, b, 0.0, 0.0]
                    }
                });
                pixel += order.pixels();
            }
            self.columns.push(Column {
                start,
                first_weight,
                end_weight: self.weights.len(),
                cover: ((part.1 - part.0) / side) as f32,
            });
        }
        // Whatever lies behind the span is read with weight zero: it must be there, and finite.
        let need = span.len().next_multiple_of(2) * order.parts() + LANES;
        if self.sums.len() < need {
            self.sums.resize(need, 0.0);
        }
        for plane in &mut self.planes {
            if plane.len() < span.len() + 1 {
                plane.resize(span.len() + 1, 0.0);
            }
        }
        span
    }

    /// Sums up the lines of `stack`, which covers `rows` of the source, over the pixels of `span`.
    fn add_lines(
        &mut self,
        source: &Source<'_>,
        stack: &Stack,
        rows: (f64, f64),
        span: &std::ops::Range<usize>,
    ) {
        let (start, pixels) = (span.start, span.len());
        let pairs = pixels.div_ceil(2);
        match &source.planes {
            Planes::Luma(luma) => add_bytes(luma, start, stack, &mut self.sums[..pixels]),
            Planes::Yuyv(plane) => {
                add_bytes(plane, 2 * start, stack, &mut self.sums[..4 * pairs]);
            }
            Planes::Packed(plane) => {
                add_bytes(plane, 3 * start, stack, &mut self.sums[..3 * pixels]);
            }
            Planes::Nv12(luma, chroma) => {
                let [y, c, _] = &mut self.planes;
                add_bytes(luma, start, stack, &mut y[..pixels]);
                add_bytes(chroma, start, &Stack::new(rows, 2), &mut c[..2 * pairs]);
                interleave_nv12(y, c, &mut self.sums[..4 * pairs]);
            }
            Planes::Yu12(luma, cb, cr) => {
                let chroma = Stack::new(rows, 2);
                let [y, u, v] = &mut self.planes;
                add_bytes(luma, start, stack, &mut y[..pixels]);
                add_bytes(cb, start / 2, &chroma, &mut u[..pairs]);
                add_bytes(cr, start / 2, &chroma, &mut v[..pairs]);
                interleave_yu12(y, u, v, &mut self.sums[..4 * pairs]);
            }
        }
    }

    /// Sums up columns. `cover` is how much of the target line lies inside the source.
    fn add_columns(&self, order: Order, cover: f32, line: &mut Line) {
        for (out, column) in line.cover.iter_mut().zip(&self.columns) {
            *out = column.cover * cover;
        }
        let (sums, columns, weights) = (&self.sums, &self.columns, &self.weights);
        weigh(order, sums, columns, weights, &mut line.parts);
    }
}

/// Weighs and adds bytes `start..` of the lines of `stack`, one sum for every element of `out`.
#[multiversion(targets("x86_64+avx2+fma"))]
fn add_bytes(plane: &Plane<'_>, start: usize, stack: &Stack, out: &mut [f32]) {
    const WIDE: usize = 64;
    let len = out.len();
    // The last block overlaps the one before it, instead of being shorter.
    if len >= WIDE {
        for at in (0..len).step_by(WIDE).map(|at| at.min(len - WIDE)) {
            if let Some(out) = out[at..].first_chunk_mut::<WIDE>() {
                add_block(plane, start + at, stack, out);
            }
        }
    } else if len >= LANES {
        for at in (0..len).step_by(LANES).map(|at| at.min(len - LANES)) {
            if let Some(out) = out[at..].first_chunk_mut::<LANES>() {
                add_block(plane, start + at, stack, out);
            }
        }
    } else {
        for at in 0..len {
            if let Some(out) = out[at..].first_chunk_mut::<1>() {
                add_block(plane, start + at, stack, out);
            }
        }
    }
}

#[inline(always)]
fn add_block<const N: usize>(plane: &Plane<'_>, start: usize, stack: &Stack, out: &mut [f32; N]) {
    let read = |line: usize| -> Option<&[u8; N]> {
        plane
            .bytes
            .get(line * plane.stride + start..)?
            .first_chunk()
    };
    let mut total = [0.0; N];
    let mut next = stack.body.start;
    while next < stack.body.end {
        // No more than 257 bytes of 255 fit into 16 bits.
        let stop = stack.body.end.min(next + 256);
        let mut sum = [0_u16; N];
        for bytes in (next..stop).filter_map(read) {
            for (sum, &byte) in sum.iter_mut().zip(bytes) {
                *sum += u16::from(byte);
            }
        }
        for (total, &sum) in total.iter_mut().zip(&sum) {
            *total += stack.body_weight * f32::from(sum);
        }
        next = stop;
    }
    for &(line, weight) in &stack.ends {
        if weight > 0.0
            && let Some(bytes) = read(line)
        {
            for (total, &byte) in total.iter_mut().zip(bytes) {
                *total += weight * f32::from(byte);
            }
        }
    }
    *out = total;
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn interleave_nv12(y: &[f32], c: &[f32], out: &mut [f32]) {
    for ((out, &y), &c) in out.as_chunks_mut::<2>().0.iter_mut().zip(y).zip(c) {
        *out = [y, c];
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn interleave_yu12(y: &[f32], u: &[f32], v: &[f32], out: &mut [f32]) {
    let pairs = y.as_chunks::<2>().0.iter().zip(u).zip(v);
    for (out, ((&[a, b], &u), &v)) in out.as_chunks_mut::<4>().0.iter_mut().zip(pairs) {
        *out = [a, u, b, v];
    }
}

/// The horizontal pass: sums under every column, by component.
#[multiversion(targets("x86_64+avx2+fma"))]
fn weigh(
    order: Order,
    sums: &[f32],
    columns: &[Column],
    weights: &[[f32; LANES]],
    parts: &mut [Vec<f32>; 3],
) {
    let step = order.pixels() * order.parts();
    let [y, u, v] = parts;
    match order {
        Order::Luma => {
            for (column, y) in columns.iter().zip(y) {
                let [a, b, c, d, e, f, g, h] = dot(sums, column, weights, step);
                *y = ((a + e) + (c + g)) + ((b + f) + (d + h));
            }
        }
        Order::Pairs => {
            for (((column, y), u), v) in columns.iter().zip(y).zip(u).zip(v) {
                let [a, b, c, d, e, f, g, h] = dot(sums, column, weights, step);
                *y = (a + e) + (c + g);
                *u = b + f;
                *v = d + h;
            }
        }
        Order::Triples => {
            for (((column, y), u), v) in columns.iter().zip(y).zip(u).zip(v) {
                let [a, b, c, d, e, f, ..] = dot(sums, column, weights, step);
                *y = a + d;
                *u = b + e;
                *v = c + f;
            }
        }
    }
}

#[inline(always)]
fn dot(sums: &[f32], column: &Column, weights: &[[f32; LANES]], step: usize) -> [f32; LANES] {
    let weights = weights.get(column.first_weight..column.end_weight);
    let mut at = column.start;
    let mut total = [0.0; LANES];
    for weights in weights.unwrap_or_default() {
        if let Some(sums) = sums.get(at..).and_then(<[f32]>::first_chunk::<LANES>) {
            for ((total, &weight), &sum) in total.iter_mut().zip(weights).zip(sums) {
                *total += weight * sum;
            }
        }
        at += step;
    }
    total
}

#[cfg(test)]
impl Upright {
    /// Elements that the buffers have room for.
    pub fn capacities(&self) -> Vec<usize> {
        let planes = self.planes.iter().map(Vec::capacity);
        [
            self.sums.capacity(),
            self.columns.capacity(),
            self.weights.capacity(),
        ]
        .into_iter()
        .chain(planes)
        .collect()
    }
}
