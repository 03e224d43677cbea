//! `latchkey doorstep frames`: writes frames of the play, and who is where in them, for training and judging detectors.

use std::path::PathBuf;

use super::photos::{save, unwritten};
use super::{Exit, Failure, Of, truth};
use crate::capture::convert::from_rgb;
use crate::cli::pixel_format;
use crate::doorstep::{HEIGHT, SceneRenderer, WIDTH, picture};
use crate::frame::PixelFormat;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    of: Of,
    /// Output folder: gets the frames, and truth.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of frames, spread evenly over the visits
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Write raw frames of this pixel format instead of PNG: yuyv, nv12, yu12, grey, rgb3 or bgr3
    #[arg(long, value_name = "FORMAT", value_parser = pixel_format)]
    raw: Option<PixelFormat>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut stage = SceneRenderer::new(arguments.of.play());
    std::fs::create_dir_all(&arguments.out).map_err(|e| unwritten(&arguments.out, &e))?;
    let visits = stage.play().visits().to_vec();
    let (mut canvas, mut bytes) = (picture(), Vec::new());
    let mut frames = Vec::new();
    for k in 0..arguments.count {
        // The visits follow one after the other, and each frame shows another moment of its visit.
        let visit = &visits[k as usize * visits.len() / arguments.count as usize];
        let moment = (k as f32 * 0.618_034).fract();
        let seen = stage.draw(
            (visit.until - visit.from).mul_add(moment, visit.from),
            &mut canvas,
        );
        let name = match arguments.raw {
            None => {
                let name = format!("{k:05}.png");
                save(&canvas, &arguments.out.join(&name))?;
                name
            }
            Some(format) => {
                let name = format!("{k:05}.raw");
                from_rgb(&canvas, WIDTH as u32, HEIGHT as u32, format, &mut bytes)?;
                let path = arguments.out.join(&name);
                std::fs::write(&path, &bytes).map_err(|e| unwritten(&path, &e))?;
                name
            }
        };
        let faces: Vec<_> = seen.iter().map(|s| truth(stage.play(), s)).collect();
        frames.push(serde_json::json!({ "frame": name, "faces": faces }));
    }
    let file = arguments.out.join("truth.json");
    let all = serde_json::json!({ "frames": frames });
    std::fs::write(&file, format!("{all:#}\n")).map_err(|e| unwritten(&file, &e))?;
    Ok(Exit::Done)
}
