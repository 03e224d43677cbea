//! `latchkey eval pairs`: embeds every picture of a file of pairs once and judges their cosines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::protocol::{Picture, judge, parse, rates};
use super::subject;
use crate::capture::Photo;
use crate::cli::{Exit, Failure, Loaded, print_json};
use crate::config::Overrides;
use crate::face::{Embedding, Gate, Reader, Settings};

#[derive(clap::Args)]
pub struct Arguments {
    /// File of pairs, as LFW's pairs.txt
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Folder of the pictures: NAME/NAME_0001.jpg
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Write every pair's score to this file: fold, 1 for same, cosine
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let usage = |text: String| Failure {
        exit: Exit::Usage,
        text,
    };
    let file = arguments.pairs.display();
    let text = std::fs::read_to_string(&arguments.pairs).map_err(|e| {
        let text = format!("{file}: {e}; --pairs takes a file such as LFW's pairs.txt");
        Failure::of(&e, text)
    })?;
    let pairs = parse(&text).map_err(|e| usage(format!("{file}: {e}")))?;
    if !arguments.images.is_dir() {
        return Err(usage(format!(
            "{}: no such folder; --images takes the folder that holds one folder a person",
            arguments.images.display()
        )));
    }
    let mut files: BTreeMap<&Picture, PathBuf> = BTreeMap::new();
    for picture in pairs.iter().flat_map(|p| [&p.first, &p.second]) {
        files.insert(picture, find(&arguments.images, picture).map_err(usage)?);
    }

    let loaded = Loaded::new(asked)?;
    // Everything that is found counts, however bad: undetected faces are an error of the networks.
    let settings = Settings {
        gate: Gate::OPEN,
        ..Settings::default()
    };
    let files: Vec<(&Picture, PathBuf)> = files.into_iter().collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut readers = Vec::new();
    for _ in 0..workers {
        readers.push(loaded.reader(settings)?);
    }
    let engine = readers[0].engine().to_owned();
    let share = files.len().div_ceil(workers).max(1);
    let embedded: Vec<Result<Vec<Option<Embedding>>, Failure>> = std::thread::scope(|scope| {
        let handles: Vec<_> = files
            .chunks(share)
            .zip(readers)
            .map(|(files, mut reader)| {
                scope.spawn(move || files.iter().map(|(_, f)| embed(&mut reader, f)).collect())
            })
            .collect();
        handles
            .into_iter()
            .map(|h| {
                h.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut embeddings = BTreeMap::new();
    let mut all = files.iter();
    for part in embedded {
        for (embedding, (picture, _)) in part?.into_iter().zip(all.by_ref()) {
            embeddings.insert(*picture, embedding);
        }
    }

    // A face that was not found is not the same person: the lowest score there is.
    let scores: Vec<f32> = pairs
        .iter()
        .map(|p| match (&embeddings[&p.first], &embeddings[&p.second]) {
            (Some(a), Some(b)) => a.cosine(b.values()),
            _ => -1.0,
        })
        .collect();
    if let Some(out) = &arguments.scores {
        let lines: String = pairs
            .iter()
            .zip(&scores)
            .map(|(p, s)| format!("{} {} {s:.6}\n", p.fold + 1, u8::from(p.same)))
            .collect();
        std::fs::write(out, lines)
            .map_err(|e| Failure::machine(format!("{}: {e}", out.display())))?;
    }
    let undetected: Vec<&&Picture> = embeddings
        .iter()
        .filter(|(_, e)| e.is_none())
        .map(|(p, _)| p)
        .collect();
    let judged = judge(&pairs, &scores);
    let in_use = loaded.rule.threshold;
    let rates = rates(&pairs, &scores, in_use);
    let folds = pairs.iter().map(|p| p.fold + 1).max().unwrap_or(0);
    if arguments.json {
        print_json(&json!({
            "models": loaded.manifest.name,
            "embedder": loaded.manifest.embedder,
            "engine": engine,
            "pairs": pairs.len(),
            "folds": folds,
            "images": files.len(),
            "undetected": undetected.len(),
            "accuracy": judged.accuracy,
            "ci95": judged.ci95,
            "tar_at_far_1e_2": judged.tar_at_far_1e_2,
            "tar_at_far_1e_3": judged.tar_at_far_1e_3,
            "threshold": judged.threshold,
            "in_use": {
                "threshold": in_use,
                "far": rates.far,
                "far_ci95": rates.far_ci95,
                "frr": rates.frr,
                "frr_ci95": rates.frr_ci95,
            },
        }));
    } else {
        let [low, high] = judged.ci95.map(|v| 100.0 * v);
        println!(
            "{} with {}, {engine}",
            loaded.manifest.embedder, loaded.manifest.name
        );
        println!(
            "{} pairs in {folds} folds, {} pictures",
            pairs.len(),
            files.len()
        );
        println!(
            "accuracy {:.2} % (95 % interval {low:.2} to {high:.2}) at cosine {:.3}",
            100.0 * judged.accuracy,
            judged.threshold
        );
        println!("TAR at FAR 1e-2 {:.2} %", 100.0 * judged.tar_at_far_1e_2);
        println!("TAR at FAR 1e-3 {:.2} %", 100.0 * judged.tar_at_far_1e_3);
        let percent = |rate: f64, [low, high]: [f64; 2]| {
            let [rate, low, high] = [rate, low, high].map(|v| 100.0 * v);
            format!("{rate:.2} % ({low:.2} to {high:.2})")
        };
        println!(
            "at the threshold in use, {in_use:.2}: FAR {}, FRR {}",
            percent(rates.far, rates.far_ci95),
            percent(rates.frr, rates.frr_ci95)
        );
        println!("pictures without a detected face: {}", undetected.len());
        for picture in undetected {
            println!("  {} {}", picture.name, picture.number);
        }
    }
    Ok(Exit::Done)
}

fn find(images: &Path, picture: &Picture) -> Result<PathBuf, String> {
    let Picture { name, number } = picture;
    let stem = images.join(name).join(format!("{name}_{number:04}"));
    ["jpg", "jpeg", "png"]
        .into_iter()
        .map(|extension| stem.with_added_extension(extension))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            format!(
                "{}.jpg: no such picture, and no .jpeg or .png either",
                stem.display()
            )
        })
}

fn embed(reader: &mut Reader, file: &Path) -> Result<Option<Embedding>, Failure> {
    let photo = Photo::open(file)?;
    let image = photo.image();
    let faces = reader.read(&image)?;
    Ok(subject(faces, image.layout()).and_then(|face| face.embedding.ok()))
}
