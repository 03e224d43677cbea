//! `latchkey eval people --visits`: visits played from photos through tracks, evidence, votes and lock-out, as frames of the
//! camera go through them at the door. A visit is many looks at one person, and the best of them decides.
//!
//! Frames are made of each photo: its face, with what is around it, before a grey wall. It comes nearer, sways, bends its
//! head and is lit differently from look to look. Or the photos of a folder already are the frames of a film.

mod film;
mod play;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::film::{Film, Shot, noise, shoot};
use self::play::{HOUR, Hours, Play};
use super::{Arguments, MOST};
use crate::chance::Chance;
use crate::cli::{Exit, Failure, Loaded, bar};
use crate::face::Embedding;
use crate::learn::FEW_STRANGERS;
use crate::learn::Named;
use crate::learner::{each, how_many};
use crate::lesson::built_in;
use crate::people::{Bank, Gallery, Identifier, PersonId};
use crate::pipeline::Judge;
use crate::rates::wilson;

/// What a photo stands for in a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Visits {
    /// Each photo is a visit: its face is held before a wall.
    Photos,
    /// A frame of a film: the photos of a folder, in the order of their names, are looks one after the other.
    Frames,
}

/// What happened, over all draws.
#[derive(Default)]
struct Tally {
    residents: Visited,
    as_another: usize,
    strangers: Visited,
    /// The lowest likeness at which a face is an enrolled person, and the highest that one of them needs.
    thresholds: [f32; 2],
    hours: Hours,
}

/// Visits of residents, or of strangers.
#[derive(Default)]
struct Visited {
    visits: usize,
    /// Visits in which no face was found.
    faceless: usize,
    /// Visits that did not go as they should: a resident was not let in, a stranger was.
    wrong: usize,
    people: BTreeSet<usize>,
    /// People of whom at least one visit went wrong.
    people_wrong: BTreeSet<usize>,
}

impl Visited {
    fn add(&mut self, who: usize, wrong: bool) {
        self.visits += 1;
        self.wrong += usize::from(wrong);
        self.people.insert(who);
        if wrong {
            self.people_wrong.insert(who);
        }
    }

    /// The counts in one line. Visits of one person are not independent, and come again in other draws: only people are counted
    /// with an interval.
    fn line(&self) -> String {
        let [low, high] = wilson(self.people_wrong.len(), self.people.len());
        format!(
            "{:.2} % of visits; {} of {} people at least once ({:.1} to {:.1} % at 95 %); no face found in {} visits",
            100.0 * self.wrong as f64 / self.visits.max(1) as f64,
            self.people_wrong.len(),
            self.people.len(),
            100.0 * low,
            100.0 * high,
            self.faceless
        )
    }

    fn report(&self) -> Value {
        json!({
            "visits": self.visits, "wrong": self.wrong, "faceless": self.faceless,
            "people": self.people.len(), "people_wrong": self.people_wrong.len(),
            "people_at_95": wilson(self.people_wrong.len(), self.people.len()),
        })
    }
}

/// Plays all visits that `arguments` ask for, and prints or returns what happened.
pub fn run(
    named: &[Named],
    loaded: &Loaded,
    arguments: &Arguments,
    kind: Visits,
) -> Result<Vec<Value>, Failure> {
    let bank = loaded.bank()?;
    let mut readers = loaded.readers(loaded.gated(), how_many())?;
    // A film is played to its end.
    let most = match kind {
        Visits::Photos => MOST,
        Visits::Frames => usize::MAX,
    };
    let jobs: Vec<(usize, &PathBuf)> = named
        .iter()
        .enumerate()
        .flat_map(|(who, n)| n.photos.iter().take(most).map(move |p| (who, p)))
        .collect();
    let noise = noise(arguments.seed);
    let shots = each(
        &mut readers,
        bar::show,
        "playing visits",
        &jobs,
        |reader, (_, path)| shoot(reader, path, kind, arguments, &noise),
    );
    let mut people: Vec<Vec<Shot>> = named.iter().map(|_| Vec::new()).collect();
    for ((who, _), shot) in jobs.iter().zip(shots) {
        people[*who].push(shot?);
    }
    // The strangers that `train` learns from if the owner has too few.
    let mut drawn = Vec::new();
    built_in(&mut readers[0], |e| drawn.extend(e))?;
    let house = House {
        named,
        people: &people,
        drawn: &drawn,
        bank: bank.as_ref(),
        loaded,
        kind,
        looks: usize::from(arguments.looks),
    };
    let mut reports = Vec::new();
    for &size in &arguments.people {
        for &photos in &arguments.photos {
            let sizes = [usize::from(size), usize::from(photos)];
            let mut tally = Tally::default();
            for number in 0..arguments.draws {
                let mut chance = Chance::new(arguments.seed ^ (u64::from(number) << 32));
                house.draw(sizes, arguments.unknown, &mut chance, &mut tally)?;
            }
            if !arguments.json {
                tally.print(sizes, arguments);
            }
            reports.push(tally.report(sizes, arguments));
        }
    }
    Ok(reports)
}

