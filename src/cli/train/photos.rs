//! Photos to learn from: reads them, keeps those that can be used, and gives the reason for each of the others.

use std::path::{Path, PathBuf};

use super::Arguments;
use crate::cli::folder::{self, Named};
use crate::cli::{Failure, bar};
use crate::face::{Embedding, Landmarks};
use crate::learner::{Learner, largest, read_all};
use crate::people::{DUPLICATE, Enrolment, Refusal, people_of};

/// Fewer photos of a person than this are too few to be good.
const FEW_PHOTOS: usize = 10;
/// If all faces are turned by less than this, all photos are from the front (see `Quality::yaw`).
const FRONTAL: f32 = 0.15;
/// Light that differs by less than this, in steps of 256, is the same in all photos.
const SAME_LIGHT: f32 = 25.0;

/// A photo that counts.
pub struct Example {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub embedding: Embedding,
    pub views: Vec<Embedding>,
    pub yaw: f32,
    pub light: f32,
}

/// A person to be learnt.
pub struct Learnt {
    pub name: String,
    pub given: usize,
    pub examples: Vec<Example>,
}

/// Has everyone's photos read, and keeps those that can be used.
pub fn learn_from(
    learner: &mut Learner,
    named: &[Named],
    arguments: &Arguments,
    threshold: f32,
    wrong: &mut Vec<String>,
) -> Result<Vec<Learnt>, Failure> {
    let all: Vec<&Path> = named
        .iter()
        .flat_map(|n| n.photos.iter().map(PathBuf::as_path))
        .collect();
    let what = "reading photos";
    let shown = read_all(
        learner,
        bar::show,
        what,
        &all,
        arguments.views,
        arguments.seed,
    )?;
    let mut shown = shown.into_iter();
    let mut learners = Vec::new();
    for person in named {
        let mut enrolment = Enrolment::default();
        let mut examples = Vec::new();
        for photo in &person.photos {
            let Some(result) = shown.next() else { break };
            let refused = match result {
                Err(unread) => unread.why,
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
        let odd = enrolment.drop_odd(threshold);
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
    Ok(learners)
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

/// A photo of a person who is not to be known.
pub struct Stranger {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub embedding: Embedding,
}

/// Photos of people who are not to be known, and which of them show the same person.
#[derive(Default)]
pub struct Strangers {
    pub photos: Vec<Stranger>,
    /// The places of each person's photos.
    pub people: Vec<Vec<usize>>,
}

impl Strangers {
    /// The embeddings of one of the people.
    pub fn faces<'a>(&'a self, person: &'a [usize]) -> impl Iterator<Item = &'a Embedding> {
        person.iter().map(|place| &self.photos[*place].embedding)
    }

    /// All embeddings, and those of synthetic people, one place a person.
    pub fn by_person(&self, drawn: &[Embedding]) -> Vec<Vec<Embedding>> {
        let real = self.people.iter().map(|p| self.faces(p).copied().collect());
        real.chain(drawn.iter().map(|d| vec![*d])).collect()
    }
}

/// The largest face of each photo of strangers and things; a thing has none. Faces with a cosine of `same` or more are one
/// person's.
pub fn strangers(
    learner: &mut Learner,
    folder: &Path,
    same: f32,
    wrong: &mut Vec<String>,
) -> Result<Strangers, Failure> {
    let photos = folder::photos_below(folder);
    let paths: Vec<&Path> = photos.iter().map(PathBuf::as_path).collect();
    let read = read_all(learner, bar::show, "reading strangers", &paths, 0, 0)?;
    let mut strangers = Strangers::default();
    for (photo, shown) in photos.iter().zip(read) {
        let face = match shown {
            Ok(shown) => largest(&shown),
            Err(unread) => {
                wrong.push(format!("{}: not used: {}", photo.display(), unread.why));
                continue;
            }
        };
        let Some((landmarks, embedding)) = face else {
            continue;
        };
        let mut before = strangers.photos.iter();
        if before.any(|s| s.embedding.cosine(embedding.values()) > DUPLICATE) {
            wrong.push(format!(
                "{}: not used: the same picture as one before",
                photo.display()
            ));
        } else {
            strangers.photos.push(Stranger {
                photo: photo.clone(),
                landmarks,
                embedding,
            });
        }
    }
    let faces: Vec<&[f32]> = strangers
        .photos
        .iter()
        .map(|s| s.embedding.values())
        .collect();
    strangers.people = people_of(&faces, same);
    Ok(strangers)
}

/// Prints what would have made these photos better.
pub fn advise(learner: &Learnt) {
    let (name, n) = (&learner.name, learner.examples.len());
    if n == 0 {
        eprintln!(
            "latchkey: {name}: none of {} photos can be used",
            learner.given
        );
        return;
    }
    if n < FEW_PHOTOS {
        eprintln!("latchkey: {name}: {n} photos are few: 20 to 30 are best");
    }
    let spread = |of: fn(&Example) -> f32| {
        let values = learner.examples.iter().map(of);
        values.fold((f32::MAX, f32::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    let (left, right) = spread(|e| e.yaw);
    if n > 1 && left > -FRONTAL && right < FRONTAL {
        eprintln!("latchkey: {name}: all from the front: add photos from either side");
    }
    let (dark, bright) = spread(|e| e.light);
    if n > 1 && bright - dark < SAME_LIGHT {
        eprintln!("latchkey: {name}: all in the same light: add photos by day and in the evening");
    }
}
