//! The folder of the data that the project is developed with but does not contain.

use std::path::PathBuf;

/// The folder with model files and pictures to develop against, `LATCHKEY_SHARED` or `../shared`.
///
/// # Errors
/// If there is no such folder, returns the reason why the test cannot run.
pub fn shared() -> Result<PathBuf, String> {
    let folder = std::env::var_os("LATCHKEY_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    if folder.join("models").is_dir() && folder.join("faces").is_dir() {
        return Ok(folder);
    }
    Err(format!(
        "no models and faces in {}; name their folder in LATCHKEY_SHARED",
        folder.display()
    ))
}
