//! Attacks on the door, and scenes that must not keep residents out, with the shipped networks and defaults: faces are pasted
//! into frames, read by the set's networks, and judged as in the running program, in simulated time. It prints figures. It is
//! not a test, because a run takes minutes: `cargo run --release --example attacks -- NAME...`, with the folder of `faces` and
//! `cases` in LATCHKEY_SHARED.

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
use latchkey::people::{Bank, Gallery, Identifier, Rule};
use latchkey::pipeline::IdentityTracker;

const SIZE: (u32, u32) = (640, 480);
/// Frames per second.
const FPS: u64 = 10;

/// A person's name, and the JPEG bytes of each photo.
type Person = (String, Vec<Vec<u8>>);

/// The residents: the people of `faces/spoof` in front of a webcam, whom no network of the set has seen. Their photos are in
/// order of time.
fn webcam_people(shared: &Path) -> Vec<Person> {
    let folder = shared.join("faces/spoof/real");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut people: Vec<Person> = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap().to_string_lossy();
        let name = stem.split('_').next().unwrap().to_owned();
        if people.last().is_none_or(|(last, _)| *last != name) {
            people.push((name, Vec::new()));
        }
        let bytes = std::fs::read(&file).unwrap();
        people.last_mut().unwrap().1.push(bytes);
    }
    people
}

/// The strangers: the portraits of `congress` in `faces/scenes`, with one person per portrait, whom no network of the set has
/// seen.
fn portraits(shared: &Path) -> Vec<Vec<u8>> {
    let scenes = shared.join("faces/scenes");
    let list = std::fs::read_to_string(scenes.join("boxes.jsonl")).unwrap();
    let wanted: Vec<&str> = list
        .lines()
        .filter(|line| line.contains("\"congress\""))
        .map(|line| line.split('"').find(|w| w.ends_with(".jpg")).unwrap())
        .collect();
    let packed = std::fs::read(scenes.join("scenes-0.tar")).unwrap();
    tar(&packed)
        .into_iter()
        .filter(|(name, _)| wanted.contains(&&**name))
        .map(|(_, bytes)| bytes.to_vec())
        .collect()
}

/// The shipped set.
fn shipped() -> Manifest {
    Manifest::load(&"latchkey".parse().unwrap()).unwrap()
}

fn folders() -> [PathBuf; 1] {
    [Path::new(env!("CARGO_MANIFEST_DIR")).join("models")]
}

fn reader() -> Reader {
    Reader::load(
        &shipped(),
        &folders(),
        EngineSettings::default(),
        Settings::default(),
    )
    .unwrap()
}

fn image(picture: &RgbImage) -> Image<'_> {
    let layout = Layout::packed(PixelFormat::Rgb3, picture.width(), picture.height());
    Image::new(layout, picture.as_raw()).unwrap()
}

/// A house: its reader and the people it knows.
struct House {
    reader: Reader,
    gallery: Gallery,
    /// One photo of each resident, taken some time after the photos that are enrolled.
    residents: Vec<RgbImage>,
}

/// The number of photos of each resident that are enrolled: every second one of twice this number. The last photo is shown at the
/// door.
const ENROLLED: usize = 10;

impl House {
    fn new(shared: &Path, many: usize) -> Self {
        let mut reader = reader();
        let mut gallery = Gallery::default();
        let sha256 = reader.embedder_sha256().to_owned();
        let mut residents = Vec::new();
        for (name, photos) in webcam_people(shared).iter().take(many) {
            let mut templates = Vec::new();
            for photo in photos[..2 * ENROLLED].iter().step_by(2) {
                let picture = decode(photo);
                templates.extend(central(reader.read(&image(&picture)).unwrap()));
            }
            gallery
                .add(name, &templates, &[], &sha256, Path::new("here"))
                .unwrap();
            let shown = photos[2 * ENROLLED..].iter().rev();
            residents.extend(shown.filter_map(|p| cut(&mut reader, p)).take(1));
        }
        assert_eq!(residents.len(), many, "residents whose face is found");
        gallery.learn();
        Self {
            reader,
            gallery,
            residents,
        }
    }

