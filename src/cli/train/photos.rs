//! Photos to learn from: reads them, keeps those that can be used, and says of each other one why it cannot.

use std::path::{Path, PathBuf};

use super::Arguments;
use crate::capture::Photo;
use crate::cli::Failure;
use crate::cli::folder::{self, Named, each};
use crate::face::{Embedding, Face, FaceError, Landmarks, Reader};
use crate::frame::Sampler;
use crate::learn::{Changes, FaceCut};
use crate::people::{DUPLICATE, Enrolment, Refusal};

/// Fewer photos of a person than this are few.
const FEW_PHOTOS: usize = 10;
/// Turned by less than this to both sides, all photos are from the front (see `Quality::yaw`).
const FRONTAL: f32 = 0.15;
/// Light that differs by less than this, in steps of 256, is the same in all photos.
const SAME_LIGHT: f32 = 25.0;

/// What was read of one photo.
struct Shown {
    faces: Vec<Face>,
    views: Vec<Embedding>,
    /// Mean tone of the cut-out face, 0 to 255.
    light: f32,
}

/// A photo that counts.
pub struct Example {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub embedding: Embedding,
    pub views: Vec<Embedding>,
    pub yaw: f32,
    pub light: f32,
}

/// Somebody to be learnt.
pub struct Learner {
    pub name: String,
    pub given: usize,
    pub examples: Vec<Example>,
}

/// Reads everybody's photos, and keeps those that can be used.
pub fn learn_from(
    readers: &mut [Reader],
    named: &[Named],
    arguments: &Arguments,
    threshold: f32,
    wrong: &mut Vec<String>,
) -> Result<Vec<Learner>, Failure> {
    let changes = Changes::without(&arguments.without);
    let all: Vec<&PathBuf> = named.iter().flat_map(|n| &n.photos).collect();
    let jobs: Vec<(usize, &PathBuf)> = all.into_iter().enumerate().collect();
    let shown = each(readers, "reading photos", &jobs, |reader, (k, photo)| {
        let seed = arguments.seed.wrapping_add(*k as u64);
        show(reader, photo, seed, arguments.views, changes)
    });
    let mut shown = shown.into_iter();
    let mut learners = Vec::new();
    for person in named {
        let mut enrolment = Enrolment::default();
        let mut examples = Vec::new();
        for photo in &person.photos {
            let Some(result) = shown.next() else { break };
            let refused = match result {
                Err(why) => why,
                Ok(Err(e)) => return Err(e.into()),
                Ok(Ok(shown)) => match (enrolment.add(&shown.faces), shown.faces.first()) {
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
        learners.push(Learner {
            name: person.name.clone(),
            given: person.photos.len(),
            examples,
        });
    }
    Ok(learners)
}

/// Photos that are in two people's folders, or look more like somebody else than like the rest of their folder, are
/// nobody's.
pub fn sort_out(learners: &mut [Learner], wrong: &mut Vec<String>) {
    let mut out: Vec<(usize, usize, String)> = Vec::new();
    for (i, learner) in learners.iter().enumerate() {
        for (k, example) in learner.examples.iter().enumerate() {
            let likeness = |of: &Learner, skip: Option<usize>| {
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

/// Faces and views of one photo; the outer error says why it is no photo.
fn show(
    reader: &mut Reader,
    photo: &Path,
    seed: u64,
    views: u32,
    changes: Changes,
) -> Result<Result<Shown, FaceError>, String> {
    let photo = Photo::open(photo).map_err(|e| e.to_string())?;
    let mut read = || {
        let image = photo.image();
        let faces = reader.read_photo(&image)?.to_vec();
        let mut shown = Shown {
            faces,
            views: Vec::new(),
            light: 0.0,
        };
        let Some(face) = shown.faces.first().filter(|f| f.embedding.is_ok()) else {
            return Ok(shown);
        };
        let mut sampler = Sampler::new(image.layout().width, 256);
        let Some(cut) = FaceCut::new(&image, &face.landmarks, &mut sampler)? else {
            return Ok(shown);
        };
        shown.light = cut.light();
        for number in 0..views {
            let view = cut.view(seed, number, changes, &mut sampler)?;
            if let Ok(image) = view.image() {
                shown
                    .views
                    .extend(reader.read_at(&image, view.landmarks())?);
            }
        }
        Ok(shown)
    };
    Ok(read())
}

/// Somebody who is not to be known.
pub struct Stranger {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub embedding: Embedding,
}

/// The largest face of each photo of strangers and things; a thing has none.
pub fn strangers(
    readers: &mut [Reader],
    folder: &Path,
    wrong: &mut Vec<String>,
) -> Result<Vec<Stranger>, Failure> {
    let photos = folder::photos_below(folder);
    if photos.is_empty() {
        return Ok(Vec::new());
    }
    let read = each(readers, "reading strangers", &photos, |reader, photo| {
        largest(reader, photo)
    });
    let mut strangers: Vec<Stranger> = Vec::new();
    for (photo, face) in photos.iter().zip(read) {
        match face {
            Err(why) => wrong.push(format!("{}: not used: {why}", photo.display())),
            Ok(face) => {
                if let Some((landmarks, embedding)) = face? {
                    let again = strangers
                        .iter()
                        .any(|s| s.embedding.cosine(embedding.values()) > DUPLICATE);
                    if again {
                        wrong.push(format!(
                            "{}: not used: the same picture as one before",
                            photo.display()
                        ));
                    } else {
                        strangers.push(Stranger {
                            photo: photo.clone(),
                            landmarks,
                            embedding,
                        });
                    }
                }
            }
        }
    }
    Ok(strangers)
}

/// The largest face of a photo, if it is one to recognise somebody by; the outer error says why it is no photo.
pub fn largest(
    reader: &mut Reader,
    photo: &Path,
) -> Result<Result<Option<(Landmarks, Embedding)>, FaceError>, String> {
    let photo = Photo::open(photo).map_err(|e| e.to_string())?;
    let faces = reader.read_photo(&photo.image());
    Ok(faces.map(|faces| {
        let face = faces.first()?;
        Some((face.landmarks, face.embedding.ok()?))
    }))
}

/// What would have made these photos better.
pub fn advise(learner: &Learner) {
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
