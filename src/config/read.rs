//! Reads TOML files and tables into types, and turns mistakes in them into messages that name the file, the key and the fix.
//! Which tables there are does not matter here.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::{ConfigError, keys, paths};
use crate::{fault, text};

/// The content of the file at `path`. The paths in it are relative to the file's folder.
pub(super) fn file<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(&path.display().to_string(), &text_of(path)?, folder(path))
}

/// The folder to which the paths in `file` are relative.
pub(super) fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// The text of a file in any encoding that editors use. Its lines end with line feeds, as TOML requires.
fn text_of(path: &Path) -> Result<String, ConfigError> {
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

/// Parses `text` of the file called `file`. The paths in it are relative to `folder`.
pub(super) fn parse<T: DeserializeOwned>(
    file: &str,
    text: &str,
    folder: &Path,
) -> Result<T, ConfigError> {
    let syntax = |why: String| ConfigError::Syntax {
        file: file.to_owned(),
        why,
    };
    let read = |e: toml::de::Error| syntax(keys::explain(&text::toml_error(text, &e)));
    let mut values: toml::Table = toml::from_str(text).map_err(read)?;
    paths::locate(&mut values, folder);
    // The text is parsed first, because only this parser knows on which line a mistake is.
    toml::from_str::<T>(text).map_err(read)?;
    values
        .try_into()
        .map_err(|e: toml::de::Error| syntax(e.to_string()))
}

/// The table called `name`, from the file `file`, as a type.
pub(super) fn table<T: DeserializeOwned>(
    file: &str,
    name: &str,
    table: toml::Table,
) -> Result<T, ConfigError> {
    table.try_into().map_err(|e: toml::de::Error| {
        // Without the text the parser knows no line, but its message names the key after "in".
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

/// The same as [`table`], for a table with passwords: the error leaves out the value.
pub(super) fn secret_table<T: DeserializeOwned>(
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

/// The result of a check of the values of `table`, from the file `file`.
pub(super) fn check<E: std::fmt::Display>(
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
