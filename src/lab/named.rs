//! The text that is written beside a face, about whom it looks like. [`people`](crate::people) decides who that is.

use image::Rgb;

use super::draw;
use crate::face::Face;
use crate::people::{Gallery, Identification, Identifier};

/// A face and whom it looks like; `found` is `None` if the face is not fit to be recognised.
pub struct Named {
    pub face: Face,
    pub found: Option<Identification>,
    pub name: Option<String>,
}

impl Named {
    /// The text to write beside the face.
    pub fn label(&self) -> String {
        let who = self.name.as_deref().unwrap_or("unknown");
        let score = self.found.map(|f| format!(" {:.2}", f.score));
        format!("{who}{}", score.unwrap_or_default())
    }

    /// The colour to mark the face with.
    pub const fn colour(&self) -> Rgb<u8> {
        match self.name {
            Some(_) => draw::KNOWN,
            None => draw::UNKNOWN,
        }
    }
}

/// Whom `face` looks like.
pub fn name(face: &Face, identifier: &Identifier, gallery: &Gallery) -> Named {
    let found = face.embedding.as_ref().ok().map(|e| identifier.identify(e));
    let person = found.and_then(|f| f.who).and_then(|id| gallery.person(id));
    Named {
        face: *face,
        found,
        name: person.map(|p| p.name.clone()),
    }
}
