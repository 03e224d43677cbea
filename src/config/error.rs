//! Why a configuration is not used. How a mistake in TOML is put into words is in [`read`](super::read).

use super::board::BOARDS;

/// Why the configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that the owner named does not exist or is not readable.
    #[error("{file}: cannot be read: {source}; name a file that can be, with --config or --board")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{file}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// Line or key, and what is wrong there.
        why: String,
    },
    /// An invalid value.
    #[error("{file}: {table}.{why}")]
    Value {
        /// The file.
        file: String,
        /// The table of the key.
        table: &'static str,
        /// `key = value: fix`.
        why: String,
    },
    /// There is no such board.
    #[error(
        "board {name:?}: neither built in ({}) nor a file{meant}; name one of these or a board file",
        BOARDS.map(|(name, ..)| name).join(", ")
    )]
    Board {
        /// The name that was given.
        name: String,
        /// The board that was probably meant, as half a sentence; otherwise empty.
        meant: String,
    },
}
