//! Tests of reading a configuration. Paths, the names of keys and the tables of the system have tests in their own files.

use super::{Config, ConfigError, Overrides, RecognitionSettings, keys};
use crate::output::{LedLines, Wiring};

#[test]
fn every_board_is_read_and_named_where_users_look() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file| std::fs::read_to_string(root.join(file)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("latchkey.toml");
    std::fs::write(&empty, "").unwrap();
    for (name, text, model) in super::board::BOARDS {
        let overrides = Overrides {
            config: Some(empty.clone()),
            board: Some(name.to_owned()),
            ..Overrides::default()
        };
        if let Err(why) = Config::load(&overrides) {
            panic!("{name}: {why}");
        }
        assert!(
            text.starts_with("# "),
            "boards/{name}.toml: does not begin with what it is"
        );
        assert_ne!(model, Some(""), "{name}");
        for file in [
            "src/cli/overrides.rs",
            "scripts/deb/latchkey.1",
            "docs/wiring.md",
            "docs/configuration.md",
        ] {
            let words = read(file);
            let mut words = words.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(
                words.any(|word| word == name),
                "{file}: does not name the board {name}"
            );
        }
    }
}

#[test]
fn no_error_message_contains_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latchkey.toml");
    let home = r#"wifi = { name = "home", password = "hunter22" }"#;
    for text in [
        "[network]\nwifi = \"hunter22\"\n".to_owned(),
        "[network]\nwifi = { name = \"home\", password = \"hunter22 }\n".to_owned(),
        "[network]\nwifi = { name = \"home\", password = hunter22 }\n".to_owned(),
        "[network]\nwifi = { name = \"home\", password = [\"hunter22\"] }\n".to_owned(),
        "[network]\nwifi = { name = \"home\", password = \"\"\"hunter22\n hunter22 }\n".to_owned(),
        "[network]\nwifi = { name = \"home\", psk = \"hunter22\" }\n".to_owned(),
        format!("[network]\n{home}\n{home}\n"),
        format!("[network]\nethernet = true\n{home}\n"),
        format!("[network]\n{home}\nwifi.password = 3\n"),
        "[network]\nwifi.name = \"home\"\nwifi.password = \"hunter2\u{7f}2\"\n".to_owned(),
        "[network]\nwifi = { name = \"home\", Passwort = \"hunter22 }\n".to_owned(),
        "network = \"hunter22\"\n".to_owned(),
        "system = \"hunter22\"\n".to_owned(),
        "[system]\nconsole = \"hunter22\"\n".to_owned(),
        "[system]\nconsole = hunter22\n".to_owned(),
        "[system]\nconsole = [ \"hunter22\" ]\n".to_owned(),
    ] {
        std::fs::write(&path, &text).unwrap();
        let overrides = Overrides {
            config: Some(path.clone()),
            board: Some("host".to_owned()),
            ..Overrides::default()
        };
        let read = Config::load(&overrides).and_then(|c| c.card.read());
        let why = read.unwrap_err().to_string();
        assert!(!why.contains("hunter2"), "{text}\n{why}");
        assert!(why.contains("latchkey.toml: "), "{why}");
        println!("{why}");
    }
}

#[test]
fn the_boards_wiring_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latchkey.toml");
    let wiring_of = |board: &str, text: &str| {
        std::fs::write(&path, text).unwrap();
        let overrides = Overrides {
            config: Some(path.clone()),
            board: Some(board.to_owned()),
            ..Overrides::default()
        };
        Config::load(&overrides).map(|c| c.output)
    };
    let wiring = |text: &str| wiring_of("pi3", text);
    let whole = wiring("").unwrap();
    assert!(whole.relay.is_some() && whole.button.is_some());
    let leds = wiring("[output.leds]\ngranted = false\nrefused = false\n").unwrap();
    let one = LedLines {
        granted: None,
        refused: None,
        ..whole.leds
    };
    assert!(one.status.is_some());
    assert_eq!(
        leds,
        Wiring {
            leds: one,
            ..whole.clone()
        }
    );
    let none = wiring("[output]\nbutton = false\nleds = false\n").unwrap();
    assert_eq!(
        (none.relay, none.button, none.leds),
        (whole.relay, None, LedLines::default())
    );
    // This also holds if there was nothing to take away.
    let nothing = "[output]\nbutton = false\nleds = { granted = false }\n";
    let host = wiring_of("host", "").unwrap();
    assert_eq!(wiring_of("host", nothing).unwrap(), host);
    let why = wiring("[output]\nbutton = true\n").unwrap_err().to_string();
    assert!(
        why.starts_with(&path.display().to_string()) && why.contains("output.button"),
        "{why}"
    );
}

