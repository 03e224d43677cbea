//! The changes of a photo, by their names in arguments. What each does is in [`lesson`](crate::lesson).

use clap::ValueEnum;

use crate::lesson::Change;

/// As [`Change`], which does not know arguments.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ChangeName {
    /// The head lies on its side or bends: up to 90 degrees.
    Orientation,
    /// The landmarks are turned by a few degrees.
    Rotation,
    /// Left is right.
    Mirror,
    /// The landmarks are some pixels off, or too far apart.
    Crop,
    /// Lighter or darker.
    Brightness,
    /// Harder or softer light.
    Contrast,
    /// The light has a colour.
    Colour,
    /// The head moved.
    Motion,
    /// The lens is out of focus.
    Focus,
    /// The camera compressed it hard.
    Jpeg,
    /// Something hides a part of the face.
    Occlusion,
    /// Night, and the noise that comes with it.
    Dark,
}

impl From<ChangeName> for Change {
    fn from(name: ChangeName) -> Self {
        match name {
            ChangeName::Orientation => Self::Orientation,
            ChangeName::Rotation => Self::Rotation,
            ChangeName::Mirror => Self::Mirror,
            ChangeName::Crop => Self::Crop,
            ChangeName::Brightness => Self::Brightness,
            ChangeName::Contrast => Self::Contrast,
            ChangeName::Colour => Self::Colour,
            ChangeName::Motion => Self::Motion,
            ChangeName::Focus => Self::Focus,
            ChangeName::Jpeg => Self::Jpeg,
            ChangeName::Occlusion => Self::Occlusion,
            ChangeName::Dark => Self::Dark,
        }
    }
}

/// The changes of these names.
pub fn changes(names: &[ChangeName]) -> Vec<Change> {
    names.iter().copied().map(Change::from).collect()
}
