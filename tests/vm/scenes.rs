//! Makes what the camera of the scenarios shows: moments at the doorstep, as raw frames in a camera's format. The content is
//! fixed, so that two runs show the same frames.
//!
//! Ada and Ben are the residents. `enrolment` lists photos to enrol them with, which no scene shows. `truth` lists the scenes
//! in their order as `SCENE WHO FRAMES`, where WHO is a name, `stranger` or `none`. The frames are SCENE.N.raw.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Parser;
use image::{Rgb, RgbImage};
use latchkey::capture::convert;
use latchkey::doorstep::{HEIGHT, Play, SceneRenderer, Script, WIDTH, picture};
use latchkey::frame::PixelFormat;

#[derive(Parser)]
struct Arguments {
    /// Where the scenes go
    out: PathBuf,
    /// yuyv, nv12 or grey
    #[arg(long)]
    format: String,
    /// Write every frame as PNG too, to look at
    #[arg(long)]
    png: bool,
}

const PLAY: &str = "4,visits=60,residents=2,strangers=9";
/// The number of frames in a scene. They are a tenth of a second apart.
const FRAMES: u32 = 3;
/// The number of photos to enrol each resident with.
const ENROLMENT: u32 = 8;

#[derive(Clone, Copy)]
enum Shown {
    /// The name, Ada or Ben, and the number of the visit among that person's visits.
    Resident(usize, usize),
    /// The number of the visit among the strangers' visits.
    Stranger(usize),
    /// A parcel, a ball and a clock.
    Things,
    Empty,
}

const SCENES: [(&str, Shown); 8] = [
    ("empty", Shown::Empty),
    ("visit-1", Shown::Resident(0, 0)),
    ("thing", Shown::Things),
    ("visit-2", Shown::Resident(1, 0)),
    ("stranger-1", Shown::Stranger(0)),
    ("stranger-2", Shown::Stranger(1)),
    ("visit-3", Shown::Resident(0, 1)),
    ("stranger-3", Shown::Stranger(2)),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // Each format shows different visits.
    let (variant, format) = match arguments.format.as_str() {
        "yuyv" => (0, PixelFormat::Yuyv),
        "nv12" => (1, PixelFormat::Nv12),
        "grey" => (2, PixelFormat::Grey),
        other => return Err(format!("--format {other}: yuyv, nv12 or grey").into()),
    };
    let mut renderer = SceneRenderer::new(Play::new(&PLAY.parse::<Script>()?));
    let mut canvas = picture();
    std::fs::create_dir_all(&arguments.out)?;

    let mut enrolment = String::new();
    for who in 0..2 {
        let name = renderer.play().name(who);
        for k in 0..ENROLMENT {
            renderer.photo(who, k, &mut canvas);
            let file = arguments.out.join(format!("{name}-{k}.jpg"));
            canvas.save(&file)?;
            writeln!(enrolment, "{name} {}", file.display())?;
        }
    }
    std::fs::write(arguments.out.join("enrolment"), enrolment)?;

    // The middle of a visit of one person, because the person is then near the camera.
    let middle = |play: &Play, wanted: &dyn Fn(usize) -> bool, nth: usize| {
        let visits = play.visits().iter();
        let mut alone = visits.filter(|v| v.who.len() == 1 && wanted(v.who[0]));
        alone.nth(nth).map(|v| 0.5 * (v.from + v.until))
    };
    let mut truth = String::new();
    for (scene, shown) in SCENES {
        let play = renderer.play();
        let (label, at) = match shown {
            Shown::Resident(who, nth) => (
                play.name(who),
                middle(play, &|w| w == who, 2 * variant + nth),
            ),
            Shown::Stranger(nth) => {
                let stranger = |w| !play.lives_here(w);
                (
                    "stranger".to_owned(),
                    middle(play, &stranger, 3 * variant + nth),
                )
            }
            Shown::Things | Shown::Empty => ("none".to_owned(), Some(0.0)),
        };
        let at = at.ok_or("the play has too few visits")?;
        for step in 0..FRAMES {
            renderer.draw(0.1f32.mul_add(step as f32, at), &mut canvas);
            if let Shown::Things = shown {
                things(&mut canvas, 2 * step);
            }
            let file = |kind: &str| arguments.out.join(format!("{scene}.{}.{kind}", step + 1));
            let mut raw = Vec::new();
            convert::from_rgb(&canvas, WIDTH as u32, HEIGHT as u32, format, &mut raw)?;
            std::fs::write(file("raw"), raw)?;
            if arguments.png {
                canvas.save(file("png"))?;
            }
        }
        writeln!(truth, "{scene} {label} {FRAMES}")?;
    }
    std::fs::write(arguments.out.join("truth"), truth)?;
    Ok(())
}

fn things(canvas: &mut RgbImage, to: u32) {
    for (x, y, pixel) in canvas.enumerate_pixels_mut() {
        let round = |cx: u32, cy: u32| f32::hypot(x as f32 - cx as f32, y as f32 - cy as f32);
        if (120 + to..270 + to).contains(&x) && (280..400).contains(&y) {
            let tape = (185 + to..205 + to).contains(&x);
            *pixel = Rgb(if tape { [120, 90, 60] } else { [190, 150, 105] });
        }
        if round(460 + to, 330) < 60.0 {
            let shade = 220.0 - 1.4 * round(440 + to, 305);
            *pixel = Rgb([shade as u8, 60, 50]);
        }
        let (clock, angle) = (round(330, 120), (x as f32 - 330.0).atan2(y as f32 - 120.0));
        if clock < 50.0 {
            let mark = clock > 38.0 && (angle * 6.0 / std::f32::consts::PI).fract().abs() < 0.15;
            let hand = clock < 30.0 && (angle - 2.0).abs() < 0.08;
            *pixel = Rgb(if clock > 46.0 || mark || hand {
                [30; 3]
            } else {
                [235; 3]
            });
        }
    }
}
