//! The main job, done by the program itself at its shipped defaults: two generated people are enrolled, and the door opens
//! for them and for no one else.

mod common;

use std::fs;
use std::path::Path;

use common::{latchkey, printed};

const PLAY: &str = "11,visits=9,residents=2,strangers=6,every=8";

fn configure(dir: &Path, more: &str) {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let config = format!(
        "board = 'host'\nmodel_files = {models:?}\ngallery = 'gallery'\n[camera]\nfps = 10\n\
         [log]\nnames = true\n{more}"
    );
    fs::write(dir.join("latchkey.toml"), config).unwrap();
}

/// The photos in this folder, sorted by name.
fn photos(dir: &Path, folder: &str) -> Vec<String> {
    let mut photos: Vec<String> = fs::read_dir(dir.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    photos.sort();
    photos
}

/// A folder with a gallery of the residents Ada and Ben, learnt from all of their photos except the last two.
fn enrolled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    configure(dir, "");
    let draw = [
        "doorstep", "photos", PLAY, "--each", "12", "--out", "photos",
    ];
    printed(&latchkey(dir, &draw), 0);
    for name in ["Ada", "Ben"] {
        let photos = photos(dir, &format!("photos/{name}"));
        let mut arguments = vec!["enroll", name];
        arguments.extend(photos[..10].iter().map(String::as_str));
        printed(&latchkey(dir, &arguments), 0);
    }
    folder
}

#[test]
fn the_door_opens_for_residents_and_for_no_one_else() {
    let folder = enrolled();
    let dir = folder.path();
    let source = format!("doorstep:{PLAY},fast");
    let run = latchkey(dir, &["run", "--source", &source]);
    printed(&run, 0);
    fs::write(dir.join("log"), &run.stderr).unwrap();
    let review = |play: &str| {
        latchkey(
            dir,
            &[
                "doorstep",
                "review",
                play,
                "--log",
                "log",
                "--picture",
                "visits.jpg",
            ],
        )
    };
    let tally = printed(&review(PLAY), 0);
    let tally = tally.lines().last().unwrap();
    assert!(
        tally.starts_with("visits=9 opened=") && tally.ends_with(" locked=0 wrong=0"),
        "{tally}"
    );
    assert!(!tally.contains("opened=0"), "{tally}");
    let (width, height) = image::image_dimensions(dir.join("visits.jpg")).unwrap();
    assert!(width > 1000 && height > 600, "{width}x{height}");

    // If the same log is compared with another play, the review reports that it is wrong.
    let other = printed(&review(&PLAY.replacen("11", "12", 1)), 1);
    assert!(other.contains("wrong: at "), "{other}");
}

/// At the shipped threshold no stranger of the play is mistaken for a resident in any photo, and the residents are recognised. At
/// a low threshold the same photos give another result.
#[test]
fn the_threshold_separates_strangers_from_residents() {
    let folder = enrolled();
    let dir = folder.path();
    let draw = [
        "doorstep",
        "photos",
        PLAY,
        "--strangers",
        "--each",
        "2",
        "--out",
        "crowd",
    ];
    printed(&latchkey(dir, &draw), 0);
    let strangers: Vec<String> = (1..=6)
        .flat_map(|k| photos(dir, &format!("crowd/stranger-{k}")))
        .collect();
    assert_eq!(strangers.len(), 12);
    let named = |photos: &[String]| {
        let mut arguments = vec!["identify", "--json"];
        arguments.extend(photos.iter().map(String::as_str));
        let output = latchkey(dir, &arguments);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let faces = report["photos"].as_array().unwrap().iter();
        faces
            .filter(|photo| {
                let faces = photo["faces"].as_array().unwrap();
                faces.iter().any(|face| face["name"].is_string())
            })
            .count()
    };
    assert_eq!(named(&strangers), 0, "strangers taken for residents");
    for name in ["Ada", "Ben"] {
        let photos = photos(dir, &format!("photos/{name}"));
        assert_eq!(named(&photos[10..]), 2, "{name}");
    }
    configure(dir, "[recognition]\nthreshold = 0.2\n");
    assert!(named(&strangers) > 0, "a low threshold names no stranger");
}
