//! `latchkey train`: learns everyone from a folder of photos, reports what is wrong with the photos, and measures how well
//! the people will be recognised.

mod photos;
mod summary;
mod trials;
mod tuning;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use self::photos::{Learnt, advise, learn_from, sort_out, strangers};
use self::summary::Summary;
use self::trials::{Household, cross_validate, given, nearest, rows};
use self::tuning::fine_tune;
use super::change::{ChangeName, changes};
use super::{
    Exit, Failure, Loaded, NO_LONGER_TUNED, bar, end_when_unread, folder, learner, unchanged,
};
use crate::config::{Config, Overrides};
use crate::face::Embedding;
use crate::learn::{calibrate, measure};
use crate::learner::{Learner, plain};
use crate::lesson::Changes;
use crate::people::folders::{UNKNOWN, special};
use crate::people::{Gallery, GalleryError, Operating, Person, SAME, Tuned, TunedPerson};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with one folder of photos a person; `unknown` for strangers and things, and, if you like, `validation` and
    /// `test` with folders of the same names
    #[arg(long, value_name = "DIR", required_unless_present = "undo")]
    data: Option<PathBuf>,
    /// Additional views of each photo to learn from, as other light and other cameras would have shown it. They do not help
    /// if the photos are good: the embedder has learnt to allow for most of that
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    views: u32,
    /// Leave a change out of the views; may be given more than once
    #[arg(long, value_name = "CHANGE")]
    without: Vec<ChangeName>,
    /// Share of strangers that one look may take for an enrolled person
    #[arg(long, value_name = "RATE", default_value_t = 0.001, value_parser = rate)]
    far: f64,
    /// Seed of the views
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Train the top layers of the network, too, and take them if strangers held back show that no more of them get in; it
    /// takes thousands of strangers for --far 0.001, and everybody enrolled must be in the folder
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

/// Prints what is wrong with photos, a line each.
fn print_wrong(wrong: &[String]) {
    for text in wrong {
        // A file's name may have any characters.
        eprintln!("latchkey: {}", plain(text));
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate < 1.0 => Ok(rate),
        _ => Err("give a share between 0 and 1, such as 0.001 for one in a thousand".to_owned()),
    }
}

/// Folders in the data that are no person's.
const SPECIAL: [&str; 3] = ["unknown", "validation", "test"];
/// Fewer strangers than this do not represent how strangers look.
pub const FEW_STRANGERS: usize = 50;

