//! Scores are the same on every processor: the cosines of a few pairs of photos, computed by detector,
//! landmarks, alignment and both embedders, are compared with the cosines measured on x86_64. A run on aarch64
//! (also under qemu-user) shows that the other TensorFlow Lite used there computes the same.

mod common;

use latchkey::capture::Photo;
use latchkey::face::{Embedding, Gate, Reader, Settings};
use latchkey::nn::{EngineSettings, Manifest};

/// The greatest difference that is allowed between processors and engine settings.
const TOLERANCE: f32 = 1e-3;

/// Two photos, and the cosine that each embedder gives for them, measured on x86_64 with XNNPACK.
const PAIRS: [(&str, &str, [f32; 2]); 3] = [
    (
        "Abel_Pacheco/Abel_Pacheco_0001",
        "Abel_Pacheco/Abel_Pacheco_0004",
        [0.608_065, 0.663_026],
    ),
    (
        "Amber_Tamblyn/Amber_Tamblyn_0001",
        "Amber_Tamblyn/Amber_Tamblyn_0002",
        [0.815_375, 0.795_865],
    ),
    (
        "Abel_Pacheco/Abel_Pacheco_0001",
        "Amber_Tamblyn/Amber_Tamblyn_0001",
        [0.043_798, -0.031_708],
    ),
];

fn scores_equal_those_of_x86_64() -> Result<(), String> {
    let shared = common::shared()?;
    for (place, set) in ["reference", "reference:mobilefacenet"]
        .into_iter()
        .enumerate()
    {
        let manifest = Manifest::load(&set.parse().unwrap()).unwrap();
        let settings = Settings {
            gate: Gate::OPEN,
            ..Settings::default()
        };
        let folders = [shared.join("models")];
        let mut reader =
            Reader::load(&manifest, &folders, EngineSettings::default(), settings).unwrap();
        let mut embed = |name: &str| -> Embedding {
            let file = shared.join(format!("faces/lfw-dev/images/{name}.jpg"));
            let photo = Photo::open(&file).unwrap();
            reader.read(&photo.image()).unwrap()[0].embedding.unwrap()
        };
        for (a, b, scores) in PAIRS {
            let score = embed(a).cosine(embed(b).values());
            println!("{set} {a} {b} {score:.6}");
            assert!(
                (score - scores[place]).abs() <= TOLERANCE,
                "{set} {a} {b}: {score}"
            );
        }
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    common::harness::run(crate::tests![scores_equal_those_of_x86_64])
}
