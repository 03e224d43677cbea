//! `latchkey doorstep review`: prints how well the door did in a play, as its log shows.

use std::path::{Path, PathBuf};

use super::photos::save;
use super::{Exit, Failure, Of, Overrides};
use crate::cli::Loaded;
use crate::doorstep::Play;
use crate::frame::PixelFormat;
use crate::lab::review::{Eyes, Logged, Review, sheet};
use crate::people::Gallery;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    of: Of,
    /// The log that `run` wrote
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Write a picture of some visits to this PNG or JPEG file: what was seen when the door decided, and what the relay did
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// The most mistakes that are printed one by one.
const MOST_PRINTED: usize = 20;

/// Ends with [`Exit::No`] if the door was wrong about a visit.
pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let log = &arguments.log;
    let text = std::fs::read_to_string(log)
        .map_err(|e| Failure::of(&e, format!("{}: {e}", log.display())))?;
    let logged = Logged::read(&text);
    if !logged.ended {
        return Err(Failure {
            exit: Exit::Usage,
            text: format!(
                "{}: does not have the end of a play: give the whole log of `latchkey run --source doorstep:SCRIPT`",
                log.display()
            ),
        });
    }
    let play = arguments.of.play();
    let review = Review::of(&play, &logged);
    let judged = play.visits().iter().zip(&review.judged);
    for (visit, judged) in judged.filter(|(_, j)| j.wrong).take(MOST_PRINTED) {
        println!(
            "wrong: at {:.1} s: {}",
            visit.from,
            judged.line(&play, visit)
        );
    }
    if review.early > 0 {
        println!("wrong: opened {} times before anybody came", review.early);
    }
    if let Some(file) = &arguments.picture {
        draw(asked, play, &review, &logged, file)?;
    }
    let wrong = review.wrong();
    println!(
        "visits={} opened={} refused={} locked={} wrong={wrong}",
        review.judged.len(),
        review.count(|j| !j.opened_by.is_empty()),
        review.count(|j| j.opened_by.is_empty() && j.refused),
        review.count(|j| j.locked)
    );
    Ok(if wrong == 0 { Exit::Done } else { Exit::No })
}

/// Writes the picture of some visits.
fn draw(
    asked: &Overrides,
    play: Play,
    review: &Review,
    logged: &Logged,
    file: &Path,
) -> Result<(), Failure> {
    let loaded = Loaded::at_the_door(asked)?;
    let gallery = Gallery::load(&loaded.config.gallery)?;
    let reader = loaded.reader(loaded.gated())?;
    let mut eyes = Eyes {
        identifier: loaded.identifier(&gallery, &reader)?,
        reader,
        gallery: &gallery,
        format: loaded.config.camera.format.unwrap_or(PixelFormat::Yuyv),
    };
    save(&sheet(&mut eyes, play, &review.judged, logged)?, file)
}
