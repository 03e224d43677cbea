//! Attacks on the door, and what must not keep residents out, through the shipped networks and defaults: faces are pasted
//! into frames, read by the set's networks, and judged as the running program does, with the time told. Prints figures.
//! No test: a run takes minutes. `cargo run --release --example attacks -- NAME...`, LATCHKEY_SHARED naming `faces` and `cases`.

#[path = "../common/shared.rs"]
mod shared;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage, imageops};
use latchkey::chance::Chance;
use latchkey::clock::Timestamp;
use latchkey::door::{Door, Policy};
use latchkey::face::{Embedding, Face, Reader, Settings};
use latchkey::frame::{Image, Layout, PixelFormat};
use latchkey::nn::{EngineSettings, Manifest};
use latchkey::people::{Gallery, Identifier, Rule};
use latchkey::pipeline::Judge;

const SIZE: (u32, u32) = (640, 480);
/// Frames a second.
const FPS: u64 = 10;

/// People of `lfw-dev` by name, with their photos, of these folds.
fn people(shared: &Path, folds: &[u32]) -> Vec<(String, Vec<PathBuf>)> {
    let lfw = shared.join("faces/lfw-dev");
    let list = std::fs::read_to_string(lfw.join("people.txt")).unwrap();
    let wanted = list.lines().filter_map(|line| {
        let mut words = line.split([',', '\t']);
        let name = words.next()?.trim();
        let fold = words.next()?.trim().parse::<u32>().ok()?;
        folds.contains(&fold).then(|| name.to_owned())
    });
    let mut people: Vec<_> = wanted
        .map(|name| {
            let mut photos: Vec<_> = std::fs::read_dir(lfw.join("images").join(&name))
                .map(|dir| dir.map(|e| e.unwrap().path()).collect())
                .unwrap_or_default();
            photos.sort();
            (name, photos)
        })
        .filter(|(_, photos)| !photos.is_empty())
        .collect();
    people.sort();
    people
}

fn reader() -> Reader {
    let set = Manifest::load(&"latchkey".parse().unwrap()).unwrap();
    let folders = [Path::new(env!("CARGO_MANIFEST_DIR")).join("models")];
    Reader::load(
        &set,
        &folders,
        EngineSettings::default(),
        Settings::default(),
    )
    .unwrap()
}

fn image(picture: &RgbImage) -> Image<'_> {
    let layout = Layout::packed(PixelFormat::Rgb3, picture.width(), picture.height());
    Image::new(layout, picture.as_raw()).unwrap()
}

/// A house: its reader and whom it knows.
struct House {
    reader: Reader,
    gallery: Gallery,
    residents: Vec<(String, Vec<PathBuf>)>,
}

/// Photos that are enrolled of each resident; the others are shown at the door.
const ENROLLED: usize = 10;

impl House {
    fn new(all: &[(String, Vec<PathBuf>)], residents: usize) -> Self {
        let mut reader = reader();
        let mut gallery = Gallery::default();
        let sha256 = reader.embedder_sha256().to_owned();
        let mut enough: Vec<_> = all.iter().filter(|p| p.1.len() >= 2 * ENROLLED).collect();
        enough.truncate(residents);
        for (name, photos) in &enough {
            let mut templates = Vec::new();
            for photo in &photos[..ENROLLED] {
                let picture = image::open(photo).unwrap().into_rgb8();
                let found = reader.read(&image(&picture)).unwrap();
                templates.extend(central(found));
            }
            let name: String = name.chars().filter(|c| c.is_ascii_alphabetic()).collect();
            gallery
                .add(&name, &templates, &[], &sha256, Path::new("here"))
                .unwrap();
        }
        gallery.learn();
        let residents = enough
            .iter()
            .map(|(name, photos)| (name.clone(), photos[ENROLLED..].to_vec()))
            .collect();
        Self {
            reader,
            gallery,
            residents,
        }
    }

    fn identifier(&self) -> Identifier {
        let embedder = Manifest::load(&"latchkey".parse().unwrap()).unwrap();
        let rule = Rule {
            threshold: embedder.embedder().threshold,
            fixed: false,
            margin: embedder.embedder().margin,
        };
        Identifier::new(self.gallery.known(self.reader.embedder_sha256()), rule)
    }

