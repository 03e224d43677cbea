//! `latchkey enroll`: enrols a person from photos, or with the camera.

mod camera;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::{
    Exit, Failure, Loaded, NO_LONGER_TUNED, bar, end_when_unread, learner, pictures, print_json,
};
use crate::config::Overrides;
use crate::face::{Embedding, Reader};
use crate::learner::{Learner, plain, read_all};
use crate::lesson::{Changes, PEOPLE, built_in};
use crate::people::{Enrolment, EnrolmentError, Gallery, GalleryError, Rule, name};

#[derive(clap::Args)]
pub struct Arguments {
    /// Name of the person
    name: String,
    /// Photos of the person (JPEG or PNG), or folders of them; 20 to 30 are best
    #[arg(
        value_name = "PHOTO",
        required_unless_present = "camera",
        conflicts_with = "camera"
    )]
    photos: Vec<PathBuf>,
    /// Take the pictures with the camera, during at most one minute
    #[arg(long)]
    camera: bool,
    /// With --camera: number of pictures to take
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    count: u16,
    /// With --camera: save the used pictures in DIR/NAME, for `latchkey train --data DIR`; without this option no picture is kept
    #[arg(long, value_name = "DIR", requires = "camera")]
    keep: Option<PathBuf>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// The outcome for one picture.
struct Outcome {
    picture: String,
    refused: Option<String>,
    /// Whether the picture was refused because the machine failed. If so, it may be good.
    machine: bool,
}

/// Ends with [`Exit::No`] if no picture was usable, or with [`Exit::Machine`] if that may be the machine's fault. The gallery is
/// then unchanged.
pub fn run(overrides: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let written = name::read(&arguments.name)?;
    let photos = pictures(&arguments.photos)?;
    let loaded = Loaded::new(overrides)?;
    let path = &loaded.config.gallery;
    let sha256 = loaded.manifest.embedder().sha256.clone();
    // Checked here so that an error comes before all photos are read.
    let before = Gallery::load(path)?;
    before.suits(&sha256, path)?;
    let mut source = match arguments.camera {
        true => FaceSource::Camera(Box::new(loaded.reader(loaded.gated())?)),
        false => FaceSource::Learner(Box::new(Learner::start(loaded.manifest.embedder())?)),
    };

    let known = before.find(&written);
    // An enrolled person keeps the name as it is, however it was typed this time.
    let name = &known.map_or(written, |p| p.name.clone());
    if known.is_none() {
        name::check_new(name, before.people().iter().map(|p| p.name.as_str()))?;
    }
    let known: Vec<Embedding> = known
        .iter()
        .flat_map(|p| &p.templates)
        .filter_map(|t| Embedding::normalised(t.iter().copied()))
        .collect();
    let had = known.len();
    let mut enrolment = Enrolment::of(known);
    let mut taken = Vec::new();
    let mut outcomes = match &mut source {
        FaceSource::Camera(reader) => {
            taken = camera::pictures(&loaded, reader, &mut enrolment, arguments)?;
            let number = |k| Outcome {
                picture: format!("picture {k}"),
                refused: None,
                machine: false,
            };
            (1..=taken.len()).map(number).collect()
        }
        FaceSource::Learner(learner) => from_photos(&photos, learner, &mut enrolment)?,
    };
    let used: Vec<usize> = (0..outcomes.len())
        .filter(|i| outcomes[*i].refused.is_none())
        .collect();
    for (place, refusal) in enrolment.drop_outliers(loaded.rule.threshold) {
        outcomes[used[place]].refused = Some(refusal.to_string());
    }
    for outcome in &outcomes {
        if let Some(why) = &outcome.refused {
            // A file's name may contain any characters.
            eprintln!(
                "latchkey: {}: not used: {}",
                plain(&outcome.picture),
                plain(why)
            );
        }
    }
    let kept = enrolment.templates().len();
    if kept == 0 {
        let error = EnrolmentError::Nothing {
            name: name.clone(),
            pictures: outcomes.len(),
        };
        eprintln!("latchkey: {error}");
        let machine = outcomes.iter().any(|o| o.machine);
        return Ok(if machine { Exit::Machine } else { Exit::No });
    }
    warn_of_likeness(&before, name, loaded.rule, &enrolment);
    let mut strangers = Vec::new();
    if before.strangers().is_empty() {
        strangers = source.drawn()?.into_iter().map(|s| vec![s]).collect();
    }
    drop(source);
    end_when_unread();
    let id = Gallery::update(path, |g| {
        let id = g.add(name, enrolment.templates(), &[], &sha256, path)?;
        if g.strangers().is_empty() {
            g.set_strangers(&strangers);
        }
        Ok::<_, GalleryError>(id)
    })?;
    if before.tuned().is_some() || before.was_tuned_earlier() {
        eprintln!("latchkey: {NO_LONGER_TUNED}");
    }
    if let Some(folder) = &arguments.keep {
        let used = taken.iter().zip(&outcomes);
        let used = used
            .filter(|(_, o)| o.refused.is_none())
            .map(|(jpeg, _)| &jpeg[..]);
        let folder = folder.join(name);
        let count = camera::write_pictures(&folder, used)?;
        eprintln!("latchkey: {count} pictures kept in {}", folder.display());
    }
    if arguments.json {
        let pictures: Vec<_> = outcomes
            .iter()
            .map(|o| json!({"picture": o.picture, "refused": o.refused}))
            .collect();
        print_json(&json!({
            "id": id, "name": name, "used": kept, "pictures": pictures, "gallery": path,
        }));
    } else {
        println!(
            "{name} ({id}): {kept} of {} pictures enrolled in {}{}",
            outcomes.len(),
            path.display(),
            match had {
                0 => String::new(),
                had => format!(", {had} there before"),
            }
        );
        if had + kept < 5 {
            println!(
                "few pictures: 20 to 30, from several sides and in day and evening light, are best"
            );
        }
    }
    Ok(Exit::Done)
}

