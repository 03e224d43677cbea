//! `latchkey.toml` and a board file, read, checked and made into one typed value.
//!
//! The board file describes the hardware; `latchkey.toml` has what the owner wants and may overrule any
//! key of the board's tables `camera`, `engine` and `output`. Both are TOML. Errors name the file,
//! the key and the fix. Nothing here opens a device.

mod keys;
mod paths;
mod system;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::capture::CameraSettings;
use crate::door::Policy;
use crate::face::Gate;
use crate::fault;
use crate::nn::{EngineSettings, Selection};
use crate::output::Wiring;
use crate::text;

pub use self::system::{NetworkSettings, SystemSettings, Wifi};

/// The boards built into the program: name, text, and the beginning of the device tree's model.
const BOARDS: [(&str, &str, Option<&str>); 6] = [
    (
        "pi3",
        include_str!("../boards/pi3.toml"),
        Some("Raspberry Pi 3"),
    ),
    (
        "pi4",
        include_str!("../boards/pi4.toml"),
        Some("Raspberry Pi 4"),
    ),
    (
        "pi5",
        include_str!("../boards/pi5.toml"),
        Some("Raspberry Pi 5"),
    ),
    (
        "zero2w",
        include_str!("../boards/zero2w.toml"),
        Some("Raspberry Pi Zero 2"),
    ),
    ("bench", include_str!("../boards/bench.toml"), None),
    ("host", include_str!("../boards/host.toml"), None),
];

/// Where the configuration is unless the owner names another place.
const CONFIG_FILES: [&str; 2] = ["latchkey.toml", "/etc/latchkey/latchkey.toml"];

/// Where model files are unless the owner names another place, and where they are beside the program: `../share` of an
/// installed program, `models` of the sources that a program was built in.
const MODEL_FOLDERS: [&str; 2] = ["/usr/share/latchkey/models", "/var/lib/latchkey/models"];
const MODELS_BESIDE: [&str; 2] = ["../share/latchkey/models", "../../models"];

fn model_folders() -> Vec<PathBuf> {
    let exe = std::env::current_exe().and_then(|exe| exe.canonicalize());
    let beside = exe.as_deref().ok().and_then(Path::parent);
    let fixed = MODEL_FOLDERS.iter().map(PathBuf::from);
    fixed
        .chain(
            beside
                .into_iter()
                .flat_map(|at| MODELS_BESIDE.map(|m| at.join(m))),
        )
        .collect()
}

/// The options of the command line; they overrule the files.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// Configuration file [default: latchkey.toml here, else /etc/latchkey/latchkey.toml]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Board: pi3, pi4, pi5, zero2w, bench, host, or a board file [default: this machine's]
    #[arg(long, value_name = "BOARD", global = true)]
    pub board: Option<String>,
    /// Model set: a built-in name or a manifest, with :EMBEDDER for another of its embedders
    #[arg(long, value_name = "SET", global = true)]
    pub models: Option<String>,
    /// Folder that is looked through first for the set's files
    #[arg(long, value_name = "DIR", global = true)]
    pub model_files: Option<PathBuf>,
    /// Gallery of the enrolled
    #[arg(long, value_name = "FILE", global = true)]
    pub gallery: Option<PathBuf>,
    /// Threads of one network invocation
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub threads: Option<u8>,
    /// Whether networks run through XNNPACK
    #[arg(long, value_name = "on|off", global = true, value_parser = on_off)]
    pub xnnpack: Option<bool>,
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("give on or off".to_owned()),
    }
}

/// How faces are matched to people.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecognitionSettings {
    /// Lowest cosine that is the same person; the model set's if absent.
    pub threshold: Option<f32>,
    /// Least lead over the next best person; the model set's if absent.
    pub margin: Option<f32>,
    /// The least quality of a face that is recognised.
    pub gate: Gate,
    /// How long one frame may take before recognition counts as stuck, which shuts the door, in ms:
    /// 500 to 120 000.
    pub watchdog_ms: u64,
}

