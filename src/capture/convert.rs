//! Converts RGB pictures to what cameras would deliver, for the source of pictures, tests and benchmarks. It allocates and
//! is not fast. The sampler converts in the other direction.

use image::codecs::jpeg::JpegEncoder;

use crate::frame::{Image, ImageError, Layout, PixelFormat};

/// Writes the `width` by `height` picture `rgb` (R, G, B for every pixel, lines without padding) to
/// `out` as `format`, replacing what is there. YUV formats get BT.601 in limited range, GREY the same
/// luma in full range, and MJPEG is coded at quality 90.
///
/// # Errors
/// [`ImageError`] if `rgb` is too short or a frame cannot have such a width or height.
pub fn from_rgb(
    rgb: &[u8],
    width: u32,
    height: u32,
    format: PixelFormat,
    out: &mut Vec<u8>,
) -> Result<Layout, ImageError> {
    let source = Image::new(Layout::packed(PixelFormat::Rgb3, width, height), rgb)?;
    let picture = Picture {
        rgb: &source.bytes()[..source.layout().bytes()],
        width: width as usize,
        height: height as usize,
    };
    let layout = Layout::packed(format, width, height);
    out.clear();
    out.reserve(layout.bytes());
    match format {
        PixelFormat::Grey => out.extend(picture.pixels().map(grey)),
        PixelFormat::Rgb3 => out.extend_from_slice(picture.rgb),
        PixelFormat::Bgr3 => out.extend(picture.pixels().flat_map(|[r, g, b]| [b, g, r])),
        PixelFormat::Yuyv => picture.yuyv(out),
        PixelFormat::Nv12 => {
            out.extend(picture.pixels().map(luma));
            for (x, y) in picture.quads() {
                out.extend(chroma(picture.mean(x, y, 2)));
            }
        }
        PixelFormat::Yu12 => {
            out.extend(picture.pixels().map(luma));
            for plane in 0..2 {
                for (x, y) in picture.quads() {
                    out.push(chroma(picture.mean(x, y, 2))[plane]);
                }
            }
        }
        PixelFormat::Mjpeg => JpegEncoder::new_with_quality(&mut *out, 90)
            .encode(picture.rgb, width, height, image::ExtendedColorType::Rgb8)
            // Writing to memory cannot fail, and the sides were checked above.
            .map_err(|_| ImageError::Size { width, height })?,
    }
    Ok(layout)
}

struct Picture<'a> {
    rgb: &'a [u8],
    width: usize,
    height: usize,
}

impl Picture<'_> {
    fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        self.rgb.chunks_exact(3).map(|p| [p[0], p[1], p[2]])
    }

    /// The pixel at `x`, `y`; outside the picture, the nearest pixel inside.
    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y.min(self.height - 1) * self.width + x.min(self.width - 1));
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// The upper left corners of all squares of 2x2 pixels.
    fn quads(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let width = self.width;
        (0..self.height)
            .step_by(2)
            .flat_map(move |y| (0..width).step_by(2).map(move |x| (x, y)))
    }

    /// The mean of 2 pixels in each of `lines` lines, starting at `x`, `y`.
    fn mean(&self, x: usize, y: usize, lines: usize) -> [u8; 3] {
        let mut sum = [0u16; 3];
        for dy in 0..lines {
            for dx in 0..2 {
                for (sum, c) in sum.iter_mut().zip(self.at(x + dx, y + dy)) {
                    *sum += u16::from(c);
                }
            }
        }
        let n = 2 * lines as u16;
        // The mean of bytes fits into a byte.
        sum.map(|s| ((s + n / 2) / n) as u8)
    }

    fn yuyv(&self, out: &mut Vec<u8>) {
        for y in 0..self.height {
            for x in (0..self.width).step_by(2) {
                let [cb, cr] = chroma(self.mean(x, y, 1));
                out.extend([luma(self.at(x, y)), cb, luma(self.at(x + 1, y)), cr]);
            }
        }
    }
}

/// ITU-R BT.601, section 2.5.1, limited range, in 16-bit fixed point: the sums below stay in
/// 16 to 235 (luma) and 16 to 240 (chroma), so they fit into a byte.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let (r, g, b) = (u32::from(r), u32::from(g), u32::from(b));
    ((16829 * r + 33039 * g + 6416 * b + (16 << 16) + (1 << 15)) >> 16) as u8
}

