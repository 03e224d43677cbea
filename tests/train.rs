//! `latchkey train`, by the program itself, with people who never lived: what it learns, what it says of bad photos, and
//! what it leaves alone.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use common::{latchkey, said};
use serde_json::Value;

fn complaints(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a configuration and photos of three who live there, Ada, Ben and Cleo, and of six who do not.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        Self::with(6)
    }

    /// So many photos of each are drawn.
    fn with(each: u32) -> Self {
        let house = Self(tempfile::tempdir().unwrap());
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        // People drawn by one hand are more alike than people are.
        let config = format!(
            "board = 'host'\nmodel_files = {models:?}\ngallery = 'gallery'\n[recognition]\nthreshold = 0.7\n"
        );
        fs::write(house.path("latchkey.toml"), config).unwrap();
        let script = "23,residents=3,strangers=6";
        let photos = format!("doorstep photos {script} --each {each} --strangers --out drawn");
        said(&house.run(&photos), 0);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        latchkey(self.0.path(), &arguments.split(' ').collect::<Vec<_>>())
    }

    /// Photos `from` to `to` of a person, copied into a folder of the data.
    fn give(&self, person: &str, to: &str, photos: std::ops::Range<usize>) {
        fs::create_dir_all(self.path(to)).unwrap();
        for k in photos {
            let name = format!("{}-{k}.jpg", person.to_lowercase());
            fs::copy(
                self.path(&format!("drawn/{person}/{k:03}.jpg")),
                self.path(to).join(name),
            )
            .unwrap();
        }
    }

    fn names(&self) -> Vec<String> {
        let people: Value = serde_json::from_str(&said(&self.run("people --json"), 0)).unwrap();
        let of = |p: &Value| p["name"].as_str().unwrap().to_owned();
        people["people"]
            .as_array()
            .unwrap()
            .iter()
            .map(of)
            .collect()
    }
}

#[test]
fn learns_those_who_live_here_and_says_what_is_proven() {
    let house = House::new();
    for name in ["Ada", "Ben"] {
        house.give(name, &format!("data/{name}"), 0..5);
        house.give(name, &format!("data/test/{name}"), 5..6);
    }
    for k in 1..=6 {
        let (name, to) = (
            format!("stranger-{k}"),
            ["data/unknown", "data/test/unknown"][k % 2],
        );
        house.give(&name, to, 0..1);
    }
    let report: Value =
        serde_json::from_str(&said(&house.run("train --data data --json"), 0)).unwrap();
    assert_eq!(report["people"][0]["used"], 5, "{report:#}");
    assert_eq!(
        report["test"]["enrolled"],
        serde_json::json!({"faces": 2, "recognised": 2, "wrong_name": 0})
    );
    assert_eq!(report["test"]["let_in"], 0);
    // Three strangers prove next to nothing: 1 - 0.05^(1/3).
    let far = &report["far"];
    assert_eq!(
        (&far["trials"], &far["accepted"], &far["shown"]),
        (&3.into(), &0.into(), &false.into())
    );
    assert!((far["below_at_95"].as_f64().unwrap() - 0.6316).abs() < 1e-3);
    assert_eq!(house.names(), ["Ada", "Ben"]);

    // The gallery tells them apart, and knows nobody else.
    let who = |photo: &str| {
        said(
            &house.run(&format!("identify drawn/{photo}/005.jpg")),
            i32::from(photo == "Cleo"),
        )
    };
    assert!(who("Ada").contains("Ada (") && who("Ben").contains("Ben ("));
    assert!(who("Cleo").contains("unknown"));

    // One more, whose training needs nobody else's photos.
    fs::remove_dir_all(house.path("data")).unwrap();
    house.give("Cleo", "data/Cleo", 0..5);
    said(&house.run("train --data data"), 0);
    assert_eq!(house.names(), ["Ada", "Ben", "Cleo"]);
    let who = |photo: &str| said(&house.run(&format!("identify drawn/{photo}/005.jpg")), 0);
    assert!(who("Ada").contains("Ada (") && who("Cleo").contains("Cleo ("));

    // A stranger who would be taken for somebody who was learnt before is counted.
    house.give("Ada", "data/unknown", 5..6);
    let report = said(&house.run("train --data data --dry-run --json"), 0);
    let far = &serde_json::from_str::<Value>(&report).unwrap()["far"];
    assert_eq!((&far["trials"], &far["accepted"]), (&1.into(), &1.into()));

    // Forgotten: neither name nor photo's embedding is in the file, and the head no longer knows.
    said(&house.run("people remove Ada"), 0);
    let gallery = fs::read(house.path("gallery")).unwrap();
    assert!(!gallery.windows(3).any(|w| w == b"Ada"));
    let left: Vec<_> = fs::read_dir(house.0.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 4, "nothing beside the gallery: {left:?}");
    assert!(said(&house.run("identify drawn/Ada/005.jpg"), 1).contains("unknown"));
}

