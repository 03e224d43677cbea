//! Tests on faces that were not learnt from: photos held back one part after the other, strangers in two halves, and the folders
//! `validation` and `test`. `calibrate` finds what the scores prove.

use std::path::{Path, PathBuf};

use super::error::LearnError;
use super::folder::{self, Named};
use super::household::{Genuine, Household, Known, nearest};
use super::strangers::Strangers;
use super::training::Plan;
use crate::face::Embedding;
use crate::learner::{Learner, largest, read_all};
use crate::people::folders::{UNKNOWN, special};
use crate::people::group_by_person;

/// The number of parts into which photos are divided. Each part is tested on a head that learnt from the rest.
pub const PARTS: usize = 5;

/// Scores of photos and of strangers by heads that learnt from none of the tested faces. Photos are tested in [`PARTS`] parts,
/// one after the other, and strangers in two halves, divided by person. Each stranger has one score, the highest.
pub fn cross_validate(
    household: &Household<'_>,
    strangers: &Strangers,
    fakes: &[Embedding],
) -> (Vec<Genuine>, Vec<f32>) {
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    let people = &strangers.people;
    let everybody = rows(strangers, people.iter(), fakes);
    for part in 0..PARTS {
        let kept = |k: usize| k % PARTS != part;
        // Without this part a person would have no photo left to learn from.
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
        let learnt = rows(strangers, people.iter().skip(1 - half).step_by(2), fakes);
        let known = household.known(|_| true, &learnt);
        let tried = people.iter().skip(half).step_by(2);
        impostors.extend(tried.map(|person| nearest(&known.highest(strangers.faces(person)))));
    }
    (genuine, impostors)
}

/// The embeddings of some of the strangers, and of the synthetic people, one place per person.
pub fn rows<'a>(
    strangers: &'a Strangers,
    some: impl Iterator<Item = &'a Vec<usize>>,
    fakes: &'a [Embedding],
) -> Vec<Vec<&'a [f32]>> {
    let of = |person: &'a Vec<usize>| strangers.faces(person).map(Embedding::values).collect();
    let fakes = fakes.iter().map(|f| vec![f.values()]);
    some.map(of).chain(fakes).collect()
}

/// The scores of the photos in a folder.
#[derive(Default)]
pub struct Given {
    /// Photos of people who are known.
    pub genuine: Vec<Genuine>,
    /// For each other person, the highest likeness of their photos to each person of the household.
    pub impostors: Vec<Vec<f32>>,
    /// The faces of those other people.
    pub faces: Vec<Embedding>,
    /// The number of photos that were left out because they show people who were learnt from or tested on before.
    pub again: usize,
    /// Photos and folders that could not be tested, one line each.
    pub wrong: Vec<String>,
}

/// Tests on the photos in `folder`. Strangers are counted as people. A stranger who is among `before` is not counted, because a
/// threshold that was found with a person's photo proves nothing when it refuses that person.
pub fn given(
    learner: &mut Learner,
    folder: &Path,
    household: &Household<'_>,
    known: &Known,
    before: &[&[f32]],
    plan: &Plan<'_>,
) -> Result<Given, LearnError> {
    let mut given = Given::default();
    if !folder.is_dir() {
        return Ok(given);
    }
    let (people, wrong) = folder::people(folder, &[UNKNOWN])?;
    given.wrong = wrong;
    let unknown = Named {
        name: String::new(),
        photos: folder::photos_below(&special(folder, UNKNOWN), &mut given.wrong),
    };
    // For each stranger's photo, the person whose folder contains it; `None` for `unknown`.
    let mut owners = Vec::new();
    for (number, person) in people.iter().chain([&unknown]).enumerate() {
        let who = household.place(&person.name);
        let paths: Vec<&Path> = person.photos.iter().map(PathBuf::as_path).collect();
        let read = read_all(learner, plan.show, "trying photos", &paths, 0, 0)?;
        for (photo, shown) in person.photos.iter().zip(read) {
            let shown = match shown {
                Ok(shown) => shown,
                Err(unread) => {
                    let why = format!("{}: not used: {}", photo.display(), unread.why);
                    given.wrong.push(why);
                    continue;
                }
            };
            match (who, largest(&shown)) {
                (Some(who), Some((_, face))) => given.genuine.push(known.score(who, &face)),
                (Some(who), None) => given.genuine.push(Genuine::missed(who)),
                (None, Some((_, face))) => {
                    owners.push(Some(number).filter(|n| *n < people.len()));
                    given.faces.push(face);
                }
                (None, None) => {}
            }
        }
    }
    let theirs = given.faces.iter().map(Embedding::values);
    let all: Vec<&[f32]> = before.iter().copied().chain(theirs).collect();
    let mut groups = group_by_person(&all, plan.same());
    for number in 0..people.len() {
        let of_folder = |group: &Vec<usize>| {
            let mut owned = group
                .iter()
                .filter_map(|place| place.checked_sub(before.len()));
            owned.any(|k| owners[k] == Some(number))
        };
        let (one, others): (Vec<_>, Vec<_>) = groups.into_iter().partition(of_folder);
        groups = others;
        groups.extend(Some(one.concat()).filter(|one| !one.is_empty()));
    }
    for group in groups {
        if let Some(places) = group
            .iter()
            .map(|p| p.checked_sub(before.len()))
            .collect::<Option<Vec<_>>>()
        {
            let faces = places.iter().map(|k| &given.faces[*k]);
            given.impostors.push(known.highest(faces));
        } else {
            given.again += group.iter().filter(|place| **place >= before.len()).count();
        }
    }
    Ok(given)
}
