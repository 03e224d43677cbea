//! Which of a camera's formats, sizes and rates to take. Pure: it asks no device.

use std::cmp::Ordering;

use crate::frame::PixelFormat;

/// Seconds from one frame to the next, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Seconds.
    pub numerator: u32,
    /// Into how many parts a second is divided.
    pub denominator: u32,
}

impl Interval {
    /// The interval of `fps` frames per second.
    #[must_use]
    pub const fn of_fps(fps: u32) -> Self {
        Self {
            numerator: 1,
            denominator: fps,
        }
    }

    /// Frames per second; `None` if either part is 0, as some drivers answer.
    #[must_use]
    pub fn fps(self) -> Option<f32> {
        (self.numerator > 0 && self.denominator > 0)
            .then(|| self.denominator as f32 / self.numerator as f32)
    }

    fn compare(self, other: Self) -> Ordering {
        let cross = |a: Self, b: Self| u64::from(a.numerator) * u64::from(b.denominator);
        cross(self, other).cmp(&cross(other, self))
    }
}

/// Intervals that a driver offers, from the shortest to the longest. Both are the same if it offers a single interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalRange {
    /// The fastest.
    pub shortest: Interval,
    /// The slowest.
    pub longest: Interval,
}

/// Sizes that a driver offers: a single size (with steps of 0), a grid or, with steps of 1, any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// Smallest and largest width, and the step between.
    pub width: (u32, u32, u32),
    /// Smallest and largest height, and the step between.
    pub height: (u32, u32, u32),
}

impl SizeRange {
    /// Only the size `width` by `height`.
    #[must_use]
    pub const fn single(width: u32, height: u32) -> Self {
        Self {
            width: (width, width, 0),
            height: (height, height, 0),
        }
    }

    /// The size on the grid that is nearest to `width` by `height`, for width and height separately.
    #[must_use]
    pub fn nearest(&self, width: u32, height: u32) -> (u32, u32) {
        let side = |(min, max, step): (u32, u32, u32), wanted: u32| {
            let max = max.max(min);
            let above = wanted.clamp(min, max) - min;
            let steps = match step {
                0 => 0,
                // The last grid point may lie below `max`.
                _ => ((u64::from(above) + u64::from(step) / 2) / u64::from(step))
                    .min(u64::from((max - min) / step)),
            };
            // At most `max`.
            min + u32::try_from(steps * u64::from(step)).unwrap_or(0)
        };
        (side(self.width, width), side(self.height, height))
    }
}

/// A format and size that a camera offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How pixels are coded.
    pub format: PixelFormat,
    /// Whether software produces this format from another one.
    pub emulated: bool,
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Intervals at this size; empty if the driver does not report them.
    pub intervals: Vec<IntervalRange>,
}

/// What the configuration wants from a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatPreference {
    /// If set, only this format is used.
    pub format: Option<PixelFormat>,
    /// The approximate number of pixels per line.
    pub width: u32,
    /// The approximate number of lines.
    pub height: u32,
    /// The lowest number of frames per second.
    pub fps: u32,
}

/// The settings to request from the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How pixels are coded.
    pub format: PixelFormat,
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// The interval to set, if the driver offers any.
    pub interval: Option<Interval>,
}

/// More frames per second only use more power; with fewer, it takes longer until the door opens.
const ENOUGH_FPS: u32 = 30;

/// The best of `candidates`. The criteria are, in this order: colour before grey, native before emulated, about the wanted
/// area, fast enough, uncompressed, nearest in size, cheapest to sample, fastest.
#[must_use]
pub fn choose(candidates: &[Candidate], preference: &FormatPreference) -> Option<Choice> {
    candidates
        .iter()
        .filter(|c| preference.format.is_none_or(|f| f == c.format))
        .map(|c| {
            let interval = pick_interval(&c.intervals, preference.fps);
            (rank(c, interval, preference), c, interval)
        })
        // `min_by_key` keeps the first of equal candidates, so the driver's own order decides.
        .min_by_key(|(rank, ..)| *rank)
        .map(|(_, c, interval)| Choice {
            format: c.format,
            width: c.width,
            height: c.height,
            interval,
        })
}

/// A smaller rank is better.
type Rank = (bool, bool, bool, bool, bool, u64, usize, u32);