    /// Faces of `many` strangers, cut from the portraits, starting at number `from`. Portraits in which no face is found do not
    /// count.
    fn strangers(&mut self, shared: &Path, from: usize, many: usize) -> Vec<RgbImage> {
        let portraits = portraits(shared);
        let found: Vec<RgbImage> = portraits
            .iter()
            .skip(from)
            .filter_map(|p| cut(&mut self.reader, p))
            .take(many)
            .collect();
        assert_eq!(found.len(), many, "strangers whose face is found");
        found
    }

    fn identifier(&self) -> Identifier {
        let set = shipped();
        let embedder = set.embedder();
        let rule = Rule {
            threshold: embedder.threshold,
            fixed: false,
            margin: embedder.margin,
        };
        let bank = Bank::open(embedder, &folders()).unwrap();
        Identifier::new(
            self.gallery.enrolled(self.reader.embedder_sha256()),
            rule,
            bank.as_ref(),
        )
    }

    fn read(&mut self, frame: &RgbImage) -> Vec<Face> {
        self.reader.read(&image(frame)).unwrap().to_vec()
    }

    /// Looks at a photo in front of a grey wall: `frames` frames, each a little different.
    fn looks(&mut self, photo: &RgbImage, side: u32, frames: u32, seed: u64) -> Vec<Vec<Face>> {
        let wall = RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([120, 120, 120]));
        self.looks_before(&[wall], photo, side, (320, 240), frames, seed)
    }

    /// The same as `looks`, but in front of several walls, one after the other.
    fn looks_before(
        &mut self,
        walls: &[RgbImage],
        photo: &RgbImage,
        side: u32,
        (x, y): (i64, i64),
        frames: u32,
        seed: u64,
    ) -> Vec<Vec<Face>> {
        let mut chance = Chance::new(seed);
        (0..frames)
            .map(|k| {
                let near = side + side * k.min(12) / 40 + chance.one_of(5) as u32;
                let small = imageops::resize(photo, near, near, imageops::FilterType::Triangle);
                let mut frame = walls[k as usize % walls.len()].clone();
                let at = |middle: i64, by: usize| middle - i64::from(near / 2) + by as i64;
                let (dx, dy) = (chance.one_of(16), chance.one_of(8));
                imageops::overlay(&mut frame, &small, at(x, dx), at(y, dy));
                noise(&mut frame, 3.0, 1.0, &mut chance);
                self.read(&frame)
            })
            .collect()
    }
}

fn decode(jpeg: &[u8]) -> RgbImage {
    image::load_from_memory(jpeg).unwrap().into_rgb8()
}

/// The largest face of a picture with its surroundings: a square of 2.4 times the box, with grey beyond the picture's edge.
fn cut(reader: &mut Reader, jpeg: &[u8]) -> Option<RgbImage> {
    let picture = decode(jpeg);
    let faces = reader.read(&image(&picture)).unwrap();
    let face = faces
        .iter()
        .max_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area()))?;
    let side = 2.4 * face.bbox.area().sqrt();
    let middle = face.bbox.centre();
    let mut cut = RgbImage::from_pixel(side as u32, side as u32, Rgb([120, 120, 120]));
    let at = |middle: f32| -((middle - side / 2.0) as i64);
    imageops::overlay(&mut cut, &picture, at(middle.x), at(middle.y));
    Some(cut)
}

