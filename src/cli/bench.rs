//! `latchkey bench`: what a frame costs, stage by stage, and what the networks alone cost.
//!
//! Drives the frame path itself, from lease to decision, on one thread, with a frame in memory in
//! place of the camera's. Each round times ten frames, as they follow each other at the door, and then
//! each network alone ten times, so that both see the same machine and their own caches. Two sets are timed
//! one after the other in every round.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::{Exit, Failure, Loaded, pictures, pixel_format, print_json};
use crate::alloc::allocations;
use crate::capture::Photo;
use crate::capture::convert::from_rgb;
use crate::clock::Timestamp;
use crate::config::Overrides;
use crate::door::Door;
use crate::face::{Stage, Stages};
use crate::frame::{BEHIND, Layout, Lease, PixelFormat, Pool, Slot};
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
    #[arg(long, value_name = "FORMAT", default_value = "yuyv", value_parser = pixel_format)]
    format: PixelFormat,
    /// Measure this model set too, in the same rounds
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

/// One frame in memory, lent again and again. It begins at a page and has bytes behind it, like a camera's frame.
struct Still {
    bytes: Vec<u8>,
    at: usize,
}

impl Still {
    fn new(frame: &[u8]) -> Self {
        const PAGE: usize = 4096;
        let mut bytes = vec![0; PAGE + frame.len() + BEHIND];
        let at = bytes.as_ptr().align_offset(PAGE);
        bytes[at..at + frame.len()].copy_from_slice(frame);
        Self { bytes, at }
    }
}

impl Pool for Still {
    fn bytes(&self, _index: u32) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn give_back(&self, _index: u32) {}
}

/// Frames and invocations of a network in a round.
const ROUND: u32 = 10;

/// The measurements of a set: microseconds, one entry a frame.
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

/// A set that is measured.
struct Subject {
    models: String,
    embedder: String,
    engine: String,
    recogniser: Recogniser,
    door: Door,
    measured: Measured,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let (width, height) = arguments.size;
    let rgb = scene(&pictures(&arguments.photos)?, arguments)?;
    let mut bytes = Vec::new();
    let layout = from_rgb(rgb.as_raw(), width, height, arguments.format, &mut bytes)?;

    let loaded = Loaded::new(asked)?;
    let gallery = Gallery::load(&loaded.config.gallery)?;
    let mut subjects = vec![Subject::new(&loaded, &gallery, arguments.frames)?];
    if let Some(set) = &arguments.beside {
        let other = Overrides {
            models: Some(set.clone()),
            ..asked.clone()
        };
        // People are enrolled with one embedder only.
        let empty = Gallery::default();
        subjects.push(Subject::new(
            &Loaded::new(&other)?,
            &empty,
            arguments.frames,
        )?);
    }
    measure(&bytes, layout, &mut subjects, arguments.frames)?;

