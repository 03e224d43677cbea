//! `latchkey eval people`: a household among strangers, drawn again and again from a folder of many people. Who is
//! enrolled, whom the head learns from as strangers, whom the threshold is found with and whom it is tried on are never
//! the same people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::{GenericImage, RgbImage, imageops};
use serde_json::{Value, json};

use super::chart::{Line, chart};
use super::subject;
use crate::capture::Photo;
use crate::chance::Chance;
use crate::cli::folder::{self, each};
use crate::cli::{Exit, Failure, Loaded, draw, print_json};
use crate::config::Overrides;
use crate::face::{Embedding, FaceError, Gate, Landmarks, Reader, Settings};
use crate::frame::Sampler;
use crate::learn::{Change, Changes, FaceCut, calibrate, wilson};
use crate::people::directions;

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
    /// Draws of everybody
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    draws: u16,
    /// What the draws follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Views of each learnt photo
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    views: u32,
    /// Leave a change out of the views; may be given more than once
    #[arg(long, value_name = "CHANGE")]
    without: Vec<Change>,
    /// Try photos of the enrolled that were changed in this way
    #[arg(long, value_name = "CHANGE")]
    degrade: Option<Change>,
    /// Try only photos of the enrolled that are turned at least so far to a side, in eye distances (0.25: a quarter)
    #[arg(long, value_name = "YAW")]
    turned: Option<f32>,
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
/// Photos beyond the learnt ones that somebody must have to be enrolled.
const LEFT: usize = 5;
/// Share of the other people that the threshold is found with.
const CALIBRATION: usize = 5;
/// Photos of one person that are learnt or tried, at most.
const MOST: usize = 60;

struct Shot {
    photo: PathBuf,
    landmarks: Landmarks,
    embedding: Embedding,
    /// What is tried in its place when it is an enrolled person's.
    tried: Option<Embedding>,
    views: Vec<Embedding>,
}

struct Somebody {
    /// `None` where no face was found.
    shots: Vec<Option<Shot>>,
}

/// Ways to tell people apart, in the order of their columns.
const METHODS: [&str; 3] = ["head", "nearest", "mean"];

/// Everything that was tried, over all draws.
#[derive(Default)]
struct Tally {
    /// By draw and method: FRR, wrong names, and the FRR and FAR at the threshold of the calibration.
    draws: Vec<[Outcome; 3]>,
    impostor_people: usize,
    /// Scores by method, for the curve.
    genuine: [Vec<f32>; 3],
    impostors: [Vec<f32>; 3],
    /// What the head mistook: a photo, its score, who it was compared with.
    missed: Vec<(f32, PathBuf, Landmarks)>,
    let_in: Vec<(f32, PathBuf, Landmarks)>,
}

#[derive(Clone, Copy, Default)]
struct Outcome {
    genuine: usize,
    impostors: usize,
    refused: usize,
    wrong: usize,
    calibrated_refused: usize,
    calibrated_let_in: usize,
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let usage = |text: String| Failure {
        exit: Exit::Usage,
        text,
    };
    let (mut named, _) = folder::people(&arguments.data, &[])?;
    if let Some(file) = &arguments.only {
        let text = std::fs::read_to_string(file).map_err(|e| {
            usage(format!(
                "{}: {e}; --only takes a file of names",
                file.display()
            ))
        })?;
        let wanted: BTreeSet<&str> = text
            .lines()
            .map(|l| l.split('\t').next().unwrap_or(l).trim())
            .collect();
        named.retain(|n| wanted.contains(&*n.name));
    }
    let loaded = Loaded::new(asked)?;
    let settings = Settings {
        gate: Gate::OPEN,
        ..Settings::default()
    };
    let mut readers = folder::readers(&loaded, settings)?;
    let engine = readers[0].engine().to_owned();
    let fewest = usize::from(arguments.photos.iter().copied().min().unwrap_or(1)) + LEFT;
    // Views are made of those alone who may be enrolled.
    let jobs: Vec<(usize, &PathBuf, bool)> = named
        .iter()
        .enumerate()
        .flat_map(|(i, n)| {
            let enrollable = n.photos.len() >= fewest;
            let photos = n
                .photos
                .iter()
                .take(if enrollable { MOST } else { usize::MAX });
            photos.map(move |p| (i, p, enrollable))
        })
        .collect();
    let changes = Changes::without(&arguments.without);
    let shots = each(
        &mut readers,
        "reading photos",
        &jobs,
        |reader, (_, photo, enrollable)| shoot(reader, photo, *enrollable, arguments, changes),
    );
    let mut people: Vec<Somebody> = named
        .iter()
        .map(|_| Somebody { shots: Vec::new() })
        .collect();
    for ((i, ..), shot) in jobs.iter().zip(shots) {
        people[*i].shots.push(shot?);
    }

