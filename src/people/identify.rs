//! Identifies a face as the enrolled person whom it is most like (see [`super::likeness`]), if the likeness is high enough and
//! clearly higher than to anyone else. Otherwise the face is no one's.
//!
//! [`Identifier`] is made from a gallery, and is the only part of identification that the pipeline knows. The head learns
//! the directions.

use super::bank::{Bank, Cohort, Enrolled, FAR};
use super::gallery::{EnrolledPeople, Gallery, PersonId};
use super::linear_head::likeness;
use crate::face::Embedding;

/// A likeness is strong if it covers at least this share of the way from the threshold to 1.
const STRONG: f32 = 0.2;

/// The rule by which a face counts as an enrolled person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The lowest likeness to a person at which a face counts as that person, -1 to 1.
    pub threshold: f32,
    /// Whether the owner set the threshold. If not, a threshold that was measured with the gallery replaces it.
    pub fixed: bool,
    /// The smallest lead that the best person's likeness must have over the next best person's.
    pub margin: f32,
}

/// Whom a face looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identification {
    /// The identified person; `None` for a stranger.
    pub who: Option<PersonId>,
    /// The most similar person, whether the likeness is high enough or not; `None` while no one is enrolled.
    pub nearest: Option<PersonId>,
    /// Likeness to the most similar person, -1 to 1; -1 while no one is enrolled.
    pub score: f32,
    /// Likeness to the second most similar person, -1 to 1.
    pub next: f32,
    /// Whether the identification is certain enough to count while the door is strict.
    pub strong: bool,
    /// Whether all frames together show an enrolled person, but this frame alone does not show that person.
    pub doubt: bool,
}

/// One person of an [`Identifier`].
struct Candidate {
    id: PersonId,
    /// The lowest likeness at which a face counts as this person.
    threshold: f32,
    rows: usize,
}

/// A gallery laid out for comparison: for each person one row for the direction, then one row for each template.
pub struct Identifier {
    threshold: f32,
    margin: f32,
    dimensions: usize,
    people: Vec<Candidate>,
    rows: Vec<f32>,
    cohort: Option<Cohort>,
}

impl Identifier {
    /// Recognises everyone in `enrolled`. A person who is like some of the strangers in the set's `bank` gets a higher threshold
    /// than the others. The bank is not used with a fine-tuned embedder, because it does not apply to that one, or if the owner
    /// set the threshold.
    #[must_use]
    pub fn new(enrolled: EnrolledPeople<'_>, rule: Rule, bank: Option<&Bank>) -> Self {
        let measured = enrolled.operating().filter(|_| !rule.fixed);
        let threshold = measured.map_or(rule.threshold, |o| o.threshold);
        let (mut people, mut rows, mut dimensions) = (Vec::new(), Vec::new(), 0);
        let mut rows_of: Vec<Enrolled<'_>> = Vec::new();
        for (id, direction, templates) in enrolled.people() {
            dimensions = direction.len();
            people.push(Candidate {
                id,
                threshold,
                rows: 1 + templates.len(),
            });
            rows.extend_from_slice(direction);
            rows.extend(templates.iter().flatten());
            rows_of.push((direction, templates.iter().map(Vec::as_slice).collect()));
        }
        let usable =
            |b: &&Bank| !rule.fixed && !enrolled.is_tuned() && b.dimensions() == dimensions;
        let far = measured.map_or(FAR, |o| o.far);
        let cohort = bank
            .filter(usable)
            .map(|bank| bank.cohort(&rows_of, threshold, far));
        let raised = cohort.iter().flat_map(|cohort| &cohort.thresholds);
        for (person, raised) in people.iter_mut().zip(raised) {
            person.threshold = *raised;
        }
        Self {
            threshold,
            margin: rule.margin,
            dimensions,
            people,
            rows,
            cohort,
        }
    }

    /// An identifier that recognises no one.
    #[must_use]
    pub fn empty(rule: Rule) -> Self {
        Self::new(Gallery::default().enrolled(""), rule, None)
    }

    /// The lowest likeness at which a face counts as an enrolled person; some people may need more.
    #[must_use]
    pub const fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The thresholds that the set's bank of strangers gives the people.
    #[must_use]
    pub const fn cohort(&self) -> Option<&Cohort> {
        self.cohort.as_ref()
    }

    /// The person whom `face` looks like. Allocates nothing.
    #[must_use]
    pub fn identify(&self, face: &Embedding) -> Identification {
        self.identify_mean(face.values())
    }

    /// Identifies `face`, which is from this frame, with the help of `mean`, the mean embedding of all frames of its presentation
    /// (see [`super::Evidence`]). Both must name the same person at the threshold. So no frame counts for a person whom it would
    /// not name by itself, and a stranger who takes a resident's place gains nothing from the resident's frames. A frame that
    /// disagrees is a doubt and names no one. Allocates nothing.
    #[must_use]
    pub fn identify_visit(&self, face: &Embedding, mean: &[f32]) -> Identification {
        let (now, all) = (self.identify(face), self.identify_mean(mean));
        let agrees = now.who.is_some() && now.who == all.who;
        Identification {
            who: all.who.filter(|_| agrees),
            strong: all.strong && now.strong && agrees,
            doubt: all.who.is_some() && !agrees,
            ..all
        }
    }

