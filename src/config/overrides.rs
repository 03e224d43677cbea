//! The options of the command line that choose or overrule a configuration. They are parsed in [`cli`](crate::cli), as are the
//! options of single commands.

use std::path::PathBuf;

/// The options of the command line; they overrule the files.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Configuration file, instead of the usual one.
    pub config: Option<PathBuf>,
    /// Name of a board, or a board file.
    pub board: Option<String>,
    /// Model set: a built-in name or a manifest, followed by `:EMBEDDER` for another embedder of that set.
    pub models: Option<String>,
    /// The folder that is searched first for the set's files.
    pub model_files: Option<PathBuf>,
    /// Gallery of the enrolled people.
    pub gallery: Option<PathBuf>,
    /// Threads of one network invocation, 1 to 16.
    pub threads: Option<u8>,
    /// Whether networks run through XNNPACK.
    pub xnnpack: Option<bool>,
}