    fn read(&mut self, frame: &RgbImage) -> Vec<Face> {
        self.reader.read(&image(frame)).unwrap().to_vec()
    }

    /// Looks at a photo held before a grey wall: so many frames, a little different each.
    fn looks(&mut self, photo: &Path, side: u32, frames: u32, seed: u64) -> Vec<Vec<Face>> {
        let mut wall = RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([120, 120, 120]));
        self.looks_before(&mut wall, photo, side, (320, 240), frames, seed)
    }

    fn looks_before(
        &mut self,
        wall: &mut RgbImage,
        photo: &Path,
        side: u32,
        (x, y): (i64, i64),
        frames: u32,
        seed: u64,
    ) -> Vec<Vec<Face>> {
        let mut chance = Chance::new(seed);
        let picture = image::open(photo).unwrap().into_rgb8();
        (0..frames)
            .map(|k| {
                let near = side + side * k / 40 + chance.one_of(5) as u32;
                let small = imageops::thumbnail(&picture, near, near);
                let mut frame = wall.clone();
                let at = |middle: i64, by: usize| middle - i64::from(near / 2) + by as i64;
                let (dx, dy) = (chance.one_of(16), chance.one_of(8));
                imageops::overlay(&mut frame, &small, at(x, dx), at(y, dy));
                noise(&mut frame, 3.0, 1.0, &mut chance);
                self.read(&frame)
            })
            .collect()
    }
}

/// Sensor noise and another light.
fn noise(frame: &mut RgbImage, sigma: f32, gain: f32, chance: &mut Chance) {
    for byte in frame.iter_mut() {
        // A sum of four sixteenths of the bits is near enough to a normal deviate.
        let bits = chance.bits();
        let n = (0..4)
            .map(|k| (bits >> (16 * k) & 0xFFFF) as f32 / 65_536.0)
            .sum::<f32>()
            - 2.0;
        *byte = (f32::from(*byte) * gain + 1.7 * sigma * n).clamp(0.0, 255.0) as u8;
    }
}

fn central(faces: &[Face]) -> Option<Embedding> {
    let face = faces
        .iter()
        .max_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area()));
    face.and_then(|f| f.embedding.ok())
}

/// The door at work, with the time told.
struct Run {
    judge: Judge,
    door: Door,
    now: u64,
    began: u64,
    locked_ms: u64,
    strict_ms: u64,
    strict: bool,
    counts: HashMap<String, u64>,
    granted: Vec<u64>,
}

impl Run {
    fn new(house: &House) -> Self {
        Self {
            judge: Judge::new(house.identifier()),
            door: Door::new(Policy::default()).unwrap(),
            now: 1_000_000,
            began: 1_000_000,
            locked_ms: 0,
            strict_ms: 0,
            strict: false,
            counts: HashMap::new(),
            granted: Vec::new(),
        }
    }

    fn frame(&mut self, faces: &[Face], step: u64) {
        let at = Timestamp::from_millis(self.now);
        let seen = self.judge.observe(at, faces);
        let events = self.door.observe(at, &seen);
        for event in &events {
            let text = format!("{event:?}");
            let name = text.split([' ', '{']).next().unwrap_or_default().to_owned();
            match &*name {
                "Granted" => self.granted.push(self.now),
                "Strict" => self.strict = true,
                "StrictEnded" => self.strict = false,
                _ => {}
            }
            *self.counts.entry(name).or_default() += 1;
        }
        let locked = self.door.signal() == latchkey::door::Signal::LockedOut;
        self.locked_ms += if locked { step } else { 0 };
        self.strict_ms += if self.strict && !locked { step } else { 0 };
        self.now += step;
    }

    fn empty(&mut self, ms: u64, step: u64) {
        for _ in 0..ms / step {
            self.frame(&[], step);
        }
    }

    fn line(&self, what: &str) {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let time = (self.now - self.began).max(1);
        println!(
            "{what}: minutes={:.1} granted={} refused={} undecided={} fixture={} strict={} locked_out={} strict_share={:.3} locked_share={:.3}",
            time as f32 / 60_000.0,
            count("Granted"),
            count("Refused"),
            count("Undecided"),
            count("Fixture"),
            count("Strict"),
            count("LockedOut"),
            self.strict_ms as f32 / time as f32,
            self.locked_ms as f32 / time as f32,
        );
    }
}