fn rank(c: &Candidate, interval: Option<Interval>, preference: &FormatPreference) -> Rank {
    let area = |w: u32, h: u32| u64::from(w) * u64::from(h);
    let (have, want) = (
        area(c.width, c.height),
        area(preference.width, preference.height),
    );
    // Half to twice the number of pixels is equally good for the detector.
    let far = have.saturating_mul(2) < want || have > want.saturating_mul(2);
    let fps = interval.and_then(Interval::fps);
    let order = PixelFormat::ALL.iter().position(|f| *f == c.format);
    (
        c.format == PixelFormat::Grey,
        c.emulated,
        far,
        // Drivers that report no rate may well reach it.
        fps.is_some_and(|fps| !reaches(fps, preference.fps)),
        c.format == PixelFormat::Mjpeg,
        u64::from(c.width.abs_diff(preference.width))
            + u64::from(c.height.abs_diff(preference.height)),
        order.unwrap_or(usize::MAX),
        u32::MAX - fps.unwrap_or(0.0) as u32,
    )
}

/// A rate counts as reached with 1% less, because 29.97 frames per second are offered as 30.
fn reaches(fps: f32, wanted: u32) -> bool {
    fps >= wanted as f32 * 0.99
}

/// The fastest interval of `ranges` up to 30 frames per second, or up to `wanted` if that is more. If all are faster than
/// that, the slowest of them; if none reaches `wanted`, the fastest.
fn pick_interval(ranges: &[IntervalRange], wanted: u32) -> Option<Interval> {
    let enough = Interval::of_fps(wanted.max(ENOUGH_FPS));
    ranges
        .iter()
        .map(|r| {
            if enough.compare(r.shortest) == Ordering::Less {
                r.shortest
            } else if enough.compare(r.longest) == Ordering::Greater {
                r.longest
            } else {
                enough
            }
        })
        .filter_map(|interval| interval.fps().map(|fps| (interval, fps)))
        .max_by(|(_, a), (_, b)| {
            let key = |fps: f32| {
                if fps > wanted.max(ENOUGH_FPS) as f32 * 1.01 {
                    (u8::from(reaches(fps, wanted)), -fps)
                } else {
                    (2 * u8::from(reaches(fps, wanted)), fps)
                }
            };
            let ((a, afps), (b, bfps)) = (key(*a), key(*b));
            a.cmp(&b).then(afps.total_cmp(&bfps))
        })
        .map(|(interval, _)| interval)
}

#[cfg(test)]
mod tests {
    use PixelFormat::{Grey, Mjpeg, Nv12, Rgb3, Yu12, Yuyv};
    use proptest::prelude::*;

    use super::*;

    const PREFERENCE: FormatPreference = FormatPreference {
        format: None,
        width: 640,
        height: 480,
        fps: 15,
    };

    fn single(fps: u32) -> IntervalRange {
        IntervalRange {
            shortest: Interval::of_fps(fps),
            longest: Interval::of_fps(fps),
        }
    }

    fn offer(format: PixelFormat, width: u32, height: u32, fps: &[u32]) -> Candidate {
        Candidate {
            format,
            emulated: false,
            width,
            height,
            intervals: fps.iter().copied().map(single).collect(),
        }
    }

    fn chosen(
        candidates: &[Candidate],
        preference: &FormatPreference,
    ) -> (PixelFormat, u32, u32, Option<u32>) {
        let c = choose(candidates, preference).expect("a choice");
        let fps = c.interval.and_then(Interval::fps).map(|f| f as u32);
        (c.format, c.width, c.height, fps)
    }

    /// A common USB camera: YUYV is fast only at small sizes.
    fn usb() -> Vec<Candidate> {
        vec![
            offer(Yuyv, 640, 480, &[30, 24, 15, 5]),
            offer(Yuyv, 1280, 720, &[10, 5]),
            offer(Yuyv, 320, 240, &[30]),
            offer(Mjpeg, 640, 480, &[30, 15]),
            offer(Mjpeg, 1280, 720, &[30, 15]),
            offer(Mjpeg, 1920, 1080, &[30]),
        ]
    }

    #[test]
    fn a_usb_camera() {
        assert_eq!(chosen(&usb(), &PREFERENCE), (Yuyv, 640, 480, Some(30)));
        let hd = FormatPreference {
            width: 1280,
            height: 720,
            ..PREFERENCE
        };
        // 10 frames per second are too few, and a third of the pixels too. MJPEG is better, although it must be decoded.
        assert_eq!(chosen(&usb(), &hd), (Mjpeg, 1280, 720, Some(30)));
        let slow = FormatPreference { fps: 5, ..hd };
        assert_eq!(chosen(&usb(), &slow), (Yuyv, 1280, 720, Some(10)));
    }

    #[test]
    fn a_format_asked_for_is_taken_or_nothing() {
        let only = |f| FormatPreference {
            format: Some(f),
            ..PREFERENCE
        };
        assert_eq!(chosen(&usb(), &only(Mjpeg)), (Mjpeg, 640, 480, Some(30)));
        assert_eq!(choose(&usb(), &only(Nv12)), None);
        assert_eq!(choose(&[], &PREFERENCE), None);
    }