    fn identify_mean(&self, mean: &[f32]) -> Identification {
        let (mut nearest, mut score, mut next) = (None::<&Candidate>, -1.0_f32, -1.0_f32);
        if mean.len() == self.dimensions {
            let mut rows = self.rows.chunks_exact(self.dimensions.max(1));
            for person in &self.people {
                let mut own = rows.by_ref().take(person.rows);
                let Some(direction) = own.next() else { break };
                let alike = likeness(mean, direction, own);
                if alike > score {
                    (nearest, next, score) = (Some(person), score, alike);
                } else {
                    next = next.max(alike);
                }
            }
        }
        let threshold = nearest.map_or(self.threshold, |person| person.threshold);
        let nearest = nearest.map(|person| person.id);
        let sure = score >= threshold && score - next >= self.margin;
        Identification {
            who: nearest.filter(|_| sure),
            nearest,
            score,
            next,
            strong: sure && score >= (1.0 - threshold).mul_add(STRONG, threshold),
            doubt: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::Operating;
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
    fn near_one_person_is_that_person_and_between_two_is_no_one() {
        let identifier = Identifier::new(gallery().enrolled("aa"), RULE, None);
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
    fn a_measured_threshold_counts_unless_the_owner_set_one() {
        let mut gallery = gallery();
        gallery.set_operating(Operating {
            threshold: 0.9,
            far: 0.001,
            trials: 3000,
            accepted: 0,
        });
        let free = Rule {
            fixed: false,
            ..RULE
        };
        assert_eq!(
            Identifier::new(gallery.enrolled("aa"), free, None).threshold(),
            0.9
        );
        assert_eq!(
            Identifier::new(gallery.enrolled("aa"), RULE, None).threshold(),
            0.5
        );
    }

    /// A bank of `n` copies of an embedding that is close to Ada's.
    fn alike_to_ada(n: usize) -> Bank {
        let rows = [127, 20, 0].map(|v: i8| v.cast_unsigned()).repeat(n);
        Bank::of(3, rows)
    }

    #[test]
    fn a_bank_raises_the_threshold_of_people_like_its_strangers() {
        let bank = alike_to_ada(4000);
        let free = Rule {
            fixed: false,
            ..RULE
        };
        let known = |rule, bank| Identifier::new(gallery().enrolled("aa"), rule, bank);
        let near = e(&[1.0, 0.3, 0.0]);
        assert_eq!(known(free, None).identify(&near).who, Some(PersonId(1)));
        let raised = known(free, Some(&bank));
        assert_eq!(raised.identify(&near).who, None);
        assert_eq!(raised.cohort().map(|c| c.trials), Some(4000));
        // A likeness that no stranger has is still Ada's, and no stranger is like Ben.
        assert_eq!(raised.identify(&e(&[1.0, 0.0, 0.0])).who, Some(PersonId(1)));
        assert_eq!(raised.identify(&e(&[0.0, 1.0, 0.2])).who, Some(PersonId(2)));
        // A threshold that the owner set stays, and a bank whose embeddings have another number of dimensions is not used.
        let fixed = known(RULE, Some(&bank));
        assert_eq!(fixed.identify(&near).who, Some(PersonId(1)));
        assert!(fixed.cohort().is_none());
        let other = Bank::of(2, vec![127; 8000]);
        assert!(known(free, Some(&other)).cohort().is_none());
    }

    #[test]
    fn an_empty_gallery_or_another_length_names_no_one() {
        let empty = Identifier::empty(RULE);
        assert_eq!(empty.identify(&e(&[1.0, 0.0, 0.0])).who, None);
        let identifier = Identifier::new(gallery().enrolled("aa"), RULE, None);
        assert_eq!(identifier.identify(&e(&[1.0, 0.0])).who, None);
    }

    #[test]
    fn a_frame_that_disagrees_with_its_visit_names_no_one() {
        let identifier = Identifier::new(gallery().enrolled("aa"), RULE, None);
        let ada = e(&[1.0, 0.05, 0.0]);
        let who =
            |face: &Embedding, mean: &Embedding| identifier.identify_visit(face, mean.values()).who;
        assert_eq!(who(&ada, &ada), Some(PersonId(1)));
        let stranger = e(&[0.2, 0.1, 1.0]);
        assert_eq!(who(&stranger, &ada), None, "a stranger at the end");
        assert!(identifier.identify_visit(&stranger, ada.values()).doubt);
        assert!(
            !identifier
                .identify_visit(&stranger, stranger.values())
                .doubt
        );
        assert_eq!(who(&e(&[0.1, 1.0, 0.0]), &ada), None, "another at the end");
        assert_eq!(who(&ada, &stranger), None, "one frame is not a visit");
        let bad = e(&[0.45, 0.05, 0.89]);
        assert_eq!(who(&bad, &ada), None, "below the threshold by itself");
        assert!(identifier.identify_visit(&bad, ada.values()).doubt);
    }

    proptest! {
        #[test]
        fn agrees_with_a_comparison_with_everyone(
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
            let likenesses = gallery.people().iter().map(|p| {
                let nearest = p.templates.iter().map(|t| probe.cosine(t)).fold(-1.0, f32::max);
                0.5 * (probe.cosine(&p.direction) + nearest)
            });
            let mut scores: Vec<(f32, usize)> = likenesses.enumerate().map(|(i, c)| (c, i)).collect();
            scores.sort_by(|a, b| b.0.total_cmp(&a.0));
            let next = scores.get(1).map_or(-1.0, |s| s.0);
            let found = Identifier::new(gallery.enrolled("aa"), RULE, None).identify(&probe);
            prop_assert!((found.score - scores[0].0).abs() < 1e-6 && (found.next - next).abs() < 1e-6);
            let sure = scores[0].0 >= 0.5 && scores[0].0 - next >= 0.05;
            prop_assert_eq!(found.who.is_some(), sure);
            if let Some(PersonId(id)) = found.who {
                prop_assert_eq!(id as usize, scores[0].1 + 1);
            }
        }
    }
}
