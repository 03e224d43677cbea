//! Marks faces in pictures with boxes, landmarks and names. No picture file is read or written here.

use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage};

use crate::face::{Face, Point};

/// The colour of a person who is recognised.
pub const KNOWN: Rgb<u8> = Rgb([60, 220, 90]);
/// The colour of a person who is not recognised.
pub const UNKNOWN: Rgb<u8> = Rgb([250, 90, 70]);
const POINTS: Rgb<u8> = Rgb([255, 230, 60]);
const INK: Rgb<u8> = Rgb([0, 0, 0]);

/// Marks `face`, found in a picture that is `scale` times as large as `canvas`, with lines `unit` pixels thick.
pub fn face(
    canvas: &mut RgbImage,
    face: &Face,
    scale: f32,
    colour: Rgb<u8>,
    label: &str,
    unit: i64,
) {
    let pixel = |v: f32| pixel(v / scale);
    let b = face.bbox;
    let (left, top) = (pixel(b.x), pixel(b.y));
    let (right, bottom) = (pixel(b.x + b.width), pixel(b.y + b.height));
    fill(canvas, left, top, right, top + unit, colour);
    fill(canvas, left, bottom - unit, right, bottom, colour);
    fill(canvas, left, top, left + unit, bottom, colour);
    fill(canvas, right - unit, top, right, bottom, colour);
    for Point { x, y } in face.landmarks {
        let (x, y) = (pixel(x), pixel(y));
        fill(canvas, x - unit, y - unit, x + unit, y + unit, POINTS);
    }
    let (tall, wide) = (8 * unit, 8 * unit * label.chars().count() as i64);
    // Above the box if there is room, else inside it.
    let line = if top >= tall + 2 * unit {
        top - tall - 2 * unit
    } else {
        top
    };
    let (end, below) = (left + wide + 2 * unit, line + tall + 2 * unit);
    fill(canvas, left, line, end, below, colour);
    write(canvas, left + unit, line + unit, unit, label, INK);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a pixel of a picture of at most 16384"
)]
fn pixel(v: f32) -> i64 {
    v.round() as i64
}

/// Fills the part of a rectangle that is on the canvas.
pub fn fill(canvas: &mut RgbImage, left: i64, top: i64, right: i64, bottom: i64, colour: Rgb<u8>) {
    let clip = |v: i64, side: u32| u32::try_from(v.clamp(0, i64::from(side))).unwrap_or(0);
    let (width, height) = canvas.dimensions();
    for y in clip(top, height)..clip(bottom, height) {
        for x in clip(left, width)..clip(right, width) {
            canvas.put_pixel(x, y, colour);
        }
    }
}

/// Writes `text` in letters of 8 by 8 units.
pub fn write(canvas: &mut RgbImage, left: i64, top: i64, unit: i64, text: &str, ink: Rgb<u8>) {
    let mut x = left;
    for letter in text.chars() {
        let rows = font8x8::BASIC_FONTS
            .get(letter)
            .or_else(|| font8x8::LATIN_FONTS.get(letter))
            .unwrap_or([0xff, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0xff]);
        for (row, bits) in (0i64..).zip(rows) {
            for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                let (px, py) = (x + column * unit, top + row * unit);
                fill(canvas, px, py, px + unit, py + unit, ink);
            }
        }
        x += 8 * unit;
    }
}
