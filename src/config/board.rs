//! Boards: the built-in ones, the one that this machine is, and board files. The values in a board's tables are checked in
//! [`Config::load`](super::Config::load), together with the owner's.

use std::path::Path;

use serde::Deserialize;

use super::{ConfigError, read};
use crate::text::nearest;

/// The boards built into the program: name, text, and the beginning of the device tree's model.
pub(super) const BOARDS: [(&str, &str, Option<&str>); 6] = [
    (
        "pi3",
        include_str!("../../boards/pi3.toml"),
        Some("Raspberry Pi 3"),
    ),
    (
        "pi4",
        include_str!("../../boards/pi4.toml"),
        Some("Raspberry Pi 4"),
    ),
    (
        "pi5",
        include_str!("../../boards/pi5.toml"),
        Some("Raspberry Pi 5"),
    ),
    (
        "zero2w",
        include_str!("../../boards/zero2w.toml"),
        Some("Raspberry Pi Zero 2"),
    ),
    ("bench", include_str!("../../boards/bench.toml"), None),
    ("host", include_str!("../../boards/host.toml"), None),
];

/// A board file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BoardFile {
    #[serde(rename = "name")]
    _name: String,
    pub(super) camera: toml::Table,
    pub(super) engine: toml::Table,
    pub(super) output: toml::Table,
}

impl BoardFile {
    /// The board called `board`, with the name of its file.
    pub(super) fn find(board: &str) -> Result<(String, Self), ConfigError> {
        match BOARDS.iter().find(|(name, ..)| *name == board) {
            Some((name, text, _)) => {
                let name = format!("boards/{name}.toml");
                let hardware = read::parse(&name, text, Path::new(""))?;
                Ok((name, hardware))
            }
            None if board.contains('/') || board.ends_with(".toml") => {
                Ok((board.to_owned(), read::file(Path::new(board))?))
            }
            None => {
                let nearest = nearest(board, BOARDS.map(|(name, ..)| name));
                Err(ConfigError::Board {
                    meant: nearest.map_or_else(String::new, |n| format!("; did you mean {n}?")),
                    name: board.to_owned(),
                })
            }
        }
    }
}

/// The built-in board that this machine is. If it is none of them, this is `host`, which drives no hardware.
pub(super) fn this_board() -> &'static str {
    let model = std::fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    let known = BOARDS
        .iter()
        .find(|(_, _, begins)| begins.is_some_and(|begins| model.starts_with(begins)));
    known.map_or("host", |(name, ..)| name)
}
