//! A photo from a file, upright, as the sampler reads pictures.
//!
//! Reading a photo takes a bounded amount of memory, whatever is in the file: a large JPEG picture is decoded at a smaller
//! scale, a large PNG picture is averaged down line by line, and an even larger one is refused by its header.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::kinds::Kind;
use crate::frame::{Image, JpegError, JpegPhoto, Layout, PixelFormat};
use crate::panics::contained;

/// A decoded photo.
pub struct Photo {
    picture: RgbImage,
    /// Pixels of the file, upright, for one of the picture.
    scale: f32,
}

/// Without the pixels, which belong in no log.
impl std::fmt::Debug for Photo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height) = self.picture.dimensions();
        write!(f, "Photo({width}x{height})")
    }
}

/// Why a file is no photo.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct PhotoError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: PhotoFault,
}

/// What is wrong with a photo, and what to do about it; the text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum PhotoFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}; name a JPEG or PNG picture")]
    Unreadable(#[source] std::io::Error),
    /// It is something else.
    #[error("{0}; JPEG and PNG pictures can be read")]
    OtherKind(&'static str),
    /// A folder, a device, a pipe.
    #[error("is no file; name a JPEG or PNG picture")]
    NoFile,
    /// A damaged JPEG picture, or a JPEG of a kind that is not supported.
    #[error("{0}; JPEG and PNG pictures can be read if they are whole: copy it again")]
    Jpeg(#[source] JpegError),
    /// A damaged PNG picture.
    #[error(
        "the PNG picture is damaged or cut short ({0}); JPEG and PNG pictures can be read if they are whole: copy it again"
    )]
    Png(#[source] png::DecodingError),
    /// Larger than any that is read.
    #[error(
        "has {width}x{height} pixels; photos of up to {} million pixels and {} a side can be read: make it smaller",
        Photo::MAX_PIXELS >> 20,
        Photo::MAX_SIDE
    )]
    Pixels {
        /// Pixels a line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// The file is too large.
    #[error("is {0} MiB large; photos of up to {most} MiB can be read: make it smaller", most = Photo::MAX_BYTES >> 20)]
    Bytes(u64),
    /// There is no memory left.
    #[error("there is too little memory to read it; make it smaller")]
    Memory,
    /// A defect of the decoder.
    #[error("the decoder gave up on it; save it again as JPEG")]
    GaveUp,
}

/// How the reason for not using a photo begins if the photo cannot be read.
pub const UNREAD: &str = "cannot be read: ";

impl PhotoError {
    /// The reason for not using the photo, as it follows the file's name.
    #[must_use]
    pub fn why(&self) -> String {
        match &self.fault {
            fault @ PhotoFault::Unreadable(_) => fault.to_string(),
            fault => format!("{UNREAD}{fault}"),
        }
    }
}

impl Photo {
    /// The most pixels that a photo's file may have: cameras of phones have up to 200 million.
    pub const MAX_PIXELS: u64 = 256 << 20;
    /// The longest side of a photo in its file.
    pub const MAX_SIDE: u32 = 65_535;
    /// The largest file.
    pub const MAX_BYTES: u64 = 96 << 20;
    /// The most pixels that a photo has once it is read. A larger one is read at a half, a third, a quarter and so on of its
    /// size: faces that are worth learning still have several hundred pixels then.
    pub const MOST: u32 = 8 << 20;
    /// The most bytes that reading any photo takes: the file, the picture, a turned copy of the picture, and what the decoder
    /// holds.
    pub const MEMORY: u64 = 2 * 3 * Self::MOST as u64 + Self::DECODER;
    /// The most bytes that decoding takes in addition to the file and the picture.
    const DECODER: u64 = 64 << 20;