/// Keys whose text is not a path: it is a label, a name or a device.
const WORDS: [&str; 4] = [
    "output.chip",
    "camera.device.serial",
    "camera.device.port",
    "network.wifi.name",
];

#[test]
fn every_key_that_takes_a_path_counts_it_from_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("some");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("where.toml"), "name = 'x'\n").unwrap();
    let path = folder.path().join("latchkey.toml");
    let from_here = inner.join("where.toml").display().to_string();
    let mut located = Vec::new();
    for (table, keys) in keys::tables() {
        for key in keys {
            let place = [table, key].join(".");
            let place = place.trim_start_matches('.');
            for value in ["some/where.toml", "pictures:some/where.toml"] {
                std::fs::write(&path, format!("{place} = \"{value}\"\n")).unwrap();
                let overrides = Overrides {
                    config: Some(path.clone()),
                    board: (place != "board").then(|| "host".to_owned()),
                    ..Overrides::default()
                };
                let read = match Config::load(&overrides) {
                    Ok(config) => format!("{config:?} {:?}", config.card.read().ok()),
                    Err(ConfigError::Unreadable { file, .. }) => file,
                    // The key accepts no text, or not this text.
                    Err(_) => continue,
                };
                let count = |text: &str| read.matches(text).count();
                let (all, right) = (count("some/where.toml"), count(&from_here));
                if WORDS.contains(&place) {
                    assert_eq!(right, 0, "{place}: {read}");
                } else {
                    assert_eq!(all, right, "{place} = {value:?}: {read}");
                }
                if right > 0 {
                    located.push(place.to_owned());
                    // The key accepts a path, and needs no other text.
                    break;
                }
            }
        }
    }
    located.dedup();
    assert_eq!(
        located,
        ["board", "models", "model_files", "gallery", "camera.source"]
    );
}

#[test]
fn a_board_files_paths_count_from_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let boards = folder.path().join("boards");
    std::fs::create_dir(&boards).unwrap();
    let board = "name = 'x'\n[camera]\nsource = 'pictures:pics'\n";
    std::fs::write(boards.join("own.toml"), board).unwrap();
    let path = folder.path().join("latchkey.toml");
    std::fs::write(&path, "board = 'boards/own.toml'\n").unwrap();
    let overrides = Overrides {
        config: Some(path),
        ..Overrides::default()
    };
    let config = Config::load(&overrides).unwrap();
    let pictures = format!("pictures:{}", boards.join("pics").display());
    assert_eq!(config.camera.source, pictures);
}

#[test]
fn a_configuration_is_read_in_every_encoding_that_editors_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latchkey.toml");
    let text = "# für die Tür\r\nboard = \"host\"\r\n[door]\r\nhold_ms = 5000\r\n";
    let utf16 = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let latin1 = text.chars().map(|c| c as u8).collect();
    let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes[..]].concat();
    for bytes in [
        text.as_bytes().to_vec(),
        marked(b"\xef\xbb\xbf", text.as_bytes().to_vec()),
        marked(b"\xff\xfe", utf16(u16::to_le_bytes)),
        marked(b"\xfe\xff", utf16(u16::to_be_bytes)),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        latin1,
        text.replace("\r\n", "\r").into_bytes(),
        text.replace("\r\n", "\n").into_bytes(),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let overrides = Overrides {
            config: Some(path.clone()),
            ..Overrides::default()
        };
        let config = Config::load(&overrides).unwrap_or_else(|e| panic!("{bytes:x?}: {e}"));
        assert_eq!(config.door.hold_ms, 5000);
    }
}

#[test]
fn the_watchdog_has_a_default_and_bounds() {
    let settings = |text: &str| toml::from_str::<RecognitionSettings>(text).unwrap();
    assert_eq!(settings("threshold = 0.5").watchdog_ms, 3000);
    for good in [500, 120_000] {
        let text = format!("watchdog_ms = {good}");
        assert_eq!(settings(&text).validate(), Ok(()));
    }
    for bad in [499, 120_001] {
        let text = format!("watchdog_ms = {bad}");
        let why = settings(&text).validate().unwrap_err();
        assert_eq!(why, format!("{text}: must be 500 to 120000"));
    }
}
