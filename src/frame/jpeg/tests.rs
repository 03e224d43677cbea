//! Tests with generated pictures like those of cameras and programs: every sampling, restart markers, scans, and damage to
//! them.

use proptest::prelude::*;

use super::huffman::Table;
use super::segments::ZIGZAG;
use super::{Decoded, Decoder, JpegError};

/// Writes the entropy-coded data of a picture with the standard tables: the mean and one more coefficient of every block.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    bits: u32,
    count: u32,
}

impl Writer {
    fn put(&mut self, value: u32, count: u32) {
        for i in (0..count).rev() {
            self.bits = self.bits << 1 | value >> i & 1;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.bits as u8);
                if self.bits == 0xff {
                    self.bytes.push(0);
                }
                (self.bits, self.count) = (0, 0);
            }
        }
    }

    fn align(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }

    /// Writes the code of `value` in the standard tables.
    fn code(&mut self, chroma: bool, ac: bool, value: u8) {
        let (lengths, values) = super::huffman::usual_of(chroma, ac);
        let (mut code, mut place) = (0, 0);
        for (length, count) in (1..).zip(lengths) {
            for _ in 0..*count {
                if values[place] == value {
                    return self.put(code, length);
                }
                (code, place) = (code + 1, place + 1);
            }
            code <<= 1;
        }
        panic!("no code for {value}");
    }

    fn value(&mut self, value: i32) -> u8 {
        (32 - value.unsigned_abs().leading_zeros()) as u8
    }

    fn signed(&mut self, value: i32, size: u8) {
        let bits = if value < 0 { value - 1 } else { value };
        self.put(bits as u32 & ((1 << size) - 1), size.into());
    }
}

/// How a picture is written.
#[derive(Clone, Debug)]
struct Recipe {
    width: u32,
    height: u32,
    /// Blocks of each colour in a unit, across and down.
    sampling: Vec<(u32, u32)>,
    restart: u32,
    /// Whether each colour has its own scan, instead of one scan for all.
    apart: bool,
}

impl Recipe {
    fn new(width: u32, height: u32, sampling: &[(u32, u32)]) -> Self {
        Self {
            width,
            height,
            sampling: sampling.to_vec(),
            restart: 0,
            apart: false,
        }
    }

    /// Value and slope of a block: neighbouring blocks differ.
    fn block(component: usize, x: u32, y: u32) -> (i32, i32) {
        let mean = (x * 7 + y * 13 + component as u32 * 31) % 90;
        (mean as i32 - 45, ((x + y) % 5) as i32 - 2)
    }

    fn segment(out: &mut Vec<u8>, marker: u8, content: &[u8]) {
        out.extend([0xff, marker]);
        out.extend((content.len() as u16 + 2).to_be_bytes());
        out.extend(content);
    }

