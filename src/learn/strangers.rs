//! Photos of people whom the door must not know, and which of the photos show the same person. Synthetic strangers are in
//! [`lesson`](crate::lesson).

use std::path::{Path, PathBuf};

use super::folder::photos_below;
use super::training::Plan;
use crate::face::{Embedding, Landmarks};
use crate::learner::{Learner, LearnerError, largest, read_all};
use crate::people::{DUPLICATE, group_by_person};

/// Fewer strangers than this do not represent how strangers look.
pub const FEW_STRANGERS: usize = 50;

/// A photo of a person whom the door must not know.
pub struct Stranger {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub embedding: Embedding,
}

/// Photos of people whom the door must not know, and which of the photos show the same person.
#[derive(Default)]
pub struct Strangers {
    pub photos: Vec<Stranger>,
    /// The places of each person's photos.
    pub people: Vec<Vec<usize>>,
}

impl Strangers {
    /// The embeddings of one person.
    pub fn faces<'a>(&'a self, person: &'a [usize]) -> impl Iterator<Item = &'a Embedding> {
        person.iter().map(|place| &self.photos[*place].embedding)
    }

    /// The embeddings of all strangers, and those of synthetic people, one place per person.
    pub fn by_person(&self, drawn: &[Embedding]) -> Vec<Vec<Embedding>> {
        let real = self.people.iter().map(|p| self.faces(p).copied().collect());
        real.chain(drawn.iter().map(|d| vec![*d])).collect()
    }
}

/// The largest face of each photo of strangers and things; a thing has no face. Faces that are as similar as those of one person
/// count as the same person's.
pub fn strangers(
    learner: &mut Learner,
    folder: &Path,
    plan: &Plan<'_>,
    wrong: &mut Vec<String>,
) -> Result<Strangers, LearnerError> {
    let photos = photos_below(folder, wrong);
    let paths: Vec<&Path> = photos.iter().map(PathBuf::as_path).collect();
    let read = read_all(learner, plan.show, "reading strangers", &paths, 0, 0)?;
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
    strangers.people = group_by_person(&faces, plan.same());
    Ok(strangers)
}
