//! Compares the sampler with its definition, computed pixel by pixel in double precision: the whole picture is turned into
//! RGB first, then squares of it are averaged.

use proptest::prelude::*;

use super::*;
use crate::frame::Range;
use crate::frame::{Layout, PixelFormat};

/// How far raw values (0 to 255) may be off, because of single precision and of edges that were moved by up to 1e-4 of a
/// pixel.
const TOLERANCE: f64 = 0.1;

const FORMATS: [PixelFormat; 6] = [
    PixelFormat::Grey,
    PixelFormat::Nv12,
    PixelFormat::Yu12,
    PixelFormat::Yuyv,
    PixelFormat::Rgb3,
    PixelFormat::Bgr3,
];

/// Bytes without a pattern (xorshift), padding included.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Red, green and blue of every pixel, line by line, not clamped.
fn to_rgb(layout: Layout, bytes: &[u8], range: Range) -> Vec<[f64; 3]> {
    let (w, h) = (layout.width as usize, layout.height as usize);
    let stride = layout.stride as usize;
    let mut pixels = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let at = |offset: usize| f64::from(bytes[offset]);
            let yuv = match layout.format {
                PixelFormat::Grey => {
                    pixels.push([at(y * stride + x); 3]);
                    continue;
                }
                PixelFormat::Rgb3 | PixelFormat::Bgr3 => {
                    let pixel = y * stride + 3 * x;
                    let mut rgb = [at(pixel), at(pixel + 1), at(pixel + 2)];
                    if layout.format == PixelFormat::Bgr3 {
                        rgb.reverse();
                    }
                    pixels.push(rgb);
                    continue;
                }
                PixelFormat::Yuyv => {
                    let group = y * stride + x / 2 * 4;
                    [at(group + x % 2 * 2), at(group + 1), at(group + 3)]
                }
                PixelFormat::Nv12 => {
                    let line = h * stride + y / 2 * (stride + stride % 2);
                    [
                        at(y * stride + x),
                        at(line + x / 2 * 2),
                        at(line + x / 2 * 2 + 1),
                    ]
                }
                PixelFormat::Yu12 => {
                    let half = stride.div_ceil(2);
                    let cb = h * stride;
                    let cr = cb + half * h.div_ceil(2);
                    let chroma = y / 2 * half + x / 2;
                    [at(y * stride + x), at(cb + chroma), at(cr + chroma)]
                }
                PixelFormat::Mjpeg => unreachable!("not among the formats tested"),
            };
            let [y, cb, cr] = [yuv[0], yuv[1] - 128.0, yuv[2] - 128.0];
            pixels.push(match range {
                // The usual coefficients, rounded.
                Range::Limited => {
                    let y = 1.164_383_6 * (y - 16.0);
                    [
                        y + 1.596_026_8 * cr,
                        y - 0.391_762_3 * cb - 0.812_967_6 * cr,
                        y + 2.017_232_1 * cb,
                    ]
                }
                Range::Full => [
                    y + 1.402 * cr,
                    y - 0.344_136_3 * cb - 0.714_136_3 * cr,
                    y + 1.772 * cb,
                ],
            });
        }
    }
    pixels
}

/// The average over the square of `side` pixels around (x, y); outside the picture it is black.
fn average(layout: Layout, rgb: &[[f64; 3]], (x, y): (f64, f64), side: f64) -> [f64; 3] {
    let overlap = |centre: f64, at: u32| {
        let at = f64::from(at);
        let (from, to) = (centre - side / 2.0, centre + side / 2.0);
        (to.min(at + 1.0) - from.max(at)).max(0.0) / side
    };
    let touched = |centre: f64, limit: u32| {
        let limit_f = f64::from(limit);
        let from = (centre - side / 2.0).floor().clamp(0.0, limit_f) as u32;
        from..(centre + side / 2.0).ceil().clamp(0.0, limit_f) as u32
    };
    let mut sum = [0.0; 3];
    for j in touched(y, layout.height) {
        for i in touched(x, layout.width) {
            let weight = overlap(x, i) * overlap(y, j);
            let pixel = rgb[(j * layout.width + i) as usize];
            for c in 0..3 {
                sum[c] += weight * pixel[c];
            }
        }
    }
    sum
}

