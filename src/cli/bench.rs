//! `latchkey bench`: what a frame costs, stage by stage, and the bare networks beside it.
//!
//! Drives the frame path itself, from lease to decision, on one thread, with a frame in memory in
//! place of the camera's. Each round times ten frames, as they follow each other at the door, and then
//! each network alone ten times, so that both see the same machine and their own caches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use serde_json::json;

use super::{Exit, Failure, Loaded, pictures, print_json};
use crate::alloc::allocations;
use crate::capture::Photo;
use crate::capture::convert::from_rgb;
use crate::clock::Timestamp;
use crate::config::Overrides;
use crate::door::Door;
use crate::face::{Stage, Stages};
use crate::frame::{Layout, Lease, PixelFormat, Pool, Slot};
use crate::people::{Gallery, Identifier};
use crate::pipeline::Recogniser;

#[derive(clap::Args)]
pub struct Arguments {
    /// Photos to take faces from; without any, the scene is empty
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Photos in the scene, beside each other (the given ones in turn)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    faces: u32,
    /// Frames to measure
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    frames: u32,
    /// Size of the frame
    #[arg(long, value_name = "WxH", default_value = "640x480", value_parser = size)]
    size: (u32, u32),
    /// Pixel format of the frame: grey, nv12, yu12, yuyv, rgb3, bgr3, mjpeg
    #[arg(long, value_name = "FORMAT", default_value = "yuyv", value_parser = format)]
    format: PixelFormat,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let side = |s: &str| s.parse().ok().filter(|v| (16..=4096).contains(v));
    let sides = text.split_once('x').map(|(w, h)| (side(w), side(h)));
    match sides {
        Some((Some(w), Some(h))) => Ok((w, h)),
        _ => Err("say WIDTHxHEIGHT, each 16 to 4096, such as 640x480".to_owned()),
    }
}

fn format(text: &str) -> Result<PixelFormat, String> {
    serde_json::from_value(json!(text))
        .map_err(|_| "say grey, nv12, yu12, yuyv, rgb3, bgr3 or mjpeg".to_owned())
}

/// One frame in memory, lent again and again.
struct Still(Vec<u8>);

impl Pool for Still {
    fn bytes(&self, _index: u32) -> &[u8] {
        &self.0
    }

    fn give_back(&self, _index: u32) {}
}

/// Frames and invocations of a network in a round.
const ROUND: u32 = 10;

