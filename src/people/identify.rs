//! Who is it: the nearest enrolled template, if it is near enough and clearly nearer than anybody
//! else's. Otherwise nobody.
//!
//! [`Identifier`] is made from a gallery and is all that the pipeline knows of identification: another
//! method, such as a trained head, takes its place behind the same two calls.

use super::gallery::{Gallery, PersonId};
use crate::face::Embedding;

/// When a face is somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Lowest cosine that is the same person.
    pub threshold: f32,
    /// Least lead of the best person's cosine over the next best person's.
    pub margin: f32,
}

/// Whom a face looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identification {
    /// Who it is; `None` is a stranger.
    pub who: Option<PersonId>,
    /// Cosine to the nearest template of anybody, -1 to 1; -1 while nobody is enrolled.
    pub score: f32,
    /// Cosine to the nearest template of anybody else, -1 to 1.
    pub next: f32,
}

/// A gallery laid out for comparing: one row a template.
pub struct Identifier {
    rule: Rule,
    dimensions: usize,
    /// Whose each row is; a person's rows are neighbours.
    owners: Vec<PersonId>,
    rows: Vec<f32>,
}

impl Identifier {
    /// Everybody in `gallery`.
    #[must_use]
    pub fn new(gallery: &Gallery, rule: Rule) -> Self {
        let mut identifier = Self {
            rule,
            dimensions: gallery.dimensions(),
            owners: Vec::new(),
            rows: Vec::new(),
        };
        for person in gallery.people() {
            for template in &person.templates {
                identifier.owners.push(person.id);
                identifier.rows.extend_from_slice(template);
            }
        }
        identifier
    }

    /// Whom `face` looks like. Allocates nothing.
    #[must_use]
    pub fn identify(&self, face: &Embedding) -> Identification {
        let (mut best, mut next): (Option<(PersonId, f32)>, f32) = (None, -1.0);
        if face.values().len() == self.dimensions {
            let mut rows = self.rows.chunks_exact(self.dimensions.max(1));
            for person in self.owners.chunk_by(|a, b| a == b) {
                let scores = rows.by_ref().take(person.len()).map(|row| face.cosine(row));
                let score = scores.fold(-1.0, f32::max);
                match best {
                    Some((_, lead)) if score <= lead => next = next.max(score),
                    _ => {
                        next = best.map_or(next, |(_, lead)| next.max(lead));
                        best = Some((person[0], score));
                    }
                }
            }
        }
        let score = best.map_or(-1.0, |(_, score)| score);
        let sure = score >= self.rule.threshold && score - next >= self.rule.margin;
        Identification {
            who: best.filter(|_| sure).map(|(person, _)| person),
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
            "aa",
            path,
        )
        .unwrap();
        g.add("Grace", &[e(&[0.0, 1.0, 0.0])], "aa", path).unwrap();
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
            let mut scores: Vec<(f32, usize)> = Vec::new();
            for (i, templates) in people.iter().enumerate() {
                let Some(templates) = templates.iter().map(|t| Embedding::normalised(*t)).collect::<Option<Vec<_>>>()
                    else { return Ok(()) };
                gallery.add(&format!("P{i}"), &templates, "aa", Path::new("test")).unwrap();
                scores.push((templates.iter().map(|t| probe.cosine(t.values())).fold(-1.0, f32::max), i));
            }
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