    #[test]
    fn cheaper_formats_first() {
        let mut all: Vec<_> = PixelFormat::ALL
            .iter()
            .rev()
            .map(|f| offer(*f, 640, 480, &[30]))
            .collect();
        for format in PixelFormat::ALL {
            assert_eq!(chosen(&all, &PREFERENCE).0, format);
            all.retain(|c| c.format != format);
        }
    }

    #[test]
    fn grey_only_without_colour_and_emulated_last() {
        let mut colour = offer(Mjpeg, 320, 240, &[5]);
        colour.emulated = true;
        let grey = offer(Grey, 640, 480, &[30]);
        assert_eq!(chosen(&[grey.clone(), colour], &PREFERENCE).0, Mjpeg);
        assert_eq!(chosen(&[grey], &PREFERENCE).0, Grey);

        let mut emulated = offer(Nv12, 640, 480, &[30]);
        emulated.emulated = true;
        let native = offer(Mjpeg, 640, 480, &[30]);
        assert_eq!(chosen(&[emulated, native], &PREFERENCE).0, Mjpeg);
    }

    #[test]
    fn uncompressed_of_nearly_the_size_before_mjpeg() {
        let both = [offer(Mjpeg, 640, 480, &[30]), offer(Rgb3, 640, 360, &[30])];
        assert_eq!(chosen(&both, &PREFERENCE).0, Rgb3);
        // The exact size counts more than a few bytes per pixel.
        let both = [offer(Nv12, 800, 600, &[30]), offer(Yuyv, 640, 480, &[30])];
        assert_eq!(chosen(&both, &PREFERENCE).0, Yuyv);
    }

    #[test]
    fn a_format_of_unknown_rate_may_be_chosen() {
        let both = [offer(Nv12, 640, 480, &[5]), offer(Yu12, 640, 480, &[])];
        assert_eq!(chosen(&both, &PREFERENCE), (Yu12, 640, 480, None));
    }

    #[test]
    fn rates() {
        let fps = |offered: &[u32], wanted| {
            let ranges: Vec<_> = offered.iter().copied().map(single).collect();
            pick_interval(&ranges, wanted).and_then(Interval::fps)
        };
        assert_eq!(fps(&[5, 15, 30, 60], 15), Some(30.0));
        assert_eq!(fps(&[5, 15, 30, 60], 60), Some(60.0));
        assert_eq!(fps(&[5, 15, 25], 15), Some(25.0));
        assert_eq!(fps(&[120, 60, 90], 15), Some(60.0));
        assert_eq!(fps(&[5, 10], 15), Some(10.0));
        assert_eq!(fps(&[10, 60], 15), Some(60.0));
        assert_eq!(fps(&[], 15), None);

        let any = IntervalRange {
            shortest: Interval::of_fps(1000),
            longest: Interval {
                numerator: 10,
                denominator: 1,
            },
        };
        assert_eq!(pick_interval(&[any], 15), Some(Interval::of_fps(30)));
        let ntsc = Interval {
            numerator: 1001,
            denominator: 30000,
        };
        let ntsc = IntervalRange {
            shortest: ntsc,
            longest: ntsc,
        };
        assert_eq!(pick_interval(&[ntsc, single(50)], 30), Some(ntsc.shortest));
        let nonsense = IntervalRange {
            shortest: Interval::of_fps(0),
            longest: Interval::of_fps(0),
        };
        assert_eq!(pick_interval(&[nonsense], 15), None);
    }

    #[test]
    fn sizes_on_a_grid() {
        let grid = SizeRange {
            width: (48, 1000, 16),
            height: (32, 720, 4),
        };
        assert_eq!(grid.nearest(640, 480), (640, 480));
        assert_eq!(grid.nearest(650, 481), (656, 480));
        // 1000 is not on the grid of 48 + 16n.
        assert_eq!(grid.nearest(4000, 1), (992, 32));
        assert_eq!(SizeRange::single(320, 200).nearest(640, 480), (320, 200));
    }

    proptest! {
        /// The result is always a size of the grid, and no neighbour on the grid is nearer.
        #[test]
        fn the_nearest_size_is_offered(
            min in 1u32..5000, steps in 0u32..1000, step in 0u32..5000, rest in 0u32..5000, wanted: u32
        ) {
            let max = min + steps * step + if step == 0 { 0 } else { rest % step };
            let range = SizeRange { width: (min, max, step), height: (1, 1, 0) };
            let (width, _) = range.nearest(wanted, 1);
            let on_grid = width >= min && width <= max && (0..=steps).any(|n| min + n * step == width);
            prop_assert!(on_grid, "{width}");
            let best = (0..=steps).map(|n| (min + n * step).abs_diff(wanted)).min();
            prop_assert_eq!(Some(width.abs_diff(wanted)), best);
        }
    }
}
