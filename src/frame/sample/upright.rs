//! Maps without rotation: columns and lines can be averaged one after the other, exactly.
//!
//! For every target line the source lines under it are summed up, byte by byte. Then, for every target column, the sums
//! under it are weighted with weights that are computed once per picture.

use std::ops::{AddAssign, Range};

use multiversion::multiversion;

use super::encode::{Encoder, Line};
use super::source::{Plane, Planes, Source};
use super::{Similarity, TensorMut};

/// Numbers that one step of the horizontal pass multiplies and adds.
const LANES: usize = 8;

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

    /// Numbers per pixel.
    const fn parts(self) -> usize {
        match self {
            Self::Luma => 1,
            Self::Pairs => 2,
            Self::Triples => 3,
        }
    }
}

/// The part of a line or column of `limit` pixels that the square around a target pixel's centre covers, as its start and
/// end; `None` if nothing is covered. A boundary very close to a pixel's edge is moved onto that edge, so that rounding
/// never makes the sampler read another line.
#[inline(always)]
fn covered(centre: f64, side: f64, limit: u32) -> Option<(f64, f64)> {
    // Not `round`, which is a function call on processors that may lack the instruction.
    let snap = |x: f64| {
        let edge = (x + 0.5) as i64 as f64;
        if (x - edge).abs() < 1e-4 { edge } else { x }
    };
    let from = snap(centre - side / 2.0).max(0.0);
    let to = snap(centre + side / 2.0).min(f64::from(limit));
    (from < to).then_some((from, to))
}

/// Source lines under a target line, with their weights: the two lines at the ends, and the lines between.
struct Stack {
    ends: [(usize, f32); 2],
    body: Range<usize>,
    body_weight: f32,
}

