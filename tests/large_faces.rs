//! The program itself detects faces that fill a picture: people who come close to the camera, and photos cut to the face. Each
//! picture shows one face. The people are those of Labeled Faces in the Wild.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{latchkey, printed};
use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};
use serde_json::Value;

/// A photo of one person, and the square from eyebrow to chin in it: left, top, side.
struct Portrait {
    file: PathBuf,
    place: [f32; 3],
}

/// The photos of `cases/tight-crops.txt`, 20 of each of five people. The squares in the file are 1.2 times the face.
fn portraits(shared: &Path) -> Vec<Portrait> {
    let list = fs::read_to_string(shared.join("cases/tight-crops.txt")).unwrap();
    list.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split(' ');
            let file = shared
                .join("faces/lfw-dev/images")
                .join(words.next().unwrap());
            let corners: Vec<f32> = words.map(|w| w.parse().unwrap()).collect();
            let side = (corners[2] - corners[0]) / 1.2;
            let middle = |low: f32, high: f32| 0.5 * (low + high - side);
            Portrait {
                file,
                place: [
                    middle(corners[0], corners[2]),
                    middle(corners[1], corners[3]),
                    side,
                ],
            }
        })
        .collect()
}

impl Portrait {
    /// A square of `times` the face, with black outside the photo, scaled to `to` pixels.
    fn cut(&self, times: f32, to: u32) -> GrayImage {
        let photo = image::open(&self.file).unwrap().to_luma8();
        let [left, top, side] = self.place;
        let wide = times * side;
        let origin = |start: f32| (start + 0.5 * (side - wide)).round() as i64;
        let mut cut = GrayImage::new(wide.round() as u32, wide.round() as u32);
        imageops::overlay(&mut cut, &photo, -origin(left), -origin(top));
        imageops::resize(&cut, to, to, FilterType::Triangle)
    }

    /// The complete photo in a grey frame of 640x480, with the face in the middle and `side` pixels wide.
    fn near(&self, side: f32) -> GrayImage {
        let photo = image::open(&self.file).unwrap().to_luma8();
        let scale = side / self.place[2];
        let to = (250.0 * scale).round() as u32;
        let large = imageops::resize(&photo, to, to, FilterType::Triangle);
        let mut frame = GrayImage::from_pixel(640, 480, Luma([128]));
        let at = |start: f32, middle: f32| (middle - scale * start - 0.5 * side).round() as i64;
        imageops::overlay(
            &mut frame,
            &large,
            at(self.place[0], 320.0),
            at(self.place[1], 240.0),
        );
        frame
    }
}

/// The faces that `identify` finds in each picture: boxes [left, top, width, height].
fn boxes(pictures: Vec<GrayImage>) -> Vec<Vec<[f64; 4]>> {
    let folder = tempfile::tempdir().unwrap();
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let mut arguments = words(&["identify", "--json", "--model-files", models]);
    for (k, picture) in pictures.into_iter().enumerate() {
        let name = format!("{k:03}.png");
        picture.save(folder.path().join(&name)).unwrap();
        arguments.push(name);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // No person is enrolled, so every face is unknown.
    let seen: Value =
        serde_json::from_str(&printed(&latchkey(folder.path(), &arguments), 1)).unwrap();
    let of = |f: &Value| ["x", "y", "width", "height"].map(|k| f["box"][k].as_f64().unwrap());
    let photos = seen["photos"].as_array().unwrap();
    assert_eq!(photos.len(), arguments.len() - 4);
    photos
        .iter()
        .map(|p| p["faces"].as_array().unwrap().iter().map(of).collect())
        .collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// Whether exactly one face is seen, and its box is the square of `side` pixels around (`x`, `y`).
fn alone(seen: &[[f64; 4]], x: f64, y: f64, side: f64) -> bool {
    let [face] = seen else { return false };
    let (cx, cy) = (face[0] + 0.5 * face[2], face[1] + 0.5 * face[3]);
    (cx - x).hypot(cy - y) < 0.25 * side && (0.6..1.6).contains(&(face[2] / side))
}

/// Whether exactly one face is seen in that square, and its box is that square. Elsewhere in the photo there may be other faces.
fn one(seen: &[[f64; 4]], x: f64, y: f64, side: f64) -> bool {
    let inside = |f: &&[f64; 4]| {
        let (cx, cy) = (f[0] + 0.5 * f[2], f[1] + 0.5 * f[3]);
        (cx - x).abs().max((cy - y).abs()) < 0.5 * side
    };
    let inside: Vec<_> = seen.iter().filter(inside).copied().collect();
    alone(&inside, x, y, side)
}

fn a_near_face_is_one_face() -> Result<(), String> {
    let shared = common::shared()?;
    let portraits = portraits(&shared);
    for side in [320.0, 400.0] {
        let some = || portraits.iter().step_by(20);
        let seen = boxes(some().map(|p| p.near(side)).collect());
        let right = |seen: &&Vec<_>| one(seen, 320.0, 240.0, f64::from(side));
        let right = seen.iter().filter(right).count();
        println!("a face of {side} pixels: {right} of {}", seen.len());
        assert_eq!(right, seen.len(), "a face of {side} pixels: {seen:?}");
    }
    Ok(())
}

fn a_photo_cut_to_the_face_shows_one_face() -> Result<(), String> {
    let shared = common::shared()?;
    for times in [1.2, 1.0] {
        let seen = boxes(
            portraits(&shared)
                .iter()
                .map(|p| p.cut(times, 400))
                .collect(),
        );
        let right = |seen: &&Vec<_>| alone(seen, 200.0, 200.0, f64::from(400.0 / times));
        let right = seen.iter().filter(right).count();
        println!("{times} x the face: {right} of {}", seen.len());
        assert!(right >= 97, "{times} x the face: {right} of {}", seen.len());
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::harness::run(crate::tests![
        a_near_face_is_one_face,
        a_photo_cut_to_the_face_shows_one_face,
    ])
}
