//! The names that command-line arguments use for the changes that can be made to a photo. The changes themselves are in
//! [`lesson`](crate::lesson).

use clap::ValueEnum;

use crate::lesson::Change;

/// The same as [`Change`], which does not depend on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ChangeName {
    /// The head lies on its side or bends, by up to 90 degrees.
    Orientation,
    /// The landmarks are turned by a few degrees.
    Rotation,
    /// Mirrored left to right.
    Mirror,
    /// The landmarks are some pixels off, or too far apart.
    Crop,
    /// Lighter or darker.
    Brightness,
    /// Harder or softer light.
    Contrast,
    /// The light has a colour.
    Colour,
    /// The head moved during the exposure.
    Motion,
    /// The lens is out of focus.
    Focus,
    /// The camera compressed the picture strongly.
    Jpeg,
    /// Something hides a part of the face.
    Occlusion,
    /// It is night, with the noise of a camera in the dark.
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

/// The changes with these names.
pub fn changes(names: &[ChangeName]) -> Vec<Change> {
    names.iter().copied().map(Change::from).collect()
}
