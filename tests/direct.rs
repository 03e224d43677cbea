//! A camera's buffer is the detector's input: the faces are the same as with a sampled input, and no pixel is sampled.

use std::sync::Arc;
use std::time::Duration;

use latchkey::capture::{self, CameraEvent, CameraSettings};
use latchkey::doorstep::{HEIGHT, Play, SceneRenderer, Script, WIDTH, picture};
use latchkey::face::{Detection, Detector, Stages};
use latchkey::frame::{BEHIND, Image, Layout, PixelFormat, Range, Sampler, Slot};
use latchkey::nn::{EngineSettings, Manifest, ModelFile};
use latchkey::wakeup::{Wakeup, WakingSender};

/// The set's detector, with or without the variant that takes a camera's bytes.
fn detector(with_direct: bool) -> Detector {
    let manifest = Manifest::load(&"latchkey".parse().unwrap()).unwrap();
    // The models are in the folder where the test was built, or in the virtual machine beside the test.
    let built = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folders = [built, "models".into()];
    let open = |file: &str, sha256: &str| {
        let path = ModelFile::find(file, &folders).unwrap();
        ModelFile::open(&path, sha256, "models").unwrap()
    };
    let d = &manifest.detector;
    let direct = d.direct.as_ref().filter(|_| with_direct);
    let direct = direct.map(|m| open(&m.file, &m.sha256));
    let engine = EngineSettings::default().build();
    Detector::load(
        engine.as_ref(),
        &open(&d.file, &d.sha256),
        direct.as_ref(),
        d,
    )
    .unwrap()
}

/// The luma of moments with a person at the door.
fn moments() -> Vec<Vec<u8>> {
    let play = Play::new(&"5,visits=6".parse::<Script>().unwrap());
    let times: Vec<f32> = play
        .visits()
        .iter()
        .map(|v| 0.5 * (v.from + v.until))
        .collect();
    let (mut renderer, mut canvas) = (SceneRenderer::new(play), picture());
    let mut luma = |t: &f32| {
        renderer.draw(*t, &mut canvas);
        let grey = |p: &image::Rgb<u8>| {
            let [r, g, b] = p.0.map(u32::from);
            ((77 * r + 150 * g + 29 * b) >> 8) as u8
        };
        canvas.pixels().map(grey).collect()
    };
    times.iter().map(&mut luma).collect()
}

/// The faces that `detector` finds in `luma`, which is laid out as `format` with `behind` bytes after it; and the number of
/// pixels that it sampled.
fn found(
    detector: &mut Detector,
    format: PixelFormat,
    luma: &[u8],
    behind: usize,
) -> (Vec<Detection>, u64) {
    let layout = Layout {
        range: Range::Full,
        ..Layout::packed(format, WIDTH as u32, HEIGHT as u32)
    };
    let used = layout.bytes();
    // The bytes begin at the start of a page, as in a camera's memory.
    let mut memory = vec![128; 4096 + used + behind];
    let at = memory.as_ptr().align_offset(4096);
    memory[at..at + luma.len()].copy_from_slice(luma);
    let image = Image::new(layout, &memory[at..at + used + behind]).unwrap();
    look(detector, &image)
}

/// The faces that `detector` finds in `image`, and the number of pixels that it sampled.
fn look(detector: &mut Detector, image: &Image<'_>) -> (Vec<Detection>, u64) {
    let (window, mut sampler, mut stages) = (
        detector.whole(image),
        Sampler::new(640, 640),
        Stages::start(),
    );
    let found = detector
        .detect(image, &window, &mut sampler, &mut stages)
        .unwrap();
    (found.to_vec(), stages.detect_sampled)
}

fn same(a: &[Detection], b: &[Detection]) -> bool {
    let numbers = |d: &Detection| {
        let points = d.landmarks().unwrap();
        (
            d.score.to_bits(),
            d.bbox,
            points.map(|p| (p.x.to_bits(), p.y.to_bits())),
        )
    };
    a.iter().map(numbers).eq(b.iter().map(numbers))
}

#[test]
fn a_cameras_buffer_is_the_detectors_input() {
    let (mut sampled, mut direct) = (detector(false), detector(true));
    let moments = moments();
    // Only a run shows whether this TensorFlow Lite can take its input from other memory.
    let takes = found(&mut direct, PixelFormat::Grey, &moments[0], BEHIND).1 == 0;
    // Only the version for x86_64 cannot do this. All pixels are then sampled, and the faces are the same.
    assert!(takes || cfg!(target_arch = "x86_64"));
    let mut faces = 0;
    for luma in &moments {
        let (wanted, read) = found(&mut sampled, PixelFormat::Grey, luma, 0);
        assert_eq!(read, 640 * 480);
        faces += wanted.len();
        for format in [PixelFormat::Grey, PixelFormat::Nv12, PixelFormat::Yu12] {
            let (got, read) = found(&mut direct, format, luma, BEHIND);
            assert!(
                same(&wanted, &got),
                "{format}: {wanted:?} but in place {got:?}"
            );
            assert_eq!(read, if takes { 0 } else { 640 * 480 }, "{format}");
        }
        // Every other frame is sampled, and for that frame the detector must use its own input again.
        let (got, read) = found(&mut direct, PixelFormat::Yuyv, &twice(luma), BEHIND);
        assert!(same(&wanted, &got), "YUYV");
        assert_eq!(read, 640 * 480);
        // Without bytes after the last line the buffer is not used in place, as an engine reads past its end.
        assert_eq!(found(&mut direct, PixelFormat::Grey, luma, 0).1, 640 * 480);
    }
    assert!(faces >= moments.len() / 2, "{faces} faces");
}

/// The bytes of `luma` with chroma between them.
fn twice(luma: &[u8]) -> Vec<u8> {
    luma.iter().flat_map(|v| [*v, 128]).collect()
}

/// Runs in the virtual machine, where LATCHKEY_CAMERA is a device node and LATCHKEY_CAMERA_FORMAT the format that it delivers.
#[test]
#[ignore = "needs a camera"]
fn a_real_cameras_buffer_is_the_detectors_input() {
    let setting = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let camera = format!(
        "source = {:?}\nformat = {:?}\n",
        setting("LATCHKEY_CAMERA"),
        setting("LATCHKEY_CAMERA_FORMAT")
    );
    let settings: CameraSettings = toml::from_str(&camera).unwrap();
    let slot = Arc::new(Slot::new());
    let (sender, events) = crossbeam_channel::bounded(16);
    let sender = WakingSender::new(sender, Arc::new(Wakeup::new().unwrap()));
    let running =
        capture::start(&settings, Arc::clone(&slot), std::thread::current(), sender).unwrap();
    let (mut sampled, mut direct) = (detector(false), detector(true));
    let (mut frames, mut faces) = (0, 0);
    while frames < 6 {
        let Some(lease) = slot.take() else {
            std::thread::park_timeout(Duration::from_secs(5));
            assert!(
                !matches!(events.try_recv(), Ok(CameraEvent::Down { .. })),
                "no camera"
            );
            continue;
        };
        let image = lease.image().unwrap();
        assert_eq!(Some(image.layout().format), settings.format);
        let (wanted, read) = look(&mut sampled, &image);
        assert_eq!(read, 640 * 480);
        let (got, read) = look(&mut direct, &image);
        assert_eq!(read, 0);
        assert!(same(&wanted, &got), "{wanted:?} but in place {got:?}");
        println!(
            "frame {}: {} faces, {read} pixels sampled",
            lease.sequence(),
            got.len()
        );
        (frames, faces) = (frames + 1, faces + got.len());
    }
    assert!(faces > 0);
    running.stop();
}
