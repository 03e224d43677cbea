//! `latchkey eval`: how well a model set tells people apart.

mod pairs;
mod people;

use super::{Exit, Failure};
use crate::config::Overrides;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The protocol of Labeled Faces in the Wild: same person or not, in folds
    #[command(
        after_help = "Example:\n  latchkey eval pairs --pairs lfw/pairs.txt --images lfw/images --json"
    )]
    Pairs(pairs::Arguments),
    /// A household among strangers: who is let in, refused, taken for another
    #[command(
        after_help = "Example:\n  latchkey eval people --data lfw/images --people 5 --photos 25 --curve curve.svg"
    )]
    People(people::Arguments),
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Pairs(a) => pairs::run(asked, a),
        Command::People(a) => people::run(asked, a),
    }
}
