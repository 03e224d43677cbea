//! Enrolment: which faces become a person's templates, and why the others do not.
//!
//! The embedding of every usable photo is kept, because the head is trained on these embeddings.

use super::grouping::groups;
use crate::face::{Embedding, Face, Unfit};

/// The templates gathered for one person.
#[derive(Clone, Debug, Default)]
pub struct Enrolment {
    /// The templates that the person already has.
    existing: Vec<Embedding>,
    templates: Vec<Embedding>,
}

/// Why a picture gives no template.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The picture shows no face.
    #[error("no face found: use a picture with the face larger and from the front")]
    NoFace,
    /// Several faces could be the subject.
    #[error("{0} faces of similar size: crop the picture to the one person")]
    Several(usize),
    /// The face is not good enough for recognition.
    #[error("the face is {0}")]
    Unfit(Unfit),
    /// The picture is nearly the same as an earlier one.
    #[error("the same picture as one before (cosine {0:.3}): it adds nothing")]
    Duplicate(f32),
    /// The face is unlike most of the person's other pictures.
    #[error(
        "looks like another person (cosine {0:.2} to the nearest of the pictures of others); if most of \
         them do, enrol with pictures of one person"
    )]
    Outlier(f32),
}

/// Why an enrolment cannot be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// No picture was usable.
    #[error("{name}: none of {pictures} pictures can be used; see the reason of each above")]
    Nothing {
        /// The person to be enrolled.
        name: String,
        /// The number of given pictures.
        pictures: usize,
    },
}

/// Two pictures whose embeddings have a cosine above this count as the same picture.
pub const DUPLICATE: f32 = 0.995;
/// A second face is a bystander in the background if its area is at most this share of the first face's area.
const BYSTANDER: f32 = 0.35;

impl Enrolment {
    /// Starts to add pictures for a person who already has the templates `existing`.
    #[must_use]
    pub const fn of(existing: Vec<Embedding>) -> Self {
        Self {
            existing,
            templates: Vec::new(),
        }
    }

    /// Adds the subject of a picture whose faces are `faces`, largest first.
    ///
    /// # Errors
    /// [`Refusal`]: why the picture gives no template.
    pub fn add(&mut self, faces: &[Face]) -> Result<(), Refusal> {
        let subject = faces.first().ok_or(Refusal::NoFace)?;
        let possible_subjects = Self::possible_subjects(faces);
        if possible_subjects > 1 {
            return Err(Refusal::Several(possible_subjects));
        }
        let template = subject.embedding.map_err(Refusal::Unfit)?;
        let nearest = self.nearest(&template);
        if nearest > DUPLICATE {
            return Err(Refusal::Duplicate(nearest));
        }
        self.templates.push(template);
        Ok(())
    }

    /// The number of `faces` (largest first) that may be the subject, because they are not much smaller than the largest.
    #[must_use]
    pub fn possible_subjects(faces: &[Face]) -> usize {
        let largest = faces.first().map_or(0.0, |f| f.bbox.area());
        let near = faces.iter().filter(|f| f.bbox.area() > BYSTANDER * largest);
        near.count()
    }

    /// Removes the templates that most likely show another person. In a group of templates, each has a cosine of at least
    /// `threshold` to another one of the group. For a person who already has templates, the groups with one of these stay. For a
    /// new person only the largest group stays; if no group is larger than every other, all templates are removed. If a new
    /// person has only two templates, nothing shows which one is wrong, and both stay. Returns the places of the removed
    /// templates, and the reasons.
    pub fn drop_outliers(&mut self, threshold: f32) -> Vec<(usize, Refusal)> {
        let old = self.existing.len();
        if old == 0 && self.templates.len() < 3 {
            return Vec::new();
        }
        let all: Vec<Embedding> = self
            .existing
            .iter()
            .chain(&self.templates)
            .copied()
            .collect();
        let values: Vec<&[f32]> = all.iter().map(Embedding::values).collect();
        let groups = groups(&values, threshold);
        let size = |group: usize| groups.iter().filter(|g| **g == group).count();
        let largest = (0..groups.len()).map(size).max().unwrap_or(0);
        let alone = (0..groups.len()).filter(|g| size(*g) == largest).count() == 1;
        let keep = |group: usize| match old {
            0 => alone && size(group) == largest,
            _ => groups[..old].contains(&group),
        };
        let mut outliers = Vec::new();
        for (place, &group) in groups.iter().enumerate().skip(old) {
            if !keep(group) {
                let others = all.iter().zip(&groups).filter(|(_, g)| **g != group);
                let cosines = others.map(|(t, _)| t.cosine(all[place].values()));
                outliers.push((place - old, Refusal::Outlier(cosines.fold(-1.0, f32::max))));
            }
        }
        for (place, _) in outliers.iter().rev() {
            self.templates.remove(*place);
        }
        outliers
    }

