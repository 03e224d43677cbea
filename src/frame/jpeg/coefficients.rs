//! One colour of a picture. Its blocks are stored as pixels at the requested scale. In a progressive picture, the
//! coefficients that this scale needs are collected first.

use std::collections::TryReserveError;

use super::JpegError;
use super::huffman::{Bits, Table};
use super::idct::{Block, factors, pixels, plain};
use super::scan::{Lost, units};
use super::segments::{Frame, Scan, Segments, ZIGZAG};

/// One colour component of a picture (such as Y, Cb or Cr).
#[derive(Default)]
pub(super) struct Plane {
    /// Pixels along a side of a block: 8, 4, 2 or 1.
    side: usize,
    /// Blocks in a unit, across and down.
    unit: (u32, u32),
    /// Blocks of all units, across and down.
    blocks: (u32, u32),
    /// Blocks that contain pixels of the picture, across and down.
    own: (u32, u32),
    /// How many pixels of the picture one pixel of this plane covers, as a fraction: first across, then down.
    pub across: (u32, u32),
    pub down: (u32, u32),
    pixels: Vec<u8>,
    factors: Option<Box<[f32; 64]>>,
    /// The mean of the previous block, as coded.
    mean: i32,
    begun: bool,
    /// In a progressive picture, `side` x `side` coefficients of every block, row by row.
    kept: Vec<i16>,
    /// For every block, a bit mask of the coefficients that are not 0, in coding order.
    marks: Vec<u64>,
    /// A bit mask of the coefficients that have been received with all of their bits.
    done: u64,
}

/// [`ZIGZAG`] for blocks that are stored column by column.
const COLUMNS: [u8; 64] = {
    let mut columns = ZIGZAG;
    let mut i = 0;
    while i < 64 {
        columns[i] = ZIGZAG[i] % 8 * 8 + ZIGZAG[i] / 8;
        i += 1;
    }
    columns
};

/// Pixels along a side of a block of component `i`: the size that needs the least stretching.
fn side(frame: &Frame, i: usize, eighths: u32) -> u32 {
    let component = &frame.components()[i];
    let (across, down) = frame.most();
    let mut side = eighths;
    while side < 8
        && component.across * side * 2 <= across * eighths
        && component.down * side * 2 <= down * eighths
    {
        side *= 2;
    }
    side
}

impl Plane {
    /// The memory that the plane of component `i` needs, in bytes.
    pub fn memory(frame: &Frame, i: usize, eighths: u32) -> u64 {
        let component = &frame.components()[i];
        let (across, down) = frame.units();
        let blocks = u64::from(across * component.across) * u64::from(down * component.down);
        let side = u64::from(side(frame, i, eighths));
        let coefficients = match (frame.progressive, side) {
            (false, _) => 0,
            (true, 1) => 2,
            (true, side) => 2 * side * side + 8,
        };
        blocks * (side * side + coefficients)
    }

    /// Allocates the memory for component `i` of a picture that is decoded at `eighths` eighths of its size.
    pub fn prepare(
        &mut self,
        frame: &Frame,
        i: usize,
        eighths: u32,
    ) -> Result<(), TryReserveError> {
        let component = &frame.components()[i];
        let (across, down) = frame.units();
        let most = frame.most();
        let side = side(frame, i, eighths);
        self.side = side as usize;
        self.unit = (component.across, component.down);
        self.blocks = (across * component.across, down * component.down);
        let own = |pixels: u32, part: u32, most: u32| (pixels * part).div_ceil(8 * most);
        self.own = (
            own(frame.width, component.across, most.0),
            own(frame.height, component.down, most.1),
        );
        self.across = (most.0 * eighths, component.across * side);
        self.down = (most.1 * eighths, component.down * side);
        (self.begun, self.done) = (false, 0);
        let blocks = self.blocks.0 as usize * self.blocks.1 as usize;
        // Not cleared, because data of the previous frame are overwritten and lines that are not decoded are not shown.
        let pixels = blocks * self.side * self.side;
        self.pixels.truncate(pixels);
        self.pixels.try_reserve_exact(pixels - self.pixels.len())?;
        self.pixels.resize(pixels, 0);
        (self.kept, self.marks) = (Vec::new(), Vec::new());
        if frame.progressive {
            let kept = blocks * self.side * self.side;
            self.kept.try_reserve_exact(kept)?;
            self.kept.resize(kept, 0);
            if self.side > 1 {
                self.marks.try_reserve_exact(blocks)?;
                self.marks.resize(blocks, 0);
            }
        }
        Ok(())
    }

    /// Blocks that contain pixels of the picture, across and down. A scan of this colour alone codes only these.
    pub const fn own_blocks(&self) -> (u32, u32) {
        self.own
    }

    /// Blocks in a unit, across and down.
    pub const fn unit(&self) -> (u32, u32) {
        self.unit
    }

    pub const fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether all coefficients of this plane have been received with all of their bits.
    pub fn is_complete(&self) -> bool {
        self.done == !0
    }

