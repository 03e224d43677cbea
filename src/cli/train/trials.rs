//! Tries on faces that were not learnt: photos held back in turns, strangers in halves, and the folders `validation` and
//! `test`.

use std::path::{Path, PathBuf};

use super::photos::{Learnt, Strangers};
use crate::cli::folder::{self, Named};
use crate::cli::{Failure, bar};
use crate::face::Embedding;
use crate::learner::{Learner, largest, read_all};
use crate::people::folders::special;
use crate::people::{Enrolled, Person, directions, likeness, name, people_of};

/// Parts into which photos are divided. Each part is tried with a head that learnt from the rest.
pub const PARTS: usize = 5;

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
    const fn missed(who: usize) -> Self {
        Self {
            who,
            own: -1.0,
            like: who,
            other: -1.0,
        }
    }
}

/// Scores of photos and of strangers by heads that learnt from none of them: photos in [`PARTS`] turns, strangers in halves,
/// divided by person. For each stranger it is the highest score.
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
        // A person has a single photo: nothing is left to learn them from.
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

/// The embeddings of some of the strangers, and of the synthetic people, one place a person.
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
    /// The highest likeness of each other person's photos, to each of the household.
    pub impostors: Vec<Vec<f32>>,
    /// The faces of those other people.
    pub faces: Vec<Embedding>,
    /// Photos that were left out, as they show people who were learnt or tried before.
    pub again: usize,
}

/// Tries the photos in `folder`. Strangers are counted as people, and not at all if they are among `before`: a threshold
/// that was found with a person's photo proves nothing when it refuses that person.
pub fn given(
    learner: &mut Learner,
    folder: &Path,
    household: &Household<'_>,
    known: &Known,
    before: &[&[f32]],
    same: f32,
) -> Result<Given, Failure> {
    let mut given = Given::default();
    if !folder.is_dir() {
        return Ok(given);
    }
    let (people, _) = folder::people(folder, &["unknown"])?;
    let unknown = Named {
        name: String::new(),
        photos: folder::photos_below(&special(folder, "unknown")),
    };
    // The person in whose folder each stranger's photo is; `None` for `unknown`.
    let mut owners = Vec::new();
    for (number, person) in people.iter().chain([&unknown]).enumerate() {
        let who = household.place(&person.name);
        let paths: Vec<&Path> = person.photos.iter().map(PathBuf::as_path).collect();
        let read = read_all(learner, bar::show, "trying photos", &paths, 0, 0)?;
        for shown in read.into_iter().filter_map(Result::ok) {
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
    let mut groups = people_of(&all, same);
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
