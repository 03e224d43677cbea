//! Turns DCT coefficients into pixels, in full size or smaller: a block becomes 8, 4, 2 or 1 pixels wide and high.
//!
//! Full size uses the fast algorithm of Arai, Agui and Nakajima (1988), whose scale factors are part of the quantisation
//! table. Smaller sizes use only the lowest coefficients, with an inverse DCT of that many points. Each of their pixels is
//! about the mean of the pixels that it replaces. All of this uses floating point, which no coefficient can overflow.

use multiversion::multiversion;

/// Coefficients column by column; the vertical frequency increases along a column.
pub(super) type Block = [f32; 64];

/// The factors, column by column, by which the coefficients must be multiplied before [`pixels`] is called with this `side`.
/// `quantisation` is row by row.
pub(super) fn factors(quantisation: &[u16; 64], side: usize) -> [f32; 64] {
    use std::f64::consts::{PI, SQRT_2};
    let aan = |k: usize| match k {
        0 => 1.0,
        k => (k as f64 * PI / 16.0).cos() * SQRT_2,
    };
    std::array::from_fn(|i| {
        let (u, v) = (i / 8, i % 8);
        let scale = match side {
            8 => aan(u) * aan(v) / 8.0,
            // A block's mean is an eighth of its first coefficient, at every size.
            _ => 1.0 / 8.0,
        };
        (f64::from(quantisation[8 * v + u]) * scale) as f32
    })
}

/// Writes the `side` x `side` pixels of a block to `out`, whose lines are `stride` apart.
pub(super) fn pixels(block: &Block, side: usize, out: &mut [u8], stride: usize) {
    match side {
        8 => full(block, out, stride),
        4 => small::<4>(block, &basis(), out, stride),
        2 => small::<2>(block, &basis(), out, stride),
        _ => out[0] = pixel(block[0] + 128.0),
    }
}

/// As [`pixels`], for a block whose coefficients other than the mean are all 0.
pub(super) fn plain(mean: f32, side: usize, out: &mut [u8], stride: usize) {
    let value = pixel(mean + 128.0);
    for line in out.chunks_mut(stride).take(side) {
        line[..side].fill(value);
    }
}

/// Rounds a value to a byte. A value out of range becomes the nearest one in range.
#[inline]
fn pixel(value: f32) -> u8 {
    // Adding 2 to the power of 23 rounds the fraction away, and the low byte of the sum is the rounded number.
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

type Lanes = [f32; 8];

#[inline(always)]
fn add(a: &Lanes, b: &Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn sub(a: &Lanes, b: &Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] - b[i])
}

#[inline(always)]
fn mul(a: &Lanes, by: f32) -> Lanes {
    std::array::from_fn(|i| a[i] * by)
}

/// One dimension of the transform, for eight columns at once.
#[inline(always)]
fn eight(r: &mut [Lanes; 8]) {
    let (s, d) = (add(&r[0], &r[4]), sub(&r[0], &r[4]));
    let t = add(&r[2], &r[6]);
    let u = sub(&mul(&sub(&r[2], &r[6]), std::f32::consts::SQRT_2), &t);
    let (e0, e3) = (add(&s, &t), sub(&s, &t));
    let (e1, e2) = (add(&d, &u), sub(&d, &u));

    let (z13, z10) = (add(&r[5], &r[3]), sub(&r[5], &r[3]));
    let (z11, z12) = (add(&r[1], &r[7]), sub(&r[1], &r[7]));
    let o7 = add(&z11, &z13);
    let t11 = mul(&sub(&z11, &z13), std::f32::consts::SQRT_2);
    // 2 cos(pi/8), 2 (cos(pi/8) - cos(3 pi/8)), 2 (cos(pi/8) + cos(3 pi/8)).
    let z5 = mul(&add(&z10, &z12), 1.847_759);
    let t10 = sub(&z5, &mul(&z12, 1.082_392_2));
    let t12 = sub(&z5, &mul(&z10, 2.613_126));
    let o6 = sub(&t12, &o7);
    let o5 = sub(&t11, &o6);
    let o4 = sub(&t10, &o5);

    r[0] = add(&e0, &o7);
    r[7] = sub(&e0, &o7);
    r[1] = add(&e1, &o6);
    r[6] = sub(&e1, &o6);
    r[2] = add(&e2, &o5);
    r[5] = sub(&e2, &o5);
    r[3] = add(&e3, &o4);
    r[4] = sub(&e3, &o4);
}

