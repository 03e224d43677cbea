//! The options that every command takes. They choose a configuration file or override its values, as [`config`](crate::config)
//! explains.

use std::path::PathBuf;

use crate::config::Overrides;

/// The same as [`Overrides`], which does not depend on the command line.
#[derive(clap::Args)]
pub struct Options {
    /// Configuration file [default: latchkey.toml here, else /etc/latchkey/latchkey.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Board: pi3, pi4, pi5, zero2w, bench, host, or a board file [default: this machine's]
    #[arg(long, value_name = "BOARD", global = true)]
    board: Option<String>,
    /// Model set: a built-in name or a manifest file; add :EMBEDDER to choose another of its embedders
    #[arg(long, value_name = "SET", global = true)]
    models: Option<String>,
    /// Folder to search first for the set's files
    #[arg(long, value_name = "DIR", global = true)]
    model_files: Option<PathBuf>,
    /// Gallery file with the enrolled people
    #[arg(long, value_name = "FILE", global = true)]
    gallery: Option<PathBuf>,
    /// Number of threads that a network uses
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u8).range(1..=16))]
    threads: Option<u8>,
    /// Whether networks run with XNNPACK
    #[arg(long, value_name = "on|off", global = true, value_parser = on_off)]
    xnnpack: Option<bool>,
}

impl Options {
    /// The values that these options override.
    pub fn overrides(&self) -> Overrides {
        let Self {
            config,
            board,
            models,
            model_files,
            gallery,
            threads,
            xnnpack,
        } = self;
        Overrides {
            config: config.clone(),
            board: board.clone(),
            models: models.clone(),
            model_files: model_files.clone(),
            gallery: gallery.clone(),
            threads: *threads,
            xnnpack: *xnnpack,
        }
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("give on or off".to_owned()),
    }
}
