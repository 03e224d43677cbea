//! PNG photos, read row by row into a [`Shrinking`] picture, and their EXIF data. The decoder is the crate `png`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use image::metadata::Orientation;

use super::shrink::{Row, Shrinking};
use super::{PhotoFault, Stored, check};

/// The most bytes that the PNG decoder may take for data other than pixels.
const LIMIT: usize = 16 << 20;

/// Reads a file from its beginning.
pub(super) fn read(mut file: BufReader<File>) -> Result<Stored, PhotoFault> {
    let exif = exif(&mut file).map_err(PhotoFault::Unreadable)?;
    file.seek(SeekFrom::Start(0))
        .map_err(PhotoFault::Unreadable)?;
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: LIMIT });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(PhotoFault::Png)?;
    check(header.width, header.height)?;
    let mut reader = decoder.read_info().map_err(PhotoFault::Png)?;
    let (width, height) = (reader.info().width, reader.info().height);
    let interlaced = reader.info().interlaced;
    let channels = reader.output_color_type().0.samples();
    let mut shrinking = Shrinking::new((width, height), interlaced)?;
    for row in rows(width, height, interlaced) {
        let data = reader.next_row().map_err(PhotoFault::Png)?;
        shrinking.add(row, data.ok_or(PhotoFault::GaveUp)?.data(), channels);
    }
    // Checks that there is no further row and that the checksums are right.
    reader.next_row().map_err(PhotoFault::Png)?;
    Ok(Stored {
        picture: shrinking.finish()?,
        width,
        orientation: exif
            .and_then(|exif| Orientation::from_exif_chunk(&exif))
            .unwrap_or(Orientation::NoTransforms),
    })
}

/// The EXIF data of a PNG file, wherever they are stored. Some programs write them after the pixels, where decoders do not
/// look.
fn exif(file: &mut BufReader<File>) -> std::io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(8))?;
    // The limit is as many chunks as a large picture has in small pieces.
    for _ in 0..1 << 16 {
        let mut head = [0; 8];
        if file.read_exact(&mut head).is_err() {
            return Ok(None);
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match &head[4..] {
            b"eXIf" if length <= 1 << 16 => {
                let mut exif = vec![0; length as usize];
                return Ok(file.read_exact(&mut exif).is_ok().then_some(exif));
            }
            b"IEND" => return Ok(None),
            // Skips the chunk together with the checksum behind it.
            _ => file.seek_relative(i64::from(length) + 4)?,
        }
    }
    Ok(None)
}

/// The passes of an interlaced picture, in the order in which they are stored (PNG specification, 8.2): for each, the first
/// pixel and the step to the next, across and down.
const PASSES: [[u32; 4]; 7] = [
    [0, 8, 0, 8],
    [4, 8, 0, 8],
    [0, 4, 4, 8],
    [2, 4, 0, 4],
    [0, 2, 2, 4],
    [1, 2, 0, 2],
    [0, 1, 1, 2],
];

/// The rows of a picture, in the order in which they are stored.
pub(super) fn rows(width: u32, height: u32, interlaced: bool) -> Box<dyn Iterator<Item = Row>> {
    if !interlaced {
        return Box::new((0..height).map(|line| Row {
            first: 0,
            step: 1,
            line,
        }));
    }
    let passes = PASSES.into_iter().filter(move |[x, ..]| *x < width);
    Box::new(passes.flat_map(move |[first, step, y, down]| {
        let lines = (y..height).step_by(down as usize);
        lines.map(move |line| Row { first, step, line })
    }))
}
