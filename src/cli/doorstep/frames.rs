//! `latchkey doorstep frames`: moments of the play, and who is where in them; to train and to judge detectors with.

use std::path::PathBuf;

use super::photos::{save, unwritten};
use super::{Exit, Failure, Of, truth};
use crate::doorstep::{Stage, picture};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    of: Of,
    /// Folder for the frames, and for truth.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Frames, evenly spread over the visits
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut stage = Stage::new(arguments.of.play());
    std::fs::create_dir_all(&arguments.out).map_err(|e| unwritten(&arguments.out, &e))?;
    let visits = stage.play().visits().to_vec();
    let mut canvas = picture();
    let mut frames = Vec::new();
    for k in 0..arguments.count {
        // Visits in turn; in each another moment.
        let visit = &visits[k as usize * visits.len() / arguments.count as usize];
        let moment = (k as f32 * 0.618_034).fract();
        let seen = stage.draw(
            (visit.until - visit.from).mul_add(moment, visit.from),
            &mut canvas,
        );
        let name = format!("{k:05}.png");
        save(&canvas, &arguments.out.join(&name))?;
        let faces: Vec<_> = seen.iter().map(|s| truth(stage.play(), s)).collect();
        frames.push(serde_json::json!({ "frame": name, "faces": faces }));
    }
    let file = arguments.out.join("truth.json");
    let all = serde_json::json!({ "frames": frames });
    std::fs::write(&file, format!("{all:#}\n")).map_err(|e| unwritten(&file, &e))?;
    Ok(Exit::Done)
}
