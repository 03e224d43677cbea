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
    /// Run the protocol of Labeled Faces in the Wild: decide, in folds, whether pairs of pictures show the same person
    #[command(
        after_help = "Example:\n  latchkey eval pairs --pairs lfw/pairs.txt --images lfw/images --json"
    )]
    Pairs(pairs::Arguments),
    /// Test a household among strangers: who is let in, who is refused, and who is mistaken for another
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