/// A frame takes tens of milliseconds; the slowest board and a cold start are far below 3 s.
impl Default for RecognitionSettings {
    fn default() -> Self {
        Self {
            threshold: None,
            margin: None,
            gate: Gate::default(),
            watchdog_ms: 3000,
        }
    }
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Whether people are called by name; otherwise by number.
    pub names: bool,
    /// Minutes between two signs of life; 0 for none.
    pub alive_minutes: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            names: false,
            alive_minutes: 10,
        }
    }
}

/// Everything that is configured, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the board.
    pub board: String,
    /// Which networks.
    pub models: Selection,
    /// Folders that may hold their files, in order.
    pub model_files: Vec<PathBuf>,
    /// The gallery file.
    pub gallery: PathBuf,
    /// The camera.
    pub camera: CameraSettings,
    /// What runs the networks.
    pub engine: EngineSettings,
    /// Relay, LEDs and button.
    pub output: Wiring,
    /// How faces become people.
    pub recognition: RecognitionSettings,
    /// When the door opens.
    pub door: Policy,
    /// What is logged.
    pub log: LogSettings,
    /// Tables that only the system on a card uses. They are unchecked: a door must not stay shut because of them.
    pub card: CardTables,
    /// Whether the LED shows that the newest setup has a mistake and is not in force; from no file.
    pub notice: bool,
}

/// The tables `system` and `network`, as written.
#[derive(Clone, Default)]
pub struct CardTables {
    file: String,
    system: toml::Table,
    network: toml::Table,
}

impl std::fmt::Debug for CardTables {
    /// They contain passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardTables").finish_non_exhaustive()
    }
}

impl CardTables {
    /// The tables' settings, checked.
    ///
    /// # Errors
    /// A key that is unknown or a value that is invalid, with file, key and fix; never with the value of a password.
    pub fn read(&self) -> Result<(SystemSettings, NetworkSettings), ConfigError> {
        let network: NetworkSettings = secret_table(&self.file, "network", self.network.clone())?;
        check(&self.file, "network", network.validate())?;
        let system: SystemSettings = secret_table(&self.file, "system", self.system.clone())?;
        check(&self.file, "system", system.validate(&network))?;
        Ok((system, network))
    }
}

/// Why the configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there or not readable.
    #[error("{file}: cannot be read: {source}; name a file that can be, with --config or --board")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{file}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// Line or key, and what is wrong.
        why: String,
    },
    /// An invalid value.
    #[error("{file}: {table}.{why}")]
    Value {
        /// The file.
        file: String,
        /// The table that the key stands in.
        table: &'static str,
        /// `key = value: fix`.
        why: String,
    },
    /// No such board.
    #[error(
        "board {name:?}: neither built in ({}) nor a file{meant}; name one of these or a board file",
        BOARDS.map(|(name, ..)| name).join(", ")
    )]
    Board {
        /// The name that was given.
        name: String,
        /// The board that was probably meant, as half a sentence; or empty.
        meant: String,
    },
}

/// `latchkey.toml`; the tables that a board file may have too are still as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OwnerFile {
    board: Option<String>,
    models: Option<String>,
    model_files: Option<PathBuf>,
    gallery: Option<PathBuf>,
    camera: toml::Table,
    engine: toml::Table,
    output: toml::Table,
    recognition: RecognitionSettings,
    door: Policy,
    log: LogSettings,
    system: toml::Table,
    network: toml::Table,
}

/// A board file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BoardFile {
    #[serde(rename = "name")]
    _name: String,
    camera: toml::Table,
    engine: toml::Table,
    output: toml::Table,
}

