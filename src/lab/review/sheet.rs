//! Draws a picture of some visits: what was seen when the door decided, and what the relay did. Nothing is judged here.

use std::time::Duration;

use image::{GenericImage, Rgb, RgbImage};

use super::{Judged, Logged, millis};
use crate::capture::convert::from_rgb;
use crate::doorstep::{HEIGHT, Play, SceneRenderer, WIDTH, picture};
use crate::face::Reader;
use crate::frame::{Image, PixelFormat};
use crate::lab::{LabError, draw, name};
use crate::people::{Gallery, Identifier};

const COLUMNS: u32 = 4;
const ROWS: u32 = 3;
/// The number of a frame's pixels, in each direction, per pixel of the sheet.
const SCALE: u32 = 2;
const TILE: (u32, u32) = (WIDTH as u32 / SCALE, HEIGHT as u32 / SCALE);
/// The height of the strip below a tile, with a line of text and the relay's trace.
const STRIP: u32 = 44;
const GAP: u32 = 6;
const PAPER: Rgb<u8> = Rgb([24, 26, 30]);
const TEXT: Rgb<u8> = Rgb([210, 214, 220]);
const LINE: Rgb<u8> = Rgb([90, 96, 106]);
const RELAY: Rgb<u8> = Rgb([255, 170, 40]);

/// The networks and the people with which the frames are looked at.
pub struct Eyes<'a> {
    pub reader: Reader,
    pub identifier: Identifier,
    pub gallery: &'a Gallery,
    /// The pixel format of the frames.
    pub format: PixelFormat,
}

/// Shows visits from the whole play: what the program sees in the frame on which the door decided, and what the relay did.
pub fn sheet(
    eyes: &mut Eyes<'_>,
    play: Play,
    judged: &[Judged],
    logged: &Logged,
) -> Result<RgbImage, LabError> {
    let (across, down) = (TILE.0 + GAP, TILE.1 + STRIP + GAP);
    let mut sheet = RgbImage::from_pixel(GAP + COLUMNS * across, GAP + ROWS * down, PAPER);
    let mut stage = SceneRenderer::new(play);
    let (mut canvas, mut bytes) = (picture(), Vec::new());
    for (place, k) in chosen(stage.play(), (COLUMNS * ROWS) as usize)
        .into_iter()
        .enumerate()
    {
        let visit = stage.play().visits()[k].clone();
        let (from, until) = (millis(visit.from), millis(visit.until));
        let decided = logged.decided.iter().find(|at| (from..until).contains(at));
        let moment = *decided.unwrap_or(&u64::midpoint(from, until));
        stage.draw(Duration::from_millis(moment).as_secs_f32(), &mut canvas);
        let layout = from_rgb(
            &canvas,
            WIDTH as u32,
            HEIGHT as u32,
            eyes.format,
            &mut bytes,
        )?;
        let faces = eyes.reader.read(&Image::new(layout, &bytes)?)?;
        let triangle = image::imageops::FilterType::Triangle;
        let mut tile = image::imageops::resize(&canvas, TILE.0, TILE.1, triangle);
        for face in faces {
            let n = name(face, &eyes.identifier, eyes.gallery);
            draw::face(&mut tile, face, SCALE as f32, n.colour(), &n.label(), 1);
        }
        let (left, top) = (
            GAP + place as u32 % COLUMNS * across,
            GAP + place as u32 / COLUMNS * down,
        );
        // The sheet has room for all.
        let _ = sheet.copy_from(&tile, left, top);
        let strip = (i64::from(left), i64::from(top + TILE.1));
        let text = format!(
            "{:.1} s {}",
            moment as f32 / 1000.0,
            judged[k].line(stage.play(), &visit)
        );
        draw::write(&mut sheet, strip.0, strip.1 + 4, 1, &text, TEXT);
        let end = from + millis(stage.play().script().every);
        trace(&mut sheet, strip, (from, end), moment, logged);
    }
    Ok(sheet)
}

/// Draws what the relay did from one time to another, with a mark at the time of the picture above.
fn trace(
    sheet: &mut RgbImage,
    (left, top): (i64, i64),
    (from, end): (u64, u64),
    moment: u64,
    logged: &Logged,
) {
    let (wide, on, off) = (i64::from(TILE.0), top + 18, top + 38);
    let x = |at: u64| {
        let part = at.clamp(from, end) - from;
        left + i64::try_from(part * u64::from(TILE.0) / (end - from).max(1)).unwrap_or(0)
    };
    draw::fill(sheet, left, off, left + wide, off + 1, LINE);
    draw::fill(sheet, x(moment), on - 2, x(moment) + 1, off + 3, LINE);
    for (opened, _) in &logged.opened {
        let closed = logged.closed.iter().find(|at| *at >= opened).copied();
        let (a, b) = (x(*opened), x(closed.unwrap_or(end)));
        if b > a {
            draw::fill(sheet, a, on, b, on + 2, RELAY);
            draw::fill(sheet, a, off - 1, left, off + 1, RELAY);
            for edge in [a, b] {
                draw::fill(sheet, edge - 1, on, edge + 1, off + 1, RELAY);
            }
        }
    }
    draw::write(sheet, left + wide - 40, off - 8, 1, "relay", LINE);
}

/// Chooses `count` visits, spread over the play. They alternate between a resident, a stranger and two people together, where
/// there are such visits.
fn chosen(play: &Play, count: usize) -> Vec<usize> {
    let visits = play.visits();
    let count = count.min(visits.len());
    (0..count)
        .map(|place| {
            let part = place * visits.len() / count..(place + 1) * visits.len() / count;
            let wanted = |k: &usize| {
                let who = &visits[*k].who;
                match place % 3 {
                    0 => who.len() == 1 && play.lives_here(who[0]),
                    1 => who.len() == 1 && !play.lives_here(who[0]),
                    _ => who.len() > 1,
                }
            };
            part.clone().find(wanted).unwrap_or(part.start)
        })
        .collect()
}