/// Who is who in one draw, by place in the folder.
struct Cast {
    household: Vec<usize>,
    /// Strangers that the head learns from.
    learnt: Vec<usize>,
    /// Strangers who come.
    strangers: Vec<usize>,
}

/// What the draws are made from.
struct House<'a> {
    named: &'a [Named],
    people: &'a [Vec<Shot>],
    drawn: &'a [Embedding],
    bank: Option<&'a Bank>,
    loaded: &'a Loaded,
    kind: Visits,
    looks: usize,
}

impl<'a> House<'a> {
    /// The embeddings that are learnt of `who`, by `photos` photos, and the visits that are left.
    fn parts(
        &self,
        who: usize,
        photos: usize,
        chance: &mut Chance,
    ) -> (Vec<Embedding>, Vec<Film<'a>>) {
        let mut shots: Vec<&Shot> = self.people[who].iter().collect();
        let (learnt, left): (Vec<&Shot>, Vec<&Shot>) = match self.kind {
            Visits::Photos => {
                chance.shuffle(&mut shots);
                // A photo without a face cannot be learnt, and is tried.
                shots.sort_by_key(|s| s.embedding.is_none());
                let (learn, rest) = shots.split_at(photos.min(shots.len()));
                (learn.to_vec(), rest.to_vec())
            }
            // A film is learnt from its beginning, every second frame, and comes again later.
            Visits::Frames => {
                let (first, rest) = shots.split_at((2 * photos).min(shots.len()));
                (first.iter().step_by(2).copied().collect(), rest.to_vec())
            }
        };
        let learnt = learnt.iter().filter_map(|s| s.embedding).collect();
        (learnt, self.films(&left))
    }

