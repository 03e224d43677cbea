//! `latchkey.toml` and a board file, which are read, checked and made into one typed value.
//!
//! The board file describes the hardware. `latchkey.toml` contains the owner's wishes and may overrule any key of the board's
//! tables `camera`, `engine` and `output`. Both are TOML. Errors name the file, the key and the fix. Nothing here opens a
//! device.

mod board;
mod error;
mod keys;
mod overrides;
mod paths;
mod places;
mod read;
mod recognition;
mod system;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Deserialize;

use self::board::{BoardFile, this_board};
pub use self::error::ConfigError;
pub use self::overrides::Overrides;
use self::places::{model_folders, usual_file};
use self::read::{check, table};
pub use self::recognition::RecognitionSettings;
pub use self::system::{CardTables, NetworkSettings, SystemSettings, Wifi};
use crate::capture::CameraSettings;
use crate::door::Policy;
use crate::nn::{EngineSettings, Selection};
use crate::output::Wiring;

/// The complete configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the board.
    pub board: String,
    /// The selected networks.
    pub models: Selection,
    /// Folders that may contain the networks' files, in the order of the search.
    pub model_files: Vec<PathBuf>,
    /// The gallery file.
    pub gallery: PathBuf,
    /// The camera.
    pub camera: CameraSettings,
    /// The engine that runs the networks.
    pub engine: EngineSettings,
    /// Relay, LEDs and button.
    pub output: Wiring,
    /// How faces become people.
    pub recognition: RecognitionSettings,
    /// When the door opens.
    pub door: Policy,
    /// What is logged.
    pub log: LogSettings,
    /// Tables that only the system on a card uses. They are unchecked, because a door must not stay shut because of them.
    pub card: CardTables,
    /// Whether the LED shows that the newest setup has a mistake and is not in force. No file contains this setting.
    pub notice: bool,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Whether people are logged by name; otherwise by number.
    pub names: bool,
    /// Minutes between two `alive` lines; 0 for none.
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

/// `latchkey.toml`. The tables that a board file may have too are kept as written.
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

impl Config {
    /// The configuration that results from `overrides` and the files.
    ///
    /// # Errors
    /// [`ConfigError`]: the first mistake found, with file, key and fix.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let file = match &overrides.config {
            Some(file) => Some(file.clone()),
            None => usual_file()?,
        };
        let (owner_name, folder, owner): (_, _, OwnerFile) = match &file {
            Some(path) => (
                path.display().to_string(),
                read::folder(path).to_owned(),
                read::file(path)?,
            ),
            None => (
                "latchkey.toml".to_owned(),
                PathBuf::new(),
                OwnerFile::default(),
            ),
        };

        let board = overrides.board.clone().or(owner.board);
        let board = board.unwrap_or_else(|| this_board().to_owned());
        let (board_name, hardware) = BoardFile::find(&board)?;

        // The board's tables are checked separately first, so that a mistake in them is reported as the board's.
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
        check(&owner_name, "recognition", owner.recognition.validate())?;
        let card = CardTables {
            file: owner_name,
            system: owner.system,
            network: owner.network,
        };

        engine.threads = overrides.threads.unwrap_or(engine.threads);
        engine.xnnpack = overrides.xnnpack.unwrap_or(engine.xnnpack);
        let models = overrides.models.clone().or(owner.models);
        let Ok(models) = models.as_deref().unwrap_or("latchkey").parse();
        let model_files = match (&overrides.model_files, owner.model_files) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(folder)) => Some(folder),
            (None, None) => None,
        };
        let model_files = model_files.into_iter().chain(model_folders()).collect();
        let gallery = match (&overrides.gallery, owner.gallery) {
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

/// Checks the number of threads.
fn threads(engine: EngineSettings) -> Result<(), String> {
    if (1..=16).contains(&engine.threads) {
        return Ok(());
    }
    Err(format!("threads = {}: must be 1 to 16", engine.threads))
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

/// Removes every part that is `false`: it is not wired, even if the board file has it.
fn take_away(output: &mut toml::Table) {
    if let Some(toml::Value::Table(leds)) = output.get_mut("leds") {
        leds.retain(|_, led| *led != toml::Value::Boolean(false));
    }
    output.retain(|_, what| *what != toml::Value::Boolean(false));
}
