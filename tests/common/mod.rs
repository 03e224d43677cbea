//! What several tests share: where the development data lie, and how a test without them is skipped.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

/// The folder with model files and pictures to develop against, `LATCHKEY_SHARED` or `../shared`; `None`,
/// told with the test's name, where there is none.
pub fn shared(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LATCHKEY_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    if folder.join("models").is_dir() && folder.join("faces").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped {test}: no models and faces in {}; name their folder in LATCHKEY_SHARED",
        folder.display()
    );
    None
}
