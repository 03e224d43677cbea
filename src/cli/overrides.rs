//! The options that every command takes: they choose a configuration or overrule it. How, is in [`config`](crate::config).

use std::path::PathBuf;

use crate::config::Overrides;

/// As [`Overrides`], which does not know arguments.
#[derive(clap::Args)]
pub struct Options {
    /// Configuration file [default: latchkey.toml here, else /etc/latchkey/latchkey.toml]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Board: pi3, pi4, pi5, zero2w, bench, host, or a board file [default: this machine's]
    #[arg(long, value_name = "BOARD", global = true)]
    board: Option<String>,
    /// Model set: a built-in name or a manifest, with :EMBEDDER for another of its embedders
    #[arg(long, value_name = "SET", global = true)]
    models: Option<String>,
    /// Folder that is looked through first for the set's files
    #[arg(long, value_name = "DIR", global = true)]
    model_files: Option<PathBuf>,
    /// Gallery of the enrolled
    #[arg(long, value_name = "FILE", global = true)]
    gallery: Option<PathBuf>,
    /// Threads of one network invocation
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u8).range(1..=16))]
    threads: Option<u8>,
    /// Whether networks run through XNNPACK
    #[arg(long, value_name = "on|off", global = true, value_parser = on_off)]
    xnnpack: Option<bool>,
}

impl Options {
    /// What they overrule.
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
