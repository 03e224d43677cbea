//! The commands: what each reads, what it prints, and with which status it ends.
//!
//! Only here is anything printed to standard output.

mod bar;
mod bench;
mod change;
mod doorstep;
mod enroll;
mod eval;
mod failure;
mod identify;
mod learner;
mod loaded;
mod overrides;
mod people;
mod probe;
mod run;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use log::Level;
use rustix::process::DumpableBehavior;
use signal_hook::consts::SIGPIPE;

use self::failure::{Exit, Failure};
use self::loaded::Loaded;
use self::overrides::Options;
use crate::confine;
use crate::frame::PixelFormat;
use crate::learner::NAME;

/// Printed when a change of the enrolled people makes a fine-tuned network useless.
const NO_LONGER_TUNED: &str = "the fine-tuned network was for the people enrolled before: it is deleted, and the set's own \
                               is in use; `latchkey train --fine-tune` makes another";

#[derive(Parser)]
#[command(
    name = "latchkey",
    version,
    about = "Private, on-device face recognition that opens a door or turns on a light",
    after_help = "Exit status: 0 done;\n\
                  1 done, but the result is negative (no one recognised or enrolled, or a check found something wrong);\n\
                  2 wrong arguments, configuration or files: correct them;\n\
                  3 the machine failed (camera, GPIO, disk, memory): trying again may help.",
    propagate_version = true
)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch the camera and control the door until stopped
    #[command(after_help = "Example:\n  latchkey run --config /etc/latchkey/latchkey.toml")]
    Run(run::Arguments),
    /// Name the people in a photo
    #[command(
        after_help = "Example:\n  latchkey identify --model-files ~/models --draw seen.png party.jpg"
    )]
    Identify(identify::Arguments),
    /// Enrol a person from photos or with the camera
    #[command(
        after_help = "Examples:\n  latchkey enroll Ada ada/*.jpg\n  latchkey enroll Ada --camera"
    )]
    Enroll(enroll::Arguments),
    /// Enrol everyone from a folder of photos, and measure how well they are recognised
    #[command(after_help = "Example:\n  latchkey train --data photos --far 0.001")]
    Train(train::Arguments),
    /// List who is enrolled, or forget a person
    #[command(after_help = "Examples:\n  latchkey people\n  latchkey people remove Ada")]
    People(people::Arguments),
    /// Measure how well a model set tells people apart
    #[command(
        after_help = "Example:\n  latchkey eval pairs --pairs lfw/pairs.txt --images lfw/images --json"
    )]
    Eval(eval::Arguments),
    /// Measure how much time a frame takes, stage by stage
    #[command(after_help = "Example:\n  latchkey bench --faces 3 --threads 1 face.jpg")]
    Bench(bench::Arguments),
    /// Simulate visits of synthetic people, for tests
    #[command(
        after_help = "Examples:\n  latchkey doorstep photos 7 --out people\n  latchkey run --source doorstep:7\n  latchkey doorstep 7 --to /dev/video1"
    )]
    Doorstep(doorstep::Arguments),
    /// List cameras, GPIO chips, engines and model files, and what is wrong with each
    #[command(after_help = "Example:\n  latchkey probe --json")]
    Probe(probe::Arguments),
    /// Turn the relay off if the main process dies; started by `run` itself
    #[command(hide = true)]
    Guard,
    /// Open cameras and lines for the main process; started by `run` itself
    #[command(hide = true)]
    Broker,
}

/// Reads the command line, runs the command, and returns the status to end with.
#[must_use]
pub fn main() -> ExitCode {
    // The kernel gives this name to its first process. Another program that runs as the first one (in a container) has another
    // name.
    let name = std::env::args_os().next().unwrap_or_default();
    if name == "/init" {
        return crate::card::main();
    }
    // The first process starts another one with this name for the network.
    if name == crate::card::NETWORK {
        return crate::card::network();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            // Help and version are no errors; clap prints either to the right stream.
            let exit = if e.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            let _ = e.print();
            return exit.into();
        }
    };
    // Faces and templates are in this process's memory, and no core file and no debugger may get them.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let overrides = &arguments.options.overrides();
    if !matches!(arguments.command, Command::Run(_)) {
        crate::journal::start_plain();
    }
    if name == NAME {
        return match &arguments.command {
            Command::Enroll(a) => enroll::learn(overrides, a),
            Command::Train(a) => train::learn(overrides, a),
            _ => Exit::Usage.into(),
        };
    }
    // Commands that learn write to another process, which may end early, and they report that themselves.
    let writes = matches!(arguments.command, Command::Train(_) | Command::Enroll(_));
    let serves = matches!(
        arguments.command,
        Command::Run(_) | Command::Guard | Command::Broker
    );
    if !writes && !serves {
        end_when_unread();
    }
    match arguments.command {
        Command::Guard => {
            return crate::output::guard::run_guard(|| confine::guard().log("guard", Level::Debug));
        }
        Command::Broker => {
            return crate::broker::main(|| confine::broker().log("broker", Level::Debug));
        }
        _ => {}
    }
    let result = match &arguments.command {
        Command::Run(a) => run::run(overrides, a),
        Command::Identify(a) => identify::run(overrides, a),
        Command::Enroll(a) => enroll::run(overrides, a),
        Command::Train(a) => train::run(overrides, a),
        Command::People(a) => people::run(overrides, a),
        Command::Eval(a) => eval::run(overrides, a),
        Command::Bench(a) => bench::run(overrides, a),
        Command::Doorstep(a) => doorstep::run(overrides, a),
        Command::Probe(a) => probe::run(overrides, a),
        Command::Guard | Command::Broker => Ok(Exit::Done),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Libraries put line breaks into their messages; ours are one line.
            eprintln!("latchkey: {}", failure.text.replace('\n', " "));
            failure.exit.into()
        }
    }
}

/// Makes this process end when nothing reads its output any more, because the reader may have read enough (`latchkey identify ...
/// | head`).
fn end_when_unread() {
    let enough = Arc::new(AtomicBool::new(true));
    let _ = signal_hook::flag::register_conditional_shutdown(SIGPIPE, 0, enough);
}

/// A frame's pixel format, by its name in arguments. Every format has a name.
fn pixel_format(text: &str) -> Result<PixelFormat, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "give grey, nv12, yu12, yuyv, rgb3, bgr3 or mjpeg".to_owned())
}

/// Prints `value` as JSON, indented, with a newline.
fn print_json(value: &serde_json::Value) {
    println!("{value:#}");
}

/// The pictures that `paths` name: each file, and in each folder the files that are meant as pictures.
fn pictures(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(crate::capture::pictures::list(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}
