//! Prints how long the sampler takes, which has no limit here (`cargo test --release --test sampler_speed
//! -- --nocapture`), and checks that the values it writes are in range and not all black.

use std::time::{Duration, Instant};

use latchkey::frame::{
    Channels, Encoding, Image, Layout, PixelFormat, Sampler, Similarity, Target, TensorMut,
};

/// Bytes of a picture whose three components each rise evenly, without two equal lines.
fn picture(layout: Layout) -> Vec<u8> {
    (0..layout.bytes())
        .map(|i| (40 + (i / 7 + i * 31 % 17) % 180) as u8)
        .collect()
}

/// The shortest and the median time of many runs: the first shows the code's speed, the second also the machine's load.
fn measure(mut run: impl FnMut() -> u64) -> (Duration, Duration, u64) {
    let runs = if cfg!(debug_assertions) { 20 } else { 4000 };
    let mut pixels = 0;
    let mut times: Vec<_> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            pixels = run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[0], times[runs / 2], pixels)
}

fn time(name: &str, format: PixelFormat, map: &Similarity, side: u32, channels: Channels) {
    let layout = Layout::packed(format, 640, 480);
    let bytes = picture(layout);
    let image = Image::new(layout, &bytes).expect("the picture has the size of its layout");
    let mut sampler = Sampler::new(layout.width, side);
    let mut data = vec![f32::NAN; side as usize * side as usize * channels.count()];
    let (best, median, pixels) = measure(|| {
        let mut target = Target {
            width: side,
            height: side,
            encoding: Encoding {
                channels,
                mean: [127.5; 3],
                scale: [1.0 / 127.5; 3],
            },
            data: TensorMut::F32(&mut data),
        };
        sampler
            .sample(&image, map, &mut target)
            .expect("the target has the size it claims")
    });
    println!("{name:32} {format} best {best:8.1?} median {median:8.1?} {pixels:7} pixels");
    assert!(
        data.iter().all(|v| (-1.0..=1.0).contains(v)),
        "{name}: a value beyond black or white"
    );
    assert!(data.iter().any(|v| *v > -0.5), "{name}: nothing but black");
}

#[test]
fn sampled_values_are_in_range_and_times_are_printed() {
    let letterbox = Similarity::letterbox((640, 480), (128, 128));
    let crop = Similarity::crop(200.5, 120.25, 301.0, 48);
    let close = Similarity::crop(200.0, 120.0, 240.0, 48);
    let turned = |scale: f32| {
        let (a, b) = (scale * 0.3_f32.cos(), scale * 0.3_f32.sin());
        // The target's centre is at the picture's centre.
        let (tx, ty) = (320.0 - 64.0 * (a - b), 240.0 - 64.0 * (a + b));
        Similarity { a, b, tx, ty }
    };
    for format in PixelFormat::ALL {
        if format == PixelFormat::Mjpeg {
            continue;
        }
        time(
            "letterbox, 5 to 1, to 128",
            format,
            &letterbox,
            128,
            Channels::Rgb,
        );
        let odd = Similarity::letterbox((640, 480), (192, 192));
        time(
            "letterbox, 3.33 to 1, to 192",
            format,
            &odd,
            192,
            Channels::Rgb,
        );
        time("crop, 2.09 to 1, to 48", format, &crop, 48, Channels::Rgb);
        time("crop, 0.83 to 1, to 48", format, &close, 48, Channels::Rgb);
        time(
            "turned, 1.17 to 1, to 128",
            format,
            &turned(1.17),
            128,
            Channels::Bgr,
        );
        time(
            "turned, 0.9 to 1, to 128",
            format,
            &turned(0.9),
            128,
            Channels::Bgr,
        );
        time(
            "turned, 2.5 to 1, to 128",
            format,
            &turned(2.5),
            128,
            Channels::Bgr,
        );
    }
}