impl Config {
    /// The configuration that `asked` leads to.
    ///
    /// # Errors
    /// [`ConfigError`]: the first mistake found, with file, key and fix.
    pub fn load(asked: &Overrides) -> Result<Self, ConfigError> {
        let file = match &asked.config {
            Some(file) => Some(file.clone()),
            None => usual_file()?,
        };
        let here = |file: &Path| file.parent().unwrap_or(Path::new("")).to_owned();
        let (owner_name, folder, owner): (_, _, OwnerFile) = match &file {
            Some(path) => {
                let folder = here(path);
                let owner = parse(&path.display().to_string(), &read(path)?, &folder)?;
                (path.display().to_string(), folder, owner)
            }
            None => (
                "latchkey.toml".to_owned(),
                PathBuf::new(),
                OwnerFile::default(),
            ),
        };

        let board = asked.board.clone().or(owner.board);
        let board = board.unwrap_or_else(|| this_board().to_owned());
        let (board_name, hardware): (_, BoardFile) =
            match BOARDS.iter().find(|(name, ..)| *name == board) {
                Some((name, text, _)) => {
                    let name = format!("boards/{name}.toml");
                    let hardware = parse(&name, text, Path::new(""))?;
                    (name, hardware)
                }
                None if board.contains('/') || board.ends_with(".toml") => {
                    let path = PathBuf::from(&board);
                    let hardware = parse(&board, &read(&path)?, &here(&path))?;
                    (board.clone(), hardware)
                }
                None => {
                    let names = BOARDS.map(|(name, ..)| name);
                    let nearest = crate::text::nearest(&board, names);
                    return Err(ConfigError::Board {
                        meant: nearest.map_or_else(String::new, |n| format!("; did you mean {n}?")),
                        name: board,
                    });
                }
            };

        // The board's tables are checked by themselves first, so that a mistake in them is reported as the board's.
        let both = |board_table: &toml::Table, owner_table: &toml::Table| {
            let mut merged = board_table.clone();
            overlay(&mut merged, owner_table);
            merged
        };
        let camera: CameraSettings = table(&board_name, "camera", hardware.camera.clone())?;
        check(&board_name, "camera", camera.validate())?;
        let output: Wiring = table(&board_name, "output", hardware.output.clone())?;
        check(&board_name, "output", output.validate())?;
        let engine: EngineSettings = table(&board_name, "engine", hardware.engine.clone())?;
        check(&board_name, "engine", threads(engine))?;

        let camera: CameraSettings =
            table(&owner_name, "camera", both(&hardware.camera, &owner.camera))?;
        check(&owner_name, "camera", camera.validate())?;
        let mut output = both(&hardware.output, &owner.output);
        take_away(&mut output);
        let output: Wiring = table(&owner_name, "output", output)?;
        check(&owner_name, "output", output.validate())?;
        let mut engine: EngineSettings =
            table(&owner_name, "engine", both(&hardware.engine, &owner.engine))?;
        check(&owner_name, "engine", threads(engine))?;
        check(&owner_name, "door", owner.door.validate())?;
        check(&owner_name, "recognition", recognition(&owner.recognition))?;
        let card = CardTables {
            file: owner_name,
            system: owner.system,
            network: owner.network,
        };

        engine.threads = asked.threads.unwrap_or(engine.threads);
        engine.xnnpack = asked.xnnpack.unwrap_or(engine.xnnpack);
        let models = asked.models.clone().or(owner.models);
        let Ok(models) = models.as_deref().unwrap_or("latchkey").parse();
        let model_files = match (&asked.model_files, owner.model_files) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(folder)) => Some(folder),
            (None, None) => None,
        };
        let model_files = model_files.into_iter().chain(model_folders()).collect();
        let gallery = match (&asked.gallery, owner.gallery) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => path,
            (None, None) => folder.join("latchkey.gallery"),
        };
        Ok(Self {
            board,
            models,
            model_files,
            gallery,
            camera,
            engine,
            output,
            recognition: owner.recognition,
            door: owner.door,
            log: owner.log,
            card,
            notice: false,
        })
    }
}

/// The built-in board that this machine is; `host`, which drives no hardware, if it is none of them.
fn this_board() -> &'static str {
    let model = std::fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    let known = BOARDS
        .iter()
        .find(|(_, _, begins)| begins.is_some_and(|begins| model.starts_with(begins)));
    known.map_or("host", |(name, ..)| name)
}

/// The first of the usual places that has a configuration. If a place cannot be read at the moment, that is an error: the
/// defaults must not be in force silently.
fn usual_file() -> Result<Option<PathBuf>, ConfigError> {
    for path in CONFIG_FILES.iter().map(PathBuf::from) {
        let there = match path.try_exists() {
            Ok(false) => fault::check_mounted(&path).map(|()| false),
            looked => looked,
        };
        match there {
            Ok(true) => return Ok(Some(path)),
            Err(source) if fault::is_machine(&source) => {
                return Err(ConfigError::Unreadable {
                    file: path.display().to_string(),
                    source,
                });
            }
            Ok(false) | Err(_) => {}
        }
    }
    Ok(None)
}