/// Warns if the new pictures look like another enrolled person, because the door then recognises neither of the two reliably.
fn warn_of_likeness(gallery: &Gallery, name: &str, rule: Rule, enrolment: &Enrolment) {
    for other in gallery.people().iter().filter(|p| p.name != name) {
        let cosine = |new: &Embedding| {
            let cosines = other.templates.iter().map(|t| new.cosine(t));
            cosines.fold(-1.0, f32::max)
        };
        let alike = enrolment.templates().iter().map(cosine);
        let alike: Vec<f32> = alike.filter(|c| *c >= rule.threshold).collect();
        if !alike.is_empty() {
            eprintln!(
                "latchkey: {} of the pictures look like {} (cosine {:.2}): where both are likely the door \
                 stays shut; if it is the same person, `latchkey people remove` one of the two",
                alike.len(),
                other.name,
                alike.iter().copied().fold(-1.0, f32::max)
            );
        }
    }
}

/// What reads the pictures.
enum FaceSource {
    /// This process, because the camera's frames come only from this machine.
    Camera(Box<Reader>),
    /// A confined process, because photos may come from anyone.
    Learner(Box<Learner>),
}

impl FaceSource {
    /// One embedding of each synthetic person.
    fn drawn(&mut self) -> Result<Vec<Embedding>, Failure> {
        let reader = match self {
            Self::Learner(learner) => return Ok(learner.drawn(bar::show)?),
            Self::Camera(reader) => reader,
        };
        let mut strangers = Vec::new();
        let mut step = bar::show("synthetic strangers", PEOPLE as usize);
        built_in(reader, |face| {
            strangers.extend(face);
            step();
        })?;
        Ok(strangers)
    }
}

/// The process that reads the photos for [`run`].
pub fn learn(overrides: &Overrides, arguments: &Arguments) -> ExitCode {
    // The main process reports folders that cannot be listed.
    let photos = pictures(&arguments.photos).unwrap_or_default();
    learner::main(overrides, &photos, Changes::ALL)
}

fn from_photos(
    photos: &[PathBuf],
    learner: &mut Learner,
    enrolment: &mut Enrolment,
) -> Result<Vec<Outcome>, Failure> {
    let paths: Vec<&Path> = photos.iter().map(PathBuf::as_path).collect();
    let read = read_all(learner, bar::show, "reading photos", &paths, 0, 0)?;
    let outcomes = photos.iter().zip(read).map(|(path, shown)| {
        let (refused, machine) = match shown {
            Ok(shown) => {
                let refusal = enrolment.add(&shown.faces).err();
                (refusal.map(|r| r.to_string()), false)
            }
            Err(unread) => (Some(unread.why), unread.machine),
        };
        Outcome {
            picture: path.display().to_string(),
            refused,
            machine,
        }
    });
    Ok(outcomes.collect())
}
