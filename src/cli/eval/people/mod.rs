//! `latchkey eval people`: prints how well a household is recognised among strangers, both picked at random again and again from
//! a folder of many people.

mod print;
mod visits;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::change::{ChangeName, changes};
use crate::cli::{Exit, Failure, Loaded, bar, print_json};
use crate::config::Overrides;
use crate::face::{Gate, Settings};
use crate::lab::people::{METHODS, Plan, Tally, candidates, crowd, network, sheet, tally};
use crate::lab::{Line, chart};
use crate::learner::how_many;
use crate::lesson::{Change, Changes};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder that has a folder of photos per person
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File with the names of the people who may be enrolled or tested on, one per line [default: everyone]
    #[arg(long, value_name = "FILE")]
    only: Option<PathBuf>,
    /// Number of people to enrol; give several numbers for several runs
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "5", value_parser = clap::value_parser!(u16).range(1..=100))]
    people: Vec<u16>,
    /// Number of photos of each person to learn from; give several numbers for several runs
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "25", value_parser = clap::value_parser!(u16).range(1..=1000))]
    photos: Vec<u16>,
    /// Number of strangers that the head learns from
    #[arg(long, value_name = "N", default_value_t = 100)]
    unknown: usize,
    /// How many times to pick a household and strangers at random
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    draws: u16,
    /// Seed of the random picks
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Number of views of each learnt photo
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    views: u32,
    /// Leave a change out of the views; may be given more than once
    #[arg(long, value_name = "CHANGE")]
    without: Vec<ChangeName>,
    /// Test on photos of the enrolled people that were changed in this way
    #[arg(long, value_name = "CHANGE")]
    degrade: Option<ChangeName>,
    /// Test only on photos of the enrolled people that are turned at least this far to a side: how far the tip of the nose is
    /// from the middle of the face, divided by the distance between the eyes (such as 0.25)
    #[arg(long, value_name = "YAW")]
    turned: Option<f32>,
    /// Also fine-tune the embedder's top layers for every household, which takes some seconds per household
    #[arg(long)]
    fine_tune: bool,
    /// Play visits at the door, with its votes and its lock-out, instead of comparing photos. WHAT says whether each photo is a
    /// whole visit or one frame of a film. Use photos of people who are not in the model set's bank of strangers: those in it
    /// are refused more reliably than others
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["views", "without", "degrade", "turned", "fine_tune", "curve", "mistakes"])]
    visits: Option<visits::Visits>,
    /// Number of looks in a visit, ten per second
    #[arg(long, value_name = "N", default_value_t = 20, requires = "visits", value_parser = clap::value_parser!(u16).range(1..=600))]
    looks: u16,
    /// Write the curve of FAR and FRR as SVG
    #[arg(long, value_name = "OUT.svg")]
    curve: Option<PathBuf>,
    /// Write the worst mistakes as PNG
    #[arg(long, value_name = "OUT.png")]
    mistakes: Option<PathBuf>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            unknown: self.unknown,
            draws: self.draws,
            seed: self.seed,
            views: self.views,
            changes: Changes::without(&changes(&self.without)),
            degrade: self.degrade.map(Change::from),
            turned: self.turned,
            fine_tune: self.fine_tune,
        }
    }

    /// Every combination of a number of people and a number of photos.
    fn sizes(&self) -> impl Iterator<Item = [usize; 2]> {
        let photos = |size: u16| self.photos.iter().map(move |p| [size.into(), (*p).into()]);
        self.people.iter().copied().flat_map(photos)
    }
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.mistakes.is_some() && arguments.sizes().count() > 1 {
        return Err(Failure {
            exit: Exit::Usage,
            text: "--mistakes: writes one picture, and there are several runs; give one --people and one --photos".to_owned(),
        });
    }
    let named = candidates(&arguments.data, arguments.only.as_deref())?;
    let loaded = Loaded::new(asked)?;
    if let Some(kind) = arguments.visits {
        return visits::run(&named, &loaded, arguments, kind);
    }
    let settings = Settings {
        gate: Gate::OPEN,
        ..Settings::default()
    };
    let mut readers = loaded.readers(settings, how_many())?;
    let engine = readers[0].engine().to_owned();
    let plan = arguments.plan();
    let people = crowd(&mut readers, bar::show, &named, &arguments.photos, &plan)?;
    let set = loaded.manifest.embedder();
    let weights = || network(set, &loaded.config.model_files);
    let weights = plan.fine_tune.then(weights).transpose()?;
    let (mut runs, mut lines) = (Vec::new(), Vec::new());
    for sizes in arguments.sizes() {
        let least = loaded.rule.threshold;
        let tally = tally(&people, sizes, &plan, least, weights.as_ref())?;
        if !arguments.json {
            print::print(&tally, sizes, &loaded, &engine);
        }
        let several = arguments.sizes().count() > 1;
        lines.extend(curves(&tally, sizes, several));
        if let Some(out) = &arguments.mistakes {
            save(&tally, out)?;
        }
        runs.push(print::report(&tally, sizes));
    }
    if let Some(out) = &arguments.curve {
        let failed = |e| Failure::machine(format!("{}: cannot be written: {e}", out.display()));
        let text = chart(
            "FAR, share of strangers' faces let in",
            "FRR, share of own faces refused",
            &lines,
        );
        std::fs::write(out, text).map_err(failed)?;
    }
    if arguments.json {
        let mut all = runs[0].clone();
        if runs.len() > 1 {
            all = json!({ "runs": runs });
        }
        all["models"] = json!(loaded.manifest.name);
        all["embedder"] = json!(loaded.manifest.embedder);
        all["engine"] = json!(engine);
        print_json(&all);
    }
    Ok(Exit::Done)
}

/// The curve of each method, named with the sizes if there are `several`.
fn curves(tally: &Tally, [size, photos]: [usize; 2], several: bool) -> Vec<Line> {
    let methods = METHODS.iter().enumerate().take(tally.methods());
    methods
        .map(|(m, method)| Line {
            name: match several {
                true => format!("{method}, {size} people, {photos} photos"),
                false => (*method).to_owned(),
            },
            points: tally.curve(m),
        })
        .collect()
}

fn save(tally: &Tally, out: &Path) -> Result<(), Failure> {
    sheet(tally)?
        .save(out)
        .map_err(|e| Failure::machine(format!("{}: cannot be written: {e}", out.display())))
}
