//! Judges a fine-tuned network: its answers for what was held back, beside those of the network before, and whether it is to
//! be used. It is trained in `tuning`.

use super::household::{Genuine, Known, nearest};
use super::tuning::Need;
use crate::face::Embedding;
use crate::people::Tuned;
use crate::rates::proven_far;

/// Looks at each face that is held back: as it is, and in a view.
pub const LOOKS: usize = 2;

/// What a photo is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is learnt from.
    Learn,
    /// It sets the threshold, and decides whether the network is better.
    Select,
    /// It judges the network.
    Judge,
}

/// The outcome of fine-tuning.
pub enum Outcome {
    /// There are too few strangers to know what it would do.
    TooFew {
        far: f64,
        photos: usize,
        people: usize,
        need: Need,
    },
    Tried(Box<Trial>),
}

/// The results of a network, its head and its threshold on what was held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stand {
    pub threshold: f32,
    /// Looks at the enrolled in which they are not recognised.
    pub missed: usize,
    pub looks: usize,
    /// Strangers of whom at least one look is taken for an enrolled person.
    pub let_in: usize,
    pub strangers: usize,
    /// How far the likenesses of the enrolled lie above those of strangers, in deviations.
    pub apart: f64,
}

impl Stand {
    /// The share of strangers let in is below this, at 95 %.
    pub fn far(self) -> f64 {
        proven_far(self.let_in, self.strangers)
    }

    /// The share of looks at the enrolled that are missed is below this, at 95 %.
    pub fn frr(self) -> f64 {
        proven_far(self.missed, self.looks)
    }
}

/// A tuned network that was tried: results before and after, with those who select and with those who judge.
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
    /// Whom each part shows: the place of an enrolled person, or which stranger.
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

    /// What is learnt: photos as templates, and for the head also as many views as training without fine-tuning would take.
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
            // A look without a face is missed, too.
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
    /// Whether it is better, with those who select.
    pub fn is_better(&self) -> bool {
        let [before, after] = self.select;
        before.looks > 0 && after.missed <= before.missed && after.apart > before.apart
    }

    /// Whether it is as safe as before, and as safe as was asked for, and misses no more, with those who judge.
    fn is_proven(&self) -> bool {
        let [before, after] = self.judge;
        after.looks > 0 && after.far() <= before.far().min(self.far) && after.frr() <= before.frr()
    }
}

impl Outcome {
    /// The tuned network, if it is to be used.
    pub fn taken(&self) -> Option<&Tuned> {
        match self {
            Self::Tried(trial) if trial.is_better() && trial.is_proven() => Some(&trial.tuned),
            _ => None,
        }
    }
}
