//! The program's messages about bad input at its command line: each message names the thing, what is
//! wrong with it and the fix, in one line, and the status is not 0.
//!
//! `cargo test --test bad_inputs -- --nocapture` prints all messages.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey::face::Embedding;
use latchkey::nn::Manifest;
use latchkey::people::Gallery;

/// One bad input.
struct Case {
    what: &'static str,
    arguments: Vec<String>,
    status: i32,
    /// What the message must contain: the thing, the fault, the fix.
    parts: &'static [&'static str],
}

fn run(folder: &Path, arguments: &[String]) -> (i32, String) {
    let output = Command::new(common::program())
        .args(arguments)
        .current_dir(folder)
        .env_remove("LATCHKEY_LOG")
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn check(folder: &Path, cases: &[Case]) {
    for case in cases {
        let (status, text) = run(folder, &case.arguments);
        let text = text.replace(&folder.display().to_string(), "DIR");
        println!(
            "{}\n  latchkey {}\n  {} -> {}",
            case.what,
            case.arguments.join(" "),
            text.trim(),
            status
        );
        assert_eq!(status, case.status, "{}: {text}", case.what);
        assert!(!text.contains("panicked"), "{}: {text}", case.what);
        for part in case.parts {
            assert!(
                text.contains(part),
                "{}: {text:?} should contain {part:?}",
                case.what
            );
        }
    }
}

/// Writes `text` to `name` in `folder` and returns the arguments that use it as the configuration.
fn config(folder: &Path, name: &str, text: &str, command: &str) -> Vec<String> {
    std::fs::write(folder.join(name), text).unwrap();
    let mut arguments = words(command);
    arguments.extend(["--config".to_owned(), name.to_owned()]);
    arguments
}

fn bad_configurations_and_arguments_are_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/reference.toml");
    let reference = std::fs::read_to_string(reference).unwrap();
    let short = reference.replacen("3bc182eb", "3bc1", 1);
    std::fs::write(dir.join("short.toml"), short).unwrap();
    let huge = reference.replacen("width = 128", "width = 128000", 1);
    std::fs::write(dir.join("huge.toml"), huge).unwrap();
    std::fs::write(
        dir.join("twice.toml"),
        "name = 'x'\n[output]\ndriver = 'gpiochip'\nchip = 'gpiochip0'\nrelay = { line = 17 }\nleds.status = { line = 17 }\n",
    )
    .unwrap();
    std::fs::write(
        dir.join("chipless.toml"),
        "name = 'x'\n[output]\ndriver = 'gpiochip'\n",
    )
    .unwrap();
    std::fs::write(
        dir.join("gallery"),
        b"LATCHGAL but then something else entirely, long enough to have a head",
    )
    .unwrap();
    check(
        dir,
        &[
            Case {
                what: "configuration file that is not there",
                arguments: words("people --config nowhere.toml"),
                status: 2,
                parts: &["nowhere.toml", "No such file", "--config"],
            },
            Case {
                what: "configuration that is not TOML",
                arguments: config(dir, "a.toml", "board = pi4\n", "people"),
                status: 2,
                parts: &["a.toml", "line 1", "board = pi4"],
            },
            Case {
                what: "misspelt key",
                arguments: config(dir, "b.toml", "[door]\nvotse = 3\n", "people"),
                status: 2,
                parts: &["b.toml", "line 2", "votse", "votes"],
            },
            Case {
                what: "value of the wrong type",
                arguments: config(dir, "c.toml", "[camera]\nfps = 'fast'\n", "people"),
                status: 2,
                parts: &["c.toml", "camera.fps", "string \"fast\"", "u32"],
            },
            Case {
                what: "value out of range",
                arguments: config(dir, "d.toml", "[camera]\nbuffers = 1\n", "people"),
                status: 2,
                parts: &["d.toml", "camera.buffers = 1", "must be 3 to 32"],
            },
            Case {
                what: "more votes than recognitions",
                arguments: config(dir, "e.toml", "[door]\nvotes = 9\nof = 5\n", "people"),
                status: 2,
                parts: &["e.toml", "door.", "9", "5"],
            },
            Case {
                what: "unknown board",
                arguments: words("people --board pi7"),
                status: 2,
                parts: &["\"pi7\"", "neither built in", "pi4"],
            },
            Case {
                what: "board file with two outputs on one line",
                arguments: words("people --board twice.toml"),
                status: 2,
                parts: &[
                    "twice.toml",
                    "output.leds.status.line = 17",
                    "relay",
                    "give each its own",
                ],
            },
            Case {
                what: "board file without a chip",
                arguments: words("people --board ./chipless.toml"),
                status: 2,
                parts: &["chipless.toml", "chip", "gpiodetect"],
            },
            Case {
                what: "camera that is not a device",
                arguments: config(dir, "f.toml", "[camera]\nsource = 'video0'\n", "people"),
                status: 2,
                parts: &["f.toml", "camera.source = \"video0\"", "/dev/video0"],
            },
            Case {
                what: "time that runs ahead of a real relay",
                arguments: config(
                    dir,
                    "fast.toml",
                    "board = 'pi4'\n[camera]\nsource = 'doorstep:1,fast'\n",
                    "run",
                ),
                status: 2,
                parts: &["doorstep:1", "fast", "output.driver"],
            },
            Case {
                what: "unknown model set",
                arguments: words("probe --models refrence"),
                status: 2,
                parts: &["\"refrence\"", "neither built in", "reference"],
            },
            Case {
                what: "unknown embedder",
                arguments: words("probe --models reference:facenet"),
                status: 2,
                parts: &[
                    "models/reference.toml",
                    "embedder = \"facenet\"",
                    "mobilefacenet",
                ],
            },
            Case {
                what: "manifest with a malformed checksum",
                arguments: words("probe --models short.toml"),
                status: 2,
                parts: &["short.toml", "sha256", "64 lower-case hexadecimal digits"],
            },
            Case {
                what: "manifest with an impossible input",
                arguments: words("probe --models huge.toml"),
                status: 2,
                parts: &["huge.toml", "128000x128", "16 to 1024"],
            },
            Case {
                what: "model files that are not there",
                arguments: words("identify x.jpg --models reference --model-files empty"),
                status: 2,
                parts: &[
                    "face_reid_0095_fp16w.tflite",
                    "not found in empty",
                    "--model-files",
                ],
            },
            Case {
                what: "gallery file with other content",
                arguments: words("people --gallery gallery"),
                status: 2,
                parts: &["gallery", "version", "newer latchkey"],
            },
            Case {
                what: "gallery file with other content, checked",
                arguments: words("people check --gallery gallery"),
                status: 1,
                parts: &["gallery", "version", "newer latchkey"],
            },
            Case {
                what: "name with a path in it",
                arguments: words("enroll ../../etc/passwd x.jpg"),
                status: 2,
                parts: &[
                    "../../etc/passwd",
                    "a path separator (U+002F)",
                    "type the name again",
                ],
            },
            Case {
                what: "removing a person who is not enrolled",
                arguments: words("people remove Eve --gallery none"),
                status: 1,
                parts: &[
                    "nobody is called \"Eve\"",
                    "nobody was forgotten",
                    "latchkey people",
                ],
            },
            Case {
                what: "name that turns the direction of the text",
                arguments: vec!["enroll".into(), "Ada\u{202e}neB".into(), "x.jpg".into()],
                status: 2,
                parts: &["Ada\\u{202e}neB", "turns the direction", "(U+202E)"],
            },
            Case {
                what: "name that the log uses",
                arguments: words("people remove button --gallery none"),
                status: 1,
                parts: &["nobody is called \"button\""],
            },
            Case {
                what: "key in the wrong table",
                arguments: config(dir, "g.toml", "votes = 3\n", "people"),
                status: 2,
                parts: &["g.toml", "line 1", "`votes` belongs in the table [door]"],
            },
            Case {
                what: "misspelt table",
                arguments: config(dir, "h.toml", "[cammera]\nfps = 5\n", "people"),
                status: 2,
                parts: &["h.toml", "line 1", "did you mean `camera`?"],
            },
            Case {
                what: "misspelt board",
                arguments: words("people --board Pi-4"),
                status: 2,
                parts: &["\"Pi-4\"", "did you mean pi4?"],
            },
            Case {
                what: "camera selected by its name",
                arguments: config(
                    dir,
                    "i.toml",
                    "[camera]\ndevice = { usb = 'Logitech' }\n",
                    "people",
                ),
                status: 2,
                parts: &[
                    "i.toml",
                    "camera.device.usb = \"Logitech\"",
                    "046d:0825",
                    "latchkey probe",
                ],
            },
            Case {
                what: "configuration in an encoding that is not known",
                arguments: {
                    std::fs::write(dir.join("j.toml"), b"# T\x81r\nboard = 'host'\n").unwrap();
                    words("people --config j.toml")
                },
                status: 2,
                parts: &["j.toml", "no text that can be read", "UTF-8"],
            },
            Case {
                what: "pairs file that is not there",
                arguments: words("eval pairs --pairs nowhere.txt --images ."),
                status: 2,
                parts: &["nowhere.txt", "No such file", "--pairs"],
            },
            Case {
                what: "argument out of range",
                arguments: words("bench --threads 99"),
                status: 2,
                parts: &["99", "--threads", "1..=16"],
            },
            Case {
                what: "argument that is not a size",
                arguments: words("bench --size big"),
                status: 2,
                parts: &["big", "--size", "640x480"],
            },
            Case {
                what: "misspelt command",
                arguments: words("enrol Ada x.jpg"),
                status: 2,
                parts: &["enrol", "enroll"],
            },
            Case {
                what: "one picture of mistakes for several runs",
                arguments: words("eval people --data here --people 2,3 --mistakes worst.png"),
                status: 2,
                parts: &["--mistakes", "several runs", "one --people"],
            },
            Case {
                what: "enrolment without pictures",
                arguments: words("enroll Ada"),
                status: 2,
                parts: &["PHOTO", "--help"],
            },
        ],
    );
}