/// The tensor's expected channels before encoding, 0 to 255.
fn expected(
    layout: Layout,
    bytes: &[u8],
    range: Range,
    map: &Similarity,
    (width, height): (u32, u32),
    channels: Channels,
) -> Vec<f64> {
    let rgb = to_rgb(layout, bytes, range);
    let white = vec![[1.0; 3]; rgb.len()];
    let video = range == Range::Limited
        && matches!(
            layout.format,
            PixelFormat::Nv12 | PixelFormat::Yu12 | PixelFormat::Yuyv
        );
    let (a, b) = (f64::from(map.a), f64::from(map.b));
    let place = |u: f64, v: f64| {
        (
            a * u - b * v + f64::from(map.tx),
            b * u + a * v + f64::from(map.ty),
        )
    };
    let mut values = Vec::new();
    for v in 0..height {
        for u in 0..width {
            let (u, v) = (f64::from(u), f64::from(v));
            let seen = |picture: &[[f64; 3]]| {
                if b == 0.0 && a > 0.0 {
                    average(layout, picture, place(u + 0.5, v + 0.5), a.max(1.0))
                } else {
                    let n = a.hypot(b).round().max(1.0);
                    let mut sum = [0.0; 3];
                    for tap in 0..(n * n) as u32 {
                        let (i, j) = (f64::from(tap) % n, (f64::from(tap) / n).floor());
                        let at = place(u + (i + 0.5) / n, v + (j + 0.5) / n);
                        let colour = average(layout, picture, at, 1.0);
                        for c in 0..3 {
                            sum[c] += colour[c] / (n * n);
                        }
                    }
                    sum
                }
            };
            let [r, g, b] = seen(&rgb);
            let grey = 0.299 * r + 0.587 * g + 0.114 * b;
            match channels {
                Channels::Rgb => values.extend([r, g, b]),
                Channels::Bgr => values.extend([b, g, r]),
                Channels::Luma if video => {
                    values.push(grey * 219.0 / 255.0 + 16.0 * seen(&white)[0]);
                }
                Channels::Grey | Channels::Luma => values.push(grey),
            }
        }
    }
    for value in &mut values {
        *value = value.clamp(0.0, 255.0);
    }
    values
}

const RAW: [[f32; 3]; 2] = [[0.0; 3], [1.0; 3]];

/// Samples into 32-bit floats that are equal to the raw values.
fn sample_raw(
    sampler: &mut Sampler,
    image: &Image<'_>,
    map: &Similarity,
    (width, height): (u32, u32),
    channels: Channels,
) -> (Vec<f32>, u64) {
    let mut data = vec![f32::NAN; (width * height) as usize * channels.count()];
    let [mean, scale] = RAW;
    let mut target = Target {
        width,
        height,
        encoding: Encoding {
            channels,
            mean,
            scale,
        },
        data: TensorMut::F32(&mut data),
    };
    let read = sampler
        .sample(image, map, &mut target)
        .expect("the target has the size it claims");
    (data, read)
}

fn check(
    layout: Layout,
    seed: u64,
    range: Range,
    map: &Similarity,
    size: (u32, u32),
    channels: Channels,
) -> Result<(), TestCaseError> {
    let bytes = noise(layout.bytes(), seed);
    let image = Image::new(Layout { range, ..layout }, &bytes).expect("noise fills the layout");
    let mut sampler = Sampler::new(layout.width, size.0);
    let (have, _) = sample_raw(&mut sampler, &image, map, size, channels);
    let want = expected(layout, &bytes, range, map, size, channels);
    prop_assert_eq!(have.len(), want.len());
    for (i, (have, want)) in have.iter().zip(&want).enumerate() {
        prop_assert!(
            (f64::from(*have) - want).abs() <= TOLERANCE,
            "element {}: {} instead of {}",
            i,
            have,
            want
        );
    }
    Ok(())
}

