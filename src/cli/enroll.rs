//! `latchkey enroll`: learns a person from photos, or from the camera.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Exit, Failure, Loaded, pictures, print_json, unchanged};
use crate::bell::{Bell, Caller};
use crate::capture::{self, CameraEvent, Photo};
use crate::config::Overrides;
use crate::face::{Embedding, Reader};
use crate::frame::Slot;
use crate::people::{Enrolment, EnrolmentError, Gallery, Rule, check_name};

#[derive(clap::Args)]
pub struct Arguments {
    /// Who it is
    name: String,
    /// Photos of the person (JPEG or PNG), or folders of them; 20 to 30 are best
    #[arg(
        value_name = "PHOTO",
        required_unless_present = "camera",
        conflicts_with = "camera"
    )]
    photos: Vec<PathBuf>,
    /// Take the pictures with the camera, for a minute at most
    #[arg(long)]
    camera: bool,
    /// With --camera: pictures to take
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    count: u16,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// How long the camera is given.
const CAMERA_TIME: Duration = Duration::from_secs(60);
/// Between two pictures of one person, so that they differ.
const APART: Duration = Duration::from_millis(400);

/// What became of a picture.
struct Outcome {
    picture: String,
    refused: Option<String>,
}

/// Ends with [`Exit::No`] if no picture was usable; the gallery is then as it was.
pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let name = &arguments.name;
    check_name(name)?;
    let photos = pictures(&arguments.photos)?;
    let loaded = Loaded::new(asked)?;
    let path = &loaded.config.gallery;
    let mut reader = loaded.reader(loaded.gated())?;
    // Told now rather than after all photos were read.
    let before = Gallery::load(path)?;
    before.suits(reader.embedder_sha256(), path)?;

    let known = before.people().iter().find(|p| p.name == *name);
    let known: Vec<Embedding> = known
        .iter()
        .flat_map(|p| &p.templates)
        .filter_map(|t| Embedding::normalised(t.iter().copied()))
        .collect();
    let had = known.len();
    let mut enrolment = Enrolment::of(known);
    let mut outcomes = if arguments.camera {
        from_camera(&loaded, &mut reader, &mut enrolment, arguments)?
    } else {
        from_photos(&photos, &mut reader, &mut enrolment)?
    };
    let used: Vec<usize> = (0..outcomes.len())
        .filter(|i| outcomes[*i].refused.is_none())
        .collect();
    for (place, refusal) in enrolment.drop_odd(loaded.rule.threshold) {
        outcomes[used[place]].refused = Some(refusal.to_string());
    }
    for outcome in &outcomes {
        if let Some(why) = &outcome.refused {
            // Libraries put line breaks into their messages; ours are one line.
            let why = why.replace('\n', " ");
            eprintln!("latchkey: {}: not used: {why}", outcome.picture);
        }
    }
    let kept = enrolment.templates().len();
    if kept == 0 {
        let error = EnrolmentError::Nothing {
            name: name.clone(),
            pictures: outcomes.len(),
        };
        eprintln!("latchkey: {error}");
        return Ok(Exit::No);
    }
    warn_of_likeness(&before, name, loaded.rule, &enrolment);
    let sha256 = reader.embedder_sha256().to_owned();
    let id = Gallery::update(path, |g| {
        g.add(name, enrolment.templates(), &[], &sha256, path)
    })
    .map_err(unchanged)?;
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

/// Says so if the new pictures look like somebody else who is enrolled: the door then knows neither
/// for sure.
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

fn from_photos(
    photos: &[PathBuf],
    reader: &mut Reader,
    enrolment: &mut Enrolment,
) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    for path in photos {
        let refused = match Photo::open(path) {
            Ok(photo) => {
                let faces = reader.read_photo(&photo.image())?;
                enrolment
                    .add(faces)
                    .err()
                    .map(|refusal| refusal.to_string())
            }
            Err(e) => Some(e.to_string()),
        };
        outcomes.push(Outcome {
            picture: path.display().to_string(),
            refused,
        });
    }
    Ok(outcomes)
}

/// Takes pictures until there are enough or the time is over, and says on the way what would help.
fn from_camera(
    loaded: &Loaded,
    reader: &mut Reader,
    enrolment: &mut Enrolment,
    arguments: &Arguments,
) -> Result<Vec<Outcome>, Failure> {
    let slot = Arc::new(Slot::new());
    let (events, told) = crossbeam_channel::bounded(16);
    // Heard between frames; nobody sleeps by it.
    let bell = Bell::new().map_err(|e| Failure::machine(format!("eventfd: {e}")))?;
    let camera = capture::start(
        &loaded.config.camera,
        Arc::clone(&slot),
        std::thread::current(),
        Caller::new(events, Arc::new(bell)),
    )?;
    let (begun, mut last, mut advice) = (Instant::now(), None::<Instant>, String::new());
    let mut outcomes = Vec::new();
    let (mut was_up, mut down) = (false, None);
    eprintln!("latchkey: look at the camera and turn your head slowly");
    while outcomes.len() < usize::from(arguments.count) && begun.elapsed() < CAMERA_TIME {
        while let Ok(event) = told.try_recv() {
            match event {
                CameraEvent::Down { why, path } => {
                    let said = format!("{}: {why}", path.display());
                    if !was_up {
                        return Err(Failure::machine(said));
                    }
                    // It may come back: what was taken so far is not lost.
                    eprintln!("latchkey: {said}");
                    down = Some(said);
                }
                CameraEvent::Ended => return Ok(outcomes),
                CameraEvent::Up(_) | CameraEvent::Back { .. } => (was_up, down) = (true, None),
            }
        }
        let Some(lease) = slot.take() else {
            std::thread::park_timeout(Duration::from_millis(100));
            continue;
        };
        if last.is_some_and(|last| last.elapsed() < APART) {
            continue;
        }
        let Ok(image) = lease.image() else { continue };
        // A damaged frame is one that did not come.
        let Ok(faces) = reader.read(&image) else {
            continue;
        };
        match enrolment.add(faces) {
            Ok(()) => {
                last = Some(Instant::now());
                outcomes.push(Outcome {
                    picture: format!("picture {}", outcomes.len() + 1),
                    refused: None,
                });
                eprintln!("latchkey: {} of {}", outcomes.len(), arguments.count);
            }
            Err(refusal) => {
                let text = refusal.to_string();
                if text != advice {
                    eprintln!("latchkey: {text}");
                    advice = text;
                }
            }
        }
    }
    camera.stop();
    match down {
        Some(why) if outcomes.is_empty() => Err(Failure::machine(why)),
        _ => Ok(outcomes),
    }
}
