//! Strangers for the head to learn from where the owner has none: people of the doorstep, who never lived.
//!
//! They are alike in the manner of their drawing, so they show the head what *nobody* is like, and prove nothing about
//! how often real strangers are taken for somebody.

use crate::doorstep::{Play, Script, Stage, picture};
use crate::face::{Embedding, FaceError, Landmarks, Reader};
use crate::frame::{Image, Layout, PixelFormat};

/// How many: from 100 on, more change nothing that could be measured.
pub const PEOPLE: u32 = 100;
/// Whose play they are of; a number like any other, so that they are the same for everybody.
const SEED: u64 = 41_000_001;

/// Shows `each` one embedding each of [`PEOPLE`] people who never lived; `None` of a face that has none.
///
/// # Errors
/// [`FaceError`] if a network fails.
pub fn built_in(
    reader: &mut Reader,
    mut each: impl FnMut(Option<Embedding>),
) -> Result<(), FaceError> {
    drawn(|image, landmarks| {
        each(reader.read_at(image, landmarks)?);
        Ok(())
    })
}

/// Shows `see` each of them, and where the landmarks are.
///
/// # Errors
/// What `see` says.
pub fn drawn(
    mut see: impl FnMut(&Image<'_>, &Landmarks) -> Result<(), FaceError>,
) -> Result<(), FaceError> {
    let script = Script {
        seed: SEED,
        residents: 1,
        strangers: PEOPLE,
        visits: 1,
        ..Script::default()
    };
    let mut stage = Stage::new(Play::new(&script));
    let mut canvas = picture();
    for who in 1..=PEOPLE as usize {
        let seen = stage.photo(who, who as u32, &mut canvas);
        let layout = Layout::packed(PixelFormat::Rgb3, canvas.width(), canvas.height());
        if let Ok(image) = Image::new(layout, canvas.as_raw()) {
            see(&image, &seen.landmarks)?;
        }
    }
    Ok(())
}