    fn header(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        Self::segment(&mut out, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let mut table = vec![0];
        table.extend([8; 64]);
        Self::segment(&mut out, 0xdb, &table);
        for (chroma, ac) in [(false, false), (false, true), (true, false), (true, true)] {
            let (lengths, values) = super::huffman::usual_of(chroma, ac);
            let mut table = vec![u8::from(ac) << 4 | u8::from(chroma)];
            table.extend(lengths);
            table.extend(values);
            Self::segment(&mut out, 0xc4, &table);
        }
        if self.restart > 0 {
            Self::segment(&mut out, 0xdd, &(self.restart as u16).to_be_bytes());
        }
        let mut frame = vec![8];
        frame.extend((self.height as u16).to_be_bytes());
        frame.extend((self.width as u16).to_be_bytes());
        frame.push(self.sampling.len() as u8);
        for (i, (across, down)) in (1..).zip(&self.sampling) {
            frame.extend([i, (across << 4 | down) as u8, 0]);
        }
        Self::segment(&mut out, 0xc0, &frame);
        out
    }

    fn write(&self) -> Vec<u8> {
        let mut out = self.header();
        let all: Vec<usize> = (0..self.sampling.len()).collect();
        let scans: Vec<Vec<usize>> = match self.apart {
            true => all.iter().map(|i| vec![*i]).collect(),
            false => vec![all],
        };
        let most = |side: fn(&(u32, u32)) -> u32| self.sampling.iter().map(side).max().unwrap_or(1);
        let most = match self.sampling.len() {
            1 => self.sampling[0],
            _ => (most(|s| s.0), most(|s| s.1)),
        };
        for scan in scans {
            let mut head = vec![scan.len() as u8];
            for i in &scan {
                head.extend([*i as u8 + 1, if *i == 0 { 0 } else { 0x11 }]);
            }
            head.extend([0, 63, 0]);
            Self::segment(&mut out, 0xda, &head);
            let alone = scan.len() == 1;
            let units = |side: u32, part: u32, most: u32| match alone {
                true => (side * part).div_ceil(8 * most),
                false => side.div_ceil(8 * most),
            };
            let first = self.sampling[scan[0]];
            let across = units(self.width, first.0, most.0);
            let down = units(self.height, first.1, most.1);
            let mut writer = Writer::default();
            let mut means = vec![0; scan.len()];
            for unit in 0..across * down {
                if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                    writer.align();
                    writer
                        .bytes
                        .extend([0xff, 0xd0 + (unit / self.restart - 1) as u8 % 8]);
                    means.fill(0);
                }
                for (place, &i) in scan.iter().enumerate() {
                    let (w, h) = if alone { (1, 1) } else { self.sampling[i] };
                    for (v, u) in (0..h).flat_map(|v| (0..w).map(move |u| (v, u))) {
                        let (x, y) = (unit % across * w + u, unit / across * h + v);
                        let (mean, slope) = Self::block(i, x, y);
                        let change = mean - means[place];
                        means[place] = mean;
                        let size = writer.value(change);
                        writer.code(i > 0, false, size);
                        writer.signed(change, size);
                        if slope != 0 {
                            let size = writer.value(slope);
                            writer.code(i > 0, true, size);
                            writer.signed(slope, size);
                        }
                        writer.code(i > 0, true, 0);
                    }
                }
            }
            writer.align();
            out.extend(&writer.bytes);
        }
        out.extend([0xff, 0xd9]);
        out
    }
}

fn decode(bytes: &[u8]) -> Result<(Decoded, Vec<u8>), JpegError> {
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(bytes, |_| Ok(8))?;
    let bytes = decoded.format.min_stride(decoded.width) as usize * decoded.lines as usize;
    Ok((decoded, decoder.pixels()[..bytes].to_vec()))
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    let (decoded, pixels) = decode(bytes).expect("a picture");
    assert_eq!(decoded.lines, decoded.height, "not all of it is there");
    pixels
}

/// The number of complete lines.
fn lines(bytes: &[u8]) -> u32 {
    decode(bytes).map_or(0, |(decoded, _)| decoded.lines)
}

const GREY: &[(u32, u32)] = &[(1, 1)];
const FULL: &[(u32, u32)] = &[(1, 1), (1, 1), (1, 1)];
const HALF: &[(u32, u32)] = &[(2, 1), (1, 1), (1, 1)];
const QUARTER: &[(u32, u32)] = &[(2, 2), (1, 1), (1, 1)];

fn camera() -> Recipe {
    Recipe {
        restart: 5,
        ..Recipe::new(160, 96, HALF)
    }
}

/// The position of each restart marker in `bytes`.
fn restarts(bytes: &[u8]) -> Vec<usize> {
    let header = bytes
        .windows(2)
        .position(|w| w == [0xff, 0xda])
        .expect("a scan");
    let place = |i: &usize| bytes[*i] == 0xff && matches!(bytes[i + 1], 0xd0..=0xd7);
    (header..bytes.len() - 1).filter(place).collect()
}

