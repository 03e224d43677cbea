//! A picture that is averaged down while its rows arrive, so that a large picture is never in memory as a whole. This file
//! does not know which rows arrive, and from what kind of file.

use image::RgbImage;

use super::{Photo, PhotoFault, picture, zeros};
use crate::frame::Image;

/// Where the pixels of a row are in the picture.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The first pixel, and the step to the next pixel.
    pub(super) first: u32,
    pub(super) step: u32,
    pub(super) line: u32,
}

/// A picture that is reduced as its rows arrive. Each of its pixels is the mean of `by` x `by` pixels of the file.
pub(super) struct Shrinking {
    by: u32,
    width: u32,
    height: u32,
    /// The size in the file.
    full: (u32, u32),
    /// Sums of one line of the result, or of all lines if the rows arrive in another order.
    sums: Vec<u16>,
    interlaced: bool,
    pixels: Vec<u8>,
}

impl Shrinking {
    /// A picture of the size `full` in its file.
    pub(super) fn new(full: (u32, u32), interlaced: bool) -> Result<Self, PhotoFault> {
        let by = reduction(full.0, full.1);
        // A larger reduction would not fit into the sums.
        if by > 16 {
            let (width, height) = full;
            return Err(PhotoFault::Pixels { width, height });
        }
        let (width, height) = (full.0.div_ceil(by), full.1.div_ceil(by));
        let line = 3 * width as usize;
        let all = line * height as usize;
        let sums = match (by, interlaced) {
            (1, _) => 0,
            (_, false) => line,
            (_, true) => all,
        };
        Ok(Self {
            by,
            width,
            height,
            full,
            sums: zeros(sums)?,
            interlaced,
            pixels: zeros(all)?,
        })
    }

    /// Adds the pixels of a row, of `channels` bytes each.
    pub(super) fn add(&mut self, row: Row, data: &[u8], channels: usize) {
        let line = 3 * self.width as usize;
        let to = (row.line / self.by) as usize;
        let colours = data.chunks_exact(channels).map(|p| match *p {
            [r, g, b, ..] => [r, g, b],
            // Grey, with or without transparency.
            [grey, ..] => [grey; 3],
            [] => [0; 3],
        });
        let places = (row.first..).step_by(row.step as usize);
        if self.by == 1 {
            let out = &mut self.pixels[to * line..][..line];
            for (x, colour) in places.zip(colours) {
                out[3 * x as usize..][..3].copy_from_slice(&colour);
            }
            return;
        }
        let from = if self.interlaced { to * line } else { 0 };
        let sums = &mut self.sums[from..from + line];
        for (x, colour) in places.zip(colours) {
            let at = 3 * (x / self.by) as usize;
            for (sum, c) in sums[at..at + 3].iter_mut().zip(colour) {
                *sum += u16::from(c);
            }
        }
        let last = (row.line + 1).is_multiple_of(self.by) || row.line + 1 == self.full.1;
        if !self.interlaced && last {
            self.line(to, 0);
            self.sums.fill(0);
        }
    }

    /// Computes line `y` of the result from the sums that begin at `from`.
    fn line(&mut self, y: usize, from: usize) {
        let line = 3 * self.width as usize;
        let side = |at: usize, full: u32| self.by.min(full - at as u32 * self.by);
        let down = side(y, self.full.1);
        let out = self.pixels[y * line..][..line].chunks_exact_mut(3);
        for (x, (out, sums)) in out.zip(self.sums[from..].chunks_exact(3)).enumerate() {
            let count = side(x, self.full.0) * down;
            for (out, sum) in out.iter_mut().zip(sums) {
                // The mean of bytes fits into a byte.
                *out = ((u32::from(*sum) + count / 2) / count) as u8;
            }
        }
    }

    /// The picture, after all rows have arrived.
    pub(super) fn finish(mut self) -> Result<RgbImage, PhotoFault> {
        if self.interlaced && self.by > 1 {
            for y in 0..self.height as usize {
                self.line(y, y * 3 * self.width as usize);
            }
        }
        picture(self.width, self.height, self.pixels)
    }
}

/// The smallest whole number by which both sides must be divided.
fn reduction(width: u32, height: u32) -> u32 {
    let fits = |by: &u32| {
        let (width, height) = (width.div_ceil(*by), height.div_ceil(*by));
        let pixels = u64::from(width) * u64::from(height);
        width.max(height) <= Image::MAX_SIDE && pixels <= Photo::MOST.into()
    };
    (1..).find(fits).unwrap_or(u32::MAX)
}