/// The text of a file in any encoding that editors save, its lines ended by line feeds, as TOML wants them.
fn read(path: &Path) -> Result<String, ConfigError> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Unreadable {
        file: file.clone(),
        source: fault::of_path(source, path),
    })?;
    let text = text::decode(&bytes).map_err(|why| ConfigError::Syntax {
        file,
        why: why.to_string(),
    })?;
    Ok(text.text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Parses `text` of the file called `file`; its paths count from `folder`.
fn parse<T: serde::de::DeserializeOwned>(
    file: &str,
    text: &str,
    folder: &Path,
) -> Result<T, ConfigError> {
    let syntax = |why: String| ConfigError::Syntax {
        file: file.to_owned(),
        why,
    };
    let read = |e: toml::de::Error| syntax(keys::explain(&toml_error(text, &e)));
    let mut values: toml::Table = toml::from_str(text).map_err(read)?;
    paths::locate(&mut values, folder);
    // From the text first: only that knows on which line a mistake is.
    toml::from_str::<T>(text).map_err(read)?;
    values
        .try_into()
        .map_err(|e: toml::de::Error| syntax(e.to_string()))
}

fn table<T: serde::de::DeserializeOwned>(
    file: &str,
    name: &str,
    table: toml::Table,
) -> Result<T, ConfigError> {
    table.try_into().map_err(|e: toml::de::Error| {
        // Without the text the parser knows no line, but it names the key after "in".
        let text = e.to_string();
        let (what, key) = text.split_once("\nin ").unwrap_or((&text, ""));
        let key = key.trim().trim_matches('`');
        let dot = if key.is_empty() { "" } else { "." };
        ConfigError::Syntax {
            file: file.to_owned(),
            why: keys::explain(&format!("{name}{dot}{key}: {}", what.trim())),
        }
    })
}

/// The same for a table with passwords: the error leaves out the value.
fn secret_table<T: serde::de::DeserializeOwned>(
    file: &str,
    name: &str,
    values: toml::Table,
) -> Result<T, ConfigError> {
    table(file, name, values).map_err(|error| match error {
        ConfigError::Syntax { file, why } => {
            let expected = why.split_once(", expected ");
            let why = match (expected, why.split_once(": invalid ")) {
                (Some((_, expected)), Some((key, _))) => format!("{key}: must be {expected}"),
                _ => why,
            };
            ConfigError::Syntax { file, why }
        }
        error => error,
    })
}

fn check<E: std::fmt::Display>(
    file: &str,
    table: &'static str,
    result: Result<(), E>,
) -> Result<(), ConfigError> {
    result.map_err(|why| ConfigError::Value {
        file: file.to_owned(),
        table,
        why: why.to_string(),
    })
}

fn threads(engine: EngineSettings) -> Result<(), String> {
    if (1..=16).contains(&engine.threads) {
        return Ok(());
    }
    Err(format!("threads = {}: must be 1 to 16", engine.threads))
}

fn recognition(settings: &RecognitionSettings) -> Result<(), String> {
    let gate = settings.gate;
    let within = |key: &str, value: f32, low: f32, high: f32| {
        if value >= low && value <= high {
            Ok(())
        } else {
            Err(format!("{key} = {value}: must be {low} to {high}"))
        }
    };
    if let Some(threshold) = settings.threshold {
        within("threshold", threshold, 0.05, 0.99)?;
    }
    if let Some(margin) = settings.margin {
        within("margin", margin, 0.0, 0.9)?;
    }
    let watchdog = settings.watchdog_ms;
    if !(500..=120_000).contains(&watchdog) {
        return Err(format!("watchdog_ms = {watchdog}: must be 500 to 120000"));
    }
    within("gate.eye_distance", gate.eye_distance, 0.0, 1000.0)?;
    within("gate.yaw", gate.yaw, 0.0, 10.0)?;
    within("gate.roll", gate.roll, 0.0, 180.0)?;
    within("gate.sharpness", gate.sharpness, 0.0, 10.0)
}

/// Copies the keys of `over` into `under`, table by table.
fn overlay(under: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => overlay(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Removes what is `false`: it is not wired, though the board file may have it.
fn take_away(output: &mut toml::Table) {
    if let Some(toml::Value::Table(leds)) = output.get_mut("leds") {
        leds.retain(|_, led| *led != toml::Value::Boolean(false));
    }
    output.retain(|_, what| *what != toml::Value::Boolean(false));
}

/// What is wrong in `text` and on which line, as one line.
#[must_use]
pub fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let mut what = error.message().replace('\n', " ");
    if text.contains(['“', '”', '„', '«', '»']) {
        what += "; quotes must be straight (\"), as an editor of plain text types them";
    }
    let what = match (what.find(" string \""), what.rfind("\", expected ")) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{} a string{}", &what[..begin], &what[end + 1..])
        }
        _ => what,
    };
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let here = text.lines().nth(line - 1).unwrap_or_default().trim();
            // Where there may be passwords, the message has no value of any key: a missing quote makes one key look like another.
            let lower = text.to_lowercase();
            let secret = ["network", "wifi", "pass", "psk", "system", "console"];
            let here = match here.split_once('=') {
                _ if !secret.iter().any(|word| lower.contains(word)) => here,
                Some((key, _)) => key.trim(),
                None if here.starts_with('[') => here,
                None => "",
            };
            format!("line {line} ({here}): {what}")
        }
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::LedLines;

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
            "[network]\nwifi = { name = \"home\", password = \"\"\"hunter22\n hunter22 }\n"
                .to_owned(),
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
            let asked = Overrides {
                config: Some(path.clone()),
                board: Some("host".to_owned()),
                ..Overrides::default()
            };
            let read = Config::load(&asked).and_then(|c| c.card.read());
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
            let asked = Overrides {
                config: Some(path.clone()),
                board: Some(board.to_owned()),
                ..Overrides::default()
            };
            Config::load(&asked).map(|c| c.output)
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
        // Also where there was nothing to take away.
        let nothing = "[output]\nbutton = false\nleds = { granted = false }\n";
        let host = wiring_of("host", "").unwrap();
        assert_eq!(wiring_of("host", nothing).unwrap(), host);
        let why = wiring("[output]\nbutton = true\n").unwrap_err().to_string();
        assert!(
            why.starts_with(&path.display().to_string()) && why.contains("output.button"),
            "{why}"
        );
    }

    /// Keys whose text is not a path: a chip is a label, a name or a device.
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
                    let asked = Overrides {
                        config: Some(path.clone()),
                        board: (place != "board").then(|| "host".to_owned()),
                        ..Overrides::default()
                    };
                    let read = match Config::load(&asked) {
                        Ok(config) => format!("{config:?} {:?}", config.card.read().ok()),
                        Err(ConfigError::Unreadable { file, .. }) => file,
                        // The key takes no text, or not this text.
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
                        // It uses paths as they are.
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
        let asked = Overrides {
            config: Some(path),
            ..Overrides::default()
        };
        let config = Config::load(&asked).unwrap();
        let pictures = format!("pictures:{}", boards.join("pics").display());
        assert_eq!(config.camera.source, pictures);
    }

    #[test]
    fn a_configuration_is_read_in_every_encoding_that_editors_save() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latchkey.toml");
        let text = "# für die Tür\r\nboard = \"host\"\r\n[door]\r\nhold_ms = 5000\r\n";
        let utf16 =
            |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
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
            let asked = Overrides {
                config: Some(path.clone()),
                ..Overrides::default()
            };
            let config = Config::load(&asked).unwrap_or_else(|e| panic!("{bytes:x?}: {e}"));
            assert_eq!(config.door.hold_ms, 5000);
        }
    }

    #[test]
    fn the_watchdog_has_a_default_and_bounds() {
        let settings = |text: &str| toml::from_str::<RecognitionSettings>(text).unwrap();
        assert_eq!(settings("threshold = 0.5").watchdog_ms, 3000);
        for good in [500, 120_000] {
            let text = format!("watchdog_ms = {good}");
            assert_eq!(recognition(&settings(&text)), Ok(()));
        }
        for bad in [499, 120_001] {
            let text = format!("watchdog_ms = {bad}");
            let why = recognition(&settings(&text)).unwrap_err();
            assert_eq!(why, format!("{text}: must be 500 to 120000"));
        }
    }
}
