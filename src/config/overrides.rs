//! The options of the command line that choose a configuration or overrule it. They are parsed in [`cli`](crate::cli), as are
//! the options of single commands.

use std::path::PathBuf;

/// The options of the command line; they overrule the files.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Configuration file, in place of the usual one.
    pub config: Option<PathBuf>,
    /// Name of a board, or a board file.
    pub board: Option<String>,
    /// Model set: a built-in name or a manifest, with `:EMBEDDER` for another of its embedders.
    pub models: Option<String>,
    /// Folder that is looked through first for the set's files.
    pub model_files: Option<PathBuf>,
    /// Gallery of the enrolled.
    pub gallery: Option<PathBuf>,
    /// Threads of one network invocation, 1 to 16.
    pub threads: Option<u8>,
    /// Whether networks run through XNNPACK.
    pub xnnpack: Option<bool>,
}
