//! Synthetic people of the doorstep. The head learns from them what strangers look like if the owner has too few photos of
//! strangers.
//!
//! Synthetic people all look similar because they are drawn in the same way. So they show the head what the class *nobody* looks
//! like, but they prove nothing about how often real strangers are mistaken for an enrolled person.

use crate::doorstep::{Play, SceneRenderer, Script, picture};
use crate::face::{Embedding, FaceError, Landmarks, Reader};
use crate::frame::{Image, Layout, PixelFormat};

/// The number of synthetic people. More than 100 make no measurable difference.
pub const PEOPLE: u32 = 100;
/// The seed of the play in which they appear. It is an arbitrary constant, so that these people are the same on every device.
const SEED: u64 = 41_000_001;

/// Passes one embedding of each of [`PEOPLE`] synthetic people to `each`; `None` for a face that gives no embedding.
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

/// Passes a picture of each synthetic person, with its landmarks, to `see`.
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
