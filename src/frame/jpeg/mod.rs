//! JPEG pictures: sequential and progressive, Huffman-coded, with 8 bits, decoded in full size or at 1/2, 1/4 or 1/8 of it.
//!
//! Why this is not a library: no Rust library decodes damaged frames *and* reports which of their lines are real. One
//! refuses what cameras send every day, another silently fills missing parts with grey; a door must do neither. This decoder
//! also allocates memory only for the picture that it produces, not for the size at which the picture was taken, and none at
//! all after it has decoded a frame of the same size.
//!
//! It does not support arithmetic coding, 12 bits, lossless or hierarchical pictures: neither cameras nor phones write them.

mod coefficients;
mod colour;
mod huffman;
mod idct;
mod photo;
mod scan;
mod segments;

use self::coefficients::Plane;
use self::colour::Rows;
use self::huffman::Bits;
pub use self::photo::JpegPhoto;
use self::scan::{Lost, has_gap, units};
pub(super) use self::segments::Frame;
use self::segments::{Next, Scan, Segments};
use super::{ImageError, PixelFormat};

/// Why a JPEG picture cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// The bytes are not a JPEG picture, or the picture is cut short or broken.
    #[error("the JPEG picture is broken: {0}")]
    Broken(String),
    /// A kind of JPEG that neither cameras nor phones write.
    #[error("the JPEG picture is {0}, which is not read; save it as a plain JPEG")]
    Unsupported(String),
    /// A side is too long, or the picture has too many pixels.
    #[error(
        "the JPEG picture has {width}x{height} pixels: each side must be 1 to {max_side}, and all of it at most {max_pixels} \
         pixels"
    )]
    Size {
        /// Pixels per line.
        width: u32,
        /// Lines.
        height: u32,
        /// The longest side that is accepted.
        max_side: u32,
        /// The largest number of pixels that is accepted.
        max_pixels: u32,
    },
    /// Data are missing. `lines` counts the complete lines from the top.
    #[error("the JPEG picture is cut short or damaged: {lines} of {height} lines are whole")]
    Incomplete {
        /// Complete lines, at the scale of decoding.
        lines: u32,
        /// All lines, at the scale of decoding.
        height: u32,
    },
    /// There is not enough memory for the picture.
    #[error("there is no memory for a JPEG picture of {width}x{height} pixels; make it smaller")]
    Memory {
        /// Pixels per line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// The decoded picture does not have the expected size.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// A decoded picture, in [`Decoder::pixels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// RGB or grey.
    pub format: PixelFormat,
    pub width: u32,
    /// Lines that a complete picture has at this scale.
    pub height: u32,
    /// Lines that were decoded, from the top. Fewer than `height` if data were missing.
    pub lines: u32,
}

/// Decodes pictures, and keeps its memory for the next picture.
#[derive(Default)]
pub(super) struct Decoder {
    segments: Box<Segments>,
    planes: [Plane; 4],
    rows: Rows,
    pixels: Vec<u8>,
    /// Where the EXIF data are in the file: the first byte and the one after the last.
    exif: Option<(usize, usize)>,
}

/// The length of a side, in pixels, when the picture is decoded at `eighths` eighths of its size.
pub(super) fn scaled(side: u32, eighths: u32) -> u32 {
    (side * eighths).div_ceil(8)
}

impl Frame {
    /// The bytes that decoding at `eighths` eighths of the size needs in addition to the picture.
    pub fn memory(&self, eighths: u32) -> u64 {
        let planes = 0..self.components().len();
        planes.map(|i| Plane::memory(self, i, eighths)).sum()
    }

    /// Checks that `bytes` bytes can contain a picture of this size, before memory is allocated for it. Every block of 8x8
    /// pixels takes at least one bit.
    pub fn fits(&self, bytes: usize) -> Result<(), JpegError> {
        let blocks = u64::from(self.width.div_ceil(8)) * u64::from(self.height.div_ceil(8));
        if bytes as u64 * 8 < blocks {
            let short = format!("{bytes} bytes are no {}x{} pixels", self.width, self.height);
            return Err(JpegError::Broken(short));
        }
        Ok(())
    }
}