/// Adds sensor noise and changes the light.
fn noise(frame: &mut RgbImage, sigma: f32, gain: f32, chance: &mut Chance) {
    for byte in frame.iter_mut() {
        // The sum of four 16-bit parts of the random bits is near enough to a normal deviate.
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

/// The running door, in simulated time.
struct Run {
    tracker: IdentityTracker,
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
            tracker: IdentityTracker::new(house.identifier()),
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
        let seen = self.tracker.observe(at, faces);
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
        let locked = self.door.indication() == latchkey::door::Indication::LockedOut;
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
            "{what}: minutes={:.1} granted={} refused={} undecided={} fixture={} unsteady={} strict={} locked_out={} strict_share={:.3} locked_share={:.3}",
            time as f32 / 60_000.0,
            count("Granted"),
            count("Refused"),
            count("Undecided"),
            count("Fixture"),
            count("Unsteady"),
            count("Strict"),
            count("LockedOut"),
            self.strict_ms as f32 / time as f32,
            self.locked_ms as f32 / time as f32,
        );
    }
}

fn strangers_attack() -> Result<(), String> {
    let shared = shared::shared()?;
    let mut house = House::new(&shared, 5);
    let photos = house.strangers(&shared, 0, 60);
    let faces: Vec<Vec<Vec<Face>>> = photos
        .iter()
        .enumerate()
        .map(|(k, photo)| house.looks(photo, 200, 8, k as u64))
        .collect();
    let seen = faces.iter().flatten().filter(|f| !f.is_empty()).count();
    println!(
        "strangers={} looks={} with a face={seen}",
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
    let mut house = House::new(&shared, 5);
    let photos = house.strangers(&shared, 60, 150);
    let residents: Vec<_> = house
        .residents
        .clone()
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
        "strangers={} residents={} pairs={tried}: granted after two looks at a resident={after_two}, after a visit={after_visit}; strangers granted alone={alone}",
        photos.len(),
        residents.len()
    );
    Ok(())
}

/// The movement in a scene of things. All scenes also have the sensor's noise and drifting light.
#[derive(Clone, Copy, Debug)]
enum Moves {
    /// Nothing moves.
    Nothing,
    /// Everything moves a little, several times a second, as when wind shakes the camera's mount.
    Shakes,
    /// Everything moves to and fro, by half a face.
    Swings,
}

const MOVES: [Moves; 3] = [Moves::Nothing, Moves::Shakes, Moves::Swings];

/// The frames of a scene.
fn scene(picture: &RgbImage, moves: Moves, frames: u32, chance: &mut Chance) -> Vec<RgbImage> {
    let (w, h) = SIZE;
    let scale = (w as f32 / picture.width() as f32).max(h as f32 / picture.height() as f32) * 1.08;
    let big = imageops::resize(
        picture,
        (picture.width() as f32 * scale) as u32,
        (picture.height() as f32 * scale) as u32,
        imageops::FilterType::Triangle,
    );
    let room = ((big.width() - w) as f32, (big.height() - h) as f32);
    let phase = chance.unit();
    (0..frames)
        .map(|k| {
            let t = k as f32 / frames as f32;
            let swing =
                |speed: f32| 0.5 + 0.5 * (std::f32::consts::TAU * (speed * t + phase)).sin();
            let (x, y) = match moves {
                Moves::Nothing => (0.5, 0.5),
                Moves::Shakes => (
                    0.5 + 0.15 * (swing(17.0) - 0.5),
                    0.5 + 0.1 * (swing(13.0) - 0.5),
                ),
                Moves::Swings => (swing(1.0), 0.5),
            };
            let mut frame =
                imageops::crop_imm(&big, (x * room.0) as u32, (y * room.1) as u32, w, h).to_image();
            noise(&mut frame, 3.0, 0.85 + 0.3 * swing(2.0), chance);
            frame
        })
        .collect()
}

/// The names and contents of the JPEG files in an uncompressed tar archive.
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