    /// The cosine of `face` to the nearest template; -1 while there is no template.
    #[must_use]
    pub fn nearest(&self, face: &Embedding) -> f32 {
        let all = self.existing.iter().chain(&self.templates);
        let cosines = all.map(|t| t.cosine(face.values()));
        cosines.fold(-1.0, f32::max)
    }

    /// The new templates.
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
    fn a_picture_has_one_subject_and_may_have_bystanders() {
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
    fn another_persons_picture_is_dropped() {
        let mut enrolment = Enrolment::default();
        for direction in [
            [1.0, 0.1, 0.0],
            [1.0, 0.3, 0.0],
            [0.0, 0.0, 1.0],
            [1.0, -0.2, 0.0],
        ] {
            enrolment.add(&[face(100.0, &direction)]).unwrap();
        }
        let dropped = enrolment.drop_outliers(0.5);
        assert_eq!(dropped.len(), 1);
        assert_eq!(dropped[0].0, 2);
        assert_eq!(enrolment.templates().len(), 3);
    }

    /// An enrolment with templates of these directions.
    fn of(directions: &[[f32; 3]]) -> Enrolment {
        let mut enrolment = Enrolment::default();
        for direction in directions {
            enrolment.add(&[face(100.0, direction)]).unwrap();
        }
        enrolment
    }

    #[test]
    fn two_pictures_of_a_sister_are_dropped_together() {
        let [ada, sister] = [[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]];
        let turned = |[x, y, z]: [f32; 3]| [x, y + 0.3, z];
        let leaning = |[x, y, z]: [f32; 3]| [x, y - 0.4, z];
        let mut enrolment = of(&[ada, sister, turned(ada), turned(sister), leaning(ada)]);
        let places = |outliers: Vec<(usize, Refusal)>| {
            outliers.into_iter().map(|(i, _)| i).collect::<Vec<_>>()
        };
        assert_eq!(places(enrolment.drop_outliers(0.5)), [1, 3]);
        assert_eq!(enrolment.templates().len(), 3);
        // With as many pictures of one person as of the other, nothing shows which of them should be enrolled.
        let mut enrolment = of(&[ada, sister, turned(ada), turned(sister)]);
        assert_eq!(places(enrolment.drop_outliers(0.5)), [0, 1, 2, 3]);
        assert!(enrolment.templates().is_empty());
    }

    #[test]
    fn further_pictures_must_be_like_the_first_ones() {
        let [ada, sister] = [[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]].map(|d| face(100.0, &d));
        let again = face(100.0, &[1.0, 0.4, 0.0]);
        let mut enrolment = Enrolment::of(vec![ada.embedding.unwrap()]);
        assert!(matches!(enrolment.add(&[ada]), Err(Refusal::Duplicate(_))));
        enrolment.add(&[sister]).unwrap();
        enrolment.add(&[again]).unwrap();
        assert_eq!(enrolment.drop_outliers(0.5).len(), 1);
        assert_eq!(enrolment.templates().len(), 1);
        assert!(enrolment.templates()[0].cosine(again.embedding.unwrap().values()) > 0.99);
    }

    #[test]
    fn two_unlike_pictures_are_both_kept() {
        let mut enrolment = Enrolment::default();
        enrolment.add(&[face(100.0, &[1.0, 0.0])]).unwrap();
        enrolment.add(&[face(100.0, &[0.0, 1.0])]).unwrap();
        assert!(enrolment.drop_outliers(0.5).is_empty());
        assert_eq!(enrolment.templates().len(), 2);
    }
}