/// Ends with [`Exit::No`] if a person has no photo that can be used, or if fine-tuning was asked for and there are too few
/// strangers for it; everything else is still learnt.
pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(data) = &arguments.data else {
        return undo(asked);
    };
    let begun = Instant::now();
    let (mut named, mut wrong) = folder::people(data, &SPECIAL)?;
    if named.iter().all(|n| n.photos.is_empty()) {
        let but = wrong.first().map_or(String::new(), |w| format!(" ({w})"));
        return Err(Failure {
            exit: Exit::Usage,
            text: format!(
                "{}: no one to learn{but}; make a folder of each person's name in it, with 20 to 30 photos of them",
                data.display()
            ),
        });
    }
    let loaded = Loaded::new(asked)?;
    let path = &loaded.config.gallery;
    let embedder = loaded.manifest.embedder();
    let sha256 = embedder.sha256.clone();
    let same = SAME * embedder.threshold;
    if loaded.rule.fixed && arguments.fine_tune {
        return Err(Failure {
            exit: Exit::Usage,
            text: format!(
                "recognition.threshold = {} is for the set's own network, a fine-tuned one needs another, which is measured: take \
                 the line out of the configuration to fine-tune; nothing was changed",
                loaded.rule.threshold
            ),
        });
    }
    // Checked here so that an error comes before all photos are read.
    let gallery = Gallery::load(path)?;
    gallery.suits(&sha256, path)?;
    let was_tuned = gallery.tuned().is_some() || gallery.was_tuned_earlier();
    folder::agree(&mut named, &gallery, &mut wrong);
    let with_photos = |name: &str| {
        let mut those = named.iter().filter(|n| !n.photos.is_empty());
        those.any(|n| n.name == name)
    };
    let absent = gallery.people().iter().find(|p| !with_photos(&p.name));
    if let (Some(absent), true) = (absent, arguments.fine_tune) {
        return Err(Failure {
            exit: Exit::Usage,
            text: format!(
                "{} is enrolled and has no photos in {}: a fine-tuned network would see them differently; add photos, or \
                 `latchkey people remove` them; nothing was changed",
                absent.name,
                data.display()
            ),
        });
    }

    let bank = loaded.bank()?;
    let mut learner = Learner::start(embedder)?;
    let threshold = loaded.rule.threshold;
    let mut learners = learn_from(&mut learner, &named, arguments, threshold, &mut wrong)?;
    sort_out(&mut learners, &mut wrong);
    // Reported before strangers are drawn, which takes seconds.
    if learners.iter().all(|l| l.examples.is_empty()) {
        print_wrong(&wrong);
        learners.iter().for_each(advise);
        eprintln!(
            "latchkey: no photo of anybody can be used; see the reason of each above; nothing was changed"
        );
        return Ok(Exit::No);
    }
    let unknown = special(data, UNKNOWN);
    let strangers = strangers(&mut learner, &unknown, same, &mut wrong)?;
    let drawn = match strangers.people.len() {
        0..FEW_STRANGERS => learner.drawn(bar::show)?,
        _ => Vec::new(),
    };
    print_wrong(&wrong);
    let empty: Vec<String> = learners
        .iter()
        .filter(|l| l.examples.is_empty())
        .map(|l| l.name.clone())
        .collect();
    learners.iter().for_each(advise);
    learners.retain(|l| !l.examples.is_empty());

    // A person who is enrolled and not in the folder stays, and strangers are tried against them, too.
    let stay = |p: &&Person| learners.iter().all(|l| l.name != p.name);
    let household = Household {
        stay: gallery.people().iter().filter(stay).collect(),
        learners: &learners,
    };
    let (mut genuine, mut impostors) = cross_validate(&household, &strangers, &drawn);
    let unknown_rows = rows(&strangers, strangers.people.iter(), &drawn);
    let known = household.known(|_| true, &unknown_rows);
    let mut before: Vec<&[f32]> = strangers
        .photos
        .iter()
        .map(|s| s.embedding.values())
        .collect();
    let mut try_out = |folder: &'static str, before: &[&[f32]]| {
        given(
            &mut learner,
            &special(data, folder),
            &household,
            &known,
            before,
            same,
        )
    };
    let validation = try_out("validation", &before)?;
    genuine.extend(&validation.genuine);
    impostors.extend(validation.impostors.iter().map(|alike| nearest(alike)));
    let rule = loaded.rule;
    let calibration = if rule.fixed {
        measure(&impostors, arguments.far, rule.threshold)
    } else {
        calibrate(&impostors, arguments.far, rule.threshold)
    };
    before.extend(validation.faces.iter().map(Embedding::values));
    let test = try_out("test", &before)?;
    let tuning = match arguments.fine_tune {
        true => Some(fine_tune(
            &loaded,
            &mut learner,
            &learners,
            &strangers,
            arguments,
        )?),
        false => None,
    };
    // This ends the learner, so that its output comes before the summary.
    drop(learner);
    end_when_unread();
    let taken = tuning.as_ref().and_then(tuning::Outcome::taken);
    // As the door computes it when it reads the gallery.
    let bank = bank.filter(|_| !rule.fixed && taken.is_none());
    let cohort = bank.map(|b| b.cohort(&known.enrolled(), calibration.threshold, arguments.far));

    if !arguments.dry_run {
        Gallery::update(path, |g| -> Result<(), GalleryError> {
            for l in &learners {
                let photos: Vec<Embedding> = l.examples.iter().map(|e| e.embedding).collect();
                let views: Vec<Embedding> =
                    l.examples.iter().flat_map(|e| &e.views).copied().collect();
                g.clear(&l.name);
                g.add(&l.name, &photos, &views, &sha256, path)?;
            }
            g.set_strangers(&strangers.by_person(&drawn));
            g.learn();
            let counted = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            g.set_operating(Operating {
                threshold: calibration.threshold,
                far: arguments.far,
                trials: counted(calibration.trials),
                accepted: counted(calibration.accepted),
            });
            if let Some(tuned) = taken {
                let people = in_order(g, &learners, &tuned.people);
                if people.len() == g.people().len() {
                    let tuned = tuned.clone();
                    g.set_tuned(Some(Tuned { people, ..tuned }));
                } else {
                    eprintln!(
                        "latchkey: a person was enrolled meanwhile whom the fine-tuned network does not know: it is not used"
                    );
                }
            }
            Ok(())
        })
        .map_err(unchanged)?;
        if was_tuned && taken.is_none() {
            eprintln!("latchkey: {NO_LONGER_TUNED}");
        }
    }
    let summary = Summary {
        learners: &learners,
        empty: &empty,
        strangers: &strangers,
        tried_photos: strangers.photos.len() + validation.faces.len() - validation.again,
        calibration,
        cohort: cohort.as_ref(),
        names: household.names().collect(),
        far: arguments.far,
        genuine: &genuine,
        test: &test,
        tuning: tuning.as_ref(),
        seconds: begun.elapsed().as_secs_f32(),
        gallery: (!arguments.dry_run).then_some(path),
        rule,
    };
    if arguments.json {
        summary.print_json(&wrong);
    } else {
        summary.print();
    }
    let asked_in_vain = matches!(tuning, Some(tuning::Outcome::TooFew { .. }));
    Ok(if empty.is_empty() && !asked_in_vain {
        Exit::Done
    } else {
        Exit::No
    })
}

/// The fine-tuned network's data for each of `learners`, in the gallery's order.
fn in_order(gallery: &Gallery, learners: &[Learnt], people: &[TunedPerson]) -> Vec<TunedPerson> {
    let of = |p: &Person| learners.iter().position(|l| l.name == p.name);
    let places = gallery.people().iter().filter_map(of);
    places.map(|place| people[place].clone()).collect()
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
    })
    .map_err(unchanged)?;
    if had {
        println!("the network is the set's own again");
        return Ok(Exit::Done);
    }
    eprintln!("latchkey: {}: nothing was fine-tuned", path.display());
    Ok(Exit::No)
}
