//! Copies luma into a tensor that has one 8-bit element per pixel of the picture. Nothing is averaged or encoded.

use multiversion::multiversion;

use super::source::{Planes, Source};
use super::{Channels, Encoding, Similarity, TensorMut};

/// Copies the luma of `source`, if the target needs only that. Returns the pixels read.
pub(super) fn sample(
    source: &Source<'_>,
    map: &Similarity,
    (width, height): (usize, usize),
    encoding: &Encoding,
    data: &mut TensorMut<'_>,
) -> Option<u64> {
    let whole = *map == Similarity::IDENTITY
        && (source.width as usize, source.height as usize) == (width, height);
    if !whole || encoding.channels != Channels::Luma {
        return None;
    }
    let (plane, step) = match &source.planes {
        Planes::Luma(plane) => (plane, 1),
        Planes::Yuyv(plane) => (plane, 2),
        _ => return None,
    };
    // What to add to raw luma to get its stored value; `None` if luma must be scaled.
    let added = |scale: f32, zero: i32| {
        (encoding.scale[0] == scale).then(|| zero as f32 - encoding.mean[0])
    };
    let lines = plane.bytes.chunks(plane.stride);
    match data {
        TensorMut::I8 {
            data,
            scale,
            zero_point,
        } if added(*scale, *zero_point) == Some(-128.0) => {
            for (out, line) in data.chunks_exact_mut(width).zip(lines) {
                shifted(out, line, step);
            }
        }
        TensorMut::U8 {
            data,
            scale,
            zero_point,
        } if added(*scale, *zero_point) == Some(0.0) => {
            for (out, line) in data.chunks_exact_mut(width).zip(lines) {
                same(out, line, step);
            }
        }
        _ => return None,
    }
    Some((width * height) as u64)
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn shifted(out: &mut [i8], line: &[u8], step: usize) {
    copy(out, line, step, |v| (v ^ 0x80).cast_signed());
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn same(out: &mut [u8], line: &[u8], step: usize) {
    copy(out, line, step, |v| v);
}

#[inline(always)]
fn copy<T>(out: &mut [T], line: &[u8], step: usize, put: impl Fn(u8) -> T) {
    if step == 1 {
        for (out, v) in out.iter_mut().zip(line) {
            *out = put(*v);
        }
    } else {
        for (out, v) in out.iter_mut().zip(line.as_chunks::<2>().0) {
            *out = put(v[0]);
        }
    }
}
