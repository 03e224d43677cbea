//! Who is it: the enrolled person whose direction is nearest, if it is near enough and clearly nearer than anybody
//! else's. Otherwise nobody.
//!
//! [`Identifier`] is made from a gallery and is all that the pipeline knows of identification: how directions are
//! learnt is the head's business.

use super::gallery::{Gallery, PersonId};
use crate::face::Embedding;

/// When a face is somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Lowest cosine to a person's direction that is that person.
    pub threshold: f32,
    /// Whether the owner set the threshold: otherwise one that was measured with the gallery takes its place.
    pub fixed: bool,
    /// Least lead of the best person's cosine over the next best person's.
    pub margin: f32,
}

/// Whom a face looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identification {
    /// Who it is; `None` is a stranger.
    pub who: Option<PersonId>,
    /// Who it is most like, whether near enough or not; `None` while nobody is enrolled.
    pub nearest: Option<PersonId>,
    /// Cosine to the nearest direction of anybody, -1 to 1; -1 while nobody is enrolled.
    pub score: f32,
    /// Cosine to the nearest direction of anybody else, -1 to 1.
    pub next: f32,
}

/// A gallery laid out for comparing: one row a person.
pub struct Identifier {
    threshold: f32,
    margin: f32,
    dimensions: usize,
    people: Vec<PersonId>,
    rows: Vec<f32>,
}

impl Identifier {
    /// Everybody in `gallery`, whose head must have been learnt.
    #[must_use]
    pub fn new(gallery: &Gallery, rule: Rule) -> Self {
        let measured = gallery.operating().filter(|_| !rule.fixed);
        let people = gallery.people();
        Self {
            threshold: measured.map_or(rule.threshold, |o| o.threshold),
            margin: rule.margin,
            dimensions: gallery.dimensions(),
            people: people.iter().map(|p| p.id).collect(),
            rows: people.iter().flat_map(|p| &p.direction).copied().collect(),
        }
    }

    /// Lowest cosine that is somebody.
    #[must_use]
    pub const fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Whom `face` looks like. Allocates nothing.
    #[must_use]
    pub fn identify(&self, face: &Embedding) -> Identification {
        let (mut nearest, mut score, mut next) = (None, -1.0_f32, -1.0_f32);
        if face.values().len() == self.dimensions {
            let rows = self.rows.chunks_exact(self.dimensions.max(1));
            for (person, row) in self.people.iter().zip(rows) {
                let cosine = face.cosine(row);
                if cosine > score {
                    (nearest, next, score) = (Some(*person), score, cosine);
                } else {
                    next = next.max(cosine);
                }
            }
        }
        let sure = score >= self.threshold && score - next >= self.margin;
        Identification {
            who: nearest.filter(|_| sure),
            nearest,
            score,
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    const RULE: Rule = Rule {
        threshold: 0.5,
        fixed: true,
        margin: 0.05,
    };

    fn e(values: &[f32]) -> Embedding {
        Embedding::normalised(values.iter().copied()).unwrap()
    }

    fn gallery() -> Gallery {
        let (mut g, path) = (Gallery::default(), Path::new("test"));
        g.add(
            "Ada",
            &[e(&[1.0, 0.0, 0.0]), e(&[0.9, 0.1, 0.0])],
            &[],
            "aa",
            path,
        )
        .unwrap();
        g.add("Grace", &[e(&[0.0, 1.0, 0.0])], &[], "aa", path)
            .unwrap();
        g.learn();
        g
    }

    #[test]
    fn near_one_person_is_that_person_and_between_two_is_nobody() {
        let identifier = Identifier::new(&gallery(), RULE);
        assert_eq!(
            identifier.identify(&e(&[1.0, 0.05, 0.0])).who,
            Some(PersonId(1))
        );
        assert_eq!(
            identifier.identify(&e(&[0.1, 1.0, 0.0])).who,
            Some(PersonId(2))
        );
        assert_eq!(
            identifier.identify(&e(&[1.0, 1.05, 0.0])).who,
            None,
            "no clear lead"
        );
        assert_eq!(
            identifier.identify(&e(&[0.1, 0.1, 1.0])).who,
            None,
            "too far from both"
        );
    }

    #[test]
    fn nobody_enrolled_or_another_length_is_nobody() {
        let empty = Identifier::new(&Gallery::default(), RULE);
        assert_eq!(empty.identify(&e(&[1.0, 0.0, 0.0])).who, None);
        let identifier = Identifier::new(&gallery(), RULE);
        assert_eq!(identifier.identify(&e(&[1.0, 0.0])).who, None);
    }

    proptest! {
        #[test]
        fn agrees_with_comparing_everybody(
            people in proptest::collection::vec(
                proptest::collection::vec(proptest::array::uniform4(-1f32..1.0), 1..4), 1..6),
            probe in proptest::array::uniform4(-1f32..1.0),
        ) {
            prop_assume!(Embedding::normalised(probe).is_some());
            let probe = e(&probe);
            let mut gallery = Gallery::default();
            for (i, templates) in people.iter().enumerate() {
                let Some(templates) = templates.iter().map(|t| Embedding::normalised(*t)).collect::<Option<Vec<_>>>()
                    else { return Ok(()) };
                gallery.add(&format!("P{i}"), &templates, &[], "aa", Path::new("test")).unwrap();
            }
            gallery.learn();
            let directions = gallery.people().iter().map(|p| probe.cosine(&p.direction));
            let mut scores: Vec<(f32, usize)> = directions.enumerate().map(|(i, c)| (c, i)).collect();
            scores.sort_by(|a, b| b.0.total_cmp(&a.0));
            let next = scores.get(1).map_or(-1.0, |s| s.0);
            let found = Identifier::new(&gallery, RULE).identify(&probe);
            prop_assert!((found.score - scores[0].0).abs() < 1e-6 && (found.next - next).abs() < 1e-6);
            let sure = scores[0].0 >= 0.5 && scores[0].0 - next >= 0.05;
            prop_assert_eq!(found.who.is_some(), sure);
            if let Some(PersonId(id)) = found.who {
                prop_assert_eq!(id as usize, scores[0].1 + 1);
            }
        }
    }
}
