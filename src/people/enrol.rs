//! Enrolment: which faces become somebody's templates, and why the others do not.
//!
//! Nearest-template enrolment keeps the embedding of every usable photo. Training takes its place
//! here, between photos and gallery.

use crate::face::{Embedding, Face, Unfit};

/// The templates gathered for one person.
#[derive(Clone, Debug, Default)]
pub struct Enrolment {
    templates: Vec<Embedding>,
}

/// Why a picture gives no template.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nobody in it.
    #[error("no face found: use a picture with the face larger and from the front")]
    NoFace,
    /// More than one possible subject.
    #[error("{0} faces of similar size: crop the picture to the one person")]
    Several(usize),
    /// A face, but not one to recognise somebody by.
    #[error("the face is {0}")]
    Unfit(Unfit),
    /// Nearly the same picture again.
    #[error("the same picture as one before (cosine {0:.3}): it adds nothing")]
    Duplicate(f32),
    /// Unlike all of the person's other pictures.
    #[error("looks like somebody else (cosine {0:.2} to the nearest of the other pictures)")]
    Odd(f32),
}

/// Why an enrolment cannot be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// No picture was usable.
    #[error("{name}: none of {pictures} pictures can be used; see the reason of each above")]
    Nothing {
        /// Who was to be enrolled.
        name: String,
        /// How many pictures were given.
        pictures: usize,
    },
}

/// Two pictures this alike are one picture.
const DUPLICATE: f32 = 0.995;
/// A second face at most this large beside the first is a bystander in the background.
const BYSTANDER: f32 = 0.35;

impl Enrolment {
    /// Adds the subject of a picture whose faces are `faces`, largest first.
    ///
    /// # Errors
    /// [`Refusal`] says why the picture gives no template.
    pub fn add(&mut self, faces: &[Face]) -> Result<(), Refusal> {
        let subject = faces.first().ok_or(Refusal::NoFace)?;
        let rivals = faces
            .iter()
            .filter(|f| f.bbox.area() > BYSTANDER * subject.bbox.area())
            .count();
        if rivals > 1 {
            return Err(Refusal::Several(rivals));
        }
        let template = subject.embedding.map_err(Refusal::Unfit)?;
        let nearest = self.nearest(&template);
        if nearest > DUPLICATE {
            return Err(Refusal::Duplicate(nearest));
        }
        self.templates.push(template);
        Ok(())
    }

    /// Removes templates that are unlike all the others (cosine below `threshold`), which most likely
    /// show somebody else. With fewer than three templates nobody can say which is the odd one, and
    /// all stay. Gives the places of those removed, with their cosine to the nearest other.
    pub fn drop_odd(&mut self, threshold: f32) -> Vec<(usize, Refusal)> {
        if self.templates.len() < 3 {
            return Vec::new();
        }
        let odd: Vec<(usize, f32)> = (0..self.templates.len())
            .map(|i| {
                let others = self.templates.iter().enumerate().filter(|(j, _)| *j != i);
                let cosines = others.map(|(_, t)| t.cosine(self.templates[i].values()));
                (i, cosines.fold(-1.0, f32::max))
            })
            .filter(|(_, nearest)| *nearest < threshold)
            .collect();
        if odd.len() * 2 >= self.templates.len() {
            return Vec::new();
        }
        for (i, _) in odd.iter().rev() {
            self.templates.remove(*i);
        }
        odd.into_iter().map(|(i, c)| (i, Refusal::Odd(c))).collect()
    }

    /// Cosine of `face` to the nearest template so far; -1 while there is none.
    #[must_use]
    pub fn nearest(&self, face: &Embedding) -> f32 {
        let cosines = self.templates.iter().map(|t| t.cosine(face.values()));
        cosines.fold(-1.0, f32::max)
    }

    /// The templates.
    #[must_use]
    pub fn templates(&self) -> &[Embedding] {
        &self.templates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{Quality, Rect};

    fn face(side: f32, direction: &[f32]) -> Face {
        Face {
            bbox: Rect {
                x: 0.0,
                y: 0.0,
                width: side,
                height: side,
            },
            score: 0.9,
            landmarks: Default::default(),
            quality: Quality::default(),
            embedding: Embedding::normalised(direction.iter().copied()).ok_or(Unfit::Unreadable),
        }
    }

    #[test]
    fn one_subject_a_picture_bystanders_allowed() {
        let mut enrolment = Enrolment::default();
        assert_eq!(enrolment.add(&[]), Err(Refusal::NoFace));
        let (large, small) = (face(100.0, &[1.0, 0.0]), face(40.0, &[0.0, 1.0]));
        assert_eq!(
            enrolment.add(&[large, face(90.0, &[0.0, 1.0])]),
            Err(Refusal::Several(2))
        );
        assert_eq!(enrolment.add(&[large, small]), Ok(()));
        assert_eq!(enrolment.templates().len(), 1);
        assert!(matches!(
            enrolment.add(&[large]),
            Err(Refusal::Duplicate(_))
        ));
    }

    #[test]
    fn somebody_elses_picture_among_a_persons_is_dropped() {
        let mut enrolment = Enrolment::default();
        for direction in [
            [1.0, 0.1, 0.0],
            [1.0, 0.3, 0.0],
            [0.0, 0.0, 1.0],
            [1.0, -0.2, 0.0],
        ] {
            enrolment.add(&[face(100.0, &direction)]).unwrap();
        }
        let dropped = enrolment.drop_odd(0.5);
        assert_eq!(dropped.len(), 1);
        assert_eq!(dropped[0].0, 2);
        assert_eq!(enrolment.templates().len(), 3);
    }

    #[test]
    fn two_unlike_pictures_are_both_kept() {
        let mut enrolment = Enrolment::default();
        enrolment.add(&[face(100.0, &[1.0, 0.0])]).unwrap();
        enrolment.add(&[face(100.0, &[0.0, 1.0])]).unwrap();
        assert!(enrolment.drop_odd(0.5).is_empty());
        assert_eq!(enrolment.templates().len(), 2);
    }
}
