//! `latchkey run`: the loop that opens the door.

use std::sync::Arc;

use super::{Exit, Failure, Loaded};
use crate::broker::Broker;
use crate::capture::{CaptureError, Source};
use crate::clock;
use crate::config::{CardTables, Overrides};
use crate::confine::{self, Work, confine};
use crate::fault;
use crate::output::Driver;
use crate::people::GalleryError;
use crate::pipeline::RunError;
use crate::supervisor::Supervisor;

#[derive(clap::Args)]
pub struct Arguments {
    /// Camera: auto, a device such as /dev/video0, pictures:DIR, or doorstep:SEED[,visits=N...]
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Check configuration, models and gallery, and end without touching the camera
    #[arg(long)]
    check: bool,
    /// With --check: also test that the GPIO lines of the relay, the LEDs and the button can be opened; nothing is turned on
    #[arg(long, requires = "check")]
    outputs: bool,
    /// Show with the LED that the last setup has a mistake and is not in use
    #[arg(long)]
    notice: bool,
}

pub fn run(overrides: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut loaded = Loaded::new(overrides)?;
    if arguments.check {
        loaded.config.card.read()?;
    }
    // Running the door does not need the passwords.
    loaded.config.card = CardTables::default();
    if let Some(source) = &arguments.source {
        loaded.config.camera.source.clone_from(source);
    }
    loaded.config.notice = arguments.notice;
    if is_fast(&loaded.config)? {
        clock::halt();
    }
    // A gallery on a disk that is not mounted yet must not be mistaken for an empty one, because a restart is better than a door
    // that lets no one in. A confined process could not check this.
    let gallery = &loaded.config.gallery;
    if !gallery.exists() {
        fault::check_mounted(gallery).map_err(|source| GalleryError::Io {
            path: gallery.clone(),
            doing: "cannot open",
            source,
        })?;
    }
    // The confinement comes before any other thread starts. A check is not confined, because it touches nothing that it must be
    // kept from. The supervisor's socket and the broker, which opens devices, come before the confinement.
    let started = (!arguments.check).then(|| {
        confine::family();
        let supervisor = Supervisor::from_environment();
        let broker = Broker::start(&loaded.config);
        (confine(&loaded.config, Work::Door), broker, supervisor)
    });
    let journal = crate::journal::start();
    log::info!(
        "start version={} board={} models={}:{}",
        env!("CARGO_PKG_VERSION"),
        loaded.config.board,
        loaded.manifest.name,
        loaded.manifest.embedder
    );
    if let Some((confined, ..)) = &started {
        confined.log("door", log::Level::Info);
    }
    let set = loaded.manifest.embedder().threshold;
    if loaded.rule.threshold < set {
        log::warn!(
            "threshold_low threshold={} set={set} why=\"more strangers may come in\"",
            loaded.rule.threshold
        );
    }
    let reader = loaded.reader(loaded.gated())?;
    log::info!("engine about={:?}", reader.engine());
    if arguments.check {
        let gallery = crate::people::Gallery::load(&loaded.config.gallery)?;
        gallery.suits(reader.embedder_sha256(), &loaded.config.gallery)?;
        if let Source::Pictures(folder) = loaded.config.camera.parsed_source() {
            crate::capture::pictures::list(&folder)?;
        }
        let door = Loaded::at_the_door(overrides)?;
        door.reader(door.gated())?;
        door.bank()?;
        if arguments.outputs {
            drop(crate::output::open(&loaded.config.output)?);
        }
        drop(journal);
        let (path, people) = (loaded.config.gallery.display(), gallery.people().len());
        println!("configuration, models and gallery are in order");
        println!(
            "board {}, {people} people enrolled in {path}",
            loaded.config.board
        );
        if people == 0 {
            println!("nobody is enrolled: only the exit button opens");
        }
        return Ok(Exit::Done);
    }
    let (broker, supervisor) = match started {
        Some((_, broker, supervisor)) => (broker, supervisor),
        None => (Ok(Broker::none()), Supervisor::default()),
    };
    let result = broker.map_err(RunError::from).and_then(|broker| {
        crate::pipeline::run(
            &loaded.config,
            &loaded.manifest,
            loaded.rule,
            reader,
            &Arc::default(),
            broker,
            &supervisor,
        )
    });
    if let Err(error) = &result {
        log::error!("cannot_run why={:?}", error.to_string());
    }
    drop(journal);
    match result {
        Ok(()) => Ok(Exit::Done),
        Err(
            error @ (RunError::Policy(_)
            | RunError::Bank(_)
            | RunError::Capture(
                CaptureError::Settings(_)
                | CaptureError::Unreadable { .. }
                | CaptureError::Pictures { .. },
            )),
        ) => Err(error.into()),
        Err(error) => Err(Failure::machine(error)),
    }
}

/// Whether time runs faster than real time, which must not drive a real door.
fn is_fast(config: &crate::config::Config) -> Result<bool, Failure> {
    let fast = matches!(config.camera.parsed_source(), Source::Doorstep(script) if script.fast);
    if fast && config.output.driver != Driver::Log {
        return Err(Failure {
            exit: Exit::Usage,
            text: format!(
                "camera.source = {:?}: fast is for simulated outputs only; leave it out, or set output.driver = \"log\"",
                config.camera.source
            ),
        });
    }
    Ok(fast)
}
