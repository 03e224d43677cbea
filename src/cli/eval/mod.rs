//! `latchkey eval`: how well a model set tells people apart.

mod chart;
mod pairs;
mod people;
mod protocol;

use super::{Exit, Failure};
use crate::config::Overrides;
use crate::face::{Face, Point};
use crate::frame::Layout;

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

/// The face nearest to the middle of a photo, where the subject of these pictures is.
#[expect(clippy::cast_precision_loss, reason = "pixels of a photo")]
fn subject(faces: &[Face], layout: Layout) -> Option<&Face> {
    let middle = Point {
        x: 0.5 * layout.width as f32,
        y: 0.5 * layout.height as f32,
    };
    let off = |face: &Face| face.bbox.centre().distance(middle);
    faces.iter().min_by(|a, b| off(a).total_cmp(&off(b)))
}

pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Pairs(a) => pairs::run(asked, a),
        Command::People(a) => people::run(asked, a),
    }
}
