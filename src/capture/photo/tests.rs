//! Photos of every kind that can be read, and files that are refused. All are generated here. Where no encoder would write
//! such a file, it is made byte by byte.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::{Photo, PhotoError, UNREAD};

/// A PNG file with these chunks and their checksums.
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

/// Rows as they are stored in a PNG file, without compression.
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

/// A TIFF file whose only directory records how to turn the picture.
fn exif(orientation: u8) -> Vec<u8> {
    let mut data = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    data.extend([orientation, 0, 0, 0, 0, 0, 0]);
    data
}

fn open(bytes: &[u8]) -> Result<Photo, PhotoError> {
    let folder = tempfile::tempdir().expect("a folder");
    // The file's name does not match its kind.
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
        // After a quarter turn to the right, the left is at the top, and the top is at the right.
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
    let interlaced: Vec<Vec<u8>> = super::png::rows(11, 9, true)
        .map(|row| {
            let places = (row.first..11).step_by(row.step as usize);
            places
                .map(|x| grey8[row.line as usize][x as usize])
                .collect()
        })
        .collect();
    // The first picture of an animation is the one that all other programs show.
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

/// The pictures are a little larger than the largest that is read in full size.
#[test]
fn large_photos_are_read_smaller() {
    let (width, height) = (4208, 2000);
    let sides = (width / 2, height / 2);
    let one_bit =
        |line: u32| vec![if line.is_multiple_of(2) { 0xaa } else { 0xff }; width as usize / 8];
    let rows: Vec<Vec<u8>> = (0..height).map(one_bit).collect();
    let plain = png_of(header(width, height, 1, 0, false), &rows);
    let passes: Vec<Vec<u8>> = super::png::rows(width, height, true)
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
        // Three of four pixels are white.
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
    // The header has the most pixels that a file may have, but there are no data for them.
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
