//! `latchkey identify`: who is in a photo.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Exit, Failure, Loaded, pictures, print_json};
use crate::capture::Photo;
use crate::config::Overrides;
use crate::fault;
use crate::lab::{Named, draw, name};
use crate::people::Gallery;

#[derive(clap::Args)]
pub struct Arguments {
    /// Photos (JPEG or PNG), or folders of them
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Write the photo with boxes, landmarks and names to this PNG file (one photo only)
    #[arg(long, value_name = "OUT.png")]
    draw: Option<PathBuf>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Ends with [`Exit::No`] if no photo shows anybody enrolled.
pub fn run(overrides: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let photos = pictures(&arguments.photos)?;
    if let (Some(_), false) = (&arguments.draw, photos.len() == 1) {
        return Err(Failure {
            exit: Exit::Usage,
            text: format!("--draw takes one photo, {} were given", photos.len()),
        });
    }
    let loaded = Loaded::at_the_door(overrides)?;
    let gallery = Gallery::load(&loaded.config.gallery)?;
    let mut reader = loaded.reader(loaded.gated())?;
    let identifier = loaded.identifier(&gallery, &reader)?;

    let (mut reports, mut anybody, mut broken) = (Vec::new(), false, None);
    for path in &photos {
        let photo = match Photo::open(path) {
            Ok(photo) => photo,
            // One bad photo among many does not stop the others, and the exit status reports it.
            Err(e) if photos.len() > 1 => {
                eprintln!("latchkey: {e}");
                reports.push(json!({"photo": path, "error": e.to_string()}));
                // The status recommends another attempt if that may help with one of the photos.
                broken = match fault::is_machines(&e) {
                    true => Some(Exit::Machine),
                    false => broken.or(Some(Exit::Usage)),
                };
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let named: Vec<Named> = reader
            .read_photo(&photo.image())?
            .iter()
            .map(|face| name(face, &identifier, &gallery))
            .collect();
        anybody |= named.iter().any(|n| n.name.is_some());
        if arguments.json {
            reports.push(report(path, &photo, &named));
        } else {
            print(path, &named, photo.scale(), gallery.people().is_empty());
        }
        if let Some(out) = &arguments.draw {
            save(photo.into_picture(), &named, out)?;
        }
    }
    if arguments.json {
        print_json(&json!({ "photos": reports }));
    }
    Ok(match (broken, anybody) {
        (Some(exit), _) => exit,
        (None, true) => Exit::Done,
        (None, false) => Exit::No,
    })
}

/// Writes `canvas` with the faces marked to the PNG file `out`.
fn save(mut canvas: image::RgbImage, named: &[Named], out: &Path) -> Result<(), Failure> {
    // Lines and letters grow with the photo, so that they are as visible on a large photo as on a small one.
    let unit = i64::from(canvas.width().max(canvas.height()) / 500).max(1);
    for n in named {
        draw::face(&mut canvas, &n.face, 1.0, n.colour(), &n.label(), unit);
    }
    let written = canvas.save_with_format(out, image::ImageFormat::Png);
    written.map_err(|e| Failure {
        exit: Exit::Machine,
        text: format!("{}: cannot write the picture: {e}", out.display()),
    })
}

/// Prints the faces of a photo, in pixels of its file. One pixel of the picture that was read is `scale` pixels of the file.
fn print(path: &Path, named: &[Named], scale: f32, none_enrolled: bool) {
    let path = path.display();
    if named.is_empty() {
        println!("{path}: no face");
    }
    for Named { face, found, name } in named {
        let b = face.bbox.scaled(scale);
        let who = match (name, found, &face.embedding) {
            (Some(name), Some(f), _) => format!("{name} (confidence {:.2})", f.score),
            (None, Some(_), _) if none_enrolled => "unknown: nobody is enrolled".to_owned(),
            (None, Some(f), _) => format!("unknown (nearest {:.2}, next {:.2})", f.score, f.next),
            (_, None, Err(unfit)) => format!("unknown: {unfit}"),
            (_, None, Ok(_)) => "unknown".to_owned(),
        };
        println!(
            "{path}: {who}, box {:.0},{:.0} {:.0}x{:.0}, detection {:.2}",
            b.x, b.y, b.width, b.height, face.score
        );
    }
}

/// The faces of a photo as JSON, in pixels of its file.
fn report(path: &Path, photo: &Photo, named: &[Named]) -> Value {
    let (layout, scale) = (photo.image().layout(), photo.scale());
    let faces: Vec<Value> = named
        .iter()
        .map(|Named { face, found, name }| {
            json!({
                "box": face.bbox.scaled(scale),
                "score": face.score,
                "landmarks": face.landmarks.map(|p| p.scaled(scale)),
                "quality": face.quality,
                "unfit": face.embedding.as_ref().err(),
                "name": name,
                "confidence": found.map(|f| f.score),
                "next": found.map(|f| f.next),
            })
        })
        .collect();
    let side = |pixels: u32| (pixels as f32 * scale).round() as u32;
    json!({
        "photo": path,
        "width": side(layout.width),
        "height": side(layout.height),
        "faces": faces,
    })
}
