//! `latchkey doorstep photos` and `cast`: write pictures of the people.

use std::path::{Path, PathBuf};

use image::{GenericImage, RgbImage};

use super::{Exit, Failure, Of, truth};
use crate::doorstep::{HEIGHT, SceneRenderer, WIDTH, picture};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    of: Of,
    /// Output folder: gets one folder of photos per person, and truth.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of photos of each person
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    each: u32,
    /// Also write photos of the strangers
    #[arg(long)]
    strangers: bool,
}

#[derive(clap::Args)]
pub struct Cast {
    #[command(flatten)]
    of: Of,
    /// PNG file to write
    #[arg(long, value_name = "OUT.png")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut stage = SceneRenderer::new(arguments.of.play());
    let script = stage.play().script();
    let people = script.residents
        + if arguments.strangers {
            script.strangers
        } else {
            0
        };
    let mut canvas = picture();
    let mut photos = Vec::new();
    for who in 0..people as usize {
        let name = stage.play().name(who);
        let folder = arguments.out.join(&name);
        std::fs::create_dir_all(&folder).map_err(|e| unwritten(&folder, &e))?;
        for k in 0..arguments.each {
            let seen = stage.photo(who, k, &mut canvas);
            let file = folder.join(format!("{k:03}.jpg"));
            save(&canvas, &file)?;
            let mut entry = truth(stage.play(), &seen);
            entry["photo"] = format!("{name}/{k:03}.jpg").into();
            photos.push(entry);
        }
    }
    let file = arguments.out.join("truth.json");
    let all = serde_json::json!({ "photos": photos });
    std::fs::write(&file, format!("{all:#}\n")).map_err(|e| unwritten(&file, &e))?;
    Ok(Exit::Done)
}

/// Writes a picture that shows everyone once, cut out around the face.
pub fn cast(arguments: &Cast) -> Result<Exit, Failure> {
    const SIDE: u32 = 160;
    const ROW: u32 = 11;
    let mut stage = SceneRenderer::new(arguments.of.play());
    let people = stage.play().script().residents + stage.play().script().strangers;
    let mut sheet = RgbImage::new(ROW.min(people) * SIDE, people.div_ceil(ROW) * SIDE);
    let mut canvas = picture();
    for who in 0..people {
        let seen = stage.photo(who as usize, 0, &mut canvas).bbox;
        let side = (1.9 * seen.width).min(HEIGHT as f32);
        let left = (seen.x + 0.5 * (seen.width - side)).clamp(0.0, WIDTH as f32 - side);
        let top = (seen.y + 0.42 * (seen.height - side)).clamp(0.0, HEIGHT as f32 - side);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the picture"
        )]
        let cut =
            image::imageops::crop_imm(&canvas, left as u32, top as u32, side as u32, side as u32)
                .to_image();
        let small =
            image::imageops::resize(&cut, SIDE, SIDE, image::imageops::FilterType::Triangle);
        // The sheet has room for all.
        let _ = sheet.copy_from(&small, who % ROW * SIDE, who / ROW * SIDE);
    }
    save(&sheet, &arguments.out)?;
    Ok(Exit::Done)
}

/// Saves a picture as JPEG of quality 95 if the file's name ends in `jpg`, otherwise as PNG.
pub fn save(picture: &RgbImage, file: &Path) -> Result<(), Failure> {
    let jpeg = file
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("jpg"));
    let written = if jpeg {
        std::fs::File::create(file)
            .map_err(image::ImageError::IoError)
            .and_then(|f| {
                picture.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(
                    std::io::BufWriter::new(f),
                    95,
                ))
            })
    } else {
        picture.save_with_format(file, image::ImageFormat::Png)
    };
    written.map_err(|e| unwritten(file, &e))
}

pub fn unwritten(file: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure {
        exit: Exit::Machine,
        text: format!("{}: cannot be written: {why}", file.display()),
    }
}
