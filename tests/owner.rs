//! The program itself applies what an owner puts on the card. In these tests folders represent the partitions; `tests/card` tests
//! the same on a card.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey::card::{Owner, OwnerAccess, Report};
use latchkey::face::Embedding;
use latchkey::nn::Manifest;
use latchkey::people::Gallery;

mod common;

/// A partition that may or may not be writable. It counts how often it was written.
#[derive(Default)]
struct Partition {
    locked: bool,
    written: Cell<usize>,
}

impl OwnerAccess for Partition {
    fn writing(&self, work: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if self.locked {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.written.set(self.written.get() + 1);
        work()
    }
}

struct Card {
    _folder: tempfile::TempDir,
    owner: Owner,
}

impl Card {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["owner/photos", "data"] {
            fs::create_dir_all(folder.path().join(part)).expect("made");
        }
        let owner = Owner {
            folder: folder.path().join("owner"),
            data: folder.path().join("data"),
            program: env!("CARGO_BIN_EXE_latchkey").into(),
            user: None,
            persistent: true,
        };
        Self {
            _folder: folder,
            owner,
        }
    }

    fn put(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.owner.folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }

    fn put_photos(&self, name: &str, photos: &[Vec<u8>]) {
        for (n, photo) in photos.iter().enumerate() {
            self.put(&format!("photos/{name}/{n}.jpg"), photo);
        }
    }

    /// Applies what is on the card, as one start of the board does.
    fn start(&self) -> Report {
        self.start_with(&Partition::default())
    }

    fn start_with(&self, partition: &Partition) -> Report {
        self.owner.apply(partition, &mut || {})
    }

    /// Enrols people as if each had a folder of photos, without reading photos.
    fn enrol(&self, names: &[&str]) {
        let folder = self.owner.data.join("gallery");
        fs::create_dir_all(&folder).expect("made");
        let path = folder.join("latchkey.gallery");
        let embedder = Manifest::load(&"latchkey".parse().expect("a set")).expect("built in");
        let sha256 = &embedder.embedder().sha256;
        for (n, name) in names.iter().enumerate() {
            let template = Embedding::normalised((0..names.len()).map(|k| f32::from(k == n)));
            let template = template.expect("a direction");
            Gallery::update(&path, |g| g.add(name, &[template], &[], sha256, &path))
                .expect("enrolled");
        }
    }

    fn list(&self, name: &str) -> String {
        fs::read_to_string(self.owner.folder.join(name)).expect("kept")
    }

    /// The report file that the program leaves on the owner's partition.
    fn report_file(&self) -> String {
        fs::read_to_string(self.owner.folder.join("latchkey-says.txt")).unwrap_or_default()
    }

    fn people(&self) -> Vec<String> {
        let gallery =
            Gallery::load(&self.owner.data.join("gallery/latchkey.gallery")).expect("whole");
        gallery.people().iter().map(|p| p.name.clone()).collect()
    }

    fn photos_left(&self) -> usize {
        photos(&self.owner.folder.join("photos")).len()
    }
}