    let mut runs = Vec::new();
    let mut lines = Vec::new();
    for &size in &arguments.people {
        for &photos in &arguments.photos {
            let (size, photos) = (usize::from(size), usize::from(photos));
            let tally =
                tally(&people, size, photos, arguments, loaded.rule.threshold).map_err(usage)?;
            let report = tally.report(size, photos);
            if !arguments.json {
                tally.print(size, photos, &loaded, &engine);
            }
            for (m, method) in METHODS.iter().enumerate() {
                let several = arguments.people.len() * arguments.photos.len() > 1;
                let name = if several {
                    format!("{method}, {size} people, {photos} photos")
                } else {
                    (*method).to_owned()
                };
                lines.push(Line {
                    name,
                    points: curve(&tally.genuine[m], &tally.impostors[m]),
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
    let mut shot = Shot {
        photo: path.to_owned(),
        landmarks: face.landmarks,
        embedding,
        tried: Some(embedding),
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
            // Of the photo, not of its place in the folder: the same photo has the same views in every run.
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let seed = name
                .iter()
                .fold(arguments.seed, |s, b| crate::chance::bits(s, u64::from(*b)));
            for number in 0..arguments.views {
                let view = cut
                    .view(seed, number, changes, &mut sampler)
                    .map_err(FaceError::from)?;
                shot.views
                    .extend(reader.read_at(&view.image()?, view.landmarks())?);
            }
            if let (Some(change), Some(_)) = (arguments.degrade, shot.tried) {
                let mut view = cut;
                view.change(change, &mut Chance::new(seed), &mut sampler)
                    .map_err(FaceError::from)?;
                shot.tried = reader.read_at(&view.image()?, view.landmarks())?;
            }
        }
    }
    Ok(Some(shot))
}

fn tally(
    people: &[Somebody],
    size: usize,
    photos: usize,
    arguments: &Arguments,
    least: f32,
) -> Result<Tally, String> {
    let enrollable: Vec<usize> = (0..people.len())
        .filter(|i| people[*i].shots.iter().flatten().count() >= photos + LEFT)
        .collect();
    if enrollable.len() < size {
        return Err(format!(
            "{} people have {} photos with a face or more, {size} are to be enrolled: give more photos, or enrol fewer",
            enrollable.len(),
            photos + LEFT
        ));
    }
    let mut tally = Tally::default();
    for draw in 0..arguments.draws {
        let mut chance = Chance::new(arguments.seed ^ (u64::from(draw) << 32));
        let mut household = enrollable.clone();
        shuffle(&mut household, &mut chance);
        household.truncate(size);
        let mut others: Vec<usize> = (0..people.len())
            .filter(|i| !household.contains(i))
            .collect();
        shuffle(&mut others, &mut chance);
        let (unknown, others) = others.split_at(arguments.unknown.min(others.len()));
        let (calibration, test) = others.split_at(others.len() / CALIBRATION);
        let mut learnt: Vec<Vec<&Shot>> = Vec::new();
        let mut tried: Vec<(usize, Option<&Shot>)> = Vec::new();
        for (who, person) in household.iter().enumerate() {
            let mut shots: Vec<&Option<Shot>> = people[*person].shots.iter().collect();
            shuffle(&mut shots, &mut chance);
            // One without a face cannot be learnt, and is tried.
            shots.sort_by_key(|s| s.is_none());
            let (learn, rest) = shots.split_at(photos);
            learnt.push(learn.iter().filter_map(|s| s.as_ref()).collect());
            let tried_of = rest
                .iter()
                .filter(|s| s.as_ref().is_none_or(|s| s.tried.is_some()));
            tried.extend(tried_of.map(|s| (who, s.as_ref())));
        }
        let strangers: Vec<&[f32]> = unknown
            .iter()
            .filter_map(|i| people[*i].shots.iter().flatten().next())
            .map(|s| s.embedding.values())
            .collect();
        let photos_of = |who: &[usize]| -> Vec<&Shot> {
            who.iter()
                .flat_map(|i| people[*i].shots.iter().flatten())
                .collect()
        };
        let (calibration, impostors) = (photos_of(calibration), photos_of(test));
        tally.impostor_people = test.len();

        let rows = |views: bool| -> Vec<Vec<&[f32]>> {
            learnt
                .iter()
                .map(|shots| {
                    let all = shots.iter().flat_map(|s| {
                        let views = if views { &s.views[..] } else { &[] };
                        [&s.embedding].into_iter().chain(views)
                    });
                    all.map(Embedding::values).collect()
                })
                .collect()
        };
        let templates = rows(false);
        let head: Vec<Vec<Vec<f32>>> = directions(&rows(true), &strangers)
            .into_iter()
            .map(|d| vec![d])
            .collect();
        let mean: Vec<Vec<Vec<f32>>> = templates.iter().map(|t| vec![mean(t)]).collect();
        let nearest: Vec<Vec<Vec<f32>>> = templates
            .iter()
            .map(|t| t.iter().map(|e| e.to_vec()).collect())
            .collect();
        let mut outcomes = [Outcome::default(); 3];
        for (m, rows) in [head, nearest, mean].iter().enumerate() {
            let best = |face: &Embedding| -> (usize, f32) {
                let each = rows
                    .iter()
                    .map(|r| r.iter().map(|t| face.cosine(t)).fold(-1.0, f32::max));
                each.enumerate()
                    .fold((0, -1.0), |b, s| if s.1 > b.1 { s } else { b })
            };
            let strangers: Vec<f32> = impostors.iter().map(|s| best(&s.embedding).1).collect();
            let measured: Vec<f32> = calibration.iter().map(|s| best(&s.embedding).1).collect();
            let limit = quantile(&strangers, FAR);
            let point = calibrate(&measured, FAR, least).threshold;
            let mut outcome = Outcome {
                genuine: tried.len(),
                impostors: strangers.len(),
                calibrated_let_in: strangers.iter().filter(|s| **s >= point).count(),
                ..Outcome::default()
            };
            for (who, shot) in &tried {
                let (named, score) = shot
                    .and_then(|s| s.tried.as_ref())
                    .map_or((usize::MAX, -1.0), &best);
                let right = named == *who;
                outcome.refused += usize::from(!(right && score > limit));
                outcome.wrong += usize::from(!right && score > limit);
                outcome.calibrated_refused += usize::from(!(right && score >= point));
                tally.genuine[m].push(if right { score } else { -1.0 });
                if let (0, Some(s)) = (m, shot) {
                    tally.missed.push((score, s.photo.clone(), s.landmarks));
                }
            }
            if m == 0 {
                let all = impostors.iter().zip(&strangers);
                tally
                    .let_in
                    .extend(all.map(|(s, score)| (*score, s.photo.clone(), s.landmarks)));
                tally.keep_worst();
            }
            tally.impostors[m].extend(strangers);
            outcomes[m] = outcome;
        }
        tally.draws.push(outcomes);
    }
    Ok(tally)
}

fn mean(templates: &[&[f32]]) -> Vec<f32> {
    let length = templates.first().map_or(0, |t| t.len());
    let sums = (0..length).map(|k| templates.iter().map(|t| t[k]).sum::<f32>());
    Embedding::normalised(sums).map_or_else(Vec::new, |e| e.values().to_vec())
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], chance: &mut Chance) {
    for i in (1..items.len()).rev() {
        items.swap(i, chance.one_of(i + 1));
    }
}

/// The score that at most `far` of `strangers` lie above.
fn quantile(strangers: &[f32], far: f64) -> f32 {
    let mut sorted = strangers.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let allowed = (far * sorted.len() as f64).floor() as usize;
    sorted.get(allowed).copied().unwrap_or(-1.0)
}

/// FRR at every FAR that was seen.
fn curve(genuine: &[f32], impostors: &[f32]) -> Vec<(f64, f64)> {
    let mut own = genuine.to_vec();
    own.sort_unstable_by(f32::total_cmp);
    let mut others = impostors.to_vec();
    others.sort_unstable_by(|a, b| b.total_cmp(a));
    let n = others.len().max(1) as f64;
    let mut points = Vec::new();
    // Evenly spaced on a logarithmic scale.
    let mut rank = 0_usize;
    while rank < others.len() {
        let limit = others[rank];
        let refused = own.partition_point(|s| *s <= limit);
        points.push((
            rank.max(1) as f64 / n,
            refused as f64 / own.len().max(1) as f64,
        ));
        rank = (rank + 1).max(rank * 11 / 10);
    }
    points
}

impl Tally {
    fn sum(&self, m: usize, of: impl Fn(&Outcome) -> usize) -> usize {
        self.draws.iter().map(|d| of(&d[m])).sum()
    }

    fn method(&self, m: usize) -> Value {
        let (refused, genuine) = (self.sum(m, |o| o.refused), self.sum(m, |o| o.genuine));
        let each: Vec<f64> = self
            .draws
            .iter()
            .map(|d| d[m].refused as f64 / d[m].genuine.max(1) as f64)
            .collect();
        let mean = each.iter().sum::<f64>() / each.len().max(1) as f64;
        let spread = (each.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>()
            / each.len().max(1) as f64)
            .sqrt();
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        let let_in = self.sum(m, |o| o.calibrated_let_in);
        let impostors = self.sum(m, |o| o.impostors);
        json!({
            "frr_at_far_1e_3": mean,
            "spread": spread,
            "ci95": wilson(refused, genuine),
            "wrong_name_rate": share(self.sum(m, |o| o.wrong), genuine),
            "calibrated": {
                "frr": share(self.sum(m, |o| o.calibrated_refused), genuine),
                "far": share(let_in, impostors),
                "far_ci95": wilson(let_in, impostors),
            },
        })
    }

    fn report(&self, size: usize, photos: usize) -> Value {
        let mut all = self.method(0);
        all["people"] = json!(size);
        all["photos"] = json!(photos);
        all["draws"] = json!(self.draws.len());
        all["faces"] = json!(self.sum(0, |o| o.genuine));
        all["impostors"] = json!(self.impostor_people);
        all["impostor_faces"] = json!(self.sum(0, |o| o.impostors) / self.draws.len().max(1));
        all["nearest"] = self.method(1);
        all["mean"] = self.method(2);
        all
    }

    fn print(&self, size: usize, photos: usize, loaded: &Loaded, engine: &str) {
        println!(
            "{size} people, {photos} photos of each; {} with {}, {engine}",
            loaded.manifest.embedder, loaded.manifest.name
        );
        println!(
            "{} draws; {} faces of the enrolled tried, {} other people with {} faces a draw",
            self.draws.len(),
            self.sum(0, |o| o.genuine),
            self.impostor_people,
            self.sum(0, |o| o.impostors) / self.draws.len().max(1)
        );
        for (m, name) in METHODS.iter().enumerate() {
            let all = self.method(m);
            let percent = |v: &Value| 100.0 * v.as_f64().unwrap_or(f64::NAN);
            println!(
                "{name:8} FRR at FAR 0.1 % {:5.2} % (spread {:.2}, 95 % {:.2} to {:.2}), wrong name {:.3} %; threshold \
                 from others: FRR {:.2} %, FAR {:.3} %",
                percent(&all["frr_at_far_1e_3"]),
                percent(&all["spread"]),
                percent(&all["ci95"][0]),
                percent(&all["ci95"][1]),
                percent(&all["wrong_name_rate"]),
                percent(&all["calibrated"]["frr"]),
                percent(&all["calibrated"]["far"]),
            );
        }
    }

    /// Of all that was tried, what came nearest to a mistake.
    fn keep_worst(&mut self) {
        const WORST: usize = 12;
        self.missed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.let_in.sort_by(|a, b| b.0.total_cmp(&a.0));
        for list in [&mut self.missed, &mut self.let_in] {
            list.dedup_by(|a, b| a.1 == b.1);
            list.truncate(WORST);
        }
    }

    /// The enrolled with the lowest scores above, the strangers with the highest below.
    fn sheet(&self, out: &PathBuf) -> Result<(), Failure> {
        const SIDE: u32 = 128;
        let columns = self.missed.len().max(self.let_in.len()).max(1) as u32;
        let mut sheet = RgbImage::new(columns * SIDE, 2 * SIDE + 40);
        draw::write(
            &mut sheet,
            4,
            6,
            1,
            "enrolled, least like themselves",
            draw::KNOWN,
        );
        draw::write(
            &mut sheet,
            4,
            i64::from(SIDE) + 26,
            1,
            "strangers, most like somebody",
            draw::UNKNOWN,
        );
        for (row, list) in [&self.missed, &self.let_in].into_iter().enumerate() {
            for (column, (score, photo, landmarks)) in list.iter().enumerate() {
                let photo = Photo::open(photo)?;
                let mut sampler = Sampler::new(photo.image().layout().width, 256);
                let cut = FaceCut::new(&photo.image(), landmarks, &mut sampler)
                    .map_err(FaceError::from)?;
                let Some(cut) = cut else { continue };
                let small =
                    imageops::resize(cut.picture(), SIDE, SIDE, imageops::FilterType::Triangle);
                let (x, y) = (column as u32 * SIDE, row as u32 * (SIDE + 20) + 20);
                // The sheet has room for all.
                let _ = sheet.copy_from(&small, x, y);
                draw::write(
                    &mut sheet,
                    i64::from(x) + 4,
                    i64::from(y) + 116,
                    1,
                    &format!("{score:.2}"),
                    draw::KNOWN,
                );
            }
        }
        sheet
            .save(out)
            .map_err(|e| Failure::machine(format!("{}: cannot be written: {e}", out.display())))
    }
}