impl Decoder {
    /// Decodes the picture at the beginning of `data`, at as many eighths of its size as `choose` returns: 1, 2, 4 or 8.
    pub fn decode(
        &mut self,
        data: &[u8],
        choose: impl FnOnce(&Frame) -> Result<u32, JpegError>,
    ) -> Result<Decoded, JpegError> {
        let broken = |what: &str| JpegError::Broken(what.to_owned());
        if !data.starts_with(b"\xff\xd8") {
            return Err(broken("it does not begin as one"));
        }
        // Buffers are padded with zeros, and zeros are valid codes, so the padding is removed. Two zeros may belong to the
        // picture itself.
        let own = data.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        let data = &data[..data.len().min(own + 2)];
        *self.segments = Segments::default();
        self.exif = None;
        let mut next = self.segments.read(data, 2)?;
        let frame = match (&next, self.segments.frame) {
            (Next::Scan(..), Some(frame)) => frame,
            _ => return Err(broken("it ends within its header")),
        };
        self.exif = self.segments.exif;
        let eighths = choose(&frame)?;
        let memory = || JpegError::Memory {
            width: frame.width,
            height: frame.height,
        };
        let components = frame.components().len();
        for (i, plane) in self.planes.iter_mut().enumerate() {
            if i < components {
                plane.prepare(&frame, i, eighths).map_err(|_| memory())?;
            } else {
                *plane = Plane::default();
            }
        }
        let height = scaled(frame.height, eighths);
        let mut lines = height;
        let complete = loop {
            match next {
                Next::End => break self.planes[..components].iter().all(Plane::is_begun),
                Next::Cut => break self.planes[..components].iter().all(Plane::is_complete),
                Next::Scan(scan, at) => {
                    if self.segments.frame != Some(frame) {
                        return Err(broken("it begins twice"));
                    }
                    let (lost, end) = self.scan(&frame, &scan, data, at)?;
                    lines = lines.min(whole_lines(&frame, &scan, lost, eighths));
                    if lines == 0 {
                        break true;
                    }
                    if !frame.progressive && self.planes[..components].iter().all(Plane::is_begun) {
                        break true;
                    }
                    next = self.segments.read(data, end)?;
                }
            }
        };
        if !complete {
            lines = 0;
        }
        let width = scaled(frame.width, eighths);
        let format = match components {
            1 => PixelFormat::Grey,
            _ => PixelFormat::Rgb3,
        };
        if lines > 0 {
            if frame.progressive {
                for (i, plane) in self.planes[..components].iter_mut().enumerate() {
                    let table = self
                        .segments
                        .quantisation(frame.components()[i].quantisation)?;
                    plane.transform(table);
                }
            }
            let bytes = format.min_stride(width) as usize * lines as usize;
            self.pixels.truncate(bytes);
            let more = bytes - self.pixels.len();
            self.pixels.try_reserve_exact(more).map_err(|_| memory())?;
            self.pixels.resize(bytes, 0);
            let meaning = (self.segments.colours(), self.segments.inverted());
            self.rows.convert(
                &self.planes[..components],
                (width, lines),
                meaning,
                &mut self.pixels,
            );
        }
        Ok(Decoded {
            format,
            width,
            height,
            lines,
        })
    }

    /// The pixels of the last picture.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// As [`Decoder::pixels`], but consumes the decoder.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Where the EXIF data of the last picture are in its file: the first byte and the one after the last.
    pub const fn exif(&self) -> Option<(usize, usize)> {
        self.exif
    }

    fn scan(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        data: &[u8],
        at: usize,
    ) -> Result<(Lost, usize), JpegError> {
        let segments = &self.segments;
        let bits = Bits::new(data, at);
        let restart = segments.restart;
        if frame.progressive {
            return coefficients::progressive(segments, &mut self.planes, frame, scan, bits);
        }
        for &(place, ..) in scan.parts() {
            let table = segments.quantisation(frame.components()[place].quantisation)?;
            self.planes[place].begin(table);
        }
        let mut parts = [None; 4];
        for (part, &(place, dc, ac)) in parts.iter_mut().zip(scan.parts()) {
            *part = Some((place, segments.dc(dc)?, segments.ac(ac)?));
        }
        let planes = &mut self.planes;
        let (across, count) = match scan.parts() {
            [(place, ..)] => {
                let (across, down) = planes[*place].own_blocks();
                (across, across * down)
            }
            _ => {
                let (across, down) = frame.units();
                (across, across * down)
            }
        };
        let alone = scan.parts().len() == 1;
        let (mut lost, end) = units(bits, count, restart, &mut |bits, unit, first| {
            let (x, y) = (unit % across, unit / across);
            for (place, dc, ac) in parts.iter().flatten() {
                let plane = &mut planes[*place];
                if first {
                    plane.predict_again();
                }
                let (w, h) = match alone {
                    true => (1, 1),
                    false => plane.unit(),
                };
                for (v, u) in (0..h).flat_map(|v| (0..w).map(move |u| (v, u))) {
                    if plane.decode(bits, dc, ac, x * w + u, y * h + v).is_none() {
                        return false;
                    }
                }
            }
            true
        });
        // In a plain picture (no detail), the all-zeros code of both AC tables means end of block; in the standard tables it
        // does not.
        let plain = parts.iter().flatten().map(|(_, _, ac)| ac.of_zeros() == 0);
        lost.shifted |= has_gap(&data[at..end.min(data.len())], plain);
        Ok((lost, end))
    }
}

/// The number of lines, from the top, that are complete after a scan. If the scan's data have an end marker but units are
/// missing, some units were lost on the way, and the right places of the others are unknown.
fn whole_lines(frame: &Frame, scan: &Scan, lost: Lost, eighths: u32) -> u32 {
    let all = scaled(frame.height, eighths);
    let (across, down) = frame.units();
    let bottom = lost.first + lost.count == across * down;
    let together = scan.parts().len() == frame.components().len();
    match lost {
        Lost { shifted: true, .. } => 0,
        Lost { count: 0, .. } => all,
        _ if bottom && lost.open && together && !frame.progressive => {
            all.min(lost.first / across * frame.most().1 * eighths)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
