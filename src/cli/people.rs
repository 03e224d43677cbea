//! `latchkey people`: lists the enrolled people, forgets one of them, or checks the gallery.

use serde_json::json;

use super::{Exit, Failure, Loaded, NO_LONGER_TUNED, print_json};
use crate::config::{Config, Overrides};
use crate::people::{Gallery, GalleryError};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print one JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print who is enrolled, with the number of templates
    List,
    /// Forget a person: delete the name and the templates
    #[command(after_help = "Example:\n  latchkey people remove Ada")]
    Remove {
        /// Name as `latchkey people` prints it; upper or lower case, the encoding of accents and the kind of apostrophe do not
        /// matter
        name: String,
    },
    /// Check that the gallery is undamaged and was made with the networks in use
    Check,
}

/// Listing an empty gallery ends with [`Exit::Done`]. Removing a person who is not in it ends with [`Exit::No`], and so does the
/// check of a gallery that can be corrected only by enrolling everyone again.
pub fn run(overrides: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let path = Config::load(overrides)?.gallery;
    if let Some(Command::Remove { name }) = &arguments.command {
        let removed = Gallery::update(&path, |g| {
            let tuned = g.tuned().is_some() || g.was_tuned_earlier();
            g.remove(name, &path).map(|person| (person, tuned))
        });
        let (person, tuned) = match removed {
            Err(error @ GalleryError::Unknown { .. }) => return Ok(no(&error)),
            removed => removed?,
        };
        if tuned {
            eprintln!("latchkey: {NO_LONGER_TUNED}");
        }
        if arguments.json {
            print_json(&json!({"removed": {"id": person.id, "name": person.name}}));
        } else {
            println!("{} ({}) is forgotten", person.name, person.id);
        }
        return Ok(Exit::Done);
    }
    if let Some(Command::Check) = &arguments.command {
        return check(overrides, arguments.json);
    }
    let gallery = Gallery::load(&path)?;
    if arguments.json {
        let people: Vec<_> = gallery
            .people()
            .iter()
            .map(|p| json!({"id": p.id, "name": p.name, "templates": p.templates.len()}))
            .collect();
        print_json(&json!({"gallery": path, "people": people}));
    } else if gallery.people().is_empty() {
        println!("nobody is enrolled in {}", path.display());
    } else {
        for person in gallery.people() {
            println!(
                "{} {} ({} templates)",
                person.id,
                person.name,
                person.templates.len()
            );
        }
    }
    Ok(Exit::Done)
}

fn check(overrides: &Overrides, json: bool) -> Result<Exit, Failure> {
    let loaded = Loaded::new(overrides)?;
    let path = &loaded.config.gallery;
    let whole = Gallery::load(path).and_then(|g| {
        let suits = g.suits(&loaded.manifest.embedder().sha256, path);
        suits.map(|()| g.people().len())
    });
    match whole {
        Ok(people) if json => print_json(&json!({"gallery": path, "people": people})),
        Ok(people) => println!("{people} people enrolled in {}", path.display()),
        Err(error @ GalleryError::Io { .. }) => return Err(error.into()),
        Err(error) => return Ok(no(&error)),
    }
    Ok(Exit::Done)
}

fn no(why: &GalleryError) -> Exit {
    eprintln!("latchkey: {why}");
    Exit::No
}