#[inline(always)]
fn transposed(r: &[Lanes; 8]) -> [Lanes; 8] {
    std::array::from_fn(|i| std::array::from_fn(|k| r[k][i]))
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn full(block: &Block, out: &mut [u8], stride: usize) {
    let mut columns: [Lanes; 8] =
        std::array::from_fn(|i| std::array::from_fn(|k| block[8 * i + k]));
    // Across first: each lane is a line of the block.
    eight(&mut columns);
    let mut rows = transposed(&columns);
    eight(&mut rows);
    for (line, row) in out.chunks_mut(stride).zip(&rows) {
        let bytes: [u8; 8] = std::array::from_fn(|i| pixel(row[i] + 128.0));
        line[..8].copy_from_slice(&bytes);
    }
}

/// The inverse DCT of `N` points, indexed by pixel and frequency, and scaled so that the first coefficient is the mean.
fn basis<const N: usize>() -> [[f32; N]; N] {
    // cos(pi/8) and cos(3 pi/8), times the square root of 2; for two points the cosine of pi/4 times that is 1.
    const C: [f32; 3] = [1.306_563, 1.0, 0.541_196_1];
    std::array::from_fn(|n| {
        std::array::from_fn(|k| match (N, n, k) {
            (_, _, 0) => 1.0,
            (2, 0, _) => 1.0,
            (2, _, _) => -1.0,
            (_, 0, 1) => C[0],
            (_, 1, 1) => C[2],
            (_, 2, 1) => -C[2],
            (_, _, 1) => -C[0],
            (_, 0 | 3, 2) => C[1],
            (_, _, 2) => -C[1],
            (_, 0, _) => C[2],
            (_, 1, _) => -C[0],
            (_, 2, _) => C[0],
            (_, _, _) => -C[2],
        })
    })
}

fn small<const N: usize>(block: &Block, basis: &[[f32; N]; N], out: &mut [u8], stride: usize) {
    // Indexed by line and horizontal frequency.
    let mut half = [[0.0; N]; N];
    for (n, half) in half.iter_mut().enumerate() {
        for (u, half) in half.iter_mut().enumerate() {
            *half = (0..N).map(|v| basis[n][v] * block[8 * u + v]).sum();
        }
    }
    for (line, half) in out.chunks_mut(stride).zip(&half) {
        for (n, out) in line[..N].iter_mut().enumerate() {
            let sum: f32 = half.iter().zip(&basis[n]).map(|(a, b)| a * b).sum();
            *out = pixel(sum + 128.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pixel computed by the definition (T.81, A.3.3). For smaller blocks, the mean of the pixels that it replaces.
    fn defined(coefficients: &[f32; 64], x: usize, y: usize) -> f64 {
        use std::f64::consts::{FRAC_1_SQRT_2, PI};
        let c = |k: usize| if k == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        let cos = |at: usize, k: usize| ((2 * at + 1) as f64 * k as f64 * PI / 16.0).cos();
        let mut sum = 0.0;
        for v in 0..8 {
            for u in 0..8 {
                let f = f64::from(coefficients[8 * v + u]);
                sum += c(u) * c(v) * f * cos(x, u) * cos(y, v);
            }
        }
        sum / 4.0 + 128.0
    }

    #[test]
    fn every_size_matches_the_standard_or_its_mean() {
        for seed in 0..200_u32 {
            // Only a few low frequencies, because for these the mean of the pixels is known to be near the result of the
            // smaller transform.
            let mut coefficients = [0.0; 64];
            coefficients[0] = f32::from((seed % 17) as u8) * 40.0 - 300.0;
            let places = [1, 8, 9, 2, 16, 35, 63];
            let place = places[seed as usize % places.len()];
            coefficients[place] = f32::from((seed % 31) as u8) * 9.0 - 130.0;
            for side in [8, 4, 2, 1] {
                let low = place / 8 < side && place % 8 < side;
                let factors = factors(&[1; 64], side);
                let turned = |i: usize| coefficients[i % 8 * 8 + i / 8];
                let block: Block = std::array::from_fn(|i| turned(i) * factors[i]);
                let mut out = [0; 64];
                pixels(&block, side, &mut out, 8);
                let step = 8 / side;
                for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                    let all = (0..step * step)
                        .map(|k| defined(&coefficients, x * step + k % step, y * step + k / step));
                    let mean = all.sum::<f64>() / (step * step) as f64;
                    let off = (f64::from(out[8 * y + x]) - mean.clamp(0.0, 255.0)).abs();
                    let most = if side == 8 || !low { 0.51 } else { 9.0 };
                    assert!(
                        off < most + 0.0 || (!low && side < 8),
                        "{place} {side} {x} {y}: {off}"
                    );
                }
            }
        }
    }
}