    if arguments.json {
        let mut reports = subjects.iter().map(|s| s.report(arguments));
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

impl Subject {
    fn new(loaded: &Loaded, gallery: &Gallery, frames: u32) -> Result<Self, Failure> {
        let reader = loaded.reader(loaded.gated())?;
        gallery.suits(reader.embedder_sha256(), &loaded.config.gallery)?;
        let engine = reader.engine().to_owned();
        let known = gallery.enrolled(reader.embedder_sha256());
        let identifier = Identifier::new(known, loaded.rule, loaded.bank()?.as_ref());
        let mut recogniser = Recogniser::new(reader, identifier);
        let room = || Vec::with_capacity(frames as usize);
        let networks = recogniser.reader().networks();
        let measured = Measured {
            total: room(),
            networks: room(),
            stages: Stage::ALL.map(|s| (s, room())).into(),
            bare: networks
                .into_iter()
                .map(|(name, _)| (name, room()))
                .collect(),
            allocations: 0,
            sampled: 0,
            detect_sampled: 0,
            faces: 0,
        };
        Ok(Self {
            models: loaded.manifest.name.clone(),
            embedder: loaded.manifest.embedder.clone(),
            engine,
            recogniser,
            door: Door::new(loaded.config.door.clone())?,
            measured,
        })
    }

    fn report(&self, arguments: &Arguments) -> Value {
        let m = &self.measured;
        let timing = |name: &str, v: &[f64]| json!({"name": name, "p50_us": quantile(v, 0.5), "p99_us": quantile(v, 0.99)});
        let stages = m.stages.iter().map(|(stage, v)| timing(stage.name(), v));
        let bare = m.bare.iter().map(|(name, v)| timing(name, v));
        let total = quantile(&m.total, 0.5);
        json!({
            "models": self.models,
            "embedder": self.embedder,
            "engine": self.engine,
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
}

impl Measured {
    /// The time outside the networks over the time in them. It is taken frame by frame, so that a disturbance of the machine
    /// affects both sides of the ratio alike.
    fn overhead(&self) -> f64 {
        let pairs = self.total.iter().zip(&self.networks);
        let ratios: Vec<f64> = pairs
            .map(|(total, networks)| total / networks - 1.0)
            .collect();
        quantile(&ratios, 0.5)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn per_frame(&self, count: u64) -> f64 {
        count as f64 / self.total.len() as f64
    }
}

/// One column of numbers a set.
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

fn measure(
    bytes: &[u8],
    layout: Layout,
    subjects: &mut [Subject],
    frames: u32,
) -> Result<(), Failure> {
    let used = bytes.len();
    let pool: Arc<dyn Pool> = Arc::new(Still::new(bytes));
    let slot = Slot::new();
    // The first round touches memory for the first time and is not counted.
    for first in (0..frames + ROUND).step_by(ROUND as usize) {
        for subject in &mut *subjects {
            for number in first..first + ROUND {
                subject.look(&pool, used, layout, &slot, number, frames)?;
            }
            subject.bare(first >= ROUND)?;
        }
    }
    Ok(())
}

impl Subject {
    /// One frame, from lease to decision.
    fn look(
        &mut self,
        pool: &Arc<dyn Pool>,
        used: usize,
        layout: Layout,
        slot: &Slot,
        number: u32,
        frames: u32,
    ) -> Result<(), Failure> {
        let (before, begun) = (allocations(), Instant::now());
        let lease = Lease::new(Arc::clone(pool), 0, used, layout, Timestamp::now(), number);
        drop(slot.put(lease));
        let Some(lease) = slot.take() else {
            return Ok(());
        };
        let observation = self.recogniser.look(&lease)?;
        let events = self.door.observe(Timestamp::now(), &observation);
        drop(lease);
        let took = begun.elapsed();
        let allocated = allocations() - before;
        std::hint::black_box(events);
        let stages: Stages = self.recogniser.reader().stages().clone();
        if (ROUND..frames + ROUND).contains(&number) {
            let m = &mut self.measured;
            m.total.push(took.as_secs_f64() * 1e6);
            m.networks.push(micros(stages.networks()));
            for (stage, times) in &mut m.stages {
                times.push(micros(stages.nanos(*stage)));
            }
            m.allocations += allocated;
            m.sampled += stages.sampled;
            m.detect_sampled += stages.detect_sampled;
            m.faces = m.faces.max(observation.sightings().len());
        }
        Ok(())
    }

    /// Each network alone.
    fn bare(&mut self, counted: bool) -> Result<(), Failure> {
        let networks = self.recogniser.reader().networks();
        for ((_, network), (_, times)) in networks.into_iter().zip(&mut self.measured.bare) {
            for _ in 0..ROUND {
                let begun = Instant::now();
                network.invoke().map_err(Failure::from)?;
                if counted {
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
        Ok(())
    }
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

/// The most memory this process has had resident, in MB of 10^6 bytes; 0 if the kernel does not report it.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