fn layouts() -> impl Strategy<Value = Layout> {
    let sides = prop_oneof![
        2 => (1_u32..8, 1_u32..8),
        6 => (1_u32..90, 1_u32..90),
        2 => (90_u32..400, 1_u32..20),
    ];
    let formats = prop::sample::select(&FORMATS[..]);
    (formats, sides, 0_u32..70).prop_map(|(format, (width, height), padding)| {
        let mut layout = Layout::packed(format, width, height);
        layout.stride += padding.saturating_sub(30);
        layout
    })
}

fn channels() -> impl Strategy<Value = Channels> {
    prop::sample::select(vec![
        Channels::Rgb,
        Channels::Bgr,
        Channels::Grey,
        Channels::Luma,
    ])
}

fn ranges() -> impl Strategy<Value = Range> {
    prop::sample::select(vec![Range::Limited, Range::Full])
}

/// Scale from 1/16 to 16, as likely to enlarge as to shrink, often exactly a power of two.
fn scales() -> impl Strategy<Value = f32> {
    prop_oneof![
        3 => (-4.0_f32..4.0).prop_map(f32::exp2),
        1 => (-2_i32..4).prop_map(|power| (power as f32).exp2()),
    ]
}

/// A map that puts the target's centre somewhere on the picture or slightly outside it.
fn map_onto(
    layout: Layout,
    (w, h): (u32, u32),
    scale: f32,
    turn: f32,
    at: (f32, f32),
) -> Similarity {
    let (a, b) = if turn == 0.0 {
        (scale, 0.0)
    } else {
        (scale * turn.cos(), scale * turn.sin())
    };
    let (u, v) = (w as f32 / 2.0, h as f32 / 2.0);
    Similarity {
        a,
        b,
        tx: layout.width as f32 * at.0 - (a * u - b * v),
        ty: layout.height as f32 * at.1 - (b * u + a * v),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn upright_maps_average_exactly(
        layout in layouts(), seed: u64, range in ranges(), channels in channels(),
        scale in scales(), size in (1_u32..40, 1_u32..40), at in (-0.5_f32..1.5, -0.5_f32..1.5),
    ) {
        let map = map_onto(layout, size, scale, 0.0, at);
        check(layout, seed, range, &map, size, channels)?;
    }

    #[test]
    fn maps_by_whole_pixels_average_exactly(
        layout in layouts(), seed: u64, channels in channels(),
        scale in 1_u16..6, size in (1_u32..40, 1_u32..40), at in (-9_i16..60, -9_i16..60),
    ) {
        let (a, tx, ty) = (f32::from(scale), f32::from(at.0), f32::from(at.1));
        let map = Similarity { a, b: 0.0, tx, ty };
        check(layout, seed, Range::Limited, &map, size, channels)?;
    }

    #[test]
    fn turned_maps_interpolate(
        layout in layouts(), seed: u64, range in ranges(), channels in channels(),
        scale in scales(), turn in -3.2_f32..3.2,
        size in (1_u32..40, 1_u32..40), at in (-0.5_f32..1.5, -0.5_f32..1.5),
    ) {
        let map = map_onto(layout, size, scale.min(5.0), turn, at);
        check(layout, seed, range, &map, size, channels)?;
    }

    #[test]
    fn tensors_of_all_types_hold_the_same(
        layout in layouts(), seed: u64, channels in channels(), scale in scales(),
        turn in prop_oneof![Just(0.0_f32), -3.2_f32..3.2],
        mean in prop::array::uniform3(0.0_f32..255.0), gain in prop::array::uniform3(-0.1_f32..0.1),
        step in 0.001_f32..0.3, zero_point in -140_i32..270,
    ) {
        let size = (9, 7);
        let map = map_onto(layout, size, scale, turn, (0.4, 0.6));
        let bytes = noise(layout.bytes(), seed);
        let image = Image::new(layout, &bytes).expect("noise fills the layout");
        let mut sampler = Sampler::new(90, 9);
        let (raw, _) = sample_raw(&mut sampler, &image, &map, size, channels);

        let mut floats = vec![f32::NAN; raw.len()];
        let mut unsigned = vec![0_u8; raw.len()];
        let mut signed = vec![0_i8; raw.len()];
        for data in [
            TensorMut::F32(&mut floats),
            TensorMut::U8 { data: &mut unsigned, scale: step, zero_point },
            TensorMut::I8 { data: &mut signed, scale: step, zero_point },
        ] {
            let encoding = Encoding { channels, mean, scale: gain };
            let mut target = Target { width: size.0, height: size.1, encoding, data };
            sampler.sample(&image, &map, &mut target).expect("the target has its size");
        }
        for (i, &raw) in raw.iter().enumerate() {
            let c = i % channels.count();
            let value = (raw - mean[c]) * gain[c];
            prop_assert!((floats[i] - value).abs() <= 1e-4, "{} is not {value}", floats[i]);
            let quantised = (f64::from(value) / f64::from(step)).round() as i64 + i64::from(zero_point);
            let off = (i64::from(unsigned[i]) - quantised.clamp(0, 255)).abs();
            prop_assert!(off <= 1, "{} is not {quantised}", unsigned[i]);
            let off = (i64::from(signed[i]) - quantised.clamp(-128, 127)).abs();
            prop_assert!(off <= 1, "{} is not {quantised}", signed[i]);
        }
    }

    #[test]
    fn no_map_and_no_size_panics(
        layout in layouts(), bits in prop::array::uniform4(any::<u32>()), upright: bool,
        size in (0_u32..20, 0_u32..20), channels in channels(),
    ) {
        let [a, b, tx, ty] = bits.map(f32::from_bits);
        let map = Similarity { a, b: if upright { 0.0 } else { b }, tx, ty };
        let bytes = noise(layout.bytes(), 1);
        let image = Image::new(layout, &bytes).expect("noise fills the layout");
        let mut data = vec![7.0; (size.0 * size.1) as usize * channels.count()];
        let [mean, scale] = RAW;
        let encoding = Encoding { channels, mean, scale };
        let mut target =
            Target { width: size.0, height: size.1, encoding, data: TensorMut::F32(&mut data) };
        let done = Sampler::new(0, 0).sample(&image, &map, &mut target);
        let finite = [map.a, map.b, map.tx, map.ty].iter().all(|v| v.is_finite());
        prop_assert_eq!(done.is_ok(), finite && (map.a != 0.0 || map.b != 0.0));
        prop_assert!(data.iter().all(|v| (0.0..=255.0).contains(v)));
    }
}

#[test]
fn odd_pictures_of_every_format() {
    for (i, format) in FORMATS.into_iter().enumerate() {
        for (width, height) in [(1, 1), (3, 5), (2, 1), (1, 2), (641, 479)] {
            let layout = Layout::packed(format, width, height);
            let letterbox = Similarity::letterbox((width, height), (48, 48));
            let turned = map_onto(layout, (48, 48), letterbox.a * 0.9, 0.35, (0.5, 0.5));
            for map in [letterbox, turned] {
                check(
                    layout,
                    i as u64,
                    Range::Limited,
                    &map,
                    (48, 48),
                    Channels::Rgb,
                )
                .unwrap_or_else(|e| panic!("{width}x{height} {format}: {e}"));
            }
        }
    }
}

#[test]
fn hundreds_of_lines_under_one_pixel_add_up() {
    for format in FORMATS {
        for (width, height) in [(3, 1100), (1100, 3), (601, 599)] {
            let layout = Layout::packed(format, width, height);
            let map = Similarity::letterbox((width, height), (2, 2));
            check(layout, 5, Range::Full, &map, (2, 2), Channels::Rgb)
                .unwrap_or_else(|e| panic!("{width}x{height} {format}: {e}"));
        }
    }
}

#[test]
fn colours_are_those_of_the_standard() {
    // Colour bars of 75 and 100 percent as BT.601 codes them, to the nearest step.
    for (yuv, rgb) in [
        ([235, 128, 128], [255.0, 255.0, 255.0]),
        ([16, 128, 128], [0.0, 0.0, 0.0]),
        ([81, 90, 240], [255.0, 0.0, 0.0]),
        ([145, 54, 34], [0.0, 255.0, 0.0]),
        ([41, 240, 110], [0.0, 0.0, 255.0]),
        ([65, 100, 212], [191.0, 0.0, 0.0]),
    ] {
        let [y, cb, cr] = yuv;
        let bytes = [y, cb, y, cr];
        let layout = Layout::packed(PixelFormat::Yuyv, 2, 1);
        let image = Image::new(layout, &bytes).expect("one group is two pixels");
        let mut sampler = Sampler::new(2, 1);
        let map = Similarity::crop(0.0, 0.0, 1.0, 1);
        let (have, _) = sample_raw(&mut sampler, &image, &map, (1, 1), Channels::Rgb);
        for c in 0..3 {
            assert!((have[c] - rgb[c]).abs() < 2.0, "{yuv:?} gives {have:?}");
        }
    }
}

#[test]
fn a_letterbox_reads_every_pixel_once_and_has_black_bars() {
    for format in FORMATS {
        let layout = Layout::packed(format, 640, 480);
        let bytes = vec![200; layout.bytes()];
        let image = Image::new(layout, &bytes).expect("the bytes fill the layout");
        let map = Similarity::letterbox((640, 480), (128, 128));
        let mut sampler = Sampler::new(640, 128);
        let (data, read) = sample_raw(&mut sampler, &image, &map, (128, 128), Channels::Rgb);
        assert_eq!(read, 640 * 480, "{format}");
        let line = 128 * 3;
        let (top, rest) = data.split_at(16 * line);
        let (middle, bottom) = rest.split_at(96 * line);
        assert!(
            top.iter().chain(bottom).all(|v| *v == 0.0),
            "{format}: bars"
        );
        assert!(middle.iter().all(|v| *v > 50.0), "{format}: picture");
    }
}

#[test]
fn buffers_keep_their_capacity() {
    let capacities = |sampler: &Sampler| {
        let mut all = sampler.upright.capacities();
        all.extend(sampler.line.parts.iter().map(Vec::capacity));
        all.push(sampler.line.cover.capacity());
        all
    };
    let mut sampler = Sampler::new(130, 40);
    let before = capacities(&sampler);
    for format in FORMATS {
        for width in [1, 2, 129, 130] {
            let layout = Layout::packed(format, width, 20);
            let bytes = noise(layout.bytes(), 3);
            let image = Image::new(layout, &bytes).expect("noise fills the layout");
            for scale in [0.01, 0.3, 0.99, 1.0, 1.01, 1.9, 2.0, 2.01, 3.3, 100.0] {
                for at in [-0.2, 0.1, 0.5, 0.77, 1.2] {
                    for turn in [0.0, 0.1] {
                        let map = map_onto(layout, (40, 7), scale, turn, (at, at));
                        sample_raw(&mut sampler, &image, &map, (40, 7), Channels::Rgb);
                    }
                }
            }
        }
    }
    assert_eq!(capacities(&sampler), before);
}

#[test]
fn a_sampler_grows_with_the_pictures() {
    let layout = Layout::packed(PixelFormat::Nv12, 300, 200);
    let bytes = noise(layout.bytes(), 9);
    let image = Image::new(layout, &bytes).expect("noise fills the layout");
    let map = Similarity::letterbox((300, 200), (90, 90));
    let sample =
        |mut sampler: Sampler| sample_raw(&mut sampler, &image, &map, (90, 90), Channels::Bgr).0;
    assert_eq!(sample(Sampler::new(1, 1)), sample(Sampler::new(300, 90)));
}

#[test]
fn impossible_targets_are_refused() {
    let layout = Layout::packed(PixelFormat::Grey, 4, 4);
    let bytes = [9; 16];
    let image = Image::new(layout, &bytes).expect("16 bytes are 4x4 pixels");
    let mut sampler = Sampler::new(4, 4);
    let encoding = Encoding {
        channels: Channels::Rgb,
        mean: [0.0; 3],
        scale: [1.0; 3],
    };
    let mut try_with = |image: &Image<'_>, side: u32, encoding: Encoding, scale: f32| {
        let mut data = [0; 12];
        let mut target = Target {
            width: side,
            height: side,
            encoding,
            data: TensorMut::U8 {
                data: &mut data,
                scale,
                zero_point: 0,
            },
        };
        sampler.sample(image, &Similarity::IDENTITY, &mut target)
    };
    assert_eq!(try_with(&image, 2, encoding, 1.0), Ok(4));
    for side in [0, 1, 3, u32::MAX] {
        let refused = try_with(&image, side, encoding, 1.0);
        assert!(matches!(refused, Err(SampleError::Size { have: 12, .. })));
    }
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let refused = try_with(&image, 2, encoding, scale);
        assert!(matches!(refused, Err(SampleError::Quantisation { .. })));
    }
    let infinite = Encoding {
        mean: [0.0, f32::INFINITY, 0.0],
        ..encoding
    };
    assert_eq!(
        try_with(&image, 2, infinite, 1.0),
        Err(SampleError::Encoding)
    );
    let jpeg = Layout::packed(PixelFormat::Mjpeg, 4, 4);
    let jpeg = Image::new(jpeg, &bytes).expect("MJPEG is as long as it is");
    assert_eq!(
        try_with(&jpeg, 2, encoding, 1.0),
        Err(SampleError::Compressed)
    );
}

