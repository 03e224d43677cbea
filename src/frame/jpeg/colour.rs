//! Turns planes into pixels: stretches the smaller colours to the size of the largest, and converts them to RGB.

use multiversion::multiversion;

use super::coefficients::Plane;
use super::segments::Colours;

/// Memory for one line of each colour.
#[derive(Default)]
pub(super) struct Rows {
    /// A line interpolated between two lines of the plane.
    between: Vec<u8>,
    stretched: [Vec<u8>; 4],
}

impl Rows {
    /// Writes `lines` lines of `width` pixels to `out`, as grey or as R, G, B. `out` must be large enough.
    pub fn convert(
        &mut self,
        planes: &[Plane],
        (width, lines): (u32, u32),
        (colours, inverted): (Colours, bool),
        out: &mut [u8],
    ) {
        let n = width as usize;
        let bytes = if planes.len() == 1 { n } else { 3 * n };
        for (y, out) in (0..lines).zip(out.chunks_exact_mut(bytes)) {
            for (plane, row) in planes.iter().zip(&mut self.stretched) {
                stretch(plane, y, lines, n, &mut self.between, row);
            }
            let row = |i: usize| &self.stretched[i][..n];
            match colours {
                Colours::Grey => out.copy_from_slice(row(0)),
                Colours::Ycc => ycc(row(0), row(1), row(2), out),
                Colours::Rgb => {
                    for (i, out) in out.chunks_exact_mut(3).enumerate() {
                        out.copy_from_slice(&[row(0)[i], row(1)[i], row(2)[i]]);
                    }
                }
                Colours::Cmyk | Colours::Ycck => {
                    if colours == Colours::Ycck {
                        ycc(row(0), row(1), row(2), out);
                    } else {
                        for (i, out) in out.chunks_exact_mut(3).enumerate() {
                            out.copy_from_slice(&[row(0)[i], row(1)[i], row(2)[i]]);
                        }
                    }
                    for (out, black) in out.chunks_exact_mut(3).zip(row(3)) {
                        for ink in out {
                            // Computes the light that the ink and the black leave.
                            let (ink_left, black_left) = match inverted {
                                true => (*ink, *black),
                                false => (255 - *ink, 255 - *black),
                            };
                            let left = u32::from(ink_left) * u32::from(black_left);
                            *ink = ((left + 127) / 255) as u8;
                        }
                    }
                }
            }
        }
    }
}

/// The position of pixel `at` of the picture in a plane that has `part.1` pixels for every `part.0` pixels of the picture.
/// Returns the plane's pixel before that position, and the distance from there towards the next pixel, in 256ths. Pixels are
/// squares, and the centres of picture and plane coincide.
fn place(at: u32, part: (u32, u32)) -> (i64, u32) {
    let (most, part) = (i64::from(part.0), i64::from(part.1));
    let place = (2 * i64::from(at) + 1) * part * 128 / most - 128;
    (place >> 8, (place & 255) as u32)
}

/// Writes line `y` of the picture in this colour, `n` pixels long, to `row`.
fn stretch(plane: &Plane, y: u32, lines: u32, n: usize, between: &mut Vec<u8>, row: &mut Vec<u8>) {
    let last = ((lines * plane.down.1).div_ceil(plane.down.0)).saturating_sub(1);
    let (above, weight) = place(y, plane.down);
    let line = |at: i64| plane.line(at.clamp(0, i64::from(last)) as usize);
    let (a, b) = (line(above), line(above + 1));
    let width =
        ((n as u64 * u64::from(plane.across.1)).div_ceil(u64::from(plane.across.0))) as usize;
    let source = if weight == 0 {
        &a[..width]
    } else {
        between.resize(width, 0);
        let (wa, wb) = (256 - weight, weight);
        for ((out, a), b) in between.iter_mut().zip(a).zip(b) {
            *out = ((u32::from(*a) * wa + u32::from(*b) * wb + 128) >> 8) as u8;
        }
        &between[..]
    };
    // One element more than `n`, because with an odd width half of the last pair is outside.
    row.resize(n + 1, 0);
    if plane.across.0 == plane.across.1 {
        row[..n].copy_from_slice(&source[..n]);
    } else if plane.across.0 == 2 * plane.across.1 {
        double(source, row);
    } else {
        for (x, out) in (0..).zip(row[..n].iter_mut()) {
            let (left, weight) = place(x, plane.across);
            let value = |at: i64| u32::from(source[at.clamp(0, width as i64 - 1) as usize]);
            *out = ((value(left) * (256 - weight) + value(left + 1) * weight + 128) >> 8) as u8;
        }
    }
}

/// Writes twice as many pixels as `source` has. Each is three quarters of the nearest pixel and a quarter of the next
/// nearest.
fn double(source: &[u8], row: &mut [u8]) {
    let (Some(&first), Some(&last)) = (source.first(), source.last()) else {
        return;
    };
    let n = source.len();
    let mix =
        |near: u8, far: u8, round: u16| ((3 * u16::from(near) + u16::from(far) + round) >> 2) as u8;
    for (pair, w) in row[1..].chunks_exact_mut(2).zip(source.windows(2)) {
        pair[0] = mix(w[0], w[1], 2);
        pair[1] = mix(w[1], w[0], 1);
    }
    row[0] = first;
    if let Some(end) = row.get_mut(2 * n - 1) {
        *end = last;
    }
}

/// Full-range BT.601 in 16-bit fixed point, as JFIF defines it (ITU-T T.871, section 7).
#[multiversion(targets("x86_64+avx2+fma"))]
fn ycc(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    // As many values at once as a register has room for.
    const N: usize = 16;
    let byte = |sum: i32| (sum >> 16).clamp(0, 255) as u8;
    let rgb = |y: &[u8; N], cb: &[u8; N], cr: &[u8; N]| {
        let y: [i32; N] = std::array::from_fn(|i| (i32::from(y[i]) << 16) + (1 << 15));
        let cb: [i32; N] = std::array::from_fn(|i| i32::from(cb[i]) - 128);
        let cr: [i32; N] = std::array::from_fn(|i| i32::from(cr[i]) - 128);
        let r: [u8; N] = std::array::from_fn(|i| byte(y[i] + 91_881 * cr[i]));
        let g: [u8; N] = std::array::from_fn(|i| byte(y[i] - 22_554 * cb[i] - 46_802 * cr[i]));
        let b: [u8; N] = std::array::from_fn(|i| byte(y[i] + 116_130 * cb[i]));
        (r, g, b)
    };
    let (y, y_rest) = y.as_chunks::<N>();
    let (cb, cb_rest) = cb.as_chunks::<N>();
    let (cr, cr_rest) = cr.as_chunks::<N>();
    let (out, out_rest) = out.split_at_mut(3 * N * y.len());
    for (((y, cb), cr), out) in y
        .iter()
        .zip(cb)
        .zip(cr)
        .zip(out.as_chunks_mut::<{ 3 * N }>().0)
    {
        let (r, g, b) = rgb(y, cb, cr);
        for i in 0..N {
            out[3 * i] = r[i];
            out[3 * i + 1] = g[i];
            out[3 * i + 2] = b[i];
        }
    }
    let padded = |rest: &[u8]| {
        let mut all = [0; N];
        all[..rest.len()].copy_from_slice(rest);
        all
    };
    let (r, g, b) = rgb(&padded(y_rest), &padded(cb_rest), &padded(cr_rest));
    for (i, out) in out_rest.chunks_exact_mut(3).enumerate() {
        out.copy_from_slice(&[r[i], g[i], b[i]]);
    }
}
