//! Everyone whom a head knows, and the scores of faces by it. Which faces are tried on which head is in `trials`.

use super::photos::Learnt;
use crate::face::Embedding;
use crate::people::{Enrolled, Person, directions, likeness, name};

/// Everyone whom the head is to know: those who are learnt and, after them, those who stay as they were.
pub struct Household<'a> {
    pub learners: &'a [Learnt],
    pub stay: Vec<&'a Person>,
}

impl<'a> Household<'a> {
    /// Learns those photos of the learners whose places `keep` accepts, and their views.
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

    /// In the order of the rows.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let learners = self.learners.iter().map(|l| &*l.name);
        learners.chain(self.stay.iter().map(|p| &*p.name))
    }

    /// The place in the rows of the person called `wanted`.
    pub fn place(&self, wanted: &str) -> Option<usize> {
        self.names().position(|n| name::same(n, wanted))
    }
}

/// Who is known, one place a person: directions, and templates.
pub struct Known {
    pub directions: Vec<Vec<f32>>,
    pub templates: Vec<Vec<Vec<f32>>>,
}

impl Known {
    /// Learns the people whose photos are `templates` and whose photos and views are `rows`.
    pub fn new(templates: &[Vec<&[f32]>], rows: &[Vec<&[f32]>], strangers: &[Vec<&[f32]>]) -> Self {
        let own = |t: &Vec<&[f32]>| t.iter().map(|t| t.to_vec()).collect();
        Self {
            directions: directions(rows, strangers),
            templates: templates.iter().map(own).collect(),
        }
    }

    /// Everyone, to be compared with a bank of strangers.
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

    /// The highest likeness of a stranger's faces to each enrolled person.
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

/// A stranger's highest likeness to any person, by the likeness to each.
pub fn nearest(alike: &[f32]) -> f32 {
    alike.iter().copied().fold(-1.0, f32::max)
}

/// The scores of an enrolled person's face. Places are those in the household.
#[derive(Clone, Copy)]
pub struct Genuine {
    /// Whose face it is, and the likeness to them.
    pub who: usize,
    pub own: f32,
    /// The other person it is most like, and that likeness.
    pub like: usize,
    pub other: f32,
}

impl Genuine {
    /// A face that was not found, which is not let in.
    pub const fn missed(who: usize) -> Self {
        Self {
            who,
            own: -1.0,
            like: who,
            other: -1.0,
        }
    }
}