fn chroma([r, g, b]: [u8; 3]) -> [u8; 2] {
    let (r, g, b) = (i32::from(r), i32::from(g), i32::from(b));
    let byte = |sum: i32| ((sum + (128 << 16) + (1 << 15)) >> 16) as u8;
    [
        byte(28784 * b - 9714 * r - 19070 * g),
        byte(28784 * r - 24103 * g - 4681 * b),
    ]
}

/// BT.601's luma in full range.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    let (r, g, b) = (u32::from(r), u32::from(g), u32::from(b));
    ((19595 * r + 38470 * g + 7471 * b + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn converted(rgb: &[u8], width: u32, height: u32, format: PixelFormat) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        let layout = from_rgb(rgb, width, height, format, &mut out).expect("a picture");
        assert!(Image::new(layout, &out).is_ok());
        out
    }

    /// The colour bars of BT.601 in 8 bits, as printed in every table of them.
    #[test]
    fn colour_bars() {
        for (rgb, y, cb, cr) in [
            ([255, 255, 255], 235, 128, 128),
            ([0, 0, 0], 16, 128, 128),
            ([255, 0, 0], 81, 90, 240),
            ([0, 255, 0], 145, 54, 34),
            ([0, 0, 255], 41, 240, 110),
            ([255, 255, 0], 210, 16, 146),
            ([0, 255, 255], 170, 166, 16),
            ([255, 0, 255], 106, 202, 222),
        ] {
            let square = [rgb; 4].concat();
            assert_eq!(
                converted(&square, 2, 2, PixelFormat::Yuyv),
                [y, cb, y, cr, y, cb, y, cr]
            );
            assert_eq!(
                converted(&square, 2, 2, PixelFormat::Nv12),
                [y, y, y, y, cb, cr]
            );
            assert_eq!(
                converted(&square, 2, 2, PixelFormat::Yu12),
                [y, y, y, y, cb, cr]
            );
        }
    }

    #[test]
    fn planes_are_where_they_belong() {
        // Left half red, right half blue, 4x2.
        let line = [[255, 0, 0], [255, 0, 0], [0, 0, 255], [0, 0, 255]].concat();
        let rgb = [line.clone(), line].concat();
        let y = [81, 81, 41, 41, 81, 81, 41, 41];
        let nv12 = converted(&rgb, 4, 2, PixelFormat::Nv12);
        assert_eq!((&nv12[..8], &nv12[8..]), (&y[..], &[90, 240, 240, 110][..]));
        let yu12 = converted(&rgb, 4, 2, PixelFormat::Yu12);
        assert_eq!((&yu12[..8], &yu12[8..]), (&y[..], &[90, 240, 240, 110][..]));
        let bgr = converted(&rgb, 4, 2, PixelFormat::Bgr3);
        assert_eq!(
            (&bgr[..3], &bgr[9..12]),
            (&[0, 0, 255][..], &[255, 0, 0][..])
        );
        // 0.299 * 255 and 0.114 * 255.
        assert_eq!(
            converted(&rgb, 4, 2, PixelFormat::Grey)[..4],
            [76, 76, 29, 29]
        );
    }

    #[test]
    fn mjpeg_decodes_to_the_same() {
        let rgb = [[200u8, 100, 50]; 64].concat();
        let jpeg = converted(&rgb, 8, 8, PixelFormat::Mjpeg);
        let back = image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8();
        for (a, b) in back.as_raw().iter().zip(&rgb) {
            assert!(a.abs_diff(*b) <= 3, "{a} {b}");
        }
    }

    #[test]
    fn too_few_bytes_are_refused() {
        let mut out = Vec::new();
        assert!(from_rgb(&[0; 11], 2, 2, PixelFormat::Yuyv, &mut out).is_err());
        assert!(from_rgb(&[], 0, 2, PixelFormat::Yuyv, &mut out).is_err());
    }

    proptest! {
        /// A picture of any size, also an odd one, fills exactly its layout.
        #[test]
        fn layouts_are_filled(width in 1u32..9, height in 1u32..9) {
            let rgb = vec![77u8; (3 * width * height) as usize];
            for format in PixelFormat::ALL.into_iter().filter(|f| *f != PixelFormat::Mjpeg) {
                let out = converted(&rgb, width, height, format);
                prop_assert_eq!(out.len(), Layout::packed(format, width, height).bytes());
            }
        }
    }
}
