//! `latchkey eval people --visits`, by the program itself, with drawn people: that the figures are those of the door.

mod common;

use std::path::Path;

use common::{latchkey, said};
use serde_json::Value;

const PHOTOS: &[&str] = &["--visits", "photos", "--photos", "3", "--looks", "8"];

/// A visit of every photo that is not learnt, at this threshold.
fn visits(folder: &Path, threshold: &str, more: &[&str]) -> Value {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let config = format!(
        "board = 'host'\nmodel_files = {models:?}\n[recognition]\nthreshold = {threshold}\n"
    );
    std::fs::write(folder.join("latchkey.toml"), config).unwrap();
    let asked = "eval people --data drawn --people 2 --unknown 0 --draws 2 --json";
    let arguments: Vec<&str> = asked.split(' ').chain(more.iter().copied()).collect();
    let report: Value =
        serde_json::from_str(&said(&latchkey(folder, &arguments), 0)).expect("one JSON object");
    report["runs"][0].clone()
}

fn count(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).expect(path);
    value.as_u64().expect(path)
}

#[test]
fn visits_are_let_in_by_the_threshold_and_attempts_lock_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let draw = "doorstep photos 23,residents=3,strangers=2 --each 6 --strangers --out drawn";
    said(
        &latchkey(folder.path(), &draw.split(' ').collect::<Vec<_>>()),
        0,
    );
    // Five people: two are enrolled by three of six photos each, twice.
    let all = |report: &Value| {
        assert_eq!(count(report, "/residents/visits"), 2 * 2 * 3);
        assert_eq!(count(report, "/hours/played"), 2);
        assert!(count(report, "/hours/visits") > 2 * 600);
        let strangers = count(report, "/strangers/visits");
        assert_eq!(strangers + count(report, "/strangers/faceless"), 2 * 3 * 6);
        strangers
    };

    let nobody = visits(folder.path(), "0.99", PHOTOS);
    all(&nobody);
    assert_eq!(count(&nobody, "/residents/wrong"), 12);
    assert_eq!(count(&nobody, "/strangers/wrong"), 0);
    assert_eq!(count(&nobody, "/hours/let_in"), 0);
    // Five attempts in quick succession make the door strict, twice; then so many have come to one place that it is unsteady.
    let attempts = count(&nobody, "/hours/attempts");
    assert!(attempts >= 10, "{nobody}");
    assert!(count(&nobody, "/hours/strict_ms") > 60_000, "{nobody}");

    let anybody = visits(folder.path(), "0.05", PHOTOS);
    let strangers = all(&anybody);
    assert!(count(&anybody, "/residents/wrong") <= 3, "{anybody}");
    // Drawn people are alike: nearly all are let in at this threshold.
    let let_in = count(&anybody, "/strangers/wrong");
    assert!(2 * let_in > strangers, "{anybody}");
    assert!(count(&anybody, "/strangers/people_wrong") >= 2, "{anybody}");

    // The photos as a film: the first four of each are its beginning, and one visit of two frames is left.
    let few = "--photos 2 --looks 2 --visits frames";
    let film = visits(folder.path(), "0.05", &few.split(' ').collect::<Vec<_>>());
    assert_eq!(count(&film, "/residents/visits"), 2 * 2);
    // Two looks let nobody in.
    assert_eq!(count(&film, "/residents/wrong"), 4);
    assert_eq!(count(&film, "/strangers/wrong"), 0);
}

#[test]
fn what_cannot_be_played_is_refused_with_what_to_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    for who in ["Ada", "Ben"] {
        std::fs::create_dir_all(folder.path().join("photos").join(who)).unwrap();
    }
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let config = format!("board = 'host'\nmodel_files = {models:?}\n");
    std::fs::write(folder.path().join("latchkey.toml"), config).unwrap();
    let grey = image::GrayImage::from_pixel(64, 64, image::Luma([90]));
    for photo in ["Ada/1.png", "Ben/1.png"] {
        grey.save(folder.path().join("photos").join(photo)).unwrap();
    }
    let asked = "eval people --data photos --visits photos --people 1 --photos 1";
    let output = latchkey(folder.path(), &asked.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("0 people have 2 photos") && text.contains("--photos"),
        "{text}"
    );
}
