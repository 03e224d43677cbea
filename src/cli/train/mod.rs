//! `latchkey train`: enrols everyone from a folder of photos, reports what is wrong with the photos, and measures how well the
//! people will be recognised.

mod summary;
mod tuning;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use self::summary::Summary;
use super::change::{ChangeName, changes};
use super::{Exit, Failure, Loaded, NO_LONGER_TUNED, bar, end_when_unread, learner};
use crate::config::{Config, Overrides};
use crate::learn::{DataSet, Learnt, Plan, Training};
use crate::learner::plain;
use crate::lesson::Changes;
use crate::people::{Gallery, GalleryError};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder that has a folder of photos per person, a folder `unknown` for strangers and things, and optionally `validation`
    /// and `test`, each with folders named in the same way
    #[arg(long, value_name = "DIR", required_unless_present = "undo")]
    data: Option<PathBuf>,
    /// Number of additional views of each photo to learn from, as other light and other cameras would have shown it. They do not
    /// help if the photos are good, because the embedder has learnt to cope with most of these differences
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    views: u32,
    /// Leave a change out of the views; may be given more than once
    #[arg(long, value_name = "CHANGE")]
    without: Vec<ChangeName>,
    /// Share of strangers whom a single look may mistake for an enrolled person
    #[arg(long, value_name = "RATE", default_value_t = 0.001, value_parser = rate)]
    far: f64,
    /// Seed of the views
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Also train the top layers of the network, and use them only if a test with strangers who were kept out of the training
    /// shows that no more of them get in; this needs thousands of strangers for --far 0.001, and everyone enrolled must be in
    /// the folder
    #[arg(long)]
    fine_tune: bool,
    /// Go back to the network as it was before it was fine-tuned
    #[arg(long, conflicts_with_all = ["data", "fine_tune", "dry_run"])]
    undo: bool,
    /// Report what is wrong with the photos and how well people would be recognised, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Prints what is wrong with photos, one line per photo.
fn print_wrong(wrong: &[String]) {
    for text in wrong {
        // A file's name may contain any characters.
        eprintln!("latchkey: {}", plain(text));
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate < 1.0 => Ok(rate),
        _ => Err("give a share between 0 and 1, such as 0.001 for one in a thousand".to_owned()),
    }
}

/// Ends with [`Exit::No`] if a person has no photo that can be used, or if fine-tuning was requested and there are too few
/// strangers for it. Everything else is learnt in any case. Ends with [`Exit::Machine`] only if no photo can be used and the
/// machine may be the cause: nothing is changed then, and another try may help.
pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(data) = &arguments.data else {
        return undo(asked);
    };
    let begun = Instant::now();
    let data = DataSet::of(data)?;
    let loaded = Loaded::new(asked)?;
    let path = &loaded.config.gallery;
    let plan = Plan {
        views: arguments.views,
        seed: arguments.seed,
        far: arguments.far,
        fine_tune: arguments.fine_tune,
        rule: loaded.rule,
        set: loaded.manifest.embedder(),
        model_files: &loaded.config.model_files,
        gallery: path,
        show: bar::show,
    };
    let mut training = Training::begin(data, &plan)?;
    // Reported before synthetic strangers are drawn, which takes seconds.
    if training.is_in_vain() {
        print_wrong(training.wrong());
        training.learners().iter().for_each(advise);
        eprintln!(
            "latchkey: no photo of anybody can be used; see the reason of each above; nothing was changed"
        );
        return Ok(if training.is_machines() {
            Exit::Machine
        } else {
            Exit::No
        });
    }
    training.meet_strangers()?;
    print_wrong(training.wrong());
    training.learners().iter().for_each(advise);
    let printed = training.wrong().len();
    let trained = training.try_out()?;
    print_wrong(&trained.wrong[printed..]);
    end_when_unread();

    if !arguments.dry_run {
        let outdated = || {
            eprintln!(
                "latchkey: a person was enrolled meanwhile whom the fine-tuned network does not know: it is not used"
            );
        };
        trained.store(path, outdated)?;
        if trained.ends_tuned() {
            eprintln!("latchkey: {NO_LONGER_TUNED}");
        }
    }
    let summary = Summary {
        trained: &trained,
        seconds: begun.elapsed().as_secs_f32(),
        gallery: (!arguments.dry_run).then_some(path),
    };
    if arguments.json {
        summary.print_json();
    } else {
        summary.print();
    }
    Ok(if trained.empty.is_empty() && !trained.is_tuned_in_vain() {
        Exit::Done
    } else {
        Exit::No
    })
}

/// Prints what this person's photos lack.
fn advise(learner: &Learnt) {
    for lack in learner.lacks() {
        eprintln!("latchkey: {}: {lack}", learner.name);
    }
}

/// The process that reads the photos for [`run`].
pub fn learn(asked: &Overrides, arguments: &Arguments) -> ExitCode {
    let photos = arguments.data.as_slice();
    let without = changes(&arguments.without);
    learner::main(asked, photos, Changes::without(&without))
}

/// Ends with [`Exit::No`] if nothing was fine-tuned.
fn undo(asked: &Overrides) -> Result<Exit, Failure> {
    let path = Config::load(asked)?.gallery;
    let had = Gallery::update(&path, |g| -> Result<bool, GalleryError> {
        let had = g.tuned().is_some() || g.was_tuned_earlier();
        g.set_tuned(None);
        Ok(had)
    })?;
    if had {
        println!("the network is the set's own again");
        return Ok(Exit::Done);
    }
    eprintln!("latchkey: {}: nothing was fine-tuned", path.display());
    Ok(Exit::No)
}
