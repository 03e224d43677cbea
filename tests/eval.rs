//! `latchkey eval people --visits`, run by the program itself with generated people: its figures follow the door's policy.

mod common;

use std::path::Path;

use common::{latchkey, printed};
use serde_json::Value;

const PHOTOS: &[&str] = &["--visits", "photos", "--photos", "3", "--looks", "8"];

/// The report on visits at this threshold. The visits are made from the photos that are not learnt from.
fn visits(folder: &Path, threshold: &str, more: &[&str]) -> Value {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let config = format!(
        "board = 'host'\nmodel_files = {models:?}\n[recognition]\nthreshold = {threshold}\n"
    );
    std::fs::write(folder.join("latchkey.toml"), config).unwrap();
    let command = "eval people --data drawn --people 2 --unknown 0 --draws 2 --json";
    let arguments: Vec<&str> = command.split(' ').chain(more.iter().copied()).collect();
    let report: Value =
        serde_json::from_str(&printed(&latchkey(folder, &arguments), 0)).expect("one JSON object");
    report["runs"][0].clone()
}

fn count(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).expect(path);
    value.as_u64().expect(path)
}

#[test]
fn the_threshold_decides_who_is_let_in_and_attempts_make_the_door_strict() {
    let folder = tempfile::tempdir().unwrap();
    let draw = "doorstep photos 23,residents=3,strangers=2 --each 6 --strangers --out drawn";
    printed(
        &latchkey(folder.path(), &draw.split(' ').collect::<Vec<_>>()),
        0,
    );
    // There are five people. In each of two draws, two of them are enrolled with three of their six photos.
    let all = |report: &Value| {
        assert_eq!(count(report, "/residents/visits"), 2 * 2 * 3);
        assert_eq!(count(report, "/hours/played"), 2);
        assert!(count(report, "/hours/visits") > 2 * 600);
        let strangers = count(report, "/strangers/visits");
        assert_eq!(strangers + count(report, "/strangers/faceless"), 2 * 3 * 6);
        strangers
    };

    let high = visits(folder.path(), "0.99", PHOTOS);
    all(&high);
    assert_eq!(count(&high, "/residents/wrong"), 12);
    assert_eq!(count(&high, "/strangers/wrong"), 0);
    assert_eq!(count(&high, "/hours/let_in"), 0);
    // Five attempts in quick succession make the door strict. This happens twice; by then eight unknown faces have appeared in
    // one place within a minute, and faces there are ignored.
    let attempts = count(&high, "/hours/attempts");
    assert!(attempts >= 10, "{high}");
    assert!(count(&high, "/hours/strict_ms") > 60_000, "{high}");

    let low = visits(folder.path(), "0.05", PHOTOS);
    let strangers = all(&low);
    assert!(count(&low, "/residents/wrong") <= 3, "{low}");
    // Generated people look alike, so nearly all are let in at this threshold.
    let let_in = count(&low, "/strangers/wrong");
    assert!(2 * let_in > strangers, "{low}");
    assert!(count(&low, "/strangers/people_wrong") >= 2, "{low}");

    // The photos are the frames of a film, six of each person: two of the first four are learnt from, and the last two make one
    // visit.
    let few = "--photos 2 --looks 2 --visits frames";
    let film = visits(folder.path(), "0.05", &few.split(' ').collect::<Vec<_>>());
    assert_eq!(count(&film, "/residents/visits"), 2 * 2);
    // Two looks are too few for the door to open.
    assert_eq!(count(&film, "/residents/wrong"), 4);
    assert_eq!(count(&film, "/strangers/wrong"), 0);
}

#[test]
fn too_few_photos_are_refused_and_the_option_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Ada", "Ben"] {
        std::fs::create_dir_all(folder.path().join("photos").join(name)).unwrap();
    }
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let config = format!("board = 'host'\nmodel_files = {models:?}\n");
    std::fs::write(folder.path().join("latchkey.toml"), config).unwrap();
    let grey = image::GrayImage::from_pixel(64, 64, image::Luma([90]));
    for photo in ["Ada/1.png", "Ben/1.png"] {
        grey.save(folder.path().join("photos").join(photo)).unwrap();
    }
    let command = "eval people --data photos --visits photos --people 1 --photos 1";
    let output = latchkey(folder.path(), &command.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("0 people have 2 photos") && text.contains("--photos"),
        "{text}"
    );
}