/// Plays an hour in front of a scene, with a visit of a resident every five minutes. Returns the number of visits, and the number
/// of granted visits.
fn hour(house: &mut House, what: &str, frames: &[RgbImage], seed: u64) -> (usize, usize) {
    let faces: Vec<Vec<Face>> = frames.iter().map(|f| house.read(f)).collect();
    let photos = house.residents.clone();
    let visits: Vec<Vec<Vec<Face>>> = (0..3)
        .map(|k| {
            let photo = &photos[k % photos.len()];
            house.looks_before(frames, photo, 220, (330, 220), 30, seed + k as u64)
        })
        .collect();
    let mut run = Run::new(house);
    let (mut k, mut granted, mut visit) = (0, 0, 0);
    while run.now - run.began < 3_600_000 {
        let into = (run.now - run.began) % 300_000;
        if into == 290_000 {
            let before = run.granted.len();
            for look in &visits[visit % 3] {
                run.frame(look, 100);
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
    let mut house = House::new(&shared, 5);
    let parked: Vec<RgbImage> = (0..12)
        .map(|k| {
            let file = format!("cases/scene/parked-{k:02}.jpg");
            image::open(shared.join(file)).unwrap().into_rgb8()
        })
        .collect();
    let (visits, let_in) = hour(&mut house, "parked", &parked, 1);
    println!("parked: visits={visits} let_in={let_in}");
    hours_before_pictures(&mut house, &shared, OFFSET)
}

/// The number of the first picture of `nofaces` that is used here. Constants are chosen with the pictures before it.
const OFFSET: usize = 1000;

/// The same as `an_hour_before_things`, but with the pictures that constants are chosen with.
fn an_hour_before_other_things() -> Result<(), String> {
    let shared = shared::shared()?;
    let mut house = House::new(&shared, 5);
    hours_before_pictures(&mut house, &shared, 0)
}

/// Plays an hour in front of each of 20 pictures of things, for each kind of movement. Candidates are every 17th picture,
/// starting at number `from`. The first ten with a face in the first frame, according to the detector, are used, and the first
/// ten without.
fn hours_before_pictures(house: &mut House, shared: &Path, from: usize) -> Result<(), String> {
    let packed = std::fs::read(shared.join("faces/nofaces/nofaces-0.tar")).unwrap();
    let (mut busy, mut quiet) = (Vec::new(), Vec::new());
    for (name, bytes) in tar(&packed).into_iter().skip(from).step_by(17) {
        let picture = decode(bytes);
        let first = scene(&picture, Moves::Nothing, 1, &mut Chance::new(1));
        let of_its_kind = match house.read(&first[0]).is_empty() {
            true => &mut quiet,
            false => &mut busy,
        };
        if of_its_kind.len() < 10 {
            of_its_kind.push((name, picture));
        }
    }
    let mut chance = Chance::new(2);
    for moves in MOVES {
        for (kind, pictures) in [("busy", &busy), ("quiet", &quiet)] {
            let mut sum = (0, 0);
            for (k, (name, picture)) in pictures.iter().enumerate() {
                let frames = scene(picture, moves, 48, &mut chance);
                let what = format!("{moves:?} {kind} {name}");
                let one = hour(house, &what, &frames, 100 * k as u64);
                sum = (sum.0 + one.0, sum.1 + one.1);
            }
            println!(
                "{moves:?} {kind}: scenes={} visits={} let_in={}",
                pictures.len(),
                sum.0,
                sum.1
            );
        }
    }
    Ok(())
}

fn main() -> Result<(), String> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        return Err("name one or more of: strangers_attack, a_stranger_takes_the_place_of_a_resident, an_hour_before_things, an_hour_before_other_things".to_owned());
    }
    for name in names {
        match name.as_str() {
            "strangers_attack" => strangers_attack(),
            "a_stranger_takes_the_place_of_a_resident" => {
                a_stranger_takes_the_place_of_a_resident()
            }
            "an_hour_before_things" => an_hour_before_things(),
            "an_hour_before_other_things" => an_hour_before_other_things(),
            other => Err(format!(
                "{other:?} is none of: strangers_attack, a_stranger_takes_the_place_of_a_resident, an_hour_before_things, an_hour_before_other_things"
            )),
        }?;
    }
    Ok(())
}