fn a_chip_that_is_not_there_is_named_before_the_camera_starts() {
    let folder = tempfile::tempdir().unwrap();
    let board =
        "name = 'x'\n[output]\ndriver = 'gpiochip'\nchip = 'no-such-chip'\nrelay = { line = 1 }\n";
    std::fs::write(folder.path().join("board.toml"), board).unwrap();
    let arguments = words("run --board board.toml");
    check(
        folder.path(),
        &[Case {
            what: "GPIO chip that is not there",
            arguments,
            status: 3,
            parts: &["no-such-chip"],
        }],
    );
}

fn bad_photos_data_sets_and_model_files_are_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let with = |text: &str, models: &Path| {
        let mut arguments = words(text);
        arguments.push("--model-files".to_owned());
        arguments.push(models.display().to_string());
        arguments
    };
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let damaged = |name: &str, damage: fn(&mut Vec<u8>)| -> PathBuf {
        let file = "latchkey/embedder.tflite";
        let mut bytes = std::fs::read(models.join(file)).unwrap();
        damage(&mut bytes);
        let folder = dir.join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("embedder.tflite"), bytes).unwrap();
        folder
    };
    let flipped = damaged("flipped", |bytes| bytes[1000] ^= 4);
    let cut = damaged("cut", |bytes| bytes.truncate(1000));
    let photo = dir.join("whole.jpg");
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 99]))
        .save(&photo)
        .unwrap();
    std::fs::write(dir.join("text.jpg"), "this is no picture").unwrap();
    let half = std::fs::read(&photo).unwrap();
    std::fs::write(dir.join("half.jpg"), &half[..600]).unwrap();
    std::fs::write(dir.join("pairs.txt"), "1\t1\nAda\t1\t2\nAda\t1\tEve\tone\n").unwrap();
    std::fs::write(dir.join("absent.txt"), "1\t1\nAda\t1\t2\nAda\t1\tEve\t1\n").unwrap();
    image::RgbImage::new(64, 64)
        .save(dir.join("black.png"))
        .unwrap();
    std::fs::write(dir.join("phone.jpg"), b"\0\0\0\x24ftypheic\0\0\0\0mif1").unwrap();
    std::fs::write(dir.join("void.jpg"), b"").unwrap();
    let people = dir.join("people");
    for (file, content) in [
        ("Ada/1.jfif", &b"\0\0\0\x24ftypheic\0\0\0\0mif1"[..]),
        ("Ada/2.jpg", b"RIFF\x20\0\0\0WEBPVP8 "),
        ("Ada/3.PNG", b"GIF89a"),
        ("Ada/notes", b"dear diary"),
        ("Ada/scan", b"%PDF-1.7"),
        ("Ada/clip.jpeg", b"\0\0\0\x18ftypmp42"),
        ("Ada/Thumbs.db", b"x"),
        ("Ada/.DS_Store", b"x"),
        ("Ada/._1.jpg", b"x"),
        ("Ada/@eaDir/1.jpg", b"x"),
        ("desktop.ini", b"x"),
        (".DS_Store", b"x"),
        ("__MACOSX/Ada/._1.jpg", b"x"),
        ("System Volume Information/x", b"x"),
        ("$RECYCLE.BIN/1.jpg", b"x"),
        ("unknown/Thumbs.db", b"x"),
    ] {
        let path = people.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let (status, text) = run(dir, &with("train --data people", &models));
    println!("{text}");
    assert_eq!(status, 1, "{text}");
    for message in [
        "Ada/1.jfif: not used: cannot be read: is a HEIC picture",
        "Ada/2.jpg: not used: cannot be read: is a WebP picture",
        "Ada/3.PNG: not used: cannot be read: is a GIF picture",
        "Ada/notes: not used: is neither a JPEG nor a PNG",
        "Ada/scan: not used: is a PDF",
        "Ada/clip.jpeg: not used: cannot be read: is a video",
    ] {
        assert!(text.contains(message), "{message}: {text}");
    }
    for line in text.lines() {
        assert!(
            line.matches("people/").count() <= 1,
            "the path appears twice: {line}"
        );
    }
    let clutter = [
        "Thumbs", "DS_Store", "._1", "eaDir", "desktop", "MACOSX", "System", "RECYCLE",
    ];
    for name in clutter {
        assert!(!text.contains(name), "{name}: {text}");
    }
    check(
        dir,
        &[
            Case {
                what: "model with one bit flipped",
                arguments: with("identify x.jpg", &flipped),
                status: 2,
                parts: &["flipped/embedder.tflite", "sha256", "copy it again"],
            },
            Case {
                what: "model cut short",
                arguments: with("identify x.jpg", &cut),
                status: 2,
                parts: &["cut/embedder.tflite", "sha256", "copy it again"],
            },
            Case {
                what: "photo that is not there",
                arguments: with("identify nowhere.jpg", &models),
                status: 2,
                parts: &["nowhere.jpg", "No such file", "JPEG or PNG"],
            },
            Case {
                what: "photo file with other content",
                arguments: with("identify text.jpg", &models),
                status: 2,
                parts: &["text.jpg", "JPEG and PNG pictures can be read"],
            },
            Case {
                what: "photo cut short",
                arguments: with("identify half.jpg", &models),
                status: 2,
                parts: &["half.jpg", "JPEG and PNG pictures can be read"],
            },
            Case {
                what: "photo of another kind",
                arguments: with("identify phone.jpg", &models),
                status: 2,
                parts: &["phone.jpg", "is a HEIC picture", "export it as JPEG"],
            },
            Case {
                what: "photo without content",
                arguments: with("identify void.jpg", &models),
                status: 2,
                parts: &["void.jpg", "is empty", "copy it again"],
            },
            Case {
                what: "enrolment without a face",
                arguments: with("enroll Ada black.png", &models),
                status: 1,
                parts: &["black.png", "no face found", "Ada: none of 1 pictures"],
            },
            Case {
                what: "two photos to draw on one",
                arguments: with("identify --draw out.png black.png black.png", &models),
                status: 2,
                parts: &["--draw takes one photo, 2 were given"],
            },
            Case {
                what: "pairs file with a mistake",
                arguments: with("eval pairs --pairs pairs.txt --images .", &models),
                status: 2,
                parts: &["pairs.txt", "line 3", "\"one\"", "number of a picture"],
            },
            Case {
                what: "data set without a picture of the pairs",
                arguments: with("eval pairs --pairs absent.txt --images .", &models),
                status: 2,
                parts: &["Ada/Ada_0001.jpg", "no such picture"],
            },
            Case {
                what: "data set that is not there",
                arguments: with("eval pairs --pairs absent.txt --images nowhere", &models),
                status: 2,
                parts: &["nowhere", "no such folder", "--images"],
            },
        ],
    );
    assert!(
        !dir.join("latchkey.gallery").exists(),
        "nothing was enrolled"
    );
}

