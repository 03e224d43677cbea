//! `latchkey eval people`: a household among strangers, drawn again and again from a folder of many people. The enrolled, the
//! strangers that the head learns from, those that the threshold is found with and those that it is tried on are never the
//! same people.

mod draws;
mod tally;
mod visits;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use self::tally::METHODS;
use self::visits::Visits;
use super::chart::{Line, chart};
use super::subject;
use crate::capture::Photo;
use crate::chance::Chance;
use crate::cli::change::{ChangeName, changes};
use crate::cli::{Exit, Failure, Loaded, bar, print_json};
use crate::config::Overrides;
use crate::face::{Embedding, FaceError, Gate, Landmarks, Reader, Settings};
use crate::frame::{Image, Sampler};
use crate::learn;
use crate::learner::{each, how_many};
use crate::lesson::{Changes, FaceCut, TUNING_VIEWS, Trunk};
use crate::nn::{ModelFile, Weights};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with one folder of photos a person
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File with the names of those who may be enrolled or tried, one a line; all of them if absent
    #[arg(long, value_name = "FILE")]
    only: Option<PathBuf>,
    /// People who are enrolled; several numbers for several runs
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "5", value_parser = clap::value_parser!(u16).range(1..=100))]
    people: Vec<u16>,
    /// Photos of each that are learnt; several numbers for several runs
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "25", value_parser = clap::value_parser!(u16).range(1..=1000))]
    photos: Vec<u16>,
    /// Strangers that the head learns from
    #[arg(long, value_name = "N", default_value_t = 100)]
    unknown: usize,
    /// How often household and strangers are drawn
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    draws: u16,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Views of each learnt photo
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    views: u32,
    /// Leave a change out of the views; may be given more than once
    #[arg(long, value_name = "CHANGE")]
    without: Vec<ChangeName>,
    /// Try photos of the enrolled that were changed in this way
    #[arg(long, value_name = "CHANGE")]
    degrade: Option<ChangeName>,
    /// Try only photos of the enrolled that are turned at least so far to a side, in eye distances (0.25: a quarter)
    #[arg(long, value_name = "YAW")]
    turned: Option<f32>,
    /// Fine-tune the embedder's top layers for every household, too; takes some seconds a draw
    #[arg(long)]
    fine_tune: bool,
    /// Play visits at the door, with its votes and its lock-out, instead of comparing photos. WHAT is what a photo stands for.
    /// People who are in the set's bank of strangers are refused better than others: give people who are not
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["views", "without", "degrade", "turned", "fine_tune", "curve", "mistakes"])]
    visits: Option<Visits>,
    /// Looks of a visit, ten a second
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

/// The FAR at which methods are compared.
const FAR: f64 = 1e-3;
/// Photos beyond the learnt ones that a person must have to be enrolled.
const LEFT: usize = 5;
/// Photos of one person that are learnt or tried, at most.
const MOST: usize = 60;

/// The embedder's answer for a face.
#[derive(Clone)]
struct Seen {
    embedding: Embedding,
    /// For fine-tuning only.
    trunk: Option<Trunk>,
}

/// A photo's face.
struct Shot {
    photo: PathBuf,
    landmarks: Landmarks,
    seen: Seen,
    /// What is tried in its place when it is an enrolled person's.
    tried: Option<Seen>,
    views: Vec<Seen>,
}

/// A person who may be enrolled or come as a stranger.
struct Candidate {
    /// `None` where no face was found.
    shots: Vec<Option<Shot>>,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let usage = |text: String| Failure {
        exit: Exit::Usage,
        text,
    };
    let (mut named, _) = learn::people(&arguments.data, &[])?;
    named.retain(|n| !n.photos.is_empty());
    if let Some(file) = &arguments.only {
        let text = std::fs::read_to_string(file).map_err(|e| {
            let text = format!("{}: {e}; --only takes a file of names", file.display());
            Failure::of(&e, text)
        })?;
        let wanted: BTreeSet<&str> = text
            .lines()
            .map(|l| l.split('\t').next().unwrap_or(l).trim())
            .collect();
        named.retain(|n| wanted.contains(&*n.name));
    }
    let loaded = Loaded::new(asked)?;
    if let Some(kind) = arguments.visits {
        let runs = visits::run(&named, &loaded, arguments, kind)?;
        if arguments.json {
            print_json(
                &json!({ "runs": runs, "models": loaded.manifest.name, "embedder": loaded.manifest.embedder }),
            );
        }
        return Ok(Exit::Done);
    }
    let settings = Settings {
        gate: Gate::OPEN,
        ..Settings::default()
    };
    let mut readers = loaded.readers(settings, how_many())?;
    let engine = readers[0].engine().to_owned();
    let fewest = usize::from(arguments.photos.iter().copied().min().unwrap_or(1)) + LEFT;
    // Views are made of those who may be enrolled and, for fine-tuning, of the photo with which any person may be a stranger.
    let jobs: Vec<(usize, &PathBuf, bool)> = named
        .iter()
        .enumerate()
        .flat_map(|(i, n)| {
            let enrollable = n.photos.len() >= fewest;
            let photos = n
                .photos
                .iter()
                .take(if enrollable { MOST } else { usize::MAX });
            let fine_tune = arguments.fine_tune;
            photos
                .enumerate()
                .map(move |(k, p)| (i, p, enrollable || fine_tune && k == 0))
        })
        .collect();
    let changes = Changes::without(&changes(&arguments.without));
    let shots = each(
        &mut readers,
        bar::show,
        "reading photos",
        &jobs,
        |reader, (_, photo, enrollable)| shoot(reader, photo, *enrollable, arguments, changes),
    );
    let mut people: Vec<Candidate> = named
        .iter()
        .map(|_| Candidate { shots: Vec::new() })
        .collect();
    for ((i, ..), shot) in jobs.iter().zip(shots) {
        people[*i].shots.push(shot?);
    }