    /// Reads and decodes the JPEG or PNG file at `path`, turned upright by its EXIF data, with at most [`Photo::MOST`]
    /// pixels.
    ///
    /// # Errors
    /// [`PhotoError`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, PhotoError> {
        // A defect of a decoder costs this photo only.
        let read = contained(|| read(path));
        read.unwrap_or(Err(PhotoFault::GaveUp))
            .map_err(|fault| PhotoError {
                path: path.to_owned(),
                fault,
            })
    }

    /// Its pixels.
    ///
    /// # Panics
    /// Never: its size is bounded.
    #[must_use]
    pub fn image(&self) -> Image<'_> {
        let (width, height) = self.picture.dimensions();
        let layout = Layout::packed(PixelFormat::Rgb3, width, height);
        Image::new(layout, self.picture.as_raw()).expect("bounded")
    }

    /// How many pixels of the file, across and down, one of its pixels stands for.
    #[must_use]
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// Its pixels, to change them.
    #[must_use]
    pub fn into_picture(self) -> RgbImage {
        self.picture
    }
}

/// A picture as stored in its file, and how to turn it.
struct Stored {
    picture: RgbImage,
    /// Pixels a line in the file.
    width: u32,
    orientation: Orientation,
}

fn read(path: &Path) -> Result<Photo, PhotoFault> {
    let unreadable = PhotoFault::Unreadable;
    // Checked before it is opened: to open a pipe is to wait for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(PhotoFault::NoFile);
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > Photo::MAX_BYTES {
        return Err(PhotoFault::Bytes(length >> 20));
    }
    let mut file = BufReader::with_capacity(64 << 10, file);
    let stored = match Kind::of(head(&mut file).map_err(unreadable)?) {
        Kind::Jpeg => jpeg(file.take(Photo::MAX_BYTES), length)?,
        Kind::Png => png(file)?,
        Kind::Other(what) => return Err(PhotoFault::OtherKind(what)),
    };
    let scale = stored.width as f32 / stored.picture.width() as f32;
    let picture = match stored.orientation {
        Orientation::NoTransforms => stored.picture,
        // Phones store pictures as the sensor lies and record how to turn them.
        orientation => {
            let mut picture = DynamicImage::from(stored.picture);
            picture.apply_orientation(orientation);
            picture.into_rgb8()
        }
    };
    let (width, height) = picture.dimensions();
    if width.max(height) > Image::MAX_SIDE {
        return Err(PhotoFault::Pixels { width, height });
    }
    Ok(Photo { picture, scale })
}

/// What a file begins with.
fn head(file: &mut BufReader<std::fs::File>) -> std::io::Result<&[u8]> {
    let head = file.fill_buf()?;
    Ok(&head[..head.len().min(1024)])
}

/// Whether a photo may have so many pixels in its file.
fn check(width: u32, height: u32) -> Result<(), PhotoFault> {
    let side = 1..=Photo::MAX_SIDE;
    let pixels = u64::from(width) * u64::from(height);
    if !side.contains(&width) || !side.contains(&height) || pixels > Photo::MAX_PIXELS {
        return Err(PhotoFault::Pixels { width, height });
    }
    Ok(())
}

/// `count` zeros, if there is memory for them.
fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, PhotoFault> {
    let mut zeros = Vec::new();
    zeros
        .try_reserve_exact(count)
        .map_err(|_| PhotoFault::Memory)?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

fn picture(width: u32, height: u32, pixels: Vec<u8>) -> Result<RgbImage, PhotoFault> {
    RgbImage::from_raw(width, height, pixels).ok_or(PhotoFault::GaveUp)
}

fn jpeg(mut file: impl Read, length: u64) -> Result<Stored, PhotoFault> {
    let mut bytes = Vec::new();
    let room = usize::try_from(length).map_err(|_| PhotoFault::Memory)?;
    bytes
        .try_reserve_exact(room)
        .map_err(|_| PhotoFault::Memory)?;
    file.read_to_end(&mut bytes)
        .map_err(PhotoFault::Unreadable)?;
    let photo = JpegPhoto::decode(
        &bytes,
        |width, height| check(width, height).is_ok(),
        Photo::MOST,
        Photo::DECODER,
    );
    let photo = photo.map_err(|error| match error {
        JpegError::Size { width, height, .. } => PhotoFault::Pixels { width, height },
        JpegError::Memory { .. } => PhotoFault::Memory,
        error => PhotoFault::Jpeg(error),
    })?;
    let exif = photo.exif.and_then(|(from, to)| bytes.get(from..to));
    let orientation = exif.and_then(Orientation::from_exif_chunk);
    drop(bytes);
    let pixels = match photo.format {
        PixelFormat::Grey => {
            let mut colours = zeros(3 * photo.pixels.len())?;
            for (rgb, grey) in colours.chunks_exact_mut(3).zip(&photo.pixels) {
                rgb.fill(*grey);
            }
            colours
        }
        _ => photo.pixels,
    };
    Ok(Stored {
        picture: picture(photo.width, photo.height, pixels)?,
        width: photo.file_width,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
    })
}

/// The most bytes that the PNG decoder may take for data other than pixels.
const PNG_LIMIT: usize = 16 << 20;

fn png(mut file: BufReader<std::fs::File>) -> Result<Stored, PhotoFault> {
    let exif = png_exif(&mut file).map_err(PhotoFault::Unreadable)?;
    file.seek(SeekFrom::Start(0))
        .map_err(PhotoFault::Unreadable)?;
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: PNG_LIMIT });
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