#[test]
fn says_of_each_bad_photo_what_is_wrong_with_it() {
    let house = House::new();
    house.give("Ada", "data/Ada", 0..6);
    house.give("Ben", "data/Ben", 0..4);
    // Ben among Ada's; the same photo twice, and in two folders; a cut one; no picture; nothing at all.
    house.give("Ben", "data/Ada", 4..6);
    fs::copy(
        house.path("data/Ada/ada-1.jpg"),
        house.path("data/Ada/again.jpg"),
    )
    .unwrap();
    fs::copy(
        house.path("data/Ada/ada-2.jpg"),
        house.path("data/Ben/whose.jpg"),
    )
    .unwrap();
    let whole = fs::read(house.path("drawn/Ada/003.jpg")).unwrap();
    fs::write(house.path("data/Ben/cut.jpg"), &whole[..300]).unwrap();
    fs::write(house.path("data/Ben/words.jpg"), "no picture").unwrap();
    image::RgbImage::new(64, 64)
        .save(house.path("data/Ben/black.png"))
        .unwrap();
    fs::create_dir(house.path("data/Empty")).unwrap();
    house.give("Cleo", "data/.hidden", 0..1);
    fs::write(house.path("data/notes.txt"), "bring milk").unwrap();
    fs::write(house.path("data/Ben/phone.HEIC"), "....ftypheic").unwrap();
    fs::write(house.path("data/Ben/.DS_Store"), "").unwrap();

    // Somebody, whose folder is empty, was not learnt.
    let trained = house.run("train --data data");
    let (report, told) = (said(&trained, 1), complaints(&trained));
    let line = |photo: &str| {
        let found = told.lines().find(|l| l.contains(photo));
        found
            .unwrap_or_else(|| panic!("no word about {photo}:\n{told}"))
            .to_owned()
    };
    assert!(
        line("ben-4.jpg").contains("somebody else") || line("ben-4.jpg").contains("probably Ben")
    );
    assert!(
        line("ben-5.jpg").contains("somebody else") || line("ben-5.jpg").contains("probably Ben")
    );
    assert!(line("again.jpg").contains("the same picture"));
    let whose = line("whose.jpg");
    assert!(
        whose.contains("Ada") || whose.contains("somebody else"),
        "{whose}"
    );
    assert!(line("cut.jpg").contains("JPEG and PNG pictures can be read"));
    assert!(line("words.jpg").contains("not used"));
    assert!(line("black.png").contains("no face found"));
    assert!(line("data/Empty").contains("no pictures there"));
    assert!(told.contains("Empty: none of 0 photos can be used"));
    assert!(line("phone.HEIC").contains("is neither JPEG nor PNG"));
    assert!(!told.contains(".DS_Store"), "{told}");
    assert!(line(".hidden").contains("begins with a dot"));
    assert!(line("notes.txt").contains("folder of their person's name"));
    assert!(report.contains("Ben: 4 of 8 photos learnt"), "{report}");
    assert_eq!(house.names(), ["Ada", "Ben"]);
}

/// A photo is looked at in parts as well, and in a part a mouth or a forehead looks like a small face.
#[test]
fn a_face_that_fills_a_photo_is_one_face() {
    let house = House::new();
    let truth: Value =
        serde_json::from_slice(&fs::read(house.path("drawn/truth.json")).unwrap()).unwrap();
    let (mut photos, mut faces) = (0, 0);
    for photo in truth["photos"].as_array().unwrap() {
        let file = house.path("drawn").join(photo["photo"].as_str().unwrap());
        let side = |key: &str| photo["box"][key].as_f64().unwrap();
        let (x, y, wide) = (side("x"), side("y"), side("width"));
        let cut = image::open(file).unwrap().crop_imm(
            (x - 0.4 * wide).max(0.0) as u32,
            (y - 0.5 * wide).max(0.0) as u32,
            (1.8 * wide) as u32,
            (1.8 * wide) as u32,
        );
        cut.thumbnail_exact(512, 512)
            .save(house.path("cut.png"))
            .unwrap();
        let seen = latchkey(house.0.path(), &["identify", "--json", "cut.png"]);
        let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
        photos += 1;
        faces += seen.to_string().matches("\"box\"").count();
    }
    assert_eq!((photos, faces), (54, 54));
}

#[test]
fn what_cannot_be_learnt_leaves_the_old_gallery_in_force() {
    let house = House::new();
    house.give("Ada", "data/Ada", 0..4);
    said(&house.run("train --data data"), 0);
    let before = fs::read(house.path("gallery")).unwrap();
    let same = || assert!(fs::read(house.path("gallery")).unwrap() == before);

    fs::remove_dir_all(house.path("data/Ada")).unwrap();
    fs::create_dir(house.path("data/Ada")).unwrap();
    image::RgbImage::new(64, 64)
        .save(house.path("data/Ada/black.png"))
        .unwrap();
    assert!(complaints(&house.run("train --data data")).contains("nothing was changed"));
    same();
    let nobody = house.run("train --data drawn/nowhere");
    said(&nobody, 2);
    same();
    house.give("Ben", "data/Ben", 0..4);
    said(&house.run("train --data data --dry-run"), 1);
    same();
    // Ben can be learnt, Ada's one photo cannot: he is, and she stays as she was.
    said(&house.run("train --data data"), 1);
    assert_eq!(house.names(), ["Ada", "Ben"]);
    let who = house.run("identify drawn/Ada/005.jpg");
    assert!(said(&who, 0).contains("Ada ("));
}

