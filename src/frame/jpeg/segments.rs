//! The segments of a JPEG file before and between its scans (ITU-T T.81, annex B), read as leniently as libjpeg does. A
//! second start of image is also accepted. A picture is not lost because of what cameras leave out, repeat or put between
//! segments.

use super::JpegError;
use super::huffman::{Table, usual};

/// For each coefficient of a block in coding order, its place when the block is stored row by row (T.81, figure A.6).
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55,
    62, 63,
];

/// A colour of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::frame) struct Component {
    id: u8,
    /// Blocks of this component in a unit, across and down.
    pub across: u32,
    pub down: u32,
    pub quantisation: usize,
}

/// The content of a start-of-frame segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::frame) struct Frame {
    pub width: u32,
    pub height: u32,
    pub progressive: bool,
    components: [Component; 4],
    count: usize,
}

impl Frame {
    pub fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// Blocks of the largest component in a unit, across and down.
    pub fn most(&self) -> (u32, u32) {
        let of = self.components();
        let most = |side: fn(&Component) -> u32| of.iter().map(side).max().unwrap_or(1);
        (most(|c| c.across), most(|c| c.down))
    }

    /// Units in a scan of all components, across and down.
    pub fn units(&self) -> (u32, u32) {
        let (across, down) = self.most();
        (
            self.width.div_ceil(8 * across),
            self.height.div_ceil(8 * down),
        )
    }
}

/// The content of a start-of-scan segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    /// For each component, its place in the frame and the numbers of its tables for DC and AC.
    parts: [(usize, usize, usize); 4],
    count: usize,
    /// The first and the last coefficient.
    pub first: usize,
    pub last: usize,
    /// The number of low bits that an earlier scan left out, and the number that this one leaves out.
    pub high: u32,
    pub low: u32,
}

impl Scan {
    pub fn parts(&self) -> &[(usize, usize, usize)] {
        &self.parts[..self.count]
    }
}

/// How colours are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Ycc,
    Rgb,
    /// Ink colours, stored inverted if an Adobe program wrote the file.
    Cmyk,
    Ycck,
}

/// What comes next in a file.
pub(super) enum Next {
    /// A scan, whose data begin at this byte.
    Scan(Scan, usize),
    /// The end of the picture.
    End,
    /// The end of the data, before the end of the picture.
    Cut,
}