impl Stack {
    /// The lines of a plane that `[from, to)` covers, if each of them represents `size` (1 or 2) lines of the picture.
    fn new((from, to): (f64, f64), size: usize) -> Self {
        let overlap = |line: usize| {
            let (start, end) = ((line * size) as f64, (line * size + size) as f64);
            (to.min(end) - from.max(start)) as f32
        };
        let first = from as usize / size;
        let mut body = first..(to.ceil() as usize).div_ceil(size);
        let full = size as f32;
        let mut ends = [(first, 0.0); 2];
        let head = overlap(first);
        if head < full {
            ends[0] = (first, head);
            body.start += 1;
        }
        if !body.is_empty() {
            let last = body.end - 1;
            let tail = overlap(last);
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

    /// The number of lines that are read.
    fn lines(&self) -> usize {
        self.body.len() + self.ends.iter().filter(|end| end.1 > 0.0).count()
    }
}

/// The target columns that lie on the source, and the weights of the sums under them.
struct Columns {
    /// The first of these columns.
    first: usize,
    /// Where each column begins in the sums.
    starts: Vec<usize>,
    /// The range that each column covers inside the source, in pixels after its first pixel.
    reaches: Vec<[f32; 2]>,
    /// The number of steps per column.
    steps: usize,
    /// The weights of each column, `steps` of them, one after the other.
    weights: Vec<[f32; LANES]>,
    /// The pixels of a source line that the columns need, starting at an even pixel.
    span: Range<usize>,
}

/// Computes `columns` for `width` target columns over `limit` source pixels.
#[multiversion(targets("x86_64+avx2+fma"))]
fn plan(columns: &mut Columns, map: &Similarity, limit: u32, width: usize, order: Order) {
    let scale = f64::from(map.a);
    let side = scale.max(1.0);
    // Where a column's sums start: a pair of pixels is not split.
    let first_pixel = |from: f64| match order {
        Order::Pairs => from as usize & !1,
        Order::Luma | Order::Triples => from as usize,
    };
    let Columns {
        first,
        starts,
        reaches,
        steps,
        weights,
        span,
    } = columns;
    starts.clear();
    reaches.clear();
    weights.clear();
    (*first, *steps, *span) = (0, 0, 0..0);
    for column in 0..width {
        let centre = scale * (column as f64 + 0.5) + f64::from(map.tx);
        let Some((from, to)) = covered(centre, side, limit) else {
            continue;
        };
        if starts.is_empty() {
            *first = column;
            span.start = from as usize & !1;
        }
        let start = first_pixel(from);
        span.end = to.ceil() as usize;
        *steps = (*steps).max((span.end - start).div_ceil(order.pixels()));
        starts.push((start - span.start) * order.parts());
        reaches.push([from, to].map(|x| (x - start as f64) as f32));
    }
    // Lines are summed up unweighted: this one division covers both directions.
    let share = (1.0 / side / side) as f32;
    for &mut [from, to] in reaches {
        for step in 0..*steps {
            let at = (step * order.pixels()) as f32;
            let pixels: [f32; LANES] = std::array::from_fn(|i| {
                let pixel = at + i as f32;
                (to.min(pixel + 1.0) - from.max(pixel)).max(0.0) * share
            });
            let [a, b, c, d, ..] = pixels;
            weights.push(match order {
                Order::Luma => pixels,
                Order::Pairs => [a, a + b, b, a + b, c, c + d, d, c + d],
                Order::Triples => [a, a, a, b, b, b, 0.0, 0.0],
            });
        }
    }
}

/// Buffers of the two passes.
pub(super) struct Upright {
    /// Sums of the source lines under a target line, components interleaved.
    sums: Vec<f32>,
    /// The same sums for single planes, before they are interleaved.
    planes: [Vec<f32>; 3],
    columns: Columns,
    /// Four sums for every column, two of which may be of the same component.
    quads: Vec<[f32; 4]>,
}

impl Upright {
    pub fn new(max_source_width: usize, max_target_width: usize) -> Self {
        // In the worst case two columns cover the source one and a half times, with two pixels per step.
        let weights = 3 * max_source_width.div_ceil(2) + 3 * max_target_width + LANES;
        Self {
            // Twice the length of a line of sums, because the last column may start at the end of the line and read up to a
            // whole line's length beyond it.
            sums: vec![0.0; 6 * (max_source_width + 2) + LANES],
            planes: std::array::from_fn(|_| vec![0.0; max_source_width + 1]),
            columns: Columns {
                first: 0,
                starts: Vec::with_capacity(max_target_width),
                reaches: Vec::with_capacity(max_target_width),
                steps: 0,
                weights: Vec::with_capacity(weights),
                span: 0..0,
            },
            quads: vec![[0.0; 4]; max_target_width],
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
        plan(&mut self.columns, map, source.width, width, order);
        let pixels = self.columns.span.len();
        self.make_room(order);
        line.clear(width);
        let mut black = None;
        let mut covered_height = 0.0;
        let mut read = 0;
        for row in 0..height {
            let centre = scale * (row as f64 + 0.5) + f64::from(map.ty);
            let rows = covered(centre, side, source.height).filter(|_| pixels > 0);
            if let Some(rows) = rows {
                let stack = Stack::new(rows, 1);
                read += (stack.lines() * pixels) as u64;
                self.add_lines(source, &stack, rows);
                self.add_columns(order, line);
                if rows.1 - rows.0 != covered_height {
                    covered_height = rows.1 - rows.0;
                    self.cover(covered_height, side, line);
                }
                encoder.write(line, row, data);
            } else if let Some(black) = black {
                encoder.repeat(width, black, row, data);
            } else {
                line.clear(width);
                encoder.write(line, row, data);
                black = Some(row);
                covered_height = 0.0;
            }
        }
        read
    }

    /// Makes the buffers large enough for the columns planned, if they are not.
    fn make_room(&mut self, order: Order) {
        let Columns {
            steps,
            starts,
            span,
            ..
        } = &self.columns;
        let pairs = span.len().div_ceil(2);
        // After the last column's sums, more elements are read with weight zero, so they must exist.
        let last = starts.last().copied().unwrap_or(0) + steps * order.pixels() * order.parts();
        let need = (last + LANES).max(2 * pairs * order.parts());
        if self.sums.len() < need {
            self.sums.resize(need, 0.0);
        }
        if self.quads.len() < starts.len() {
            self.quads.resize(starts.len(), [0.0; 4]);
        }
        for plane in &mut self.planes {
            if plane.len() < 2 * pairs {
                plane.resize(2 * pairs, 0.0);
            }
        }
    }

    /// Sums up the lines of `stack`, which covers `rows` of the source.
    fn add_lines(&mut self, source: &Source<'_>, stack: &Stack, rows: (f64, f64)) {
        let (start, pixels) = (self.columns.span.start, self.columns.span.len());
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

    /// Sums up columns.
    fn add_columns(&mut self, order: Order, line: &mut Line) {
        let quads = &mut self.quads[..self.columns.starts.len()];
        weigh(order, &self.sums, &self.columns, quads, &mut line.parts);
    }

    /// Records how much of every pixel of `line` is inside the source. A pixel covers a square of `side` x `side`, of which
    /// `height` lines are inside.
    fn cover(&self, height: f64, side: f64, line: &mut Line) {
        let share = (height / side / side) as f32;
        let Columns { first, reaches, .. } = &self.columns;
        for (cover, [from, to]) in line.cover[*first..].iter_mut().zip(reaches) {
            *cover = (to - from) * share;
        }
    }
}

/// Weighs and adds the lines of `stack`, starting at byte `start`, into one sum per element of `out`.
#[multiversion(targets("x86_64+avx2+fma"))]
fn add_bytes(plane: &Plane<'_>, start: usize, stack: &Stack, out: &mut [f32]) {
    match out.len() {
        0..16 => add_blocks::<1>(plane, start, stack, out),
        16..64 => add_blocks::<16>(plane, start, stack, out),
        64..128 => add_blocks::<64>(plane, start, stack, out),
        _ => add_blocks::<128>(plane, start, stack, out),
    }
}

#[inline(always)]
fn add_blocks<const N: usize>(plane: &Plane<'_>, start: usize, stack: &Stack, out: &mut [f32]) {
    let Some(last) = out.len().checked_sub(N) else {
        return;
    };
    // The last block overlaps the one before it, instead of being shorter.
    for at in (0..out.len()).step_by(N).map(|at| at.min(last)) {
        if let Some(out) = out[at..].first_chunk_mut::<N>() {
            // The sum of up to 257 bytes fits into 16 bits.
            if stack.body.len() <= 257 {
                add_block::<N, u16>(plane, start + at, stack, out, f32::from);
            } else {
                add_block::<N, u32>(plane, start + at, stack, out, |sum| sum as f32);
            }
        }
    }
}

/// Adds up one block. Whole lines are summed as the type `Sum`.
#[inline(always)]
fn add_block<const N: usize, Sum: Copy + Default + From<u8> + AddAssign>(
    plane: &Plane<'_>,
    start: usize,
    stack: &Stack,
    out: &mut [f32; N],
    to_float: impl Fn(Sum) -> f32,
) {
    let read = |line: usize| -> Option<&[u8; N]> {
        plane
            .bytes
            .get(line * plane.stride + start..)?
            .first_chunk()
    };
    let mut sum = [Sum::default(); N];
    for bytes in stack.body.clone().filter_map(read) {
        for (sum, &byte) in sum.iter_mut().zip(bytes) {
            *sum += Sum::from(byte);
        }
    }
    for (out, &sum) in out.iter_mut().zip(&sum) {
        *out = stack.body_weight * to_float(sum);
    }
    for &(line, weight) in &stack.ends {
        if weight > 0.0
            && let Some(bytes) = read(line)
        {
            for (out, &byte) in out.iter_mut().zip(bytes) {
                *out += weight * f32::from(byte);
            }
        }
    }
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
    columns: &Columns,
    quads: &mut [[f32; 4]],
    parts: &mut [Vec<f32>; 3],
) {
    let [y, u, v] = parts.each_mut().map(|part| &mut part[columns.first..]);
    // Two passes, because only values that are stored side by side are also computed side by side.
    match order {
        Order::Luma => {
            dots::<8>(sums, columns, quads, |[a, b, c, d, e, f, g, h]| {
                [a + e, b + f, c + g, d + h]
            });
            for (&[a, b, c, d], y) in quads.iter().zip(y) {
                *y = (a + c) + (b + d);
            }
        }
        Order::Pairs => {
            dots::<8>(sums, columns, quads, |[a, b, c, d, e, f, g, h]| {
                [a + e, b + f, c + g, d + h]
            });
            for (((&[a, b, c, d], y), u), v) in quads.iter().zip(y).zip(u).zip(v) {
                (*y, *u, *v) = (a + c, b, d);
            }
        }
        Order::Triples => {
            dots::<6>(sums, columns, quads, |[a, b, c, d, e, f, g, _]| {
                [a + d, b + e, c + f, d + g]
            });
            for (((&[a, b, c, _], y), u), v) in quads.iter().zip(y).zip(u).zip(v) {
                (*y, *u, *v) = (a, b, c);
            }
        }
    }
}

/// Weighs the sums of every column, which are `STRIDE` apart from step to step, and adds them up. Stores the result of
/// `fold` for the totals.
#[inline(always)]
fn dots<const STRIDE: usize>(
    sums: &[f32],
    columns: &Columns,
    quads: &mut [[f32; 4]],
    fold: impl Fn([f32; LANES]) -> [f32; 4],
) {
    let outs = columns.starts.iter().zip(quads);
    let weights = &columns.weights;
    // Most maps need one or two steps, which then take no loop.
    match columns.steps {
        0 => {}
        1 => {
            for ((&start, out), weights) in outs.zip(weights.as_chunks::<1>().0) {
                *out = fold(dot::<STRIDE>(sums, start, weights));
            }
        }
        2 => {
            for ((&start, out), weights) in outs.zip(weights.as_chunks::<2>().0) {
                *out = fold(dot::<STRIDE>(sums, start, weights));
            }
        }
        3 => {
            for ((&start, out), weights) in outs.zip(weights.as_chunks::<3>().0) {
                *out = fold(dot::<STRIDE>(sums, start, weights));
            }
        }
        steps => {
            for ((&start, out), weights) in outs.zip(weights.chunks_exact(steps)) {
                *out = fold(dot::<STRIDE>(sums, start, weights));
            }
        }
    }
}

#[inline(always)]
fn dot<const STRIDE: usize>(sums: &[f32], start: usize, weights: &[[f32; LANES]]) -> [f32; LANES] {
    let mut total = [0.0; LANES];
    let need = STRIDE * weights.len().saturating_sub(1) + LANES;
    let sums = sums.get(start..start + need).unwrap_or_default();
    for (step, weights) in weights.iter().enumerate() {
        if let Some(sums) = sums
            .get(STRIDE * step..)
            .and_then(<[f32]>::first_chunk::<LANES>)
        {
            for ((total, &weight), &sum) in total.iter_mut().zip(weights).zip(sums) {
                let product = weight * sum;
                *total = if step == 0 { product } else { *total + product };
            }
        }
    }
    total
}

#[cfg(test)]
impl Upright {
    /// The number of elements that each buffer has room for.
    pub fn capacities(&self) -> Vec<usize> {
        let planes = self.planes.iter().map(Vec::capacity);
        [
            self.sums.capacity(),
            self.columns.starts.capacity(),
            self.columns.reaches.capacity(),
            self.columns.weights.capacity(),
        ]
        .into_iter()
        .chain(planes)
        .collect()
    }
}