/// The smallest whole number by which both sides are to be divided.
fn reduction(width: u32, height: u32) -> u32 {
    let fits = |by: &u32| {
        let (width, height) = (width.div_ceil(*by), height.div_ceil(*by));
        let pixels = u64::from(width) * u64::from(height);
        width.max(height) <= Image::MAX_SIDE && pixels <= Photo::MOST.into()
    };
    (1..).find(fits).unwrap_or(u32::MAX)
}

/// The EXIF data of a PNG file, wherever they lie: some programs write them after the pixels, where decoders do not look.
fn png_exif(file: &mut BufReader<std::fs::File>) -> std::io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(8))?;
    // As many chunks as a large picture has in small pieces.
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
            // With the checksum behind it.
            _ => file.seek_relative(i64::from(length) + 4)?,
        }
    }
    Ok(None)
}

/// Where the pixels of a row lie in the picture.
#[derive(Clone, Copy)]
struct Row {
    /// The first pixel, and the step to the next.
    first: u32,
    step: u32,
    line: u32,
}

/// The rows of an interlaced picture, in the order in which they are stored (PNG specification, 8.2): by pass, the first
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

fn rows(width: u32, height: u32, interlaced: bool) -> Box<dyn Iterator<Item = Row>> {
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

/// A picture that becomes smaller as its rows come: each of its pixels is the mean of `by` x `by`.
struct Shrinking {
    by: u32,
    width: u32,
    height: u32,
    /// Of the file.
    full: (u32, u32),
    /// Sums of a line of the result, or of all lines where rows come in another order.
    sums: Vec<u16>,
    interlaced: bool,
    pixels: Vec<u8>,
}

impl Shrinking {
    fn new(full: (u32, u32), interlaced: bool) -> Result<Self, PhotoFault> {
        let by = reduction(full.0, full.1);
        // More would not fit into the sums.
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

    fn add(&mut self, row: Row, data: &[u8], channels: usize) {
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

    /// Line `y` of the result, from the sums that begin at `from`.
    fn line(&mut self, y: usize, from: usize) {
        let line = 3 * self.width as usize;
        let side = |at: usize, full: u32| self.by.min(full - at as u32 * self.by);
        let down = side(y, self.full.1);
        let out = self.pixels[y * line..][..line].chunks_exact_mut(3);
        for (x, (out, sums)) in out.zip(self.sums[from..].chunks_exact(3)).enumerate() {
            let count = side(x, self.full.0) * down;
            for (out, sum) in out.iter_mut().zip(sums) {
                // A mean of bytes is a byte.
                *out = ((u32::from(*sum) + count / 2) / count) as u8;
            }
        }
    }

    fn finish(mut self) -> Result<RgbImage, PhotoFault> {
        if self.interlaced && self.by > 1 {
            for y in 0..self.height as usize {
                self.line(y, y * 3 * self.width as usize);
            }
        }
        picture(self.width, self.height, self.pixels)
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    /// A PNG file of these pieces, with their checksums.
    fn png_file(pieces: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in pieces {
            out.extend((data.len() as u32).to_be_bytes());
            let checked = [&kind[..], data].concat();
            let mut sum = !0_u32;
            for byte in &checked {
                sum ^= u32::from(*byte);
                for _ in 0..8 {
                    sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
                }
            }
            out.extend(&checked);
            out.extend((!sum).to_be_bytes());
        }
        out
    }

    fn header(width: u32, height: u32, depth: u8, colour: u8, interlaced: bool) -> Vec<u8> {
        let mut data = width.to_be_bytes().to_vec();
        data.extend(height.to_be_bytes());
        data.extend([depth, colour, 0, 0, u8::from(interlaced)]);
        data
    }

    /// Rows as they lie in a PNG file, without compression.
    fn stored(rows: &[Vec<u8>]) -> Vec<u8> {
        let raw: Vec<u8> = rows
            .iter()
            .flat_map(|row| [&[0], &row[..]].concat())
            .collect();
        let mut out = vec![0x78, 0x01];
        let blocks = raw.chunks(0xffff);
        let count = blocks.len();
        for (i, block) in blocks.enumerate() {
            out.push(u8::from(i + 1 == count));
            out.extend((block.len() as u16).to_le_bytes());
            out.extend((!(block.len() as u16)).to_le_bytes());
            out.extend(block);
        }
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in &raw {
            a = (a + u32::from(*byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        out.extend((b << 16 | a).to_be_bytes());
        out
    }

    fn png_of(head: Vec<u8>, rows: &[Vec<u8>]) -> Vec<u8> {
        png_file(&[
            (b"IHDR", head),
            (b"IDAT", stored(rows)),
            (b"IEND", Vec::new()),
        ])
    }

    /// The only directory of a TIFF file: how to turn the picture.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut data = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        data.extend([orientation, 0, 0, 0, 0, 0, 0]);
        data
    }

    fn open(bytes: &[u8]) -> Result<Photo, PhotoError> {
        let folder = tempfile::tempdir().expect("a folder");
        // The name is no hint.
        let path = folder.path().join("photo.gif");
        std::fs::write(&path, bytes).expect("written");
        Photo::open(&path)
    }

    fn good(bytes: &[u8]) -> RgbImage {
        open(bytes).expect("a photo").into_picture()
    }

    /// Left half red, right half blue, the upper line white.
    fn scene(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb(match (y * 8 < height, x * 2 < width) {
                (true, _) => [255; 3],
                (false, true) => [250, 0, 0],
                (false, false) => [0, 0, 250],
            })
        })
    }

    fn jpeg_of(picture: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (width, height) = picture.dimensions();
        JpegEncoder::new_with_quality(&mut bytes, 90)
            .write_image(picture, width, height, ExtendedColorType::Rgb8)
            .expect("written");
        bytes
    }

    fn near(pixel: &image::Rgb<u8>, wanted: [u8; 3]) -> bool {
        pixel.0.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 40)
    }

    #[test]
    fn photos_are_turned_upright_wherever_their_exif_data_are() {
        let picture = scene(64, 32);
        let mut jpeg = jpeg_of(&picture);
        let segment = [b"Exif\0\0", &exif(6)[..]].concat();
        let length = (segment.len() as u16 + 2).to_be_bytes();
        let segment = [b"\xff\xe1", &length[..], &segment].concat();
        jpeg.splice(2..2, segment);
        let rows: Vec<Vec<u8>> = picture
            .rows()
            .map(|row| row.flat_map(|p| p.0).collect())
            .collect();
        let head = || (b"IHDR", header(64, 32, 8, 2, false));
        let data = || (b"IDAT", stored(&rows));
        let before = png_file(&[head(), (b"eXIf", exif(6)), data(), (b"IEND", Vec::new())]);
        let behind = png_file(&[head(), data(), (b"eXIf", exif(6)), (b"IEND", Vec::new())]);
        for (what, bytes) in [
            ("JPEG", jpeg),
            ("PNG before", before),
            ("PNG behind", behind),
        ] {
            let photo = good(&bytes);
            assert_eq!(photo.dimensions(), (32, 64), "{what}");
            // A quarter turn to the right: what was on the left is above, what was above is on the right.
            assert!(near(photo.get_pixel(10, 10), [250, 0, 0]), "{what}");
            assert!(near(photo.get_pixel(10, 60), [0, 0, 250]), "{what}");
            assert!(near(photo.get_pixel(31, 20), [255; 3]), "{what}");
        }
    }

    #[test]
    fn every_kind_of_png_is_read() {
        let grey8: Vec<Vec<u8>> = (0..9_u8)
            .map(|y| (0..11).map(|x| x * 20 + y).collect())
            .collect();
        let rows = |each: fn(u8) -> Vec<u8>| -> Vec<Vec<u8>> {
            grey8
                .iter()
                .map(|row| row.iter().flat_map(|v| each(*v)).collect())
                .collect()
        };
        let palette: Vec<u8> = (0..=255_u8).flat_map(|v| [v; 3]).collect();
        let with_palette = png_file(&[
            (b"IHDR", header(11, 9, 8, 3, false)),
            (b"PLTE", palette),
            (b"IDAT", stored(&grey8)),
            (b"IEND", Vec::new()),
        ]);
        let interlaced: Vec<Vec<u8>> = super::rows(11, 9, true)
            .map(|row| {
                let places = (row.first..11).step_by(row.step as usize);
                places
                    .map(|x| grey8[row.line as usize][x as usize])
                    .collect()
            })
            .collect();
        // The first picture of an animation is the one that all others see.
        let animated = png_file(&[
            (b"IHDR", header(11, 9, 8, 0, false)),
            (b"acTL", [0, 0, 0, 1, 0, 0, 0, 0].to_vec()),
            (b"IDAT", stored(&grey8)),
            (b"IEND", Vec::new()),
        ]);
        for (what, bytes) in [
            ("grey", png_of(header(11, 9, 8, 0, false), &grey8)),
            (
                "grey, 16 bits",
                png_of(header(11, 9, 16, 0, false), &rows(|v| vec![v, 7])),
            ),
            (
                "grey with alpha",
                png_of(header(11, 9, 8, 4, false), &rows(|v| vec![v, 200])),
            ),
            (
                "colour, 16 bits",
                png_of(
                    header(11, 9, 16, 2, false),
                    &rows(|v| vec![v, 1, v, 2, v, 3]),
                ),
            ),
            (
                "colour with alpha",
                png_of(header(11, 9, 8, 6, false), &rows(|v| vec![v, v, v, 0])),
            ),
            ("palette", with_palette),
            ("interlaced", png_of(header(11, 9, 8, 0, true), &interlaced)),
            ("animated", animated),
        ] {
            let photo = good(&bytes);
            assert_eq!(photo.dimensions(), (11, 9), "{what}");
            for (x, y, pixel) in photo.enumerate_pixels() {
                let wanted = grey8[y as usize][x as usize];
                assert_eq!(pixel.0, [wanted; 3], "{what}: {x} {y}");
            }
        }
    }

    /// A little larger than the largest that is read in full size.
    #[test]
    fn large_photos_are_read_smaller() {
        let (width, height) = (4208, 2000);
        let sides = (width / 2, height / 2);
        let one_bit =
            |line: u32| vec![if line.is_multiple_of(2) { 0xaa } else { 0xff }; width as usize / 8];
        let rows: Vec<Vec<u8>> = (0..height).map(one_bit).collect();
        let plain = png_of(header(width, height, 1, 0, false), &rows);
        let passes: Vec<Vec<u8>> = super::rows(width, height, true)
            .map(|row| {
                let value = match (row.step, row.line % 2) {
                    // Of the pixels in even lines, the even ones are white.
                    (_, 0) if row.first % 2 == 1 => 0,
                    (2.., 0) | (_, 1) => 0xff,
                    _ => 0xff,
                };
                let count = (width - row.first).div_ceil(row.step);
                vec![value; count.div_ceil(8) as usize]
            })
            .collect();
        let interlaced = png_of(header(width, height, 1, 0, true), &passes);
        for bytes in [plain, interlaced] {
            let photo = open(&bytes).expect("a photo");
            assert!((photo.scale() - 2.0).abs() < 0.01);
            let picture = photo.into_picture();
            assert_eq!(picture.dimensions(), sides);
            // Three of four are white.
            assert!(picture.pixels().all(|p| near(p, [191; 3])));
        }
        let photo = good(&jpeg_of(&scene(width, height)));
        assert_eq!(photo.dimensions(), sides);
        assert!(near(photo.get_pixel(100, 900), [250, 0, 0]));
        assert!(near(photo.get_pixel(2000, 900), [0, 0, 250]));
    }

    #[test]
    fn pictures_larger_than_any_camera_makes_are_refused_by_their_headers() {
        for (width, height) in [
            (27_713, 27_713),
            (70_000, 1),
            (1, 70_000),
            (u32::MAX >> 1, 2),
        ] {
            let bytes = png_file(&[(b"IHDR", header(width, height, 8, 2, false))]);
            let message = open(&bytes).unwrap_err().to_string();
            assert!(
                message.contains(&format!("{width}x{height} pixels")),
                "{message}"
            );
        }
        let mut bytes = jpeg_of(&scene(16, 16));
        let frame = bytes
            .windows(2)
            .position(|w| w == [0xff, 0xc0])
            .expect("a frame");
        bytes[frame + 5..frame + 9].fill(0xff);
        let message = open(&bytes).unwrap_err().to_string();
        assert!(message.contains("65535x65535 pixels"), "{message}");
        // As many as a file may have, but without data for them.
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
        let message = open(&bytes).unwrap_err().to_string();
        assert!(message.contains("are no 16383x16383 pixels"), "{message}");
    }

    #[test]
    fn a_damaged_or_foreign_file_is_refused_with_its_kind() {
        let jpeg = jpeg_of(&scene(64, 64));
        let rows = vec![vec![7; 64]; 64];
        let png = png_of(header(64, 64, 8, 0, false), &rows);
        let mut arithmetic = jpeg.clone();
        let frame = jpeg
            .windows(2)
            .position(|w| w == [0xff, 0xc0])
            .expect("a frame");
        arithmetic[frame + 1] = 0xc9;
        let mut twelve = jpeg.clone();
        twelve[frame + 4] = 12;
        let mut shifted = png.clone();
        shifted[60] ^= 1;
        for (bytes, expected) in [
            (&b""[..], "is empty"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
            (b"dear diary", "neither a JPEG nor a PNG"),
            (&jpeg[..jpeg.len() - 30], "cut short"),
            (&jpeg[..20], "ends within its header"),
            (&png[..png.len() / 2], "cut short"),
            (&png[..30], "cut short"),
            (&shifted, "damaged"),
            (&arithmetic, "arithmetically coded"),
            (&twelve, "more than 8 bits"),
        ] {
            let error = open(bytes).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(expected), "{expected}: {text}");
            assert_eq!(text.matches("photo.gif").count(), 1, "{text}");
            assert!(error.why().starts_with(UNREAD), "{}", error.why());
        }
        // Only the end mark is missing.
        good(&jpeg[..jpeg.len() - 2]);
    }

    #[test]
    fn a_path_that_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = |name: &str| folder.path().join(name);
        std::fs::create_dir(here("a.jpg")).expect("made");
        std::os::unix::fs::symlink(here("b.jpg"), here("b.jpg")).expect("made");
        rustix::fs::mkfifoat(rustix::fs::CWD, here("c.jpg"), rustix::fs::Mode::RUSR).expect("made");
        for (name, expected) in [
            ("a.jpg", "is no file"),
            ("b.jpg", "Too many levels"),
            ("c.jpg", "is no file"),
            ("d.jpg", "No such file"),
        ] {
            let text = Photo::open(&here(name)).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