/// Files beside the gallery that belong to it.
fn tuned_files(house: &House) -> Vec<String> {
    let names = fs::read_dir(house.0.path()).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut ours: Vec<String> = names.filter(|n| n.starts_with("gallery.tuned-")).collect();
    ours.sort();
    ours
}

#[test]
fn fine_tuning_makes_a_whole_network_that_is_used_undone_and_deleted_with_whom_it_knew() {
    let house = House::with(11);
    for name in ["Ada", "Ben"] {
        house.give(name, &format!("data/{name}"), 0..10);
    }
    let report = said(
        &house.run("train --data data --fine-tune --seed 3 --json"),
        0,
    );
    let report: Value = serde_json::from_str(&report).unwrap();
    let tuning = &report["fine_tuning"];
    assert_eq!(tuning["better"], true, "{report:#}");
    let files = tuned_files(&house);
    assert!(
        matches!(&files[..], [network, manifest] if network.ends_with(".tflite") && manifest.ends_with(".toml")),
        "{files:?}"
    );
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    let set = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/latchkey/embedder.tflite"
    );
    assert_eq!(size(house.path(&files[0])), size(set.into()));
    let keep = |from: &str, to: &str| {
        for name in files.iter().map(String::as_str).chain(["gallery"]) {
            fs::create_dir_all(house.path(to)).unwrap();
            fs::copy(house.path(from).join(name), house.path(to).join(name)).unwrap();
        }
    };
    keep("", "kept");

    // It is what names them, here and at the door.
    let who = |photo: &str, status| {
        said(
            &house.run(&format!("identify drawn/{photo}/010.jpg")),
            status,
        )
    };
    assert!(who("Ada", 0).contains("Ada (") && who("Ben", 0).contains("Ben ("));
    assert!(who("Cleo", 1).contains("unknown"));
    let watch = || complaints(&house.run("run --source doorstep:23,residents=3,visits=1,fast"));
    let log = watch();
    assert!(log.contains(" embedder=tuned "), "{log}");
    said(&house.run("run --check"), 0);

    // Damaged, it is told, and the set's own serves.
    let whole = fs::read(house.path(&files[0])).unwrap();
    fs::write(house.path(&files[0]), &whole[1..]).unwrap();
    let log = watch();
    assert!(
        log.contains("tuned_refused") && log.contains(" embedder=set "),
        "{log}"
    );
    said(&house.run("run --check"), 2);

    said(&house.run("train --undo"), 0);
    assert!(tuned_files(&house).is_empty());
    assert!(
        who("Ada", 0).contains("Ada ("),
        "the set's own knows them still"
    );
    said(&house.run("train --undo"), 1);

    // What learnt from somebody goes with them.
    keep("kept", "");
    let removed = house.run("people remove Ben");
    said(&removed, 0);
    assert!(complaints(&removed).contains("fine-tuned network"));
    assert!(tuned_files(&house).is_empty());
    assert!(who("Ada", 0).contains("Ada ("));

    // Whom the folder does not show another network would see otherwise.
    fs::remove_dir_all(house.path("data/Ada")).unwrap();
    let refused = house.run("train --data data --fine-tune");
    assert!(said(&refused, 2).is_empty());
    assert!(complaints(&refused).contains("Ada is enrolled and has no photos"));
}

#[test]
fn learning_has_no_device_even_if_a_photo_leads_to_one() {
    let house = House::new();
    house.give("Ada", "data/Ada", 0..3);
    std::os::unix::fs::symlink("/dev/null", house.path("data/Ada/device.jpg")).unwrap();
    for command in [
        "train --data data",
        "enroll Ben data/Ada/device.jpg drawn/Ben/000.jpg",
    ] {
        let output = house.run(command);
        said(&output, 0);
        let complaints = complaints(&output);
        if complaints.contains("the kernel can no more") {
            println!("skipped learning_has_no_device_even_if_a_photo_leads_to_one: {complaints}");
            return;
        }
        assert!(
            complaints.contains("device.jpg: cannot be read: Permission denied"),
            "{complaints}"
        );
    }
}

#[test]
fn gallery_and_photos_may_be_links() {
    let house = House::new();
    let link = |to: &str, from: &str| {
        std::os::unix::fs::symlink(house.path(to), house.path(from)).unwrap();
    };
    house.give("Ada", "albums/Ada", 0..3);
    fs::create_dir(house.path("data")).unwrap();
    link("albums/Ada", "data/Ada");
    said(&house.run("train --data data"), 0);
    fs::create_dir(house.path("safe")).unwrap();
    fs::rename(house.path("gallery"), house.path("safe/gallery")).unwrap();
    link("safe/gallery", "gallery");
    house.give("Ben", "data/Ben", 0..3);
    said(&house.run("train --data data"), 0);
    assert_eq!(house.names(), ["Ada", "Ben"]);
}