fn a_closed_pipe_causes_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(common::program())
        .current_dir(folder.path())
        .args(["doorstep", "visits", "1,visits=5000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The program prints more than the pipe holds.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(output.status.code(), Some(0));
}

/// This holds for every file that a command reads. If the machine fails, the command ends with 3, and a service manager tries
/// again. If the input is wrong, it ends with 2.
fn machine_failures_and_wrong_input_end_with_different_statuses() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    // Reading the first page of a process's memory fails with EIO: nothing is mapped there.
    std::fs::write(dir.join("wrong.toml"), "board = 'pi9'\n").unwrap();
    let case = |what, arguments: &str, status, parts| Case {
        what,
        arguments: words(arguments),
        status,
        parts,
    };
    check(
        dir,
        &[
            case(
                "configuration that cannot be read now",
                "people --config /proc/self/mem",
                3,
                &["/proc/self/mem", "Input/output error"],
            ),
            case(
                "gallery that cannot be read now",
                "people --gallery /proc/self/mem",
                3,
                &["/proc/self/mem", "Input/output error"],
            ),
            case(
                "gallery that cannot be read now, checked",
                "people check --gallery /proc/self/mem",
                3,
                &["Input/output error"],
            ),
            case(
                "board that cannot be read now",
                "people --board /proc/self/mem",
                3,
                &["Input/output error"],
            ),
            case(
                "manifest that cannot be read now",
                "probe --models /proc/self/mem",
                3,
                &["Input/output error"],
            ),
            case(
                "photo that cannot be read now",
                "identify /proc/self/mem",
                3,
                &["/proc/self/mem", "Input/output error"],
            ),
            case(
                "door whose gallery cannot be read now",
                "run --check --gallery /proc/self/mem",
                3,
                &["Input/output error"],
            ),
            case(
                "configuration that is wrong",
                "run --config wrong.toml",
                2,
                &["board \"pi9\""],
            ),
            case(
                "configuration that is a folder",
                "run --config .",
                2,
                &["Is a directory"],
            ),
            case(
                "configuration that is not there",
                "run --config none.toml",
                2,
                &["No such file"],
            ),
            case(
                "gallery in a folder that is not there",
                "people remove Ada --gallery none/gallery",
                2,
                &["No such file"],
            ),
        ],
    );
}