#[test]
fn every_sampling_shows_each_block_where_it_belongs() {
    for sampling in [
        GREY,
        FULL,
        HALF,
        QUARTER,
        &[(1, 2), (1, 1), (1, 1)],
        &[(4, 1), (1, 1), (1, 1)],
        &[(2, 2), (2, 1), (1, 2)],
        &[(3, 1), (1, 1), (1, 1)],
        &[(1, 1), (2, 2), (1, 1)],
        &[(2, 2), (1, 1), (1, 1), (2, 2)],
    ] {
        for (width, height) in [(64, 48), (61, 43), (1, 1), (33, 7)] {
            for (restart, apart) in [(0, false), (1, false), (7, false), (0, true), (3, true)] {
                let recipe = Recipe {
                    restart,
                    apart,
                    ..Recipe::new(width, height, sampling)
                };
                let pixels = whole(&recipe.write());
                let together = Recipe::new(width, height, sampling);
                assert!(pixels == whole(&together.write()), "{recipe:?}");
                if sampling.len() == 1 {
                    for y in 0..height / 8 {
                        for x in 0..width / 8 {
                            let block = (0..64).map(|i| {
                                let at = (y * 8 + i / 8) * width + x * 8 + i % 8;
                                f64::from(pixels[at as usize])
                            });
                            let mean = block.sum::<f64>() / 64.0 - 128.0;
                            let (wanted, _) = Recipe::block(0, x, y);
                            assert!((mean - f64::from(wanted)).abs() < 0.6, "{x} {y}: {mean}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn parts_that_cameras_leave_out_or_insert_cost_nothing() {
    let bytes = camera().write();
    let pixels = whole(&bytes);
    let end = bytes.len() - 2;
    let without_end = bytes[..end].to_vec();
    let mut padded = without_end.clone();
    padded.resize(bytes.len() + 5000, 0);
    let twice = [b"\xff\xd8", &bytes[..]].concat();
    let begun_twice = [&camera().header()[..], &bytes[..]].concat();
    let mut before_end = without_end.clone();
    before_end.extend(b"\x12\x34\xff\xd9");
    let mut fill = Vec::new();
    let mut between = Vec::new();
    let mut at = 2;
    fill.extend(&bytes[..2]);
    between.extend(&bytes[..2]);
    while bytes[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        fill.extend([0xff; 3]);
        fill.extend(&bytes[at..at + length]);
        between.extend(&bytes[at..at + length]);
        between.extend([0x00, 0x4d]);
        at += length;
    }
    fill.extend(&bytes[at..]);
    between.extend(&bytes[at..]);
    let without = |which: &[u8]| {
        let mut out = bytes[..2].to_vec();
        let mut at = 2;
        while bytes[at + 1] != 0xda {
            let length = 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            if bytes[at + 1] != 0xc4 || !which.contains(&bytes[at + 4]) {
                out.extend(&bytes[at..at + length]);
            }
            at += length;
        }
        out.extend(&bytes[at..]);
        out
    };
    for (what, changed) in [
        ("no end", without_end),
        ("no end, padded with zeros", padded),
        ("two starts", twice),
        ("a header twice", begun_twice),
        ("bytes before the end", before_end),
        ("fill bytes", fill),
        ("bytes between segments", between),
        ("no Huffman tables", without(&[0x00, 0x01, 0x10, 0x11])),
        ("no Huffman tables for chroma", without(&[0x01, 0x11])),
        ("no Huffman table for chroma's means", without(&[0x01])),
    ] {
        assert!(whole(&changed) == pixels, "{what}");
    }
}

#[test]
fn a_missing_quantisation_table_is_not_replaced() {
    let mut bytes = camera().write();
    let table = bytes
        .windows(2)
        .position(|w| w == [0xff, 0xdb])
        .expect("a table");
    bytes.drain(table..table + 69);
    assert!(matches!(decode(&bytes), Err(JpegError::Broken(_))));
}

#[test]
fn a_lost_restart_marker_costs_nothing_nor_does_a_wrong_one() {
    let bytes = camera().write();
    let pixels = whole(&bytes);
    let places = restarts(&bytes);
    assert!(places.len() > 20);
    for (i, &place) in places.iter().enumerate() {
        let mut lost = bytes.clone();
        lost.drain(place..place + 2);
        assert!(whole(&lost) == pixels, "marker {i} is lost");
        for wrong in 0xd0..=0xd7 {
            let mut bytes = bytes.clone();
            bytes[place + 1] = wrong;
            // No marker follows the last one and shows that its number is wrong, so lines are dropped rather than misplaced.
            if i + 1 < places.len() || wrong == 0xd0 + i as u8 % 8 {
                assert!(whole(&bytes) == pixels, "marker {i} is {wrong:x}");
            } else {
                assert!(lines(&bytes) < 96 || whole(&bytes) == pixels);
            }
        }
    }
}

/// Whatever is lost, every line that is shown is as it was sent.
#[test]
fn lost_packets_never_put_lines_in_a_wrong_place() {
    for recipe in [
        camera(),
        Recipe::new(160, 96, HALF),
        Recipe::new(160, 96, QUARTER),
    ] {
        let bytes = recipe.write();
        let pixels = whole(&bytes);
        let scan = bytes
            .windows(2)
            .position(|w| w == [0xff, 0xda])
            .expect("a scan")
            + 14;
        let mut refused = 0;
        for length in [1, 16, 40, 200, 700] {
            for from in (scan..bytes.len() - 2 - length).step_by(97) {
                for zeros in [false, true] {
                    let mut bytes = bytes.clone();
                    if zeros {
                        bytes[from..from + length].fill(0);
                    } else {
                        bytes.drain(from..from + length);
                    }
                    let Ok((decoded, shown)) = decode(&bytes) else {
                        refused += 1;
                        continue;
                    };
                    refused += u32::from(decoded.lines == 0);
                    // The loss of a few bits of another colour is not visible.
                    if length >= 40 && decoded.lines == decoded.height {
                        let wrong = shown
                            .iter()
                            .zip(&pixels)
                            .filter(|(a, b)| a.abs_diff(**b) > 8);
                        let share = wrong.count() as f64 / pixels.len() as f64;
                        assert!(share < 0.1, "{recipe:?} {from} {length} {zeros}: {share}");
                    }
                }
            }
        }
        assert!(refused > 20, "{refused}");
    }
}

#[test]
fn lost_intervals_are_counted_and_only_the_bottom_is_cut_off() {
    let bytes = camera().write();
    let places = restarts(&bytes);
    // The last two of 24 intervals are missing. Each is half a line of units, so only the last line of units is missing.
    let bottom = &bytes[..places[places.len() - 2]];
    assert_eq!(lines(bottom), 88);
    let padded = [bottom, &[0; 3000]].concat();
    assert_eq!(lines(&padded), 88);
    // With an end mark, data may be missing anywhere.
    let marked = [bottom, b"\xff\xd9"].concat();
    assert_eq!(lines(&marked), 0);
    let mut middle = bytes.clone();
    middle.drain(places[5]..places[9]);
    assert_eq!(lines(&middle), 0);
    // Half of the picture.
    assert_eq!(lines(&bytes[..places[11]]), 48);
}

#[test]
fn an_invalid_table_is_refused() {
    assert!(
        Table::new(
            &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 2, 3]
        )
        .is_none()
    );
    assert!(Table::new(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]).is_none());
    assert!(Table::new(&[0; 16], &[1]).is_none());
    let mut places = ZIGZAG;
    places.sort_unstable();
    assert!(
        places
            .iter()
            .enumerate()
            .all(|(i, place)| i == usize::from(*place))
    );
}

proptest! {
    /// Nothing that is done to a picture makes the decoder panic, at any scale.
    #[test]
    fn damaged_pictures_never_panic(
        sampling in prop::sample::select(vec![GREY, FULL, HALF, QUARTER, &[(3, 1), (1, 2), (1, 1)][..]]),
        restart in 0_u32..9, apart in any::<bool>(), kind in prop::sample::select(vec![0xc0_u8, 0xc1, 0xc2]),
        eighths in prop::sample::select(vec![1_u32, 2, 4, 8]),
        faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..40), 0..5),
    ) {
        let recipe = Recipe { restart, apart, ..Recipe::new(61, 43, sampling) };
        let mut bytes = recipe.write();
        let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).expect("a frame");
        bytes[frame + 1] = kind;
        for (at, byte, lost) in faults {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.drain(at..(at + lost / 8).min(bytes.len()));
        }
        let mut decoder = Decoder::default();
        let decoded = decoder.decode(&bytes, |frame| {
            let small = frame.width.max(1) * frame.height.max(1) < 1 << 16 && frame.width * frame.height > 0;
            small.then_some(eighths).ok_or_else(|| JpegError::Broken("large".to_owned()))
        });
        if let Ok(decoded) = decoded {
            prop_assert!(decoded.lines <= decoded.height);
        }
    }
}