/// What was measured; microseconds, one entry a frame.
struct Measured {
    total: Vec<f64>,
    networks: Vec<f64>,
    stages: Vec<(Stage, Vec<f64>)>,
    bare: Vec<(&'static str, Vec<f64>)>,
    allocations: u64,
    sampled: u64,
    detect_sampled: u64,
    faces: usize,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let (width, height) = arguments.size;
    let rgb = scene(&pictures(&arguments.photos)?, arguments)?;
    let mut bytes = Vec::new();
    let layout = from_rgb(rgb.as_raw(), width, height, arguments.format, &mut bytes)?;

    let loaded = Loaded::new(asked)?;
    let gallery = Gallery::load(&loaded.config.gallery)?;
    let reader = loaded.reader(loaded.gated())?;
    let engine = reader.engine().to_owned();
    gallery.suits(reader.embedder_sha256(), &loaded.config.gallery)?;
    let recogniser = Recogniser::new(reader, Identifier::new(&gallery, loaded.rule));
    let door = Door::new(loaded.config.door.clone())?;
    let measured = measure(bytes, layout, recogniser, door, arguments.frames)?;
    let peak = peak_rss_mb();

    let median = |v: &[f64]| quantile(v, 0.5);
    // Frame by frame, so that a disturbance of the machine weighs on both sides of the ratio alike.
    let overheads: Vec<f64> = measured
        .total
        .iter()
        .zip(&measured.networks)
        .map(|(total, networks)| total / networks - 1.0)
        .collect();
    let overhead = median(&overheads);
    let total = median(&measured.total);
    let frames = f64::from(arguments.frames);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let per_frame = |n: u64| n as f64 / frames;
    let stages: Vec<_> = measured
        .stages
        .iter()
        .map(|(stage, v)| (stage.name(), median(v), quantile(v, 0.99)))
        .collect();
    let bare: Vec<_> = measured
        .bare
        .iter()
        .map(|(name, v)| (*name, median(v), quantile(v, 0.99)))
        .collect();
    if arguments.json {
        let timings = |rows: &[(&str, f64, f64)]| {
            rows.iter()
                .map(|(name, p50, p99)| json!({"name": name, "p50_us": p50, "p99_us": p99}))
                .collect::<Vec<_>>()
        };
        print_json(&json!({
            "models": loaded.manifest.name,
            "embedder": loaded.manifest.embedder,
            "engine": engine,
            "format": arguments.format,
            "width": width,
            "height": height,
            "frames": arguments.frames,
            "faces": measured.faces,
            "overhead": overhead,
            "p50_ms": total / 1e3,
            "p99_ms": quantile(&measured.total, 0.99) / 1e3,
            "networks_ms": median(&measured.networks) / 1e3,
            "frames_per_second": 1e6 / total,
            "allocations_per_frame": per_frame(measured.allocations),
            "sampled_pixels_per_frame": per_frame(measured.sampled),
            "detect_sampled_pixels_per_frame": per_frame(measured.detect_sampled),
            "peak_rss_mb": peak,
            "stages": timings(&stages),
            "bare_networks": timings(&bare),
        }));
        return Ok(Exit::Done);
    }
    println!(
        "{width}x{height} {}, {} faces seen, {} frames, {}, {engine}",
        arguments.format, measured.faces, arguments.frames, loaded.manifest.embedder
    );
    println!("{:<22} {:>9} {:>9}", "stage", "p50 us", "p99 us");
    for (name, p50, p99) in stages {
        println!("{name:<22} {p50:>9.1} {p99:>9.1}");
    }
    println!(
        "{:<22} {total:>9.1} {:>9.1}",
        "frame, in all",
        quantile(&measured.total, 0.99)
    );
    println!("bare networks, in the same rounds:");
    for (name, p50, p99) in bare {
        println!("{name:<22} {p50:>9.1} {p99:>9.1}");
    }
    println!("frames a second        {:>9.1}", 1e6 / total);
    println!(
        "overhead               {:>8.1} % of the networks' time",
        100.0 * overhead
    );
    println!(
        "allocations a frame    {:>9.3}",
        per_frame(measured.allocations)
    );
    println!(
        "pixels sampled a frame {:>9.0}, {:.0} of them to find faces",
        per_frame(measured.sampled),
        per_frame(measured.detect_sampled)
    );
    println!("peak memory            {peak:>9.1} MB");
    Ok(Exit::Done)
}

fn measure(
    bytes: Vec<u8>,
    layout: Layout,
    mut recogniser: Recogniser,
    mut door: Door,
    frames: u32,
) -> Result<Measured, Failure> {
    let used = bytes.len();
    let pool: Arc<dyn Pool> = Arc::new(Still(bytes));
    let slot = Slot::new();
    let room = || Vec::with_capacity(frames as usize);
    let mut measured = Measured {
        total: room(),
        networks: room(),
        stages: Stage::ALL.map(|s| (s, room())).into(),
        bare: recogniser
            .reader()
            .networks()
            .into_iter()
            .map(|(name, _)| (name, room()))
            .collect(),
        allocations: 0,
        sampled: 0,
        detect_sampled: 0,
        faces: 0,
    };
    // The first round touches memory for the first time and is not counted.
    for round in 0..frames.div_ceil(ROUND) * ROUND + ROUND {
        let counted = (ROUND..frames + ROUND).contains(&round);
        let (before, begun) = (allocations(), Instant::now());
        let lease = Lease::new(Arc::clone(&pool), 0, used, layout, Timestamp::now(), round);
        drop(slot.put(lease));
        let Some(lease) = slot.take() else { continue };
        let observation = recogniser.look(&lease)?;
        let events = door.observe(Timestamp::now(), &observation);
        drop(lease);
        let took = begun.elapsed();
        let allocated = allocations() - before;
        std::hint::black_box(events);
        let stages: Stages = recogniser.reader().stages().clone();
        if counted {
            measured.total.push(took.as_secs_f64() * 1e6);
            measured.networks.push(micros(stages.networks()));
            for (stage, times) in &mut measured.stages {
                times.push(micros(stages.nanos(*stage)));
            }
            measured.allocations += allocated;
            measured.sampled += stages.sampled;
            measured.detect_sampled += stages.detect_sampled;
            measured.faces = measured.faces.max(observation.sightings().len());
        }
        if round % ROUND != ROUND - 1 {
            continue;
        }
        let networks = recogniser.reader().networks();
        for ((_, network), (_, times)) in networks.into_iter().zip(&mut measured.bare) {
            for _ in 0..ROUND {
                let begun = Instant::now();
                network.invoke().map_err(Failure::from)?;
                if counted {
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
    }
    Ok(measured)
}

/// A frame with as many photos beside each other as asked for, on an uneven background.
fn scene(photos: &[PathBuf], arguments: &Arguments) -> Result<RgbImage, Failure> {
    let (width, height) = arguments.size;
    let mut canvas = RgbImage::from_fn(width, height, |x, y| {
        // A slope with a fine pattern on it: nothing that a detector would take for a face.
        let v = 60 + (x * 80 / width) + (y * 40 / height) + (x * 7 + y * 13) % 11;
        let v = u8::try_from(v.min(255)).unwrap_or(255);
        Rgb([v, v / 2 + 60, 200 - v / 2])
    });
    if photos.is_empty() {
        return Ok(canvas);
    }
    let side = (width / arguments.faces).min(height) * 9 / 10;
    for i in 0..arguments.faces {
        let path = &photos[i as usize % photos.len()];
        let picture = Photo::open(path)?.into_picture();
        let (wide, tall) = picture.dimensions();
        let fit = |v: u32| (v * side / wide.max(tall)).max(1);
        let picture = resize(&picture, fit(wide), fit(tall), FilterType::Triangle);
        let middle = width * (2 * i + 1) / (2 * arguments.faces);
        let (x, y) = (
            i64::from(middle) - i64::from(picture.width() / 2),
            i64::from(height / 2) - i64::from(picture.height() / 2),
        );
        image::imageops::overlay(&mut canvas, &picture, x, y);
    }
    Ok(canvas)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a frame")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// The value below which a share `q` of `values` lies.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into the values"
)]
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (q * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The most memory this process has had resident, in MB of 10^6 bytes; 0 where the kernel does not say.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