/// A folder with a gallery of two people, each with this number of templates of 2 KiB.
fn with_gallery(templates: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("gallery");
    let embedder = Manifest::load(&"latchkey".parse().unwrap()).unwrap();
    let sha256 = &embedder.embedder().sha256;
    let templates: Vec<Embedding> = (0..templates)
        .map(|n| Embedding::normalised((0..512).map(|k| f32::from(k == n))).unwrap())
        .collect();
    for name in ["Ada", "Ben"] {
        Gallery::update(&gallery, |g| g.add(name, &templates, &[], sha256, &gallery)).unwrap();
    }
    folder
}

/// The file is cut at every 64th byte, as after a power cut on a file system that loses the end of a file.
fn a_gallery_cut_anywhere_is_refused() {
    let folder = with_gallery(12);
    let gallery = folder.path().join("gallery");
    let whole = std::fs::read(&gallery).unwrap();
    assert!(whole.len() > 48 * 1024, "{}", whole.len());
    for end in (0..whole.len()).step_by(64) {
        std::fs::write(&gallery, &whole[..end]).unwrap();
        let (status, text) = run(folder.path(), &words("people --gallery gallery"));
        assert_eq!(status, 2, "cut at {end}: {text}");
        assert!(
            text.contains("gallery: ") && text.contains("the file is damaged and is not used"),
            "cut at {end}: {text}"
        );
        let leaks = ["panicked", "Ada", "Ben"]
            .iter()
            .any(|word| text.contains(word));
        assert!(!leaks, "cut at {end}: {text}");
    }
}