#[test]
fn luma_of_the_same_size_is_copied_as_it_would_be_sampled() {
    let (width, height) = (38, 5);
    for format in [
        PixelFormat::Grey,
        PixelFormat::Nv12,
        PixelFormat::Yu12,
        PixelFormat::Yuyv,
    ] {
        let mut layout = Layout::packed(format, width, height);
        layout.stride += 6;
        let bytes: Vec<u8> = (0..layout.bytes()).map(|i| (i * 89 % 256) as u8).collect();
        let image = Image::new(layout, &bytes).unwrap();
        let mut sampler = Sampler::new(64, 64);
        let map = Similarity::IDENTITY;
        let (want, _) = sample_raw(&mut sampler, &image, &map, (width, height), Channels::Luma);
        let encoding = Encoding {
            channels: Channels::Luma,
            mean: [128.0; 3],
            scale: [1.0 / 128.0; 3],
        };
        let mut signed = vec![0i8; want.len()];
        let mut target = Target {
            width,
            height,
            encoding,
            data: TensorMut::I8 {
                data: &mut signed,
                scale: 1.0 / 128.0,
                zero_point: 0,
            },
        };
        let read = sampler.sample(&image, &map, &mut target).unwrap();
        assert_eq!(read, u64::from(width * height));
        let mut unsigned = vec![0u8; want.len()];
        target.data = TensorMut::U8 {
            data: &mut unsigned,
            scale: 1.0 / 128.0,
            zero_point: 128,
        };
        sampler.sample(&image, &map, &mut target).unwrap();
        for (i, want) in want.iter().enumerate() {
            assert!(
                (f32::from(signed[i]) + 128.0 - want).abs() < 0.01,
                "{format} {i}"
            );
            assert!((f32::from(unsigned[i]) - want).abs() < 0.01, "{format} {i}");
        }
    }
}
