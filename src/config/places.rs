//! The usual places of the configuration and of model files, for an owner who names no other. Paths in a configuration are
//! handled in [`paths`](super::paths).

use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::fault;

/// Where the configuration is unless the owner names another place.
const CONFIG_FILES: [&str; 2] = ["latchkey.toml", "/etc/latchkey/latchkey.toml"];

/// The usual folders of model files, unless the owner names another place, and their folders relative to the program:
/// `../share` for an installed program, and `models` for a program that was built in its sources.
const MODEL_FOLDERS: [&str; 2] = ["/usr/share/latchkey/models", "/var/lib/latchkey/models"];
const MODELS_BESIDE: [&str; 2] = ["../share/latchkey/models", "../../models"];

/// The folders that may contain model files, in the order in which they are searched.
pub(super) fn model_folders() -> Vec<PathBuf> {
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

/// The first of the usual places that has a configuration. A place that cannot be read at the moment is an error, because the
/// defaults must not be in force silently.
pub(super) fn usual_file() -> Result<Option<PathBuf>, ConfigError> {
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