    /// Line `y` of the pixels; the last line if `y` is below it.
    pub fn line(&self, y: usize) -> &[u8] {
        let stride = self.blocks.0 as usize * self.side;
        let last = (self.blocks.1 as usize * self.side).saturating_sub(1);
        let y = y.min(last);
        &self.pixels[y * stride..(y + 1) * stride]
    }

    /// Begins a scan that contains all coefficients.
    pub fn begin(&mut self, quantisation: &[u16; 64]) {
        let new = factors(quantisation, self.side);
        match &mut self.factors {
            Some(old) => **old = new,
            None => self.factors = Some(Box::new(new)),
        }
        (self.begun, self.done) = (true, !0);
    }

    /// Resets the prediction after a restart marker.
    pub const fn predict_again(&mut self) {
        self.mean = 0;
    }

    /// Decodes the block at `x`, `y` with all its coefficients; `None` if the data are invalid.
    #[inline]
    pub fn decode(
        &mut self,
        bits: &mut Bits<'_>,
        dc: &Table,
        ac: &Table,
        x: u32,
        y: u32,
    ) -> Option<()> {
        let factors = self.factors.as_deref()?;
        let size = bits.decode(dc).filter(|s| *s <= 11)?;
        self.mean = self.mean.wrapping_add(bits.signed(size.into()));
        let mut block: Block = [0.0; 64];
        block[0] = self.mean as f32 * factors[0];
        let (mut k, mut plainly) = (1, true);
        while k < 64 {
            let code = bits.decode(ac)?;
            let (run, size) = (usize::from(code >> 4), u32::from(code & 15));
            if size == 0 {
                match run {
                    0 => break,
                    15 => k += 16,
                    _ => return None,
                }
                continue;
            }
            k += run;
            let place = usize::from(*COLUMNS.get(k)?);
            block[place] = bits.signed(size) as f32 * factors[place];
            (k, plainly) = (k + 1, false);
        }
        let side = self.side;
        let stride = self.blocks.0 as usize * side;
        let out = &mut self.pixels[y as usize * side * stride + x as usize * side..];
        if plainly {
            plain(block[0], side, out, stride);
        } else {
            pixels(&block, side, out, stride);
        }
        Some(())
    }

    /// Turns the collected coefficients into pixels.
    pub fn transform(&mut self, quantisation: &[u16; 64]) {
        let side = self.side;
        let factors = factors(quantisation, side);
        let across = self.blocks.0 as usize;
        let stride = across * side;
        for (i, kept) in self.kept.chunks_exact(side * side).enumerate() {
            let mut block: Block = [0.0; 64];
            for (k, value) in kept.iter().enumerate() {
                let place = k % side * 8 + k / side;
                block[place] = f32::from(*value) * factors[place];
            }
            let (x, y) = (i % across, i / across);
            pixels(
                &block,
                side,
                &mut self.pixels[y * side * stride + x * side..],
                stride,
            );
        }
    }

    /// The index in `kept` of coefficient `k` (in coding order) of a block; `None` if this scale does not need the
    /// coefficient.
    fn place(&self, block: usize, k: usize) -> Option<usize> {
        let (v, u) = (usize::from(ZIGZAG[k]) / 8, usize::from(ZIGZAG[k]) % 8);
        let side = self.side;
        (v < side && u < side).then_some((block * side + v) * side + u)
    }

    /// Sets a coefficient whose value is still 0.
    fn set(&mut self, block: usize, k: usize, value: i32) {
        self.marks[block] |= 1 << k;
        if let Some(place) = self.place(block, k) {
            self.kept[place] = value as i16;
        }
    }

    /// Reads one more bit, of value `bit`, for the coefficients from `k` to `last` that are not 0. Passes `zeros`
    /// coefficients that are 0, stops at the next coefficient that is 0 and returns its place.
    fn refine(
        &mut self,
        bits: &mut Bits<'_>,
        block: usize,
        mut k: usize,
        last: usize,
        mut zeros: u32,
        bit: i16,
    ) -> usize {
        while k <= last {
            if self.marks[block] >> k & 1 == 0 {
                if zeros == 0 {
                    break;
                }
                zeros -= 1;
            } else if bits.read(1) == 1
                && let Some(place) = self.place(block, k)
            {
                let value = self.kept[place];
                if value & bit == 0 {
                    self.kept[place] = value.wrapping_add(if value < 0 { -bit } else { bit });
                }
            }
            k += 1;
        }
        k
    }
}

