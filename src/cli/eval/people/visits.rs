//! `latchkey eval people --visits`: prints how visits go at the door.

use serde_json::{Value, json};

use super::Arguments;
use crate::cli::{Exit, Failure, Loaded, bar, print_json};
use crate::lab::visits::{HOUR, House, Judgement, Kind, Plan, Tally, Visited};
use crate::learn::Named;
use crate::learner::how_many;

/// What a photo represents in a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Visits {
    /// Each photo is a visit, in which its face is held before a wall.
    Photos,
    /// Each photo is a frame of a film; the photos of a folder, in the order of their names, are looks one after the other.
    Frames,
}

impl From<Visits> for Kind {
    fn from(visits: Visits) -> Self {
        match visits {
            Visits::Photos => Self::Photos,
            Visits::Frames => Self::Frames,
        }
    }
}

/// Plays all visits that `arguments` ask for, and prints what happened.
pub fn run(
    named: &[Named],
    loaded: &Loaded,
    arguments: &Arguments,
    kind: Visits,
) -> Result<Exit, Failure> {
    let plan = Plan {
        kind: kind.into(),
        unknown: arguments.unknown,
        draws: arguments.draws,
        seed: arguments.seed,
        looks: arguments.looks,
    };
    let judgement = Judgement {
        bank: loaded.bank()?,
        rule: loaded.rule,
        policy: loaded.config.door.clone(),
        set: loaded.manifest.embedder().sha256.clone(),
    };
    let mut readers = loaded.readers(loaded.gated(), how_many())?;
    let house = House::read(&mut readers, bar::show, named, judgement, &plan)?;
    let mut runs = Vec::new();
    for sizes in arguments.sizes() {
        let tally = house.tally(sizes, &plan)?;
        if !arguments.json {
            print(&tally, sizes, arguments);
        }
        runs.push(report(&tally, sizes, arguments));
    }
    if arguments.json {
        print_json(
            &json!({ "runs": runs, "models": loaded.manifest.name, "embedder": loaded.manifest.embedder }),
        );
    }
    Ok(Exit::Done)
}

fn print(tally: &Tally, [size, photos]: [usize; 2], arguments: &Arguments) {
    println!(
        "{size} people, {photos} photos of each, {} draws; visits of {} looks, 10 a second; a face is an enrolled person from a likeness of \
         {:.3} to {:.3} on",
        arguments.draws, arguments.looks, tally.thresholds[0], tally.thresholds[1]
    );
    println!(
        "residents: {} visits; not let in: {}; {} let in as another resident",
        tally.residents.visits,
        line(&tally.residents),
        tally.as_another
    );
    println!(
        "strangers: {} visits; let in: {}",
        tally.strangers.visits,
        line(&tally.strangers)
    );
    let h = &tally.hours;
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

/// The counts in one line.
fn line(visited: &Visited) -> String {
    let [low, high] = visited.people_at_95();
    format!(
        "{:.2} % of visits; {} of {} people at least once ({:.1} to {:.1} % at 95 %); no face found in {} visits",
        100.0 * visited.wrong as f64 / visited.visits.max(1) as f64,
        visited.people_wrong.len(),
        visited.people.len(),
        100.0 * low,
        100.0 * high,
        visited.faceless
    )
}

/// The same as JSON.
fn report(tally: &Tally, [size, photos]: [usize; 2], arguments: &Arguments) -> Value {
    let mut residents = visits(&tally.residents);
    residents["as_another"] = json!(tally.as_another);
    let h = &tally.hours;
    json!({
        "people": size, "photos": photos, "draws": arguments.draws, "looks": arguments.looks,
        "thresholds": tally.thresholds, "residents": residents, "strangers": visits(&tally.strangers),
        "hours": {
            "played": h.played, "visits": h.visits, "let_in": h.let_in, "attempts": h.refused, "strict_ms": h.strict_ms,
            "locked_ms": h.locked_ms, "residents": h.residents, "residents_let_in": h.residents_let_in,
        },
    })
}

fn visits(visited: &Visited) -> Value {
    json!({
        "visits": visited.visits, "wrong": visited.wrong, "faceless": visited.faceless,
        "people": visited.people.len(), "people_wrong": visited.people_wrong.len(),
        "people_at_95": visited.people_at_95(),
    })
}