/// The content of the segments that have been read.
#[derive(Default)]
pub(super) struct Segments {
    pub frame: Option<Frame>,
    quantisation: [Option<[u16; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    /// Units between two restart markers; 0 if there are no restart markers.
    pub restart: u32,
    jfif: bool,
    adobe: Option<u8>,
    /// Where the first block of EXIF data is in the file. The block is a complete TIFF file.
    pub exif: Option<(usize, usize)>,
}

fn broken(what: &str) -> JpegError {
    JpegError::Broken(what.to_owned())
}

fn unsupported(what: &str) -> JpegError {
    JpegError::Unsupported(what.to_owned())
}

impl Segments {
    /// Quantisation table `i`, row by row.
    pub fn quantisation(&self, i: usize) -> Result<&[u16; 64], JpegError> {
        let table = self.quantisation.get(i).and_then(Option::as_ref);
        table.ok_or_else(|| broken("a quantisation table is missing"))
    }

    pub fn dc(&self, i: usize) -> Result<&Table, JpegError> {
        let table = self.dc.get(i).and_then(Option::as_ref);
        table.ok_or_else(|| broken("a Huffman table is missing"))
    }

    pub fn ac(&self, i: usize) -> Result<&Table, JpegError> {
        let table = self.ac.get(i).and_then(Option::as_ref);
        table.ok_or_else(|| broken("a Huffman table is missing"))
    }

    pub fn colours(&self) -> Colours {
        let Some(frame) = &self.frame else {
            return Colours::Grey;
        };
        let ids = [0, 1, 2].map(|i| frame.components[i].id);
        match (frame.count, self.adobe) {
            (1, _) => Colours::Grey,
            (4, Some(2)) => Colours::Ycck,
            (4, _) => Colours::Cmyk,
            (_, _) if self.jfif => Colours::Ycc,
            (_, Some(0)) => Colours::Rgb,
            (_, None) if ids == *b"RGB" => Colours::Rgb,
            _ => Colours::Ycc,
        }
    }

    /// Whether inks are stored inverted.
    pub const fn inverted(&self) -> bool {
        self.adobe.is_some()
    }

    /// Reads the segments from byte `at` of `data` to the next scan or the end of the picture.
    pub fn read(&mut self, data: &[u8], mut at: usize) -> Result<Next, JpegError> {
        loop {
            // Bytes between segments, and fill bytes.
            let Some(skip) = data
                .get(at..)
                .and_then(|d| d.iter().position(|b| *b == 0xff))
            else {
                return Ok(Next::Cut);
            };
            at += skip + 1;
            let Some(&marker) = data.get(at) else {
                return Ok(Next::Cut);
            };
            match marker {
                0xff => continue,
                // Stuffed bytes, restart markers and a second start of image have no length and no content.
                0x00 | 0x01 | 0xd0..=0xd8 => {
                    at += 1;
                    continue;
                }
                0xd9 if self.frame.is_some() => return Ok(Next::End),
                0xd9 => return Err(broken("it ends before it has begun")),
                _ => at += 1,
            }
            let Some(length) = data.get(at..).and_then(<[u8]>::first_chunk) else {
                return Ok(Next::Cut);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if length < 2 {
                return Err(broken("a segment has no length"));
            }
            let Some(segment) = data.get(at + 2..at + length) else {
                return Ok(Next::Cut);
            };
            let begin = at + 2;
            at += length;
            match marker {
                0xdb => self.quantise(segment)?,
                0xc4 => self.huffman(segment)?,
                0xc0..=0xc2 => self.start(segment, marker == 0xc2)?,
                0xc3 => return Err(unsupported("lossless")),
                0xc9..=0xcf => {
                    return Err(unsupported("arithmetically coded"));
                }
                0xc5..=0xc7 | 0xde | 0xdf => return Err(unsupported("hierarchical")),
                0xdc => return Err(unsupported("of a height that follows the picture")),
                0xdd => {
                    let interval = segment
                        .first_chunk()
                        .ok_or_else(|| broken("a segment is short"))?;
                    self.restart = u32::from(u16::from_be_bytes(*interval));
                }
                0xe0 => self.jfif |= segment.starts_with(b"JFIF\0"),
                0xe1 if segment.starts_with(b"Exif\0\0") && self.exif.is_none() => {
                    self.exif = Some((begin + 6, at));
                }
                0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
                0xda => return Ok(Next::Scan(self.scan(segment)?, at)),
                _ => {}
            }
        }
    }

    fn quantise(&mut self, mut rest: &[u8]) -> Result<(), JpegError> {
        while let Some((&which, values)) = rest.split_first() {
            let bytes = if which >> 4 == 0 { 1 } else { 2 };
            let place = self.quantisation.get_mut(usize::from(which & 15));
            let (Some(place), Some(coded)) = (place, values.get(..64 * bytes)) else {
                return Err(broken("a quantisation table is damaged"));
            };
            let mut table = [0; 64];
            for (value, &to) in coded.chunks(bytes).zip(&ZIGZAG) {
                table[usize::from(to)] = value.iter().fold(0, |v, b| v << 8 | u16::from(*b));
            }
            *place = Some(table);
            rest = &values[64 * bytes..];
        }
        Ok(())
    }

    fn huffman(&mut self, mut rest: &[u8]) -> Result<(), JpegError> {
        let damaged = || broken("a Huffman table is damaged");
        while let Some((&which, after)) = rest.split_first() {
            let (lengths, after) = after.split_first_chunk::<16>().ok_or_else(damaged)?;
            let count = lengths.iter().map(|n| usize::from(*n)).sum();
            let values = after.get(..count).ok_or_else(damaged)?;
            let tables = match which >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(damaged()),
            };
            let place = tables
                .get_mut(usize::from(which & 15))
                .ok_or_else(damaged)?;
            *place = Some(Table::new(lengths, values).ok_or_else(damaged)?);
            rest = &after[count..];
        }
        Ok(())
    }

    fn start(&mut self, segment: &[u8], progressive: bool) -> Result<(), JpegError> {
        let Some((&[bits, h1, h0, w1, w0, count], rest)) = segment.split_first_chunk() else {
            return Err(broken("its size is missing"));
        };
        if bits != 8 {
            return Err(unsupported("of more than 8 bits"));
        }
        let count = usize::from(count);
        if ![1, 3, 4].contains(&count) {
            return Err(unsupported("of neither one, three nor four colours"));
        }
        let mut components = [Component::default(); 4];
        for (i, component) in components.iter_mut().enumerate().take(count) {
            let Some(&[id, sampling, quantisation]) = rest.get(3 * i..3 * i + 3) else {
                return Err(broken("its colours are missing"));
            };
            let (across, down) = (u32::from(sampling >> 4), u32::from(sampling & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(broken("a colour has an impossible size"));
            }
            let quantisation = usize::from(quantisation);
            // A single colour is coded block by block, whatever its size factors are.
            let (across, down) = if count == 1 { (1, 1) } else { (across, down) };
            *component = Component {
                id,
                across,
                down,
                quantisation,
            };
        }
        let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
        let frame = Frame {
            width: side(w1, w0),
            height: side(h1, h0),
            progressive,
            components,
            count,
        };
        // Cameras that begin a picture twice repeat the same content.
        match &self.frame {
            Some(old) if (old.width, old.height) != (frame.width, frame.height) => {
                Err(broken("it has two sizes"))
            }
            _ => {
                self.frame = Some(frame);
                Ok(())
            }
        }
    }

    fn scan(&mut self, segment: &[u8]) -> Result<Scan, JpegError> {
        let damaged = || broken("a scan is damaged");
        let frame = self.frame.ok_or_else(|| broken("its size is missing"))?;
        let (&count, rest) = segment.split_first().ok_or_else(damaged)?;
        let count = usize::from(count);
        if !(1..=frame.count).contains(&count) {
            return Err(damaged());
        }
        let mut parts = [(0, 0, 0); 4];
        for (i, part) in parts.iter_mut().enumerate().take(count) {
            let &[id, tables] = rest.get(2 * i..2 * i + 2).ok_or_else(damaged)? else {
                return Err(damaged());
            };
            let place = frame.components().iter().position(|c| c.id == id);
            // Some cameras number the components differently in the frame and in the scan.
            let place = place
                .or((count == frame.count).then_some(i))
                .ok_or_else(damaged)?;
            *part = (place, usize::from(tables >> 4), usize::from(tables & 15));
        }
        let places = parts[..count]
            .iter()
            .map(|p| 1_u8 << p.0)
            .fold(0, |a, b| a | b);
        let &[first, last, bits] = rest.get(2 * count..2 * count + 3).ok_or_else(damaged)? else {
            return Err(damaged());
        };
        let mut scan = Scan {
            parts,
            count,
            first: 0,
            last: 63,
            high: 0,
            low: 0,
        };
        if frame.progressive {
            (scan.first, scan.last) = (usize::from(first), usize::from(last));
            (scan.high, scan.low) = (u32::from(bits >> 4), u32::from(bits & 15));
            let one = scan.first > 0;
            if scan.last > 63
                || scan.first > scan.last
                || scan.low > 13
                || (one && count > 1)
                || (!one && scan.last > 0)
            {
                return Err(damaged());
            }
        }
        let blocks: u32 = scan
            .parts()
            .iter()
            .map(|p| frame.components[p.0])
            .map(|c| c.across * c.down)
            .sum();
        if places.count_ones() as usize != count || (count > 1 && blocks > 10) {
            return Err(damaged());
        }
        for &(_, dc, ac) in scan.parts() {
            if dc > 3 || ac > 3 {
                return Err(damaged());
            }
            // The first standard tables are for luma, the second ones for chroma.
            if self.dc[dc].is_none() && dc < 2 {
                self.dc[dc] = usual(dc == 1, false);
            }
            if self.ac[ac].is_none() && ac < 2 {
                self.ac[ac] = usual(ac == 1, true);
            }
        }
        Ok(scan)
    }
}
