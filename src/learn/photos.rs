//! Has the photos to learn from read, keeps those that can be used, and gives the reason for each of the others. Photos of
//! strangers are in `strangers`.

use std::path::{Path, PathBuf};

use super::folder::Named;
use super::training::Plan;
use crate::face::{Embedding, Landmarks};
use crate::learner::{Learner, LearnerError, read_all};
use crate::people::{DUPLICATE, Enrolment, Refusal};

/// With fewer photos of a person than this, recognition is not good.
const FEW_PHOTOS: usize = 10;
/// If all faces are turned by less than this, all photos count as from the front (see `Quality::yaw`).
const FRONTAL: f32 = 0.15;
/// If the light differs by less than this (on a scale of 0 to 255), it counts as the same in all photos.
const SAME_LIGHT: f32 = 25.0;

/// A photo that can be used.
pub struct Example {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub embedding: Embedding,
    pub views: Vec<Embedding>,
    pub yaw: f32,
    pub light: f32,
}

/// A person to enrol from photos.
pub struct Learnt {
    pub name: String,
    pub given: usize,
    pub examples: Vec<Example>,
}

/// What a person's photos lack.
pub enum Lack {
    /// None of this number of photos can be used.
    All(usize),
    /// This number of photos is too low.
    Few(usize),
    /// No photo is from a side.
    Sides,
    /// The light is the same in all photos.
    Light,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(given) => write!(f, "none of {given} photos can be used"),
            Self::Few(n) => write!(f, "{n} photos are few: 20 to 30 are best"),
            Self::Sides => f.write_str("all from the front: add photos from either side"),
            Self::Light => {
                f.write_str("all in the same light: add photos by day and in the evening")
            }
        }
    }
}

impl Learnt {
    /// What this person's photos lack.
    pub fn lacks(&self) -> Vec<Lack> {
        let n = self.examples.len();
        if n == 0 {
            return vec![Lack::All(self.given)];
        }
        let mut lacks = Vec::new();
        if n < FEW_PHOTOS {
            lacks.push(Lack::Few(n));
        }
        let spread = |of: fn(&Example) -> f32| {
            let values = self.examples.iter().map(of);
            values.fold((f32::MAX, f32::MIN), |(low, high), v| {
                (low.min(v), high.max(v))
            })
        };
        let (left, right) = spread(|e| e.yaw);
        if n > 1 && left > -FRONTAL && right < FRONTAL {
            lacks.push(Lack::Sides);
        }
        let (dark, bright) = spread(|e| e.light);
        if n > 1 && bright - dark < SAME_LIGHT {
            lacks.push(Lack::Light);
        }
        lacks
    }
}

/// Has everyone's photos read, and keeps those that can be used. Also returns whether any photo could not be read because of a
/// fault of the machine.
pub fn learn_from(
    learner: &mut Learner,
    named: &[Named],
    plan: &Plan<'_>,
    wrong: &mut Vec<String>,
) -> Result<(Vec<Learnt>, bool), LearnerError> {
    let all: Vec<&Path> = named
        .iter()
        .flat_map(|n| n.photos.iter().map(PathBuf::as_path))
        .collect();
    let what = "reading photos";
    let shown = read_all(learner, plan.show, what, &all, plan.views, plan.seed)?;
    let mut shown = shown.into_iter();
    let (mut learners, mut machine) = (Vec::new(), false);
    for person in named {
        let mut enrolment = Enrolment::default();
        let mut examples = Vec::new();
        for photo in &person.photos {
            let Some(result) = shown.next() else { break };
            let refused = match result {
                Err(unread) => {
                    machine |= unread.machine;
                    unread.why
                }
                Ok(shown) => match (enrolment.add(&shown.faces), shown.faces.first()) {
                    (Ok(()), Some(face)) => {
                        if let Ok(embedding) = face.embedding {
                            examples.push(Example {
                                photo: photo.clone(),
                                landmarks: face.landmarks,
                                embedding,
                                views: shown.views,
                                yaw: face.quality.yaw,
                                light: shown.light,
                            });
                        }
                        continue;
                    }
                    (Err(refusal), _) => refusal.to_string(),
                    (Ok(()), None) => Refusal::NoFace.to_string(),
                },
            };
            wrong.push(format!("{}: not used: {refused}", photo.display()));
        }
        let odd = enrolment.drop_outliers(plan.rule.threshold);
        for (place, refusal) in odd.into_iter().rev() {
            let example = examples.remove(place);
            wrong.push(format!("{}: not used: {refusal}", example.photo.display()));
        }
        learners.push(Learnt {
            name: person.name.clone(),
            given: person.photos.len(),
            examples,
        });
    }
    Ok((learners, machine))
}

/// Removes photos that are in two people's folders, or that look more like another person than like the rest of their
/// folder.
pub fn sort_out(learners: &mut [Learnt], wrong: &mut Vec<String>) {
    let mut out: Vec<(usize, usize, String)> = Vec::new();
    for (i, learner) in learners.iter().enumerate() {
        for (k, example) in learner.examples.iter().enumerate() {
            let likeness = |of: &Learnt, skip: Option<usize>| {
                let others = of
                    .examples
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| Some(*j) != skip);
                let cosines: Vec<f32> = others
                    .map(|(_, e)| e.embedding.cosine(example.embedding.values()))
                    .collect();
                let nearest = cosines.iter().copied().fold(-1.0, f32::max);
                let mean = cosines.iter().sum::<f32>() / cosines.len().max(1) as f32;
                (nearest, mean, cosines.len())
            };
            let (_, own, count) = likeness(learner, Some(k));
            for (_, other) in learners.iter().enumerate().filter(|(j, _)| *j != i) {
                let (nearest, mean, there) = likeness(other, None);
                if nearest > DUPLICATE {
                    out.push((
                        i,
                        k,
                        format!(
                            "the same picture is in {}'s folder: whose is it?",
                            other.name
                        ),
                    ));
                } else if count >= 2 && there >= 2 && mean > own {
                    let why = format!(
                        "is probably {}: cosine {mean:.2} to their photos, {own:.2} to {}'s",
                        other.name, learner.name
                    );
                    out.push((i, k, why));
                }
            }
        }
    }
    out.dedup_by_key(|(i, k, _)| (*i, *k));
    for (i, k, why) in out.into_iter().rev() {
        let example = learners[i].examples.remove(k);
        wrong.push(format!("{}: not used: {why}", example.photo.display()));
    }
}
