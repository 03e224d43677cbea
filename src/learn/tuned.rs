//! Judges a fine-tuned network: compares its answers on faces that were held back with those of the network before, and decides
//! whether it is used. `tuning` trains it.

use super::household::{Genuine, Known, nearest};
use super::tuning::Need;
use crate::face::Embedding;
use crate::people::Tuned;
use crate::rates::proven_far;

/// The number of looks at each face that is held back: one at the face as it is, and one at a view of it.
pub const LOOKS: usize = 2;

/// The purpose of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The network learns from the photo.
    Learn,
    /// The photo helps to set the threshold, and to decide whether the network is better.
    Select,
    /// The photo judges the network.
    Judge,
}

/// The outcome of fine-tuning.
pub enum Outcome {
    /// There are too few strangers to know how a fine-tuned network would do.
    TooFew {
        far: f64,
        photos: usize,
        people: usize,
        need: Need,
    },
    Tried(Box<Trial>),
}

/// The results of a network, with its head and its threshold, on faces that were held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stand {
    pub threshold: f32,
    /// The number of looks at enrolled people in which they are not recognised.
    pub missed: usize,
    pub looks: usize,
    /// The number of strangers who had at least one look that was mistaken for an enrolled person.
    pub let_in: usize,
    pub strangers: usize,
    /// The distance of the mean likeness of enrolled people above that of strangers, in standard deviations.
    pub apart: f64,
}

impl Stand {
    /// At 95 % confidence, the share of strangers let in is below this.
    pub fn far(self) -> f64 {
        proven_far(self.let_in, self.strangers)
    }

    /// At 95 % confidence, the share of missed looks at enrolled people is below this.
    pub fn frr(self) -> f64 {
        proven_far(self.missed, self.looks)
    }
}

/// A tuned network that was tested: results before and after tuning, on the faces that select and on the faces that judge.
pub struct Trial {
    pub tuned: Tuned,
    pub select: [Stand; 2],
    pub judge: [Stand; 2],
    pub far: f64,
    pub seconds: f32,
}

/// A network's answers for all parts.
pub struct Seen<'a> {
    roles: &'a [Role],
    /// The person that each part shows: the place of an enrolled person, or `None` and the number of a stranger.
    people: &'a [(Option<usize>, usize)],
    answers: Vec<Vec<Embedding>>,
}

impl<'a> Seen<'a> {
    pub const fn new(
        roles: &'a [Role],
        people: &'a [(Option<usize>, usize)],
        answers: Vec<Vec<Embedding>>,
    ) -> Self {
        Self {
            roles,
            people,
            answers,
        }
    }

    fn of(&self, role: Role) -> impl Iterator<Item = ((Option<usize>, usize), &[Embedding])> {
        let all = self.roles.iter().zip(self.people).zip(&self.answers);
        all.filter(move |((r, _), _)| **r == role)
            .map(|((_, who), faces)| (*who, &faces[..]))
    }

    /// Trains a head on the parts to learn from. Photos are the templates; the head also learns from as many views as training
    /// without fine-tuning would use.
    pub fn learn(&self, people: usize, views: u32) -> Known {
        let (mut templates, mut rows) = (vec![Vec::new(); people], vec![Vec::new(); people]);
        let mut strangers = std::collections::BTreeMap::<usize, Vec<&[f32]>>::new();
        for ((who, stranger), faces) in self.of(Role::Learn) {
            let mut faces = faces.iter().map(Embedding::values);
            let Some(photo) = faces.next() else { continue };
            match who {
                Some(who) => {
                    templates[who].push(photo);
                    rows[who].push(photo);
                    rows[who].extend(faces.take(views as usize));
                }
                None => strangers.entry(stranger).or_default().push(photo),
            }
        }
        let strangers: Vec<Vec<&[f32]>> = strangers.into_values().collect();
        Known::new(&templates, &rows, &strangers)
    }

    /// The highest score of each stranger.
    pub fn strangers(&self, known: &Known, role: Role) -> Vec<f32> {
        let mut scores = std::collections::BTreeMap::<usize, f32>::new();
        for ((who, stranger), faces) in self.of(role) {
            if who.is_none() {
                let score = scores.entry(stranger).or_insert(-1.0);
                *score = score.max(nearest(&known.highest(faces.iter().take(LOOKS))));
            }
        }
        scores.into_values().collect()
    }

    pub fn stand(&self, known: &Known, role: Role, threshold: f32, margin: f32) -> Stand {
        let (mut genuine, mut missed) = (Vec::new(), 0);
        for ((who, _), faces) in self.of(role) {
            let Some(who) = who else { continue };
            for face in faces.iter().take(LOOKS) {
                let Genuine { own, other, .. } = known.score(who, face);
                missed += usize::from(own < threshold || own - other < margin);
                genuine.push(own);
            }
            // A look in which no face was found counts as missed, too.
            missed += LOOKS.saturating_sub(faces.len());
            genuine.extend((faces.len()..LOOKS).map(|_| -1.0));
        }
        let strangers = self.strangers(known, role);
        let spread = |scores: &[f32]| {
            let n = scores.len().max(1) as f64;
            let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
            let squares = scores.iter().map(|s| (f64::from(*s) - mean).powi(2));
            (mean, squares.sum::<f64>() / n)
        };
        let ((own, own_variance), (other, other_variance)) = (spread(&genuine), spread(&strangers));
        Stand {
            threshold,
            missed,
            looks: genuine.len(),
            let_in: strangers.iter().filter(|s| **s >= threshold).count(),
            strangers: strangers.len(),
            apart: (own - other) / (0.5 * (own_variance + other_variance)).sqrt().max(1e-6),
        }
    }
}

impl Trial {
    /// Whether the tuned network is better on the faces that select.
    pub fn is_better(&self) -> bool {
        let [before, after] = self.select;
        before.looks > 0 && after.missed <= before.missed && after.apart > before.apart
    }

    /// Whether, on the faces that judge, the tuned network is as safe as the one before and as safe as requested, and misses no
    /// more looks.
    fn is_proven(&self) -> bool {
        let [before, after] = self.judge;
        after.looks > 0 && after.far() <= before.far().min(self.far) && after.frr() <= before.frr()
    }
}

impl Outcome {
    /// The tuned network, if it should be used.
    pub fn taken(&self) -> Option<&Tuned> {
        match self {
            Self::Tried(trial) if trial.is_better() && trial.is_proven() => Some(&trial.tuned),
            _ => None,
        }
    }
}