fn photos(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(photos(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Checks that one of the mistakes has `text` in its message.
fn assert_mistake(report: &Report, text: &str) {
    let mistakes = &report.mistakes;
    assert!(
        mistakes.iter().any(|m| m.contains(text)),
        "{text}: {mistakes:?}"
    );
}

/// Six photos of each of two generated people.
fn people(out: &Path) -> [Vec<Vec<u8>>; 2] {
    let status = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args([
            "doorstep",
            "photos",
            "4,visits=60,residents=2,strangers=9",
            "--each",
            "6",
            "--out",
        ])
        .arg(out)
        .output()
        .expect("started")
        .status;
    assert!(status.success());
    ["Ada", "Ben"].map(|name| {
        photos(&out.join(name))
            .iter()
            .map(|p| fs::read(p).expect("read"))
            .collect()
    })
}

fn a_configuration_comes_into_force_only_if_it_is_valid() {
    let card = Card::new();
    card.put(
        "latchkey.toml",
        "board = \"host\"\n[door]\nvotes = 2\nof = 3\n",
    );
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    let in_force = fs::read_to_string(card.owner.config()).expect("taken");
    assert!(in_force.contains("votes = 2"));

    let wrong = [
        ("[door\n", "line 1"),
        ("board = \"pi9\"\n", "board \"pi9\": neither built in"),
        (
            "board = \"host\"\n[door]\nvotes = 9\nof = 3\n",
            "door.votes",
        ),
        (
            "board = \"host\"\n[system]\nconsole = \"secret\"\n",
            "system.console: is no hash of a password",
        ),
        ("board = \"bench\"\n", "no such GPIO chip"),
    ];
    for (text, message) in wrong {
        card.put("latchkey.toml", text);
        let report = card.start();
        assert_eq!(report.mistakes.len(), 1, "{text}");
        assert!(
            report.mistakes[0].starts_with("latchkey.toml: ")
                && report.mistakes[0].contains(message),
            "{:?}",
            report.mistakes
        );
        assert!(
            card.report_file().contains(message),
            "{}",
            card.report_file()
        );
        assert_eq!(
            fs::read_to_string(card.owner.config()).expect("still there"),
            in_force
        );
    }
    // A file like this remains on a drive that is pulled out too soon.
    for text in ["", " \n", "\0\0\0\0"] {
        card.put("latchkey.toml", text);
        assert!(card.start().mistakes[0].contains("is empty"));
    }
    let wired = in_force.clone() + "[output]\nrelay = { line = 17, active = \"low\" }\n";
    card.put("latchkey.toml", &wired);
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    card.put("latchkey.toml", &in_force);
    assert!(card.start().mistakes[0].contains("has fewer keys of output.relay than before"));
    card.put("latchkey.toml", wired.replace(", active = \"low\"", ""));
    assert!(card.start().mistakes[0].contains("has fewer keys of output.relay than before"));
    assert_eq!(
        fs::read_to_string(card.owner.config()).expect("still there"),
        wired
    );
    let in_force = in_force + "[output]\nrelay = { line = 18, active = \"high\" }\n";
    card.put("latchkey.toml", &in_force);
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    let elsewhere = card.owner.folder.join("models");
    for path in [&*elsewhere.to_string_lossy(), "../owner/models"] {
        card.put(
            "latchkey.toml",
            format!("model_files = {path:?}\n{in_force}"),
        );
        let mistakes = card.start().mistakes;
        assert!(
            mistakes[0].contains("a file on this drive"),
            "{path}: {mistakes:?}"
        );
    }
    card.put("latchkey.toml", vec![b'#'; 100_000]);
    assert!(card.start().mistakes[0].contains("is 97 KiB large; the most is 64 KiB"));
    // Once the file is repaired or removed there is no mistake, and its report is gone.
    card.put("latchkey.toml", &in_force);
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert!(
        !card.report_file().contains("Not done"),
        "{}",
        card.report_file()
    );
    fs::remove_file(card.owner.folder.join("latchkey.toml")).expect("taken away");
    card.start();
    assert_eq!(
        fs::read_to_string(card.owner.config()).expect("still there"),
        in_force
    );
}

fn photos_are_learnt_together_moved_and_forgotten() {
    let card = Card::new();
    let drawn = tempfile::tempdir().expect("a folder");
    let [ada, ben] = people(drawn.path());
    card.put("latchkey.toml", "board = \"host\"\n");
    card.put_photos("Ada", &ada);
    let report = card.start();
    assert_eq!(report.mistakes, Vec::<String>::new());
    assert_eq!(
        (card.people(), card.photos_left()),
        (vec!["Ada".to_owned()], 0)
    );

    // There are photos of Ben and files that cannot be used. Ada stays, Ben is added, and each bad file is reported and not
    // moved.
    card.put_photos("Ben", &ben);
    card.put("photos/Ben/broken.jpg", b"\xff\xd8\xff\xe0 cut");
    card.put("photos/Ben/phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0");
    card.put("photos/Ben/Thumbs.db", b"");
    card.put("photos/lost.jpg", &ada[0]);
    card.put("photos/Cy\\..\\x/1.jpg", &ada[0]);
    let report = card.start();
    assert_eq!(card.people(), ["Ada", "Ben"]);
    // These are the bad files, and one that computers leave behind.
    assert_eq!(card.photos_left(), 5);
    assert_mistake(&report, "photos/Ben/phone.heic: is a HEIC picture");
    assert_mistake(&report, "photos/Ben/broken.jpg: cannot be read: ");
    assert!(!card.owner.data.join("photos/Ben/broken.jpg").exists());
    let messages = report.mistakes.join("\n") + &report.done.join("\n");
    for text in [
        "photos/lost.jpg: is in no person's folder",
        "Cy\\",
        "Ben/broken.jpg",
    ] {
        assert!(messages.contains(text), "{text}: {messages}");
    }
    // Files that were removed since then are not reported again; the photo that cannot be read still is.
    fs::remove_file(card.owner.folder.join("photos/lost.jpg")).expect("was there");
    fs::remove_dir_all(card.owner.folder.join("photos/Cy\\..\\x")).expect("was there");
    card.start();
    let file = card.report_file();
    assert!(
        file.contains("Ben/broken.jpg") && !file.contains("lost.jpg") && !file.contains("Cy\\"),
        "{file}"
    );

    // The same photos again, as after a power cut before they were removed from the card: nothing changes.
    card.put_photos("Ben", &ben);
    let before = photos(&card.owner.data.join("photos"));
    card.start();
    assert_eq!(photos(&card.owner.data.join("photos")), before);
    assert_eq!(card.people(), ["Ada", "Ben"]);

    card.put("remove.txt", "Ada\r\nNobody\r\n../x\r\n");
    let report = card.start();
    assert_eq!(card.people(), ["Ben"]);
    assert!(!card.owner.data.join("photos/Ada").exists());
    // The unknown name is reported and kept as a comment: a line with the bare name would remove a later person of that name.
    let messages = report.mistakes.join("\n");
    assert!(
        messages.contains("Nobody") && messages.contains("../x"),
        "{messages}"
    );
    assert!(
        card.report_file()
            .contains("not forgotten: Nobody (nobody is called so"),
        "{}",
        card.report_file()
    );
    let left = card.list("remove.txt");
    assert!(
        left.starts_with("# not forgotten: Nobody (") && !left.contains("Ada"),
        "{left}"
    );
    card.put_photos("Nobody", &ada);
    assert_mistake(&card.start(), "remove.txt: not forgotten: Nobody");
    card.start();
    assert_eq!(card.people(), ["Ben", "Nobody"]);
    fs::remove_file(card.owner.folder.join("remove.txt")).expect("was there");
    // The photos that cannot be read are still there.
    let left = card.start().mistakes;
    assert!(
        left.len() == 2 && left.iter().all(|m| m.starts_with("photos/Ben/")),
        "{left:?}"
    );
}

/// A card with people enrolled under these names; their templates are not used.
fn card_with(names: &[&str]) -> Card {
    let card = Card::new();
    card.put("latchkey.toml", "board = \"host\"\n");
    card.enrol(names);
    card
}

fn a_list_from_any_editor_removes_the_person_it_names() {
    let (jurgen, obrien, yuri) = ("Jürgen", "O’Brien", "Юрий");
    let utf16 = |text: &str, mark: bool, unit: fn(u16) -> [u8; 2]| {
        let marked = if mark {
            format!("\u{feff}{text}")
        } else {
            text.to_owned()
        };
        marked.encode_utf16().flat_map(unit).collect::<Vec<u8>>()
    };
    for (bytes, forgotten) in [
        ("\u{feff}Jürgen\r\n".as_bytes().to_vec(), jurgen),
        ("Ju\u{308}rgen".as_bytes().to_vec(), jurgen),
        ("  JÜRGEN  \n".as_bytes().to_vec(), jurgen),
        (b"J\xfcrgen\r\n".to_vec(), jurgen),
        (b"j\xfcrgen\r\r".to_vec(), jurgen),
        (utf16("Jürgen\r\n", true, u16::to_le_bytes), jurgen),
        (utf16("Jürgen\r\n", true, u16::to_be_bytes), jurgen),
        (utf16("Jürgen\r\n", false, u16::to_le_bytes), jurgen),
        (utf16("Юрий", false, u16::to_be_bytes), yuri),
        ("ЮРИЙ".as_bytes().to_vec(), yuri),
        (b"O'Brien\r\n".to_vec(), obrien),
        (b"O\x92Brien\r\n".to_vec(), obrien),
        ("o`brien".as_bytes().to_vec(), obrien),
        ("O\u{2bc}BRIEN".as_bytes().to_vec(), obrien),
        (b"# moved out\r\nO\xb4Brien\x1a".to_vec(), obrien),
    ] {
        let card = card_with(&[jurgen, obrien, yuri]);
        card.put("remove.txt", &bytes);
        let report = card.start();
        assert_eq!(report.mistakes, Vec::<String>::new(), "{bytes:x?}");
        let people = card.people();
        assert!(
            people.len() == 2 && !people.iter().any(|p| p == forgotten),
            "{bytes:x?}: {people:?}"
        );
        assert!(!card.owner.folder.join("remove.txt").exists());
    }
}

fn a_list_that_was_not_carried_out_is_kept_and_no_person_is_removed_by_guess() {
    for (bytes, message) in [
        (b"Jurgen\r\n".to_vec(), "did you mean Jürgen?"),
        (b"Juergen".to_vec(), "did you mean Jürgen?"),
        ("Jürgen Müller".as_bytes().to_vec(), "did you mean Jürgen?"),
        (b"OBrien".to_vec(), "did you mean O’Brien?"),
        (b"- O'Brien".to_vec(), "not forgotten: - O'Brien"),
        // In the Windows code page for Russian, and in the DOS code page for German.
        (b"\xde\xf0\xe8\xe9".to_vec(), "plain text in UTF-8"),
        (
            b"J\x81rgen\r\n".to_vec(),
            "is no text that can be read; save it again as plain text in UTF-8",
        ),
        (b"{\\rtf1\\ansi J\\'fcrgen}".to_vec(), "not forgotten"),
        (
            b"PK\x03\x04\0\0\0\0".to_vec(),
            "is no text that can be read",
        ),
        ("Jürgen\u{202e}".as_bytes().to_vec(), "not forgotten"),
        (b"*".to_vec(), "not forgotten"),
        (b"../../gallery".to_vec(), "not forgotten"),
    ] {
        let card = card_with(&["Jürgen", "O’Brien"]);
        card.put("remove.txt", &bytes);
        let report = card.start();
        assert_mistake(&report, message);
        assert_eq!(card.people(), ["Jürgen", "O’Brien"], "{bytes:x?}");
        // The list is kept, and reported until it is corrected.
        let kept = fs::read(card.owner.folder.join("remove.txt")).expect("kept");
        let line = bytes.split(|b| *b == b'\r').next().expect("a line");
        assert!(kept.windows(line.len()).any(|w| w == line), "{kept:x?}");
        assert_mistake(&card.start(), message);
        assert!(
            card.report_file().contains(message),
            "{}",
            card.report_file()
        );
    }
    // A name that is listed twice, or of a person who was removed before the power was cut, is no mistake.
    let card = card_with(&["Ada", "Ben"]);
    card.put("remove.txt", "Ada\r\nada\r\n");
    let locked = Partition {
        locked: true,
        ..Partition::default()
    };
    card.start_with(&locked);
    assert_eq!(card.people(), ["Ben"]);
    assert!(card.owner.folder.join("remove.txt").exists());
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert!(!card.owner.folder.join("remove.txt").exists());
    assert!(!card.owner.data.join("names.forgotten").exists());
    // The names of the people who were removed are gone from the list.
    let card = card_with(&["Ada", "Ben"]);
    card.put("remove.txt", "Ada\r\nBem\r\n");
    assert_mistake(
        &card.start(),
        "not forgotten: Bem (nobody is called so; did you mean Ben?",
    );
    assert_eq!(card.people(), ["Ben"]);
    assert!(!card.list("remove.txt").contains("Ada"));
    card.put("remove.txt", "Ben\r\n");
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert_eq!(card.people(), Vec::<String>::new());
}

fn files_by_nearly_the_expected_name_are_taken_or_reported() {
    for name in [
        "remove.txt.txt",
        "remove",
        "Remove.TXT",
        "remove .txt",
        "REMOVE.text",
    ] {
        let card = card_with(&["Ada", "Ben"]);
        card.put(name, "Ada\r\n");
        assert_eq!(card.start().mistakes, Vec::<String>::new(), "{name}");
        assert_eq!(card.people(), ["Ben"], "{name}");
        assert!(!card.owner.folder.join(name).exists());
    }
    for (name, message) in [
        (
            "remove(1).txt",
            "LATCHKEY/remove(1).txt: is not read: if it is meant, call it remove.txt",
        ),
        ("remove - Kopie.txt", "call it remove.txt"),
        ("remvoe.txt", "call it remove.txt"),
        ("Remove.rtf", "save it as plain text by the name remove.txt"),
        (
            "remove.docx",
            "save it as plain text by the name remove.txt",
        ),
        ("photos/remove.txt", "photos/remove.txt: is not read here"),
        ("remove.txt/1.txt", "is a folder; remove.txt is a file"),
        ("photos.zip", "is an archive"),
        ("Ada.7z", "is an archive"),
        ("photos/Ada.zip", "is an archive"),
        (
            "photos/Ada/holiday.zip",
            "photos/Ada/holiday.zip: is an archive",
        ),
        ("photo/Ada/1.jpg", "call it photos"),
        (
            "Ada/1.jpg",
            "LATCHKEY/Ada: has photos that are not looked at",
        ),
        ("1.jpg", "LATCHKEY/1.jpg: is a photo that is not looked at"),
        ("photos/1.jpg", "photos/1.jpg: is in no person's folder"),
        (
            "photos/photos/Ada/1.jpg",
            "photos/photos/Ada: is a folder too deep",
        ),
        (
            "photos/Ada/2024/1.jpg",
            "photos/Ada/2024: is a folder too deep",
        ),
        ("photos/unkown/1.jpg", "call it \"unknown\""),
        ("photos/Strangers/1.jpg", "call it \"unknown\""),
        ("photos/unknown people/1.jpg", "call it \"unknown\""),
        (
            "photos/Ada=Ben/1.jpg",
            "a character that no name has (U+003D)",
        ),
        ("photos/button/1.jpg", "is a word that Latchkey uses itself"),
        ("latchkey (2).toml", "call it latchkey.toml"),
        (
            "latchkey.toml.txt",
            "is not read, as there is latchkey.toml, too",
        ),
        (
            "latchkey.rtf",
            "save it as plain text by the name latchkey.toml",
        ),
    ] {
        let card = card_with(&["Ada", "Ben"]);
        card.put(name, "Ada\r\n");
        let report = card.start();
        assert_mistake(&report, message);
        assert_eq!(report.mistakes.len(), 1, "{:?}", report.mistakes);
        assert!(card.owner.folder.join(name).exists(), "{name}");
        assert_eq!(card.people(), ["Ada", "Ben"]);
        // The mistake is reported as long as the file exists.
        assert_mistake(&card.start(), message);
        let top = Path::new(name).components().next().expect("a name");
        let top = card.owner.folder.join(top);
        if top.is_dir() {
            fs::remove_dir_all(top).expect("taken away");
        } else {
            fs::remove_file(top).expect("taken away");
        }
        assert_eq!(card.start().mistakes, Vec::<String>::new(), "{name}");
        assert!(
            !card.report_file().contains("Not done"),
            "{}",
            card.report_file()
        );
    }
    let card = card_with(&["Ada"]);
    card.put("notes.txt", "milk, bread");
    card.put("System Volume Information/IndexerVolumeGuid", "");
    let report = card.start();
    assert_eq!(report.mistakes, Vec::<String>::new());
    assert!(
        card.report_file().contains("  LATCHKEY/notes.txt\r\n"),
        "{}",
        card.report_file()
    );
    let partition = Partition::default();
    card.start_with(&partition);
    assert_eq!(partition.written.get(), 0, "the same is not written twice");
}

fn a_configuration_by_another_name_or_encoding_comes_into_force() {
    for name in [
        "latchkey.toml.txt",
        "Latchkey.TOML",
        "latchkey",
        "latchkey .toml",
    ] {
        let card = Card::new();
        card.put(name, "board = \"host\"\r\n[door]\r\nhold_ms = 5000\r\n");
        assert_eq!(card.start().mistakes, Vec::<String>::new(), "{name}");
        let in_force = fs::read_to_string(card.owner.config()).expect("taken");
        assert!(in_force.contains("hold_ms = 5000"));
        card.put(name, "board = \"pi9\"\n");
        assert_mistake(&card.start(), "board \"pi9\"");
    }
    let card = Card::new();
    let text = "# Tür\r\nboard = \"host\"\r\n";
    let utf16: Vec<u8> = format!("\u{feff}{text}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    card.put("latchkey.toml", utf16);
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    card.put("latchkey.toml", b"board = \x81\r\n");
    assert_mistake(&card.start(), "save it again as plain text in UTF-8");
    card.put("latchkey.toml", "board = “host”\n");
    assert_mistake(&card.start(), "quotes must be straight");
    for (text, message) in [
        ("[Door]\nvotes = 2\n", "did you mean `door`?"),
        ("[door]\nVotes = 2\n", "did you mean `votes`?"),
        ("[door]\nhold-ms = 2\n", "did you mean `hold_ms`?"),
        ("votes = 2\n", "`votes` belongs in the table [door]"),
        (
            "[camera]\ndevice = { prot = \"1-1\" }\n",
            "did you mean `port`?",
        ),
        ("board = \"pi44\"\n", "did you mean pi4?"),
    ] {
        card.put("latchkey.toml", text);
        assert_mistake(&card.start(), message);
    }
}

fn photos_of_one_person_come_together_however_the_folder_is_spelt() {
    let card = card_with(&[]);
    let drawn = tempfile::tempdir().expect("a folder");
    let [ada, ben] = people(drawn.path());
    card.put_photos("Ju\u{308}rgen", &ada[..5]);
    card.start();
    card.put("Photos/JÜRGEN/6.jpg", &ada[5]);
    card.put_photos("O’Brien", &ben[..4]);
    card.put("photos/UNKNOWN/1.jpg", &ben[4]);
    card.start();
    assert_eq!(card.people(), ["Jürgen", "O’Brien"]);
    let names = |folder: &Path| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("there")
            .map(|e| e.expect("there").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    };
    let photos = card.owner.data.join("photos");
    assert_eq!(names(&photos), ["Jürgen", "O’Brien", "unknown"]);
    assert_eq!(names(&photos.join("Jürgen")).len(), 6);
    card.put("remove.txt", "o'brien\r\njürgen");
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert_eq!(
        (names(&photos), card.people().len()),
        (vec!["unknown".to_owned()], 0)
    );
    // A name in letters of another script that look the same is refused.
    card.put("photos/Ada/1.jpg", &ada[0]);
    card.start();
    card.put("photos/\u{410}da/1.jpg", &ben[5]);
    assert_mistake(&card.start(), "looks like Ada in letters of another script");
}

/// The card in the folder `cases` has the files that macOS and Windows leave on a drive.
fn the_card_of_the_field_is_learnt_and_its_people_are_forgotten() -> Result<(), String> {
    let shared = common::shared()?;
    let card = Card::new();
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(shared.join("cases/card.tar.gz"))
        .arg("-C")
        .arg(&card.owner.folder)
        .status();
    assert!(unpacked.expect("tar runs").success());
    let report = card.start();
    // The list on this card, in the file remove.txt.txt, has a name of no enrolled person.
    assert_mistake(&report, "LATCHKEY/remove.txt.txt: not forgotten: Ada");
    assert_eq!(report.mistakes.len(), 1, "{:?}", report.mistakes);
    assert_eq!(card.people(), ["Jürgen", "O’Brien"]);
    let in_force = fs::read_to_string(card.owner.config()).expect("taken");
    assert!(in_force.contains("hold_ms = 5000"), "{in_force}");
    card.put("remove", "JURGEN\r\no'brien\r\n");
    assert_mistake(&card.start(), "did you mean Jürgen?");
    assert_eq!(card.people(), ["Jürgen"]);
    Ok(())
}

/// A PNG file whose header has this size, without pixels.
fn header_of(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    drop(encoder.write_header().expect("written"));
    bytes
}

fn photos_that_cannot_be_read_stay_on_the_card_and_affect_no_others() {
    let card = Card::new();
    let drawn = tempfile::tempdir().expect("a folder");
    let [ada, ben] = people(drawn.path());
    card.put("latchkey.toml", "board = \"host\"\n");
    card.put_photos("Ada", &ada);
    card.put("photos/Ada/huge.png", header_of(40_000, 40_000));
    card.put("photos/Ada/half.jpg", &ada[0][..ada[0].len() / 2]);
    for clutter in [
        "photos/.DS_Store",
        "photos/Thumbs.db",
        "photos/__MACOSX/Ada/._1.jpg",
        "photos/System Volume Information/x",
        "photos/Ada/._0.jpg",
        "photos/Ada/desktop.ini",
        "photos/Ada/.thumbnails/1.jpg",
        "photos/Ada/@eaDir/1.jpg",
        "photos/Ada/0.jpg.tmp",
    ] {
        card.put(clutter, "clutter");
    }
    let clutter = card.photos_left() - ada.len() - 2;
    let report = card.start();
    assert_eq!(card.people(), ["Ada"]);
    assert_eq!(card.photos_left(), clutter + 2);
    for (photo, why) in [
        ("huge.png", "40000x40000 pixels"),
        ("half.jpg", "cut short"),
    ] {
        assert_mistake(&report, &format!("photos/Ada/{photo}: cannot be read: "));
        assert_mistake(&report, why);
        assert!(card.owner.folder.join("photos/Ada").join(photo).exists());
        assert!(!card.owner.data.join("photos/Ada").join(photo).exists());
    }
    assert_eq!(report.mistakes.len(), 2, "{:?}", report.mistakes);

    // The photos are reported again, but they do not make the program learn again.
    let report = card.start();
    assert_eq!(report.mistakes.len(), 2, "{:?}", report.mistakes);
    assert_eq!(report.done, Vec::<String>::new());
    // The same is true after other photos were learnt from, or could not be read.
    card.put_photos("Ben", &ben);
    card.put("photos/Ben/half.jpg", &ben[0][..ben[0].len() / 2]);
    card.start();
    assert_eq!(card.people(), ["Ada", "Ben"]);
    for _ in 0..2 {
        let report = card.start();
        assert_eq!(report.mistakes.len(), 3, "{:?}", report.mistakes);
        assert_eq!(report.done, Vec::<String>::new());
    }
    // Once the photos are gone from the card, they are not reported.
    for photo in ["Ada/huge.png", "Ada/half.jpg", "Ben/half.jpg"] {
        fs::remove_file(card.owner.folder.join("photos").join(photo)).expect("still there");
    }
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert!(
        !card.report_file().contains("Not done"),
        "{}",
        card.report_file()
    );
}

fn learning_that_is_cut_off_removes_no_photo_from_the_card() {
    let mut card = Card::new();
    card.put("latchkey.toml", "board = \"host\"\n");
    card.put("photos/Ada/1.jpg", b"\xff\xd8\xff\xe0 a photo");
    for end in ["kill -9 $$", "exit 3"] {
        card.owner.program = stand_in(&card, end);
        card.start();
        assert_eq!(card.photos_left(), 1, "{end}");
    }
}

fn without_lasting_storage_nothing_is_removed_from_the_card() {
    let mut card = Card::new();
    card.owner.persistent = false;
    card.put("latchkey.toml", "board = \"host\"\n");
    card.put("photos/Ada/1.jpg", b"\xff\xd8\xff\xe0 cut");
    card.put("remove.txt", "\u{feff}Ada\r\n");
    let report = card.start();
    assert_mistake(&report, "keeps nothing");
    assert_eq!(card.photos_left(), 1);
    assert!(card.owner.folder.join("remove.txt").exists());
}

fn learning_that_takes_the_board_down_is_left_out_of_one_start_and_tried_again() {
    let card = Card::new();
    let drawn = tempfile::tempdir().expect("a folder");
    let [ada, _] = people(drawn.path());
    card.put("latchkey.toml", "board = \"host\"\n");
    // A power cut during learning leaves this state: the photos are on the data partition, but not yet removed from the owner's.
    fs::create_dir_all(card.owner.data.join("photos/Ada")).expect("made");
    for (n, photo) in ada.iter().enumerate() {
        card.put(&format!("photos/Ada/{n}.jpg"), photo);
        fs::write(card.owner.data.join(format!("photos/Ada/{n}.jpg")), photo).expect("written");
    }
    fs::write(card.owner.data.join("photos.pending"), "...").expect("written");
    let messages = card.start().mistakes.join("\n");
    assert!(
        messages.contains("broken off at each of the last three starts"),
        "{messages}"
    );
    assert!(!card.owner.data.join("gallery/latchkey.gallery").exists());
    // No photo is lost by this.
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert_eq!(
        (card.people(), card.photos_left()),
        (vec!["Ada".to_owned()], 0)
    );
    assert!(
        !card.report_file().contains("Not done"),
        "{}",
        card.report_file()
    );
}

/// A program that replaces ours: it runs `instead` when ours would learn.
fn stand_in(card: &Card, instead: &str) -> PathBuf {
    let script = card.owner.data.with_file_name("program");
    let program = env!("CARGO_BIN_EXE_latchkey");
    let text = format!("#!/bin/sh\n[ $1 != train ] || {instead}\nexec {program} \"$@\"\n");
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("set");
    script
}

fn learning_that_is_broken_off_is_tried_again_and_an_unusable_gallery_is_rebuilt() {
    let mut card = Card::new();
    let drawn = tempfile::tempdir().expect("a folder");
    let [ada, _] = people(drawn.path());
    card.put("latchkey.toml", "board = \"host\"\n");
    card.put_photos("Ada", &ada);
    let ours = card.owner.program.clone();
    card.owner.program = stand_in(&card, "kill -9 $$");
    let messages = card.start().mistakes.join("\n");
    assert!(messages.contains("broken off"), "{messages}");
    card.owner.program = stand_in(&card, "exit 3");
    let messages = card.start().mistakes.join("\n");
    assert!(
        messages.contains("the next start tries again"),
        "{messages}"
    );
    card.owner.program = ours;
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert_eq!(card.people(), ["Ada"]);

    let gallery = card.owner.data.join("gallery/latchkey.gallery");
    fs::write(&gallery, "no gallery").expect("written");
    let report = card.start();
    assert_eq!(report.mistakes, Vec::<String>::new());
    assert!(
        report.done[0].contains("gallery_renewed"),
        "{:?}",
        report.done
    );
    assert_eq!(card.people(), ["Ada"]);
    // The unusable gallery is kept only until there is a new one, as it contains faces.
    let aside = gallery.with_added_extension("unusable");
    assert!(!aside.exists());
    fs::write(&gallery, "no gallery").expect("written");
    card.owner.program = stand_in(&card, "exit 3");
    card.start();
    assert_eq!(fs::read(&aside).expect("kept"), b"no gallery");
    card.put("remove.txt", "Ada");
    card.start();
    assert!(!aside.exists() && !card.owner.data.join("photos/Ada").exists());
}

fn a_person_who_cannot_be_removed_stays_listed_and_keeps_their_photos() {
    let card = Card::new();
    let photo = card.owner.data.join("photos/Ada/1.jpg");
    fs::create_dir_all(photo.parent().expect("a folder")).expect("made");
    fs::write(&photo, "a photo").expect("written");
    // This configuration came into force under an earlier program, which accepted it.
    fs::write(card.owner.config(), "[doors]\n").expect("written");
    card.put("latchkey.toml", "[doors]\n");
    card.put("remove.txt", "Ada\n");
    let report = card.start();
    assert!(
        report.mistakes[0].contains("latchkey.toml: ") && report.mistakes[0].contains("doors"),
        "{:?}",
        report.mistakes
    );
    assert!(
        report.mistakes[1].starts_with("remove.txt: Ada: "),
        "{:?}",
        report.mistakes
    );
    assert!(photo.exists() && card.owner.folder.join("remove.txt").exists());
    card.put("latchkey.toml", "board = \"host\"\n");
    assert_eq!(card.start().mistakes, Vec::<String>::new());
    assert!(!photo.exists() && !card.owner.folder.join("remove.txt").exists());
}

fn a_locked_card_is_reported_and_an_unchanged_one_is_not_written() {
    let card = Card::new();
    card.put("latchkey.toml", "board = \"pi9\"\n");
    let locked = Partition {
        locked: true,
        ..Partition::default()
    };
    let report = card.start_with(&locked);
    assert_mistake(&report, "cannot be written");

    let partition = Partition::default();
    card.start_with(&partition);
    card.start_with(&partition);
    assert_eq!(partition.written.get(), 1, "the same is not written twice");
}

fn main() -> std::process::ExitCode {
    common::harness::run(crate::tests![
        a_configuration_comes_into_force_only_if_it_is_valid,
        photos_are_learnt_together_moved_and_forgotten,
        a_list_from_any_editor_removes_the_person_it_names,
        a_list_that_was_not_carried_out_is_kept_and_no_person_is_removed_by_guess,
        files_by_nearly_the_expected_name_are_taken_or_reported,
        a_configuration_by_another_name_or_encoding_comes_into_force,
        photos_of_one_person_come_together_however_the_folder_is_spelt,
        the_card_of_the_field_is_learnt_and_its_people_are_forgotten,
        photos_that_cannot_be_read_stay_on_the_card_and_affect_no_others,
        learning_that_is_cut_off_removes_no_photo_from_the_card,
        without_lasting_storage_nothing_is_removed_from_the_card,
        learning_that_takes_the_board_down_is_left_out_of_one_start_and_tried_again,
        learning_that_is_broken_off_is_tried_again_and_an_unusable_gallery_is_rebuilt,
        a_person_who_cannot_be_removed_stays_listed_and_keeps_their_photos,
        a_locked_card_is_reported_and_an_unchanged_one_is_not_written,
    ])
}