/// Strangers who are tried: those with one photo.
fn strangers(all: &[(String, Vec<PathBuf>)], many: usize) -> Vec<PathBuf> {
    let single = all.iter().filter(|(_, photos)| photos.len() == 1);
    single
        .map(|(_, photos)| photos[0].clone())
        .take(many)
        .collect()
}

fn strangers_attack() -> Result<(), String> {
    let shared = shared::shared()?;
    let folds = [4, 5];
    let all = people(&shared, &folds);
    let mut house = House::new(&all, 5);
    let photos = strangers(&all, 60);
    let faces: Vec<Vec<Vec<Face>>> = photos
        .iter()
        .enumerate()
        .map(|(k, photo)| house.looks(photo, 200, 8, k as u64))
        .collect();
    let seen = faces.iter().flatten().filter(|f| !f.is_empty()).count();
    println!(
        "folds={folds:?} strangers={} looks={} with a face={seen}",
        faces.len(),
        8 * faces.len()
    );

    let mut run = Run::new(&house);
    for looks in &faces[..40] {
        for look in &looks[..4] {
            run.frame(look, 1000 / FPS);
        }
        run.empty(600, 100);
    }
    run.empty(5000, 100);
    run.line("forty strangers, four looks each, one a second");

    for (what, step, each) in [
        ("faces through one spot, 1.3 s each, 10 looks/s", 100, 13),
        ("faces through one spot, 2 looks/s, 4 s each", 500, 8),
        ("faces through one spot, 1 look/s, 6 s each", 1000, 6),
    ] {
        let mut run = Run::new(&house);
        let mut k = 0;
        while run.now - run.began < 3_600_000 {
            for look in 0..each {
                run.frame(&faces[k % faces.len()][look % 8], step);
            }
            k += 1;
        }
        println!("faces shown={k}");
        run.line(what);
    }

    let mut run = Run::new(&house);
    let mut k = 0;
    while run.now - run.began < 3_600_000 {
        for look in &faces[k % faces.len()] {
            run.frame(look, 100);
        }
        run.empty(11_200, 100);
        k += 1;
    }
    run.line("five who pass by in a minute, eight looks each, for an hour");
    Ok(())
}

fn a_stranger_takes_the_place_of_a_resident() -> Result<(), String> {
    let shared = shared::shared()?;
    let folds = [4, 5];
    let all = people(&shared, &folds);
    let mut house = House::new(&all, 5);
    let photos = strangers(&all, 150);
    let residents: Vec<PathBuf> = house.residents.iter().map(|r| r.1[0].clone()).collect();
    let residents: Vec<_> = residents
        .iter()
        .enumerate()
        .map(|(k, photo)| house.looks(photo, 200, 6, 9000 + k as u64))
        .collect();
    let (mut after_two, mut after_visit, mut alone, mut tried) = (0, 0, 0, 0);
    for (k, photo) in photos.iter().enumerate() {
        let looks = house.looks(photo, 200, 6, k as u64);
        for resident in &residents {
            tried += 1;
            let mut run = Run::new(&house);
            resident[..2].iter().for_each(|f| run.frame(f, 100));
            for i in 0..20 {
                run.frame(&looks[i % 6], 100);
            }
            after_two += usize::from(!run.granted.is_empty());
            let mut run = Run::new(&house);
            for i in 0..10 {
                run.frame(&resident[i % 6], 100);
            }
            let granted = run.granted.len();
            for i in 0..40 {
                run.frame(&looks[i % 6], 100);
            }
            after_visit += usize::from(run.granted.len() > granted);
        }
        let mut run = Run::new(&house);
        for i in 0..20 {
            run.frame(&looks[i % 6], 100);
        }
        alone += usize::from(!run.granted.is_empty());
    }
    println!(
        "folds={folds:?} strangers={} residents={} pairs={tried}: granted after two looks at a resident={after_two}, after a visit={after_visit}; strangers granted alone={alone}",
        photos.len(),
        residents.len()
    );
    Ok(())
}