    fn films(&self, shots: &[&'a Shot]) -> Vec<Film<'a>> {
        let looks = |shot: &&'a Shot| shot.looks.iter().map(Vec::as_slice);
        match self.kind {
            Visits::Photos => shots.iter().map(|s| looks(s).collect()).collect(),
            Visits::Frames => {
                let whole = shots.chunks_exact(self.looks);
                whole
                    .map(|part| part.iter().flat_map(looks).collect())
                    .collect()
            }
        }
    }

    /// Casts one draw.
    fn cast(
        &self,
        [size, photos]: [usize; 2],
        unknown: usize,
        chance: &mut Chance,
    ) -> Result<Cast, Failure> {
        let usage = |text: String| Failure {
            exit: Exit::Usage,
            text,
        };
        let needed = match self.kind {
            Visits::Photos => photos + 1,
            Visits::Frames => 2 * photos + self.looks,
        };
        let mut household: Vec<usize> = (0..self.people.len())
            .filter(|who| {
                let first = match self.kind {
                    Visits::Photos => usize::MAX,
                    Visits::Frames => 2 * photos,
                };
                let shots = &self.people[*who];
                let usable = shots.iter().take(first).filter(|s| s.embedding.is_some());
                shots.len() >= needed && usable.count() >= photos
            })
            .collect();
        if household.len() < size {
            return Err(usage(format!(
                "{} people have {needed} photos and a face in {photos} of them, {size} are to be enrolled: give more photos, or \
                 ask for fewer --people or --photos",
                household.len()
            )));
        }
        chance.shuffle(&mut household);
        household.truncate(size);
        let mut others: Vec<usize> = (0..self.people.len())
            .filter(|i| !household.contains(i))
            .collect();
        chance.shuffle(&mut others);
        let strangers = others.split_off(unknown.min(others.len()));
        if strangers.is_empty() {
            return Err(usage(format!(
                "no one is left to come as a stranger: of {} people {size} are enrolled and {} are learnt from; ask for a smaller \
                 --unknown",
                self.people.len(),
                others.len()
            )));
        }
        Ok(Cast {
            household,
            learnt: others,
            strangers,
        })
    }

    /// One household, its visits, those of strangers, and an hour of them.
    fn draw(
        &self,
        sizes: [usize; 2],
        unknown: usize,
        chance: &mut Chance,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let cast = self.cast(sizes, unknown, chance)?;
        let sha256 = &self.loaded.manifest.embedder().sha256;
        let mut gallery = Gallery::default();
        let mut residents: Vec<(PersonId, Film<'a>)> = Vec::new();
        // The person of each visit, by place in the folder: ids in the gallery are valid in one household only.
        let mut whose: Vec<usize> = Vec::new();
        for who in &cast.household {
            let (embeddings, films) = self.parts(*who, sizes[1], chance);
            let (name, here) = (&self.named[*who].name, Path::new("the household"));
            let id = gallery.add(name, &embeddings, &[], sha256, here)?;
            whose.extend(std::iter::repeat_n(*who, films.len()));
            residents.extend(films.into_iter().map(|film| (id, film)));
        }
        let first = |who: &usize| self.people[*who].iter().find_map(|s| s.embedding);
        let mut unknown_faces: Vec<Vec<Embedding>> = cast
            .learnt
            .iter()
            .filter_map(first)
            .map(|e| vec![e])
            .collect();
        if unknown_faces.len() < FEW_STRANGERS {
            unknown_faces.extend(self.drawn.iter().map(|e| vec![*e]));
        }
        gallery.set_strangers(&unknown_faces);
        gallery.learn();
        let identifier = Identifier::new(gallery.known(sha256), self.loaded.rule, self.bank);
        let raised = identifier.cohort().map_or(&[][..], |c| &c.thresholds);
        let highest = raised
            .iter()
            .copied()
            .fold(identifier.threshold(), f32::max);
        tally.thresholds = [identifier.threshold(), highest.max(tally.thresholds[1])];
        let mut play = Play::new(Judge::new(identifier), self.loaded.config.door.clone())?;

        let faceless = |film: &Film<'_>| film.iter().all(|faces| faces.is_empty());
        for (who, (id, film)) in whose.iter().zip(&residents) {
            // A resident whose face is not found is not let in.
            let let_in = play.visit(film)?;
            tally.residents.faceless += usize::from(faceless(film));
            tally.as_another += usize::from(let_in.is_some_and(|other| other != *id));
            tally.residents.add(*who, let_in != Some(*id));
        }
        let mut films: Vec<Film<'a>> = Vec::new();
        for who in cast.strangers {
            let shots: Vec<&Shot> = self.people[who].iter().collect();
            for film in self.films(&shots) {
                // A visit in which no face is found shows nothing about the other visits.
                if faceless(&film) {
                    tally.strangers.faceless += 1;
                    continue;
                }
                tally.strangers.add(who, play.visit(&film)?.is_some());
                films.push(film);
            }
        }
        if !films.is_empty() {
            play.hour(&films, &residents, chance, &mut tally.hours)?;
        }
        Ok(())
    }
}

impl Tally {
    fn print(&self, [size, photos]: [usize; 2], arguments: &Arguments) {
        println!(
            "{size} people, {photos} photos of each, {} draws; visits of {} looks, 10 a second; a face is an enrolled person from a likeness of \
             {:.3} to {:.3} on",
            arguments.draws, arguments.looks, self.thresholds[0], self.thresholds[1]
        );
        println!(
            "residents: {} visits; not let in: {}; {} let in as another resident",
            self.residents.visits,
            self.residents.line(),
            self.as_another
        );
        println!(
            "strangers: {} visits; let in: {}",
            self.strangers.visits,
            self.strangers.line()
        );
        let h = &self.hours;
        let hours = f64::from(h.played.max(1));
        let time = hours * HOUR as f64;
        println!(
            "an hour of strangers, one after the other: {:.0} visits, {:.2} let in, {:.0} attempts; strict {:.0} %, locked {:.0} % of the \
             time; {} of {} residents who came in between let in at once",
            h.visits as f64 / hours,
            h.let_in as f64 / hours,
            h.refused as f64 / hours,
            100.0 * h.strict_ms as f64 / time,
            100.0 * h.locked_ms as f64 / time,
            h.residents_let_in,
            h.residents
        );
    }

    fn report(&self, [size, photos]: [usize; 2], arguments: &Arguments) -> Value {
        let mut residents = self.residents.report();
        residents["as_another"] = json!(self.as_another);
        let h = &self.hours;
        json!({
            "people": size, "photos": photos, "draws": arguments.draws, "looks": arguments.looks,
            "thresholds": self.thresholds, "residents": residents, "strangers": self.strangers.report(),
            "hours": {
                "played": h.played, "visits": h.visits, "let_in": h.let_in, "attempts": h.refused, "strict_ms": h.strict_ms,
                "locked_ms": h.locked_ms, "residents": h.residents, "residents_let_in": h.residents_let_in,
            },
        })
    }
}
