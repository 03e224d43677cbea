//! `latchkey.toml` and a board file, read, checked and made into one typed value.
//!
//! The board file says what the hardware is; `latchkey.toml` says what the owner wants and may overrule
//! any key of the board's tables `camera`, `engine` and `output`. Both are TOML. Errors name the file,
//! the key and the mend. Nothing here opens a device.

mod system;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::capture::CameraSettings;
use crate::door::Policy;
use crate::face::Gate;
use crate::nn::{EngineSettings, Selection};
use crate::output::Wiring;

pub use self::system::{NetworkSettings, SystemSettings, Wifi};

/// The boards built into the program: name, text, and how the device tree's model begins.
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

/// Where the configuration lies if nobody says otherwise.
const CONFIG_FILES: [&str; 2] = ["latchkey.toml", "/etc/latchkey/latchkey.toml"];

/// Where model files lie if nobody says otherwise, and beside the program: `../share` of an installed one, `models` of
/// the sources that one was built in.
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

/// What is asked for on the command line; overrules the files.
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
        _ => Err("say on or off".to_owned()),
    }
}

/// How faces become people.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecognitionSettings {
    /// Lowest cosine that is the same person; the model set's if absent.
    pub threshold: Option<f32>,
    /// Least lead over the next best person; the model set's if absent.
    pub margin: Option<f32>,
    /// The least a face must have to be recognised.
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

/// What the log says.
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
    /// What the log says.
    pub log: LogSettings,
    /// What only the system on a card of its own heeds, unchecked: a door must not stay shut for it.
    pub card: CardTables,
    /// Whether the LED tells that what was set up last has a mistake and is not in force; from no file.
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
    /// There are passwords in them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardTables").finish_non_exhaustive()
    }
}

impl CardTables {
    /// What they say, checked.
    ///
    /// # Errors
    /// A key that is unknown, or a value that cannot be; with file, key and mend, and without the value of a password.
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
        /// What the system said.
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
    /// A value that cannot be.
    #[error("{file}: {table}.{why}")]
    Value {
        /// The file.
        file: String,
        /// The table that the key stands in.
        table: &'static str,
        /// `key = value: mend`.
        why: String,
    },
    /// No such board.
    #[error(
        "board {name:?}: neither built in ({}) nor a file; name one of these or a board file",
        BOARDS.map(|(name, ..)| name).join(", ")
    )]
    Board {
        /// As asked for.
        name: String,
    },
}

/// `latchkey.toml`, with the tables that it may share with a board still as written.
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
    /// [`ConfigError`]: the first mistake found, with file, key and mend.
    pub fn load(asked: &Overrides) -> Result<Self, ConfigError> {
        let file = asked.config.clone().or_else(|| {
            let mut usual = CONFIG_FILES.iter().map(PathBuf::from);
            usual.find(|p| p.exists())
        });
        let (owner_name, owner): (_, OwnerFile) = match &file {
            Some(path) => (path.display().to_string(), parse(path, &read(path)?)?),
            None => ("latchkey.toml".to_owned(), OwnerFile::default()),
        };
        // Paths in a file are meant from where the file lies.
        let here = file
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new(""));

        let board = asked.board.clone().or(owner.board);
        let board = board.unwrap_or_else(|| this_board().to_owned());
        let (board_name, board_text) = match BOARDS.iter().find(|(name, ..)| *name == board) {
            Some((name, text, _)) => (format!("boards/{name}.toml"), (*text).to_owned()),
            None if board.contains('/') || board.ends_with(".toml") => {
                let path = if asked.board.is_some() {
                    PathBuf::from(&board)
                } else {
                    here.join(&board)
                };
                (path.display().to_string(), read(&path)?)
            }
            None => return Err(ConfigError::Board { name: board }),
        };
        let hardware: BoardFile = parse(Path::new(&board_name), &board_text)?;

        // The board's tables must be right by themselves, so that its mistakes are told as its own.
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
            (None, Some(folder)) => Some(here.join(folder)),
            (None, None) => None,
        };
        let model_files = model_files.into_iter().chain(model_folders()).collect();
        let gallery = match (&asked.gallery, owner.gallery) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) => here.join(path),
            (None, None) => here.join("latchkey.gallery"),
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

/// The built-in board that this machine is; `host`, which moves nothing, if it is none of them.
fn this_board() -> &'static str {
    let model = std::fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    let known = BOARDS
        .iter()
        .find(|(_, _, begins)| begins.is_some_and(|begins| model.starts_with(begins)));
    known.map_or("host", |(name, ..)| name)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        file: path.display().to_string(),
        source,
    })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|e| ConfigError::Syntax {
        file: path.display().to_string(),
        why: toml_error(text, &e),
    })
}

fn table<T: serde::de::DeserializeOwned>(
    file: &str,
    name: &str,
    table: toml::Table,
) -> Result<T, ConfigError> {
    table.try_into().map_err(|e: toml::de::Error| {
        // Without a text the parser knows no line, but names the key behind "in".
        let text = e.to_string();
        let (what, key) = text.split_once("\nin ").unwrap_or((&text, ""));
        let key = key.trim().trim_matches('`');
        let dot = if key.is_empty() { "" } else { "." };
        ConfigError::Syntax {
            file: file.to_owned(),
            why: format!("{name}{dot}{key}: {}", what.trim()),
        }
    })
}

/// The same for a table with passwords: what is wrong is told without the value.
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

/// Puts the keys of `over` into `under`, table by table.
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

/// `false` is for what is not wired, though the board file may say that it is.
fn take_away(output: &mut toml::Table) {
    if let Some(toml::Value::Table(leds)) = output.get_mut("leds") {
        leds.retain(|_, led| *led != toml::Value::Boolean(false));
    }
    output.retain(|_, what| *what != toml::Value::Boolean(false));
}

/// What is wrong in `text` and on which line, in one line.
#[must_use]
pub fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let what = error.message().replace('\n', " ");
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
            // Where there may be passwords, no value of any key: a quote that is missing makes one look like another.
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
    fn no_mistake_tells_a_password() {
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
    fn what_the_board_wires_can_be_taken_away() {
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