/// Runs a script in `folder`, with the program's path in `LATCHKEY`. Returns its status and what it printed to standard error.
fn run_script(folder: &Path, script: &str) -> (Option<i32>, String) {
    let output = Command::new("sh")
        .args(["-c", script])
        .env("LATCHKEY", common::program())
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{script}\n  {errors} -> {:?}", output.status.code());
    (output.status.code(), errors)
}

fn too_many_open_files_are_a_machine_failure() {
    let folder = with_gallery(100);
    // With this limit one file can be open at a time, but the gallery's folder stays open while the gallery is read.
    let script = "ulimit -n 4; exec \"$LATCHKEY\" people remove Ada --gallery gallery";
    let (status, errors) = run_script(folder.path(), script);
    assert!(errors.contains("Too many open files"), "{errors}");
    assert_eq!(status, Some(3));
}

fn a_full_disk_is_a_machine_failure() -> Result<(), String> {
    let folder = with_gallery(100);
    // The disk has space for one gallery, but not for a second one.
    let script = "mkdir disk; mount -t tmpfs -o size=512k none disk && cp gallery disk || exit 77
                  \"$LATCHKEY\" people remove Ada --gallery disk/gallery; status=$?
                  cmp gallery disk/gallery || exit 78
                  exit $status";
    let (status, errors) = run_script(folder.path(), &format!("unshare -rm sh -c '{script}'"));
    if status == Some(77) || errors.contains("unshare") {
        return Err("this user may not mount a disk".to_owned());
    }
    assert!(errors.contains("No space left on device"), "{errors}");
    assert_eq!(status, Some(3), "the old gallery is in force");
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::harness::run(crate::tests![
        bad_configurations_and_arguments_are_refused_with_the_fix,
        a_chip_that_is_not_there_is_named_before_the_camera_starts,
        bad_photos_data_sets_and_model_files_are_refused_with_the_fix,
        a_closed_pipe_causes_no_panic,
        machine_failures_and_wrong_input_end_with_different_statuses,
        a_gallery_cut_anywhere_is_refused,
        too_many_open_files_are_a_machine_failure,
        a_full_disk_is_a_machine_failure,
    ])
}