/// Frames of a scene: noise, drifting light, and the camera or the thing moving a little.
fn scene(picture: &RgbImage, frames: u32, chance: &mut Chance) -> Vec<RgbImage> {
    let (w, h) = SIZE;
    let scale = (w as f32 / picture.width() as f32).max(h as f32 / picture.height() as f32) * 1.08;
    let big = imageops::resize(
        picture,
        (picture.width() as f32 * scale) as u32,
        (picture.height() as f32 * scale) as u32,
        imageops::FilterType::Triangle,
    );
    let room = ((big.width() - w) as f32, (big.height() - h) as f32);
    let (kind, phase) = (chance.one_of(3), chance.unit());
    (0..frames)
        .map(|k| {
            let t = k as f32 / frames as f32;
            let swing =
                |speed: f32| 0.5 + 0.5 * (std::f32::consts::TAU * (speed * t + phase)).sin();
            let (x, y) = match kind {
                // Still, a slow pan, wind.
                0 => (0.5, 0.5),
                1 => (swing(1.0), 0.5),
                _ => (
                    0.5 + 0.15 * (swing(7.0) - 0.5),
                    0.5 + 0.1 * (swing(5.0) - 0.5),
                ),
            };
            let mut frame =
                imageops::crop_imm(&big, (x * room.0) as u32, (y * room.1) as u32, w, h).to_image();
            noise(&mut frame, 3.0, 0.85 + 0.3 * swing(2.0), chance);
            frame
        })
        .collect()
}

