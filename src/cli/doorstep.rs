//! `latchkey doorstep`: synthetic people before a simulated door, as `run --source doorstep:SEED` sees them.

mod frames;
mod photos;
mod review;
mod show;

use clap::Subcommand;

use super::{Exit, Failure, print_json};
use crate::config::Overrides;
use crate::doorstep::{GroundTruth, Play, Script};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: show::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Write photos of the residents, for enrolling them
    Photos(photos::Arguments),
    /// Write a single picture that shows everyone who comes
    Cast(photos::Cast),
    /// Write single frames, and a list of who is where in them
    Frames(frames::Arguments),
    /// List the visits: who comes, and when
    Visits(Visits),
    /// Compare the log of `run` with the visits that were played
    Review(review::Arguments),
}

/// The argument that all of these commands take.
#[derive(clap::Args)]
struct Of {
    /// SEED, or SEED,visits=N,residents=N,strangers=N,every=SECONDS
    #[arg(value_name = "SCRIPT", default_value = "1")]
    script: Script,
}

impl Of {
    fn play(&self) -> Play {
        Play::new(&self.script)
    }
}

#[derive(clap::Args)]
pub struct Visits {
    #[command(flatten)]
    of: Of,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Some(Command::Photos(a)) => photos::run(a),
        Some(Command::Cast(a)) => photos::cast(a),
        Some(Command::Frames(a)) => frames::run(a),
        Some(Command::Visits(a)) => {
            visits(a);
            Ok(Exit::Done)
        }
        Some(Command::Review(a)) => review::run(asked, a),
        None => show::run(&arguments.show),
    }
}

fn visits(arguments: &Visits) {
    let play = arguments.of.play();
    let names =
        |v: &crate::doorstep::Visit| v.who.iter().map(|w| play.name(*w)).collect::<Vec<_>>();
    if arguments.json {
        let list: Vec<_> = play
            .visits()
            .iter()
            .map(|v| serde_json::json!({ "from": v.from, "until": v.until, "who": names(v) }))
            .collect();
        print_json(&serde_json::json!({ "visits": list, "end": play.end() }));
        return;
    }
    for v in play.visits() {
        println!(
            "{:8.2} s to {:8.2} s  {}",
            v.from,
            v.until,
            names(v).join(" and ")
        );
    }
}

/// The person and the position of a face, as JSON.
fn truth(play: &Play, seen: &GroundTruth) -> serde_json::Value {
    serde_json::json!({ "who": play.name(seen.who), "box": seen.bbox, "landmarks": seen.landmarks })
}
