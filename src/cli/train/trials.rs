//! Tries on faces that were not learnt: photos held back in turns, strangers in halves, and the folders `validation` and
//! `test`.

use std::path::{Path, PathBuf};

use super::photos::{Learner, largest};
use crate::cli::Failure;
use crate::cli::folder::{self, Named, each};
use crate::face::{Embedding, Reader};
use crate::people::{Person, directions};

/// Parts into which photos are divided to try the rest on each.
pub const PARTS: usize = 5;

pub fn slices(embeddings: &[Embedding]) -> Vec<&[f32]> {
    embeddings.iter().map(Embedding::values).collect()
}

/// Everybody whom the head is to know: those who are learnt and, after them, those who stay as they were.
pub struct Household<'a> {
    pub learners: &'a [Learner],
    pub stay: Vec<&'a Person>,
}

impl<'a> Household<'a> {
    /// What the head learns from: of the learners the photos that `keep` names by their places, and their views.
    pub fn rows(&self, keep: impl Fn(usize) -> bool) -> Vec<Vec<&'a [f32]>> {
        let of = |l: &'a Learner| {
            let kept = l.examples.iter().enumerate().filter(|(k, _)| keep(*k));
            kept.flat_map(|(_, e)| [&e.embedding].into_iter().chain(&e.views))
                .map(Embedding::values)
                .collect()
        };
        let stay = self.stay.iter().map(|p| p.embeddings());
        self.learners.iter().map(of).chain(stay).collect()
    }

    /// Whose place in the rows is whose.
    pub fn place(&self, name: &str) -> Option<usize> {
        let learners = self.learners.iter().map(|l| &l.name);
        let mut names = learners.chain(self.stay.iter().map(|p| &p.name));
        names.position(|n| n == name)
    }
}

/// How an enrolled person's face did: cosine to their own direction and to the nearest of the others.
pub type Genuine = (f32, f32);

pub fn score(head: &[Vec<f32>], who: usize, face: &Embedding) -> Genuine {
    let others = head.iter().enumerate().filter(|(i, _)| *i != who);
    let other = others.map(|(_, d)| face.cosine(d)).fold(-1.0, f32::max);
    (face.cosine(&head[who]), other)
}

pub fn nearest(head: &[Vec<f32>], face: &Embedding) -> f32 {
    head.iter().map(|d| face.cosine(d)).fold(-1.0, f32::max)
}

/// Scores of photos and of strangers by heads that learnt from none of them: photos in turns of [`PARTS`], strangers in
/// halves.
pub fn cross_validate(
    household: &Household<'_>,
    strangers: &[(PathBuf, Embedding)],
    fakes: &[Embedding],
) -> (Vec<Genuine>, Vec<f32>) {
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    let everybody: Vec<&[f32]> = strangers
        .iter()
        .map(|(_, e)| e)
        .chain(fakes)
        .map(Embedding::values)
        .collect();
    for part in 0..PARTS {
        let rows = household.rows(|k| k % PARTS != part);
        if rows.iter().any(Vec::is_empty) {
            // Somebody has a single photo: nothing can be tried on them.
            continue;
        }
        let head = directions(&rows, &everybody);
        for (who, learner) in household.learners.iter().enumerate() {
            let tried = learner.examples.iter().skip(part).step_by(PARTS);
            genuine.extend(tried.map(|e| score(&head, who, &e.embedding)));
        }
    }
    for half in 0..2 {
        let learnt = strangers.iter().skip(1 - half).step_by(2).map(|(_, e)| e);
        let learnt: Vec<&[f32]> = learnt.chain(fakes).map(Embedding::values).collect();
        let head = directions(&household.rows(|_| true), &learnt);
        let tried = strangers.iter().skip(half).step_by(2);
        impostors.extend(tried.map(|(_, e)| nearest(&head, e)));
    }
    (genuine, impostors)
}

/// Scores of the photos in `folder`: of people whom the head knows, and of all others.
pub fn given(
    readers: &mut [Reader],
    folder: &Path,
    household: &Household<'_>,
    head: &[Vec<f32>],
) -> Result<(Vec<Genuine>, Vec<f32>), Failure> {
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    if !folder.is_dir() {
        return Ok((genuine, impostors));
    }
    let (people, _) = folder::people(folder, &["unknown"])?;
    let unknown = Named {
        name: String::new(),
        photos: folder::photos_below(&folder.join("unknown")),
    };
    for person in people.iter().chain([&unknown]) {
        let who = household.place(&person.name);
        let read = each(readers, "trying photos", &person.photos, |reader, photo| {
            largest(reader, photo)
        });
        for face in read.into_iter().filter_map(Result::ok) {
            match (who, face?) {
                (Some(who), Some(face)) => genuine.push(score(head, who, &face)),
                // Not found, not let in.
                (Some(_), None) => genuine.push((-1.0, -1.0)),
                (None, Some(face)) => impostors.push(nearest(head, &face)),
                (None, None) => {}
            }
        }
    }
    Ok((genuine, impostors))
}
