//! Everyone whom a head knows, and the scores that it gives to faces. `trials` decides which faces are tested on which head.

use super::photos::Learnt;
use crate::face::Embedding;
use crate::people::{Enrolled, Person, directions, likeness, name};

/// Everyone whom the head will know: first the people who are enrolled from photos, then the people whose enrolment stays as it
/// was.
pub struct Household<'a> {
    pub learners: &'a [Learnt],
    pub stay: Vec<&'a Person>,
}

impl<'a> Household<'a> {
    /// Trains a head on the photos of the learners whose places `keep` accepts, and on the views of these photos.
    pub fn known(&self, keep: impl Fn(usize) -> bool, strangers: &[Vec<&[f32]>]) -> Known {
        let keep = &keep;
        let kept = |l: &'a Learnt| {
            let kept = l.examples.iter().enumerate();
            kept.filter(|(k, _)| keep(*k)).map(|(_, e)| e)
        };
        let templates = |l: &'a Learnt| kept(l).map(|e| e.embedding.values()).collect();
        let rows = |l: &'a Learnt| {
            let all = kept(l).flat_map(|e| [&e.embedding].into_iter().chain(&e.views));
            all.map(Embedding::values).collect()
        };
        let stay = self.stay.iter();
        let templates_there = stay
            .clone()
            .map(|p| p.templates.iter().map(Vec::as_slice).collect());
        let rows_there = stay.map(|p| p.embeddings());
        let rows: Vec<_> = self.learners.iter().map(rows).chain(rows_there).collect();
        let templates = self.learners.iter().map(templates).chain(templates_there);
        Known::new(&templates.collect::<Vec<_>>(), &rows, strangers)
    }

    /// The people's names, in the order of the rows.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let learners = self.learners.iter().map(|l| &*l.name);
        learners.chain(self.stay.iter().map(|p| &*p.name))
    }

    /// The place in the rows of the person called `wanted`.
    pub fn place(&self, wanted: &str) -> Option<usize> {
        self.names().position(|n| name::same(n, wanted))
    }
}

/// The directions and templates of the known people, one place per person.
pub struct Known {
    pub directions: Vec<Vec<f32>>,
    pub templates: Vec<Vec<Vec<f32>>>,
}

impl Known {
    /// Trains a head for the people whose photos are `templates`, and whose photos and views are `rows`.
    pub fn new(templates: &[Vec<&[f32]>], rows: &[Vec<&[f32]>], strangers: &[Vec<&[f32]>]) -> Self {
        let own = |t: &Vec<&[f32]>| t.iter().map(|t| t.to_vec()).collect();
        Self {
            directions: directions(rows, strangers),
            templates: templates.iter().map(own).collect(),
        }
    }

    /// Everyone's direction and templates, for a comparison with a bank of strangers.
    pub fn enrolled(&self) -> Vec<Enrolled<'_>> {
        let each = self.directions.iter().zip(&self.templates);
        each.map(|(d, t)| (&d[..], t.iter().map(Vec::as_slice).collect()))
            .collect()
    }

    fn likenesses(&self, face: &Embedding) -> impl Iterator<Item = f32> {
        let each = self.directions.iter().zip(&self.templates);
        each.map(|(d, t)| likeness(face.values(), d, t.iter().map(Vec::as_slice)))
    }

    /// The scores of an enrolled person's face.
    pub fn score(&self, who: usize, face: &Embedding) -> Genuine {
        let mut score = Genuine::missed(who);
        for (place, alike) in self.likenesses(face).enumerate() {
            if place == who {
                score.own = alike;
            } else if alike > score.other {
                (score.other, score.like) = (alike, place);
            }
        }
        score
    }

    /// For each enrolled person, the highest likeness of a stranger's faces to that person.
    pub fn highest<'a>(&self, faces: impl Iterator<Item = &'a Embedding>) -> Vec<f32> {
        let mut highest = vec![-1.0_f32; self.directions.len()];
        for face in faces {
            for (most, alike) in highest.iter_mut().zip(self.likenesses(face)) {
                *most = most.max(alike);
            }
        }
        highest
    }
}

/// A stranger's highest likeness to any person; `alike` has the likeness to each.
pub fn nearest(alike: &[f32]) -> f32 {
    alike.iter().copied().fold(-1.0, f32::max)
}

/// The scores of an enrolled person's face. Places refer to the household.
#[derive(Clone, Copy)]
pub struct Genuine {
    /// The person whose face it is, and the likeness to that person.
    pub who: usize,
    pub own: f32,
    /// The other person whom the face is most like, and the likeness to that person.
    pub like: usize,
    pub other: f32,
}

impl Genuine {
    /// The scores of a face that was not found, and so is not let in.
    pub const fn missed(who: usize) -> Self {
        Self {
            who,
            own: -1.0,
            like: who,
            other: -1.0,
        }
    }
}
