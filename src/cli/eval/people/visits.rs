//! `latchkey eval people --visits`: visits played from photos through tracks, evidence, votes and lock-out, as frames of the
//! camera go through them at the door. A visit is many looks at one person, and the best of them decides.
//!
//! Frames are made of each photo: its face, with what is around it, before a grey wall. It comes nearer, sways, bends its
//! head and is lit otherwise from look to look. Or the photos of a folder are the frames of a film already.

mod film;
mod play;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::film::{Film, Shot, noise, shoot};
use self::play::{HOUR, Hours, Play};
use super::{Arguments, MOST};
use crate::chance::Chance;
use crate::cli::folder::{self, Named, each};
use crate::cli::train::FEW_STRANGERS;
use crate::cli::{Exit, Failure, Loaded};
use crate::face::{Embedding, Settings};
use crate::learn::{built_in, wilson};
use crate::people::{Bank, Gallery, Identifier, PersonId};
use crate::pipeline::Judge;

/// What a photo is to a visit.
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
    residents: usize,
    let_in: usize,
    as_another: usize,
    strangers: usize,
    strangers_let_in: usize,
    stranger_people: BTreeSet<usize>,
    people_let_in: BTreeSet<usize>,
    hours: Hours,
}

/// Plays all visits that `arguments` ask for, and prints or returns what happened.
pub fn run(
    named: &[Named],
    loaded: &Loaded,
    arguments: &Arguments,
    kind: Visits,
) -> Result<Vec<Value>, Failure> {
    let mut readers = folder::readers(loaded, Settings::default())?;
    let jobs: Vec<(usize, &PathBuf)> = named
        .iter()
        .enumerate()
        .flat_map(|(who, n)| n.photos.iter().take(MOST).map(move |p| (who, p)))
        .collect();
    let noise = noise(arguments.seed);
    let shots = each(
        &mut readers,
        "playing visits",
        &jobs,
        |reader, (_, path)| shoot(reader, path, kind, arguments, &noise),
    );
    let mut people: Vec<Vec<Shot>> = named.iter().map(|_| Vec::new()).collect();
    for ((who, _), shot) in jobs.iter().zip(shots) {
        people[*who].push(shot?);
    }
    // As `train` learns from where the owner has too few strangers.
    let mut drawn = Vec::new();
    built_in(&mut readers[0], |e| drawn.extend(e))?;
    let bank = loaded.bank()?;
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

/// Whom the draws are made from.
struct House<'a> {
    named: &'a [Named],
    people: &'a [Vec<Shot>],
    drawn: &'a [Embedding],
    bank: Option<&'a Bank>,
    loaded: &'a Loaded,
    kind: Visits,
    looks: usize,
}

