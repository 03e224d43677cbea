//! The options of the command line that choose a configuration or overrule it. Options of single commands are in
//! [`cli`](crate::cli).

use std::path::PathBuf;

/// The options of the command line; they overrule the files.
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
        _ => Err("give on or off".to_owned()),
    }
}
