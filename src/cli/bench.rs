//! `latchkey bench`: prints how much time a frame takes, stage by stage, and how much the networks alone take.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Exit, Failure, Loaded, pictures, pixel_format, print_json};
use crate::capture::convert::from_rgb;
use crate::config::Overrides;
use crate::door::Door;
use crate::face::Stage;
use crate::frame::PixelFormat;
use crate::lab::bench::{Measured, Subject, measure, peak_rss_mb, quantile, scene};
use crate::people::Gallery;
use crate::pipeline::Recogniser;

#[derive(clap::Args)]
pub struct Arguments {
    /// Photos whose faces are put into the frame; without photos, the frame has no faces
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Number of photos side by side in the frame (the given ones are repeated if there are fewer)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    faces: u32,
    /// Number of frames to measure
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    frames: u32,
    /// Size of the frame
    #[arg(long, value_name = "WxH", default_value = "640x480", value_parser = size)]
    size: (u32, u32),
    /// Pixel format of the frame: grey, nv12, yu12, yuyv, rgb3, bgr3, mjpeg
    #[arg(long, value_name = "FORMAT", default_value = "yuyv", value_parser = pixel_format)]
    format: PixelFormat,
    /// Also measure this model set, alternating with the first
    #[arg(long, value_name = "SET")]
    beside: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let side = |s: &str| s.parse().ok().filter(|v| (16..=4096).contains(v));
    let sides = text.split_once('x').map(|(w, h)| (side(w), side(h)));
    match sides {
        Some((Some(w), Some(h))) => Ok((w, h)),
        _ => Err("give WIDTHxHEIGHT, each 16 to 4096, such as 640x480".to_owned()),
    }
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let (width, height) = arguments.size;
    let photos = pictures(&arguments.photos)?;
    let rgb = scene(&photos, arguments.faces, arguments.size)?;
    let mut bytes = Vec::new();
    let layout = from_rgb(rgb.as_raw(), width, height, arguments.format, &mut bytes)?;

    let loaded = Loaded::new(asked)?;
    let gallery = Gallery::load(&loaded.config.gallery)?;
    let mut subjects = vec![subject(&loaded, &gallery, arguments.frames)?];
    if let Some(set) = &arguments.beside {
        let other = Overrides {
            models: Some(set.clone()),
            ..asked.clone()
        };
        // People are enrolled with one embedder only.
        let empty = Gallery::default();
        subjects.push(subject(&Loaded::new(&other)?, &empty, arguments.frames)?);
    }
    measure(&bytes, layout, &mut subjects, arguments.frames)?;

    if arguments.json {
        let mut reports = subjects.iter().map(|s| report(s, arguments));
        let report = match subjects.len() {
            1 => reports.next().unwrap_or_default(),
            _ => json!({ "sets": reports.collect::<Vec<_>>() }),
        };
        print_json(&report);
    } else {
        print(&subjects, arguments);
    }
    Ok(Exit::Done)
}

/// The model set of `loaded`, with the people in `gallery` and the door settings of `loaded`'s configuration.
fn subject(loaded: &Loaded, gallery: &Gallery, frames: u32) -> Result<Subject, Failure> {
    let reader = loaded.reader(loaded.gated())?;
    let identifier = loaded.identifier(gallery, &reader)?;
    let recogniser = Recogniser::new(reader, identifier);
    let door = Door::new(loaded.config.door.clone())?;
    let manifest = &loaded.manifest;
    Ok(Subject::new(
        &manifest.name,
        &manifest.embedder,
        recogniser,
        door,
        frames,
    ))
}

fn report(subject: &Subject, arguments: &Arguments) -> Value {
    let m = &subject.measured;
    let timing = |name: &str, v: &[f64]| json!({"name": name, "p50_us": quantile(v, 0.5), "p99_us": quantile(v, 0.99)});
    let stages = m.stages.iter().map(|(stage, v)| timing(stage.name(), v));
    let bare = m.bare.iter().map(|(name, v)| timing(name, v));
    let total = quantile(&m.total, 0.5);
    json!({
        "models": subject.models,
        "embedder": subject.embedder,
        "engine": subject.engine,
        "format": arguments.format,
        "width": arguments.size.0,
        "height": arguments.size.1,
        "frames": arguments.frames,
        "faces": m.faces,
        "overhead": m.overhead(),
        "p50_ms": total / 1e3,
        "p99_ms": quantile(&m.total, 0.99) / 1e3,
        "networks_ms": quantile(&m.networks, 0.5) / 1e3,
        "frames_per_second": 1e6 / total,
        "allocations_per_frame": m.per_frame(m.allocations),
        "sampled_pixels_per_frame": m.per_frame(m.sampled),
        "detect_sampled_pixels_per_frame": m.per_frame(m.detect_sampled),
        "peak_rss_mb": peak_rss_mb(),
        "stages": stages.collect::<Vec<_>>(),
        "bare_networks": bare.collect::<Vec<_>>(),
    })
}

/// Prints one column of numbers per set.
fn print(subjects: &[Subject], arguments: &Arguments) {
    let (width, height) = arguments.size;
    let seen: Vec<String> = subjects
        .iter()
        .map(|s| s.measured.faces.to_string())
        .collect();
    println!(
        "{width}x{height} {}, {} faces seen, {} frames, {}",
        arguments.format,
        seen.join(" and "),
        arguments.frames,
        subjects[0].engine
    );
    let line = |what: &str, of: &dyn Fn(&Subject) -> String| {
        let cells: String = subjects.iter().map(|s| format!(" {:>20}", of(s))).collect();
        println!("{what:<22}{cells}");
    };
    let times = |v: &[f64]| format!("{:.1} {:>9.1}", quantile(v, 0.5), quantile(v, 0.99));
    line("", &|s| format!("{}:{}", s.models, s.embedder));
    line("stage", &|_| format!("p50 us {:>9}", "p99 us"));
    for k in 0..Stage::ALL.len() {
        line(Stage::ALL[k].name(), &|s| times(&s.measured.stages[k].1));
    }
    line("frame, in all", &|s| times(&s.measured.total));
    println!("bare networks, in the same rounds:");
    let names: Vec<&str> = subjects
        .iter()
        .flat_map(|s| s.measured.bare.iter().map(|(n, _)| *n))
        .collect();
    for (k, name) in names.iter().enumerate() {
        // A network that only one set has is blank for the other.
        if !names[..k].contains(name) {
            line(name, &|s| {
                let found = s.measured.bare.iter().find(|(n, _)| n == name);
                found.map(|(_, v)| times(v)).unwrap_or_default()
            });
        }
    }
    let of = |what: &str, of: fn(&Measured) -> String| line(what, &|s| of(&s.measured));
    of("frames a second", |m| {
        format!("{:.1}", 1e6 / quantile(&m.total, 0.5))
    });
    of("outside networks, %", |m| {
        format!("{:.1}", 100.0 * m.overhead())
    });
    of("allocations a frame", |m| {
        format!("{:.3}", m.per_frame(m.allocations))
    });
    of("pixels sampled a frame", |m| {
        format!("{:.0}", m.per_frame(m.sampled))
    });
    of("to find faces", |m| {
        format!("{:.0}", m.per_frame(m.detect_sampled))
    });
    println!("peak memory {:.1} MB", peak_rss_mb());
}
