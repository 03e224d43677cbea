//! `latchkey probe`: what this machine has, and what is wrong with it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Exit, Failure, print_json};
use crate::capture::{CameraSettings, SizeRange};
use crate::config::{Config, Overrides};
use crate::face::{Reader, Settings};
use crate::nn::{EngineSettings, Manifest, ModelFile};
use crate::output::chips;

#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Ends with [`Exit::No`] if something that the configuration needs is missing or wrong.
pub fn run(overrides: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let config = Config::load(overrides)?;
    let manifest = Manifest::load(&config.models)?;
    let sections = [
        ("cameras", cameras(&config.camera)),
        ("gpio", gpio()),
        ("models", models(&manifest, &config.model_files)),
        ("engines", engines(&manifest, &config)),
    ];
    // A machine without a camera or GPIO can still enrol and evaluate. So the result is negative only if something that exists is
    // wrong, or if a model is missing.
    let wrong = sections
        .iter()
        .flat_map(|(_, items)| items)
        .any(|item| item["needed"] == true && item["fault"].is_string());
    if arguments.json {
        let mut report = json!({"board": config.board, "models_set": manifest.name});
        for (name, items) in sections {
            report[name] = Value::Array(items);
        }
        print_json(&report);
    } else {
        println!("board {}, model set {}", config.board, manifest.name);
        for (name, items) in sections {
            println!("{name}:");
            if items.is_empty() {
                println!("  none");
            }
            for item in items {
                let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
                println!("  {} {}", text("name"), text("about"));
                if item["pick"].is_string() && item["device"] != "{}" {
                    println!(
                        "    to use only this one, below [camera]: device = {}",
                        text("device")
                    );
                }
                if item["fault"].is_string() {
                    println!("    wrong: {}", text("fault"));
                }
            }
        }
    }
    Ok(if wrong { Exit::No } else { Exit::Done })
}

fn cameras(settings: &CameraSettings) -> Vec<Value> {
    crate::capture::probe(settings)
        .into_iter()
        .map(|device| {
            let formats: Vec<Value> = device
                .formats
                .iter()
                .map(|f| {
                    let sizes: Vec<Value> = f
                        .sizes
                        .iter()
                        .map(|s| json!({"size": sides(&s.size), "fps": s.fps}))
                        .collect();
                    json!({"format": f.fourcc, "readable": f.known, "emulated": f.emulated, "sizes": sizes})
                })
                .collect();
            let (pick, fault) = match &device.pick {
                Ok(choice) => (Some(format!(
                        "{} {}x{}",
                        choice.format, choice.width, choice.height
                    )), None),
                Err(fault) => (None, Some(fault.to_string())),
            };
            let about = match &pick {
                Some(pick) => format!("{} ({}), would use {pick}", device.card, device.driver),
                None => device.card.clone(),
            };
            json!({
                "name": device.path, "about": about, "card": device.card, "driver": device.driver,
                "bus": device.bus, "device": device.device.to_string(), "formats": formats, "pick": pick, "fault": fault,
            })
        })
        .collect()
}

/// `640x480`, or `32..3840x16..2160` for a range.
fn sides(size: &SizeRange) -> String {
    let side = |(min, max, _): (u32, u32, u32)| {
        if min == max {
            min.to_string()
        } else {
            format!("{min}..{max}")
        }
    };
    format!("{}x{}", side(size.width), side(size.height))
}

fn gpio() -> Vec<Value> {
    chips()
        .into_iter()
        .map(|chip| {
            let about = format!(
                "{} ({} lines, {} in use)",
                chip.label, chip.lines, chip.used
            );
            json!({
                "name": chip.path, "about": about, "label": chip.label, "lines": chip.lines,
                "used": chip.used, "fault": chip.fault,
            })
        })
        .collect()
}

fn models(manifest: &Manifest, folders: &[PathBuf]) -> Vec<Value> {
    manifest
        .files()
        .into_iter()
        .map(|(role, file, sha256, source)| {
            let opened = ModelFile::find(file, folders)
                .and_then(|path| ModelFile::open(&path, sha256, source));
            let needed = ["detector", "landmarks", "strangers", &manifest.embedder].contains(&role);
            let (about, fault) = match opened {
                Ok(model) => (
                    format!("{} ({} bytes, sha256 as in the manifest)", model.path().display(), model.bytes().len()),
                    None,
                ),
                Err(error) => (file.to_owned(), Some(error.to_string())),
            };
            json!({"name": role, "about": about, "sha256": sha256, "needed": needed, "fault": fault})
        })
        .collect()
}

/// All engine settings, each tested on the set's networks.
fn engines(manifest: &Manifest, config: &Config) -> Vec<Value> {
    [true, false]
        .into_iter()
        .map(|xnnpack| {
            let engine = EngineSettings {
                xnnpack,
                ..config.engine
            };
            let loaded = Reader::load(manifest, &config.model_files, engine, Settings::default());
            json!({
                "name": "tflite",
                "about": engine.build().describe(),
                "needed": xnnpack == config.engine.xnnpack,
                "fault": loaded.err().map(|e| e.to_string()),
            })
        })
        .collect()
}
