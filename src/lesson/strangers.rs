//! Strangers for the head to learn from if the owner has none: synthetic people of the doorstep.
//!
//! They are alike because of how they are drawn, so they show the head what the class *nobody* looks like, but prove nothing
//! about how often real strangers are taken for an enrolled person.

use crate::doorstep::{Play, SceneRenderer, Script, picture};
use crate::face::{Embedding, FaceError, Landmarks, Reader};
use crate::frame::{Image, Layout, PixelFormat};

/// How many: above 100, more make no measurable difference.
pub const PEOPLE: u32 = 100;
/// The seed of their play; an arbitrary number, so that they are the same on every device.
const SEED: u64 = 41_000_001;

/// Passes one embedding of each of [`PEOPLE`] synthetic people to `each`; `None` for a face that has none.
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

/// Passes a picture of each of them, with its landmarks, to `see`.
///
/// # Errors
/// Those of `see`.
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
    let mut stage = SceneRenderer::new(Play::new(&script));
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
