//! `latchkey eval pairs`: prints the results of the model set for a file of pairs.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::{Exit, Failure, Loaded, print_json};
use crate::config::Overrides;
use crate::face::{Gate, Settings};
use crate::lab::pairs::{Album, Measured};

#[derive(clap::Args)]
pub struct Arguments {
    /// File of pairs, in the format of LFW's pairs.txt
    #[arg(long, value_name = "FILE")]
    pairs: PathBuf,
    /// Folder of the pictures, named NAME/NAME_0001.jpg
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Write one line per pair to this file: fold, 1 for the same person or 0, cosine
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let album = Album::open(&arguments.pairs, &arguments.images)?;
    let loaded = Loaded::new(asked)?;
    // Every detected face counts, however bad it is. Undetected faces are an error of the networks.
    let settings = Settings {
        gate: Gate::OPEN,
        ..Settings::default()
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let readers = loaded.readers(settings, workers)?;
    let engine = readers[0].engine().to_owned();
    let measured = album.measure(readers, loaded.rule.threshold)?;
    if let Some(out) = &arguments.scores {
        let lines: String = measured
            .pairs
            .iter()
            .map(|(p, s)| format!("{} {} {s:.6}\n", p.fold + 1, u8::from(p.same)))
            .collect();
        std::fs::write(out, lines)
            .map_err(|e| Failure::machine(format!("{}: {e}", out.display())))?;
    }
    if arguments.json {
        report(&measured, &loaded, &engine);
    } else {
        print(&measured, &loaded, &engine);
    }
    Ok(Exit::Done)
}

fn report(measured: &Measured, loaded: &Loaded, engine: &str) {
    let (judged, rates) = (&measured.judged, &measured.rates);
    print_json(&json!({
        "models": loaded.manifest.name,
        "embedder": loaded.manifest.embedder,
        "engine": engine,
        "pairs": measured.pairs.len(),
        "folds": measured.folds,
        "images": measured.pictures,
        "undetected": measured.undetected.len(),
        "accuracy": judged.accuracy,
        "ci95": judged.ci95,
        "tar_at_far_1e_2": judged.tar_at_far_1e_2,
        "tar_at_far_1e_3": judged.tar_at_far_1e_3,
        "threshold": judged.threshold,
        "in_use": {
            "threshold": loaded.rule.threshold,
            "far": rates.far,
            "far_ci95": rates.far_ci95,
            "frr": rates.frr,
            "frr_ci95": rates.frr_ci95,
        },
    }));
}

fn print(measured: &Measured, loaded: &Loaded, engine: &str) {
    let (judged, rates) = (&measured.judged, &measured.rates);
    let [low, high] = judged.ci95.map(|v| 100.0 * v);
    println!(
        "{} with {}, {engine}",
        loaded.manifest.embedder, loaded.manifest.name
    );
    println!(
        "{} pairs in {} folds, {} pictures",
        measured.pairs.len(),
        measured.folds,
        measured.pictures
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
        "at the threshold in use, {:.2}: FAR {}, FRR {}",
        loaded.rule.threshold,
        percent(rates.far, rates.far_ci95),
        percent(rates.frr, rates.frr_ci95)
    );
    println!(
        "pictures without a detected face: {}",
        measured.undetected.len()
    );
    for picture in &measured.undetected {
        println!("  {} {}", picture.name, picture.number);
    }
}