/// A scan of a progressive picture (T.81, annex G).
pub(super) fn progressive(
    segments: &Segments,
    planes: &mut [Plane; 4],
    frame: &Frame,
    scan: &Scan,
    bits: Bits<'_>,
) -> Result<(Lost, usize), JpegError> {
    let range = if scan.last == 63 {
        !0
    } else {
        (1_u64 << (scan.last + 1)) - 1
    };
    let range = range & !((1 << scan.first) - 1);
    for &(place, ..) in scan.parts() {
        let plane = &mut planes[place];
        plane.begun |= scan.first == 0;
        if scan.low == 0 {
            plane.done |= range;
        }
    }
    let Some(&(place, _, table)) = scan.parts().first() else {
        return Err(JpegError::Broken("a scan is damaged".to_owned()));
    };
    let (across, count) = match scan.parts() {
        [_] => (
            planes[place].own.0,
            planes[place].own.0 * planes[place].own.1,
        ),
        _ => (frame.units().0, frame.units().0 * frame.units().1),
    };
    if scan.first > 0 {
        let plane = &mut planes[place];
        if plane.marks.is_empty() {
            // At this scale a block is only its mean.
            let mut bits = bits;
            while let (Some(0xd0..=0xd7), _) = bits.seek_marker() {
                bits.pass_marker();
            }
            return Ok((Lost::default(), bits.place()));
        }
        let table = segments.ac(table)?;
        let mut run = 0;
        return Ok(units(
            bits,
            count,
            segments.restart,
            &mut |bits, unit, first| {
                if first {
                    run = 0;
                }
                let block = (unit / across * plane.blocks.0 + unit % across) as usize;
                let read = match scan.high {
                    0 => first_bits(plane, bits, table, scan, block, &mut run),
                    _ => more_bits(plane, bits, table, scan, block, &mut run),
                };
                read.is_some()
            },
        ));
    }
    let mut parts = [None; 4];
    for (part, &(place, dc, _)) in parts.iter_mut().zip(scan.parts()) {
        let table = if scan.high == 0 {
            Some(segments.dc(dc)?)
        } else {
            None
        };
        *part = Some((place, table));
    }
    let alone = scan.parts().len() == 1;
    Ok(units(
        bits,
        count,
        segments.restart,
        &mut |bits, unit, first| {
            let (x, y) = (unit % across, unit / across);
            for (place, table) in parts.iter().flatten() {
                let plane = &mut planes[*place];
                if first {
                    plane.predict_again();
                }
                let (w, h) = if alone { (1, 1) } else { plane.unit };
                for (v, u) in (0..h).flat_map(|v| (0..w).map(move |u| (v, u))) {
                    let block = ((y * h + v) * plane.blocks.0 + x * w + u) as usize;
                    let place = block * plane.side * plane.side;
                    match table {
                        Some(table) => {
                            let Some(size) = bits.decode(table).filter(|s| *s <= 11) else {
                                return false;
                            };
                            plane.mean = plane.mean.wrapping_add(bits.signed(size.into()));
                            plane.kept[place] = (plane.mean << scan.low) as i16;
                        }
                        None => plane.kept[place] |= (bits.read(1) << scan.low) as i16,
                    }
                }
            }
            true
        },
    ))
}

/// Reads a band of a block whose coefficients there are still 0. `run` is the number of following blocks whose band is
/// empty.
fn first_bits(
    plane: &mut Plane,
    bits: &mut Bits<'_>,
    table: &Table,
    scan: &Scan,
    block: usize,
    run: &mut u32,
) -> Option<()> {
    if *run > 0 {
        *run -= 1;
        return Some(());
    }
    let mut k = scan.first;
    while k <= scan.last {
        let code = bits.decode(table)?;
        let (zeros, size) = (u32::from(code >> 4), u32::from(code & 15));
        if size > 0 {
            k += zeros as usize;
            if k > scan.last {
                return None;
            }
            plane.set(block, k, bits.signed(size) << scan.low);
            k += 1;
        } else if zeros == 15 {
            k += 16;
        } else {
            *run = (1 << zeros) - 1 + bits.read(zeros);
            break;
        }
    }
    Some(())
}

/// Reads one more bit for the coefficients of a band of a block.
fn more_bits(
    plane: &mut Plane,
    bits: &mut Bits<'_>,
    table: &Table,
    scan: &Scan,
    block: usize,
    run: &mut u32,
) -> Option<()> {
    let bit = 1_i16 << scan.low;
    let mut k = scan.first;
    if *run == 0 {
        while k <= scan.last {
            let code = bits.decode(table)?;
            let (zeros, size) = (u32::from(code >> 4), u32::from(code & 15));
            let value = match size {
                0 if zeros < 15 => {
                    *run = (1 << zeros) + bits.read(zeros);
                    break;
                }
                0 => None,
                1 if bits.read(1) == 1 => Some(bit),
                1 => Some(-bit),
                _ => return None,
            };
            k = plane.refine(bits, block, k, scan.last, zeros, bit);
            if let Some(value) = value {
                if k > scan.last {
                    return None;
                }
                plane.set(block, k, value.into());
            }
            k += 1;
        }
    }
    if *run > 0 {
        plane.refine(bits, block, k, scan.last, u32::MAX, bit);
        *run -= 1;
    }
    Some(())
}