    let network = arguments.fine_tune.then(|| top_of(&loaded)).transpose()?;
    let mut runs = Vec::new();
    let mut lines = Vec::new();
    for &size in &arguments.people {
        for &photos in &arguments.photos {
            let (size, photos) = (usize::from(size), usize::from(photos));
            let least = loaded.rule.threshold;
            let sizes = [size, photos];
            let tally = draws::tally(&people, sizes, arguments, least, network.as_ref());
            let tally = tally.map_err(usage)?;
            let report = tally.report(size, photos);
            if !arguments.json {
                tally.print(size, photos, &loaded, &engine);
            }
            for (m, method) in METHODS.iter().enumerate().take(tally.methods()) {
                let several = arguments.people.len() * arguments.photos.len() > 1;
                let name = if several {
                    format!("{method}, {size} people, {photos} photos")
                } else {
                    (*method).to_owned()
                };
                lines.push(Line {
                    name,
                    points: tally.curve(m),
                });
            }
            if let Some(out) = &arguments.mistakes {
                tally.sheet(out)?;
            }
            runs.push(report);
        }
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

/// The embedder's file, to fine-tune.
fn top_of(loaded: &Loaded) -> Result<Weights, Failure> {
    let manifest = loaded.manifest.embedder();
    let file = ModelFile::find(&manifest.file, &loaded.config.model_files)?;
    let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;
    Ok(Weights::parse(file.bytes().to_vec())?)
}

/// A seed for a photo, not for its place in the folder: the same photo has the same views in every run.
fn seed_of(photo: &Path, seed: u64) -> u64 {
    let name = photo.file_name().unwrap_or_default().as_encoded_bytes();
    name.iter()
        .fold(seed, |s, b| crate::chance::bits(s, u64::from(*b)))
}

/// The face in the middle of a photo.
fn shoot(
    reader: &mut Reader,
    path: &Path,
    enrollable: bool,
    arguments: &Arguments,
    changes: Changes,
) -> Result<Option<Shot>, Failure> {
    let photo = Photo::open(path)?;
    let image = photo.image();
    let subject = subject(reader.read(&image)?, image.layout()).copied();
    let Some((face, embedding)) = subject.and_then(|f| Some((f, f.embedding.ok()?))) else {
        return Ok(None);
    };
    let mut see = |image: &Image<'_>, landmarks: &Landmarks| -> Result<_, FaceError> {
        let embedding = reader.read_at(image, landmarks)?;
        let trunk = arguments.fine_tune.then(|| reader.trunk()).flatten();
        let trunk = trunk.and_then(Trunk::of);
        Ok(embedding.map(|embedding| Seen { embedding, trunk }))
    };
    let mut seen = Seen {
        embedding,
        trunk: None,
    };
    if arguments.fine_tune {
        seen = see(&image, &face.landmarks)?.unwrap_or(seen);
    }
    let mut shot = Shot {
        photo: path.to_owned(),
        landmarks: face.landmarks,
        tried: Some(seen.clone()),
        seen,
        views: Vec::new(),
    };
    if arguments
        .turned
        .is_some_and(|least| face.quality.yaw.abs() < least)
    {
        shot.tried = None;
    }
    if enrollable {
        let mut sampler = Sampler::new(image.layout().width, 256);
        let cut = FaceCut::new(&image, &face.landmarks, &mut sampler).map_err(FaceError::from)?;
        if let Some(cut) = cut {
            let seed = seed_of(path, arguments.seed);
            let views = if arguments.fine_tune {
                arguments.views.max(TUNING_VIEWS)
            } else {
                arguments.views
            };
            for number in 0..views {
                let view = cut
                    .view(seed, number, changes, &mut sampler)
                    .map_err(FaceError::from)?;
                shot.views.extend(see(&view.image()?, view.landmarks())?);
            }
            if let (Some(change), Some(_)) = (arguments.degrade, &shot.tried) {
                let mut view = cut;
                view.change(change.into(), &mut Chance::new(seed), &mut sampler)
                    .map_err(FaceError::from)?;
                shot.tried = see(&view.image()?, view.landmarks())?;
            }
        }
    }
    Ok(Some(shot))
}