impl House<'_> {
    /// Who of `who`'s photos may be learnt, at most `photos`, and the visits that are left.
    fn parts(&self, who: usize, photos: usize, chance: &mut Chance) -> (Vec<Embedding>, Vec<Film>) {
        let mut shots: Vec<&Shot> = self.people[who].iter().collect();
        let (learnt, left): (Vec<&Shot>, Vec<&Shot>) = match self.kind {
            Visits::Photos => {
                chance.shuffle(&mut shots);
                // One without a face cannot be learnt, and is tried.
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

    fn films(&self, shots: &[&Shot]) -> Vec<Film> {
        match self.kind {
            Visits::Photos => shots.iter().map(|s| s.film.clone()).collect(),
            Visits::Frames => {
                let whole = shots.chunks_exact(self.looks);
                let looks = |part: &[&Shot]| part.iter().flat_map(|s| s.film.clone()).collect();
                whole.map(looks).collect()
            }
        }
    }

    /// One household, its visits, those of strangers, and an hour of them.
    fn draw(
        &self,
        [size, photos]: [usize; 2],
        unknown: usize,
        chance: &mut Chance,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let all = 0..self.people.len();
        let needed = match self.kind {
            Visits::Photos => photos + 1,
            Visits::Frames => 2 * photos + self.looks,
        };
        let enough = |who: &usize| {
            let shots = &self.people[*who];
            let usable = shots.iter().filter(|s| s.embedding.is_some()).count();
            shots.len() >= needed && usable >= photos
        };
        let mut household: Vec<usize> = all.clone().filter(enough).collect();
        if household.len() < size {
            return Err(Failure {
                exit: Exit::Usage,
                text: format!(
                    "{} people have {needed} photos or more, {size} are to be enrolled: give more photos, or enrol fewer",
                    household.len()
                ),
            });
        }
        chance.shuffle(&mut household);
        household.truncate(size);
        let mut others: Vec<usize> = all.filter(|i| !household.contains(i)).collect();
        chance.shuffle(&mut others);
        let (learnt, strangers) = others.split_at(unknown.min(others.len()));

        let manifest = self.loaded.manifest.embedder();
        let mut gallery = Gallery::default();
        let (mut ids, mut residents): (Vec<PersonId>, Vec<(usize, Film)>) = <_>::default();
        for who in &household {
            let (embeddings, films) = self.parts(*who, photos, chance);
            let (name, here) = (&self.named[*who].name, Path::new("the household"));
            residents.extend(films.into_iter().map(|film| (ids.len(), film)));
            ids.push(gallery.add(name, &embeddings, &[], &manifest.sha256, here)?);
        }
        let first = |who: &usize| self.people[*who].iter().find_map(|s| s.embedding);
        let mut nobody: Vec<Vec<Embedding>> =
            learnt.iter().filter_map(first).map(|e| vec![e]).collect();
        if nobody.len() < FEW_STRANGERS {
            nobody.extend(self.drawn.iter().map(|e| vec![*e]));
        }
        gallery.set_strangers(&nobody);
        gallery.learn();
        let known = gallery.known(&manifest.sha256);
        let judge = Judge::new(Identifier::new(known, self.loaded.rule, self.bank));
        let mut play = Play::new(judge, self.loaded.config.door.clone())?;

        for (who, film) in &residents {
            tally.residents += 1;
            match play.visit(film)? {
                Some(person) if person == ids[*who] => tally.let_in += 1,
                Some(_) => tally.as_another += 1,
                None => {}
            }
        }
        let mut visits: Vec<(usize, Film)> = Vec::new();
        for who in strangers {
            let shots: Vec<&Shot> = self.people[*who].iter().collect();
            let films = self.films(&shots).into_iter();
            // A stranger without a face is no visit.
            let films = films.filter(|film| film.iter().any(|faces| !faces.is_empty()));
            visits.extend(films.map(|film| (*who, film)));
        }
        for (who, film) in &visits {
            tally.strangers += 1;
            tally.stranger_people.insert(*who);
            if play.visit(film)?.is_some() {
                tally.strangers_let_in += 1;
                tally.people_let_in.insert(*who);
            }
        }
        if !visits.is_empty() {
            play.hour(&visits, &residents, chance, &mut tally.hours)?;
        }
        Ok(())
    }
}

impl Tally {
    fn print(&self, [size, photos]: [usize; 2], arguments: &Arguments) {
        let share = |of: usize, n: usize| {
            let [low, high] = wilson(of, n);
            let percent = 100.0 * of as f64 / n.max(1) as f64;
            format!(
                "{percent:.2} % ({:.2} to {:.2} at 95 %)",
                100.0 * low,
                100.0 * high
            )
        };
        println!(
            "{size} people, {photos} photos of each, {} draws; visits of {} looks, 10 a second",
            arguments.draws, arguments.looks
        );
        let missed = self.residents - self.let_in;
        println!(
            "residents: {} visits, {missed} not let in: FRR {}; {} let in as another resident",
            self.residents,
            share(missed, self.residents),
            self.as_another
        );
        println!(
            "strangers: {} visits of {} people, {} let in: FAR {}; {} people at least once",
            self.strangers,
            self.stranger_people.len(),
            self.strangers_let_in,
            share(self.strangers_let_in, self.strangers),
            self.people_let_in.len()
        );
        let h = &self.hours;
        let hours = f64::from(h.played.max(1));
        let time = (hours * HOUR as f64).max(1.0);
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
        let missed = self.residents - self.let_in;
        let h = &self.hours;
        json!({
            "people": size, "photos": photos, "draws": arguments.draws, "looks": arguments.looks,
            "residents": {
                "visits": self.residents, "let_in": self.let_in, "as_another": self.as_another,
                "frr_at_95": wilson(missed, self.residents),
            },
            "strangers": {
                "visits": self.strangers, "people": self.stranger_people.len(), "let_in": self.strangers_let_in,
                "people_let_in": self.people_let_in.len(), "far_at_95": wilson(self.strangers_let_in, self.strangers),
            },
            "hours": {
                "played": h.played, "visits": h.visits, "let_in": h.let_in, "attempts": h.refused, "strict_ms": h.strict_ms,
                "locked_ms": h.locked_ms, "residents": h.residents, "residents_let_in": h.residents_let_in,
            },
        })
    }
}
