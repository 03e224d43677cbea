//! Tries on faces that were not learnt: photos held back in turns, strangers in halves, and the folders `validation` and
//! `test`.

use std::path::Path;

use super::photos::{Learner, Stranger, largest};
use crate::cli::Failure;
use crate::cli::folder::{self, Named, each};
use crate::face::{Embedding, Reader};
use crate::people::{Person, directions, likeness};

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
    /// Learns, of the learners, the photos that `keep` names by their places, and their views.
    pub fn known(&self, keep: impl Fn(usize) -> bool, strangers: &[&[f32]]) -> Known {
        let keep = &keep;
        let kept = |l: &'a Learner| {
            let kept = l.examples.iter().enumerate();
            kept.filter(|(k, _)| keep(*k)).map(|(_, e)| e)
        };
        let templates = |l: &'a Learner| kept(l).map(|e| e.embedding.values()).collect();
        let rows = |l: &'a Learner| {
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

    /// Whose place in the rows is whose.
    pub fn place(&self, name: &str) -> Option<usize> {
        let learners = self.learners.iter().map(|l| &l.name);
        let mut names = learners.chain(self.stay.iter().map(|p| &p.name));
        names.position(|n| n == name)
    }
}

/// Who is known, one place a person: directions, and templates.
pub struct Known {
    pub directions: Vec<Vec<f32>>,
    pub templates: Vec<Vec<Vec<f32>>>,
}

impl Known {
    /// Learns the people whose photos are `templates` and whose photos and views are `rows`.
    pub fn new(templates: &[Vec<&[f32]>], rows: &[Vec<&[f32]>], strangers: &[&[f32]]) -> Self {
        let own = |t: &Vec<&[f32]>| t.iter().map(|t| t.to_vec()).collect();
        Self {
            directions: directions(rows, strangers),
            templates: templates.iter().map(own).collect(),
        }
    }

    fn likenesses(&self, face: &Embedding) -> impl Iterator<Item = f32> {
        let each = self.directions.iter().zip(&self.templates);
        each.map(|(d, t)| likeness(face.values(), d, t.iter().map(Vec::as_slice)))
    }

    /// How an enrolled person's face does.
    pub fn score(&self, who: usize, face: &Embedding) -> Genuine {
        let (mut own, mut other) = (-1.0, -1.0_f32);
        for (place, alike) in self.likenesses(face).enumerate() {
            if place == who {
                own = alike;
            } else {
                other = other.max(alike);
            }
        }
        (own, other)
    }

    /// How alike a stranger's face is to anybody.
    pub fn nearest(&self, face: &Embedding) -> f32 {
        self.likenesses(face).fold(-1.0, f32::max)
    }
}

/// How an enrolled person's face did: likeness to them, and to whom of the others it is most like.
pub type Genuine = (f32, f32);

/// Scores of photos and of strangers by heads that learnt from none of them: photos in turns of [`PARTS`], strangers in
/// halves.
pub fn cross_validate(
    household: &Household<'_>,
    strangers: &[Stranger],
    fakes: &[Embedding],
) -> (Vec<Genuine>, Vec<f32>) {
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    let everybody = strangers.iter().map(|s| &s.embedding).chain(fakes);
    let everybody: Vec<&[f32]> = everybody.map(Embedding::values).collect();
    for part in 0..PARTS {
        let kept = |k: usize| k % PARTS != part;
        // Somebody has a single photo: nothing is left to learn them from.
        if household
            .learners
            .iter()
            .any(|l| !(0..l.examples.len()).any(kept))
        {
            continue;
        }
        let known = household.known(kept, &everybody);
        for (who, learner) in household.learners.iter().enumerate() {
            let tried = learner.examples.iter().skip(part).step_by(PARTS);
            genuine.extend(tried.map(|e| known.score(who, &e.embedding)));
        }
    }
    for half in 0..2 {
        let learnt = strangers.iter().skip(1 - half).step_by(2);
        let learnt = learnt.map(|s| &s.embedding).chain(fakes);
        let learnt: Vec<&[f32]> = learnt.map(Embedding::values).collect();
        let known = household.known(|_| true, &learnt);
        let tried = strangers.iter().skip(half).step_by(2);
        impostors.extend(tried.map(|s| known.nearest(&s.embedding)));
    }
    (genuine, impostors)
}

/// Scores of the photos in `folder`: of people who are known, and of all others.
pub fn given(
    readers: &mut [Reader],
    folder: &Path,
    household: &Household<'_>,
    known: &Known,
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
                (Some(who), Some((_, face))) => genuine.push(known.score(who, &face)),
                // Not found, not let in.
                (Some(_), None) => genuine.push((-1.0, -1.0)),
                (None, Some((_, face))) => impostors.push(known.nearest(&face)),
                (None, None) => {}
            }
        }
    }
    Ok((genuine, impostors))
}