/// The files of an uncompressed tar: name, where it begins and how long it is.
fn tar(bytes: &[u8]) -> Vec<(String, &[u8])> {
    let (mut files, mut at) = (Vec::new(), 0);
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |from: usize, len: usize| {
            let field = &bytes[at + from..at + from + len];
            String::from_utf8_lossy(field)
                .trim_matches(['\0', ' '])
                .to_owned()
        };
        let size = usize::from_str_radix(&text(124, 12), 8).unwrap_or(0);
        if text(0, 100).ends_with(".jpg") {
            files.push((text(0, 100), &bytes[at + 512..at + 512 + size]));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    files
}

/// An hour before a scene, with a resident every five minutes. Says how many of the visits were granted.
fn hour(house: &mut House, what: &str, frames: &[RgbImage], seed: u64) -> (usize, usize) {
    let faces: Vec<Vec<Face>> = frames.iter().map(|f| house.read(f)).collect();
    let photos: Vec<PathBuf> = house.residents.iter().map(|r| r.1[0].clone()).collect();
    let visits: Vec<Vec<Vec<Face>>> = (0..3)
        .map(|k| {
            let mut wall = frames[k * frames.len() / 3].clone();
            let photo = &photos[k % photos.len()];
            house.looks_before(&mut wall, photo, 220, (330, 220), 6, seed + k as u64)
        })
        .collect();
    let mut run = Run::new(house);
    let (mut k, mut granted, mut visit) = (0, 0, 0);
    while run.now - run.began < 3_600_000 {
        let into = (run.now - run.began) % 300_000;
        if into == 290_000 {
            let before = run.granted.len();
            for i in 0..30 {
                run.frame(&visits[visit % 3][i % 6], 100);
            }
            visit += 1;
            granted += usize::from(run.granted.len() > before);
        } else {
            run.frame(&faces[k % faces.len()], 100);
            k += 1;
        }
    }
    let any = faces.iter().map(Vec::len).sum::<usize>() as f32 / faces.len() as f32;
    run.line(&format!(
        "{what} faces/frame={any:.2} visits={visit} let_in={granted}"
    ));
    (visit, granted)
}

fn an_hour_before_things() -> Result<(), String> {
    let shared = shared::shared()?;
    let folds = [4, 5];
    let all = people(&shared, &folds);
    let mut house = House::new(&all, 5);
    let parked: Vec<RgbImage> = (0..12)
        .map(|k| {
            let file = format!("cases/scene/parked-{k:02}.jpg");
            image::open(shared.join(file)).unwrap().into_rgb8()
        })
        .collect();
    let mut sum = hour(&mut house, "parked", &parked, 1);
    let packed = std::fs::read(shared.join("faces/nofaces/nofaces-0.tar")).unwrap();
    let mut chance = Chance::new(2);
    let mut found = 0;
    // Every 17th picture in which the detector sees a face: no choice.
    for (name, bytes) in tar(&packed).iter().skip(OFFSET).step_by(17) {
        let picture = image::load_from_memory(bytes).unwrap().into_rgb8();
        let first = scene(&picture, 1, &mut Chance::new(1));
        if house.read(&first[0]).is_empty() {
            continue;
        }
        let frames = scene(&picture, 24, &mut chance);
        let one = hour(&mut house, name, &frames, 100 * found);
        sum = (sum.0 + one.0, sum.1 + one.1);
        found += 1;
        if found == 20 {
            break;
        }
    }
    println!("scenes={} visits={} let_in={}", found + 1, sum.0, sum.1);
    assert_eq!(sum.0, sum.1, "a resident was kept out");
    Ok(())
}

/// Pictures before this one were there to choose constants by.
const OFFSET: usize = 1000;

/// How things move and what they look like, to choose constants by: other pictures and folds than those that are reported.
fn how_things_move() -> Result<(), String> {
    let shared = shared::shared()?;
    let mut reader = reader();
    let packed = std::fs::read(shared.join("faces/nofaces/nofaces-0.tar")).unwrap();
    let mut chance = Chance::new(3);
    let mut scenes: Vec<(String, Vec<RgbImage>)> = Vec::new();
    for (name, bytes) in tar(&packed).iter().take(OFFSET).step_by(13) {
        let picture = image::load_from_memory(bytes).unwrap().into_rgb8();
        let first = scene(&picture, 1, &mut Chance::new(1));
        if !reader.read(&image(&first[0])).unwrap().is_empty() {
            scenes.push((name.clone(), scene(&picture, 24, &mut chance)));
        }
        if scenes.len() == 12 {
            break;
        }
    }
    for (name, frames) in &scenes {
        let faces: Vec<Vec<Face>> = frames
            .iter()
            .map(|f| reader.read(&image(f)).unwrap().to_vec())
            .collect();
        let (mut overlaps, mut alike) = (Vec::new(), Vec::new());
        for pair in faces.windows(2) {
            for a in &pair[0] {
                let best = pair[1]
                    .iter()
                    .max_by(|x, y| x.bbox.overlap(&a.bbox).total_cmp(&y.bbox.overlap(&a.bbox)));
                let Some(b) = best.filter(|b| b.bbox.overlap(&a.bbox) > 0.15) else {
                    continue;
                };
                overlaps.push(b.bbox.overlap(&a.bbox));
                if let (Ok(x), Ok(y)) = (&a.embedding, &b.embedding) {
                    alike.push(x.cosine(y.values()));
                }
            }
        }
        let (overlaps_text, alike_text) = (quantiles(&mut overlaps), quantiles(&mut alike));
        let many = faces.iter().map(Vec::len).sum::<usize>() as f32 / faces.len() as f32;
        println!("{name}: faces/frame={many:.2} overlap {overlaps_text} cosine {alike_text}");
    }
    Ok(())
}

fn quantiles(values: &mut [f32]) -> String {
    values.sort_by(f32::total_cmp);
    let at = |q: f32| {
        values
            .get((q * (values.len().max(1) - 1) as f32) as usize)
            .copied()
            .unwrap_or(f32::NAN)
    };
    format!(
        "n={} 1%={:.2} 5%={:.2} 25%={:.2} 50%={:.2}",
        values.len(),
        at(0.01),
        at(0.05),
        at(0.25),
        at(0.5)
    )
}

fn main() -> Result<(), String> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        return Err("name one or more of: strangers_attack, a_stranger_takes_the_place_of_a_resident, an_hour_before_things, how_things_move".to_owned());
    }
    for name in names {
        match name.as_str() {
            "strangers_attack" => strangers_attack(),
            "a_stranger_takes_the_place_of_a_resident" => {
                a_stranger_takes_the_place_of_a_resident()
            }
            "an_hour_before_things" => an_hour_before_things(),
            "how_things_move" => how_things_move(),
            other => Err(format!(
                "{other:?} is none of: strangers_attack, a_stranger_takes_the_place_of_a_resident, an_hour_before_things, how_things_move"
            )),
        }?;
    }
    Ok(())
}
