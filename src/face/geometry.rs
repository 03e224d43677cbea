//! Points and boxes in a picture, in pixels with (0, 0) at the top left corner of the first pixel, and
//! the least-squares similarity between two sets of points.

use crate::frame::Similarity;

/// A point of a picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

impl Point {
    /// The point halfway between `self` and `other`.
    #[must_use]
    pub fn middle(self, other: Self) -> Self {
        Self {
            x: 0.5 * (self.x + other.x),
            y: 0.5 * (self.y + other.y),
        }
    }

    /// Distance to `other` in pixels.
    #[must_use]
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// A box in a picture, in pixels. May reach beyond the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl Point {
    /// This point in pixels of a picture that is `by` times as large.
    #[must_use]
    pub fn scaled(self, by: f32) -> Self {
        Self {
            x: self.x * by,
            y: self.y * by,
        }
    }
}

impl Rect {
    /// This box in pixels of a picture that is `by` times as large.
    #[must_use]
    pub fn scaled(self, by: f32) -> Self {
        Self {
            x: self.x * by,
            y: self.y * by,
            width: self.width * by,
            height: self.height * by,
        }
    }

    /// This box moved towards `other` by a share of the way, 0 to 1.
    #[must_use]
    pub fn towards(&self, other: &Self, share: f32) -> Self {
        let between = |from: f32, to: f32| (to - from).mul_add(share, from);
        Self {
            x: between(self.x, other.x),
            y: between(self.y, other.y),
            width: between(self.width, other.width),
            height: between(self.height, other.height),
        }
    }

    /// Its middle.
    #[must_use]
    pub fn centre(&self) -> Point {
        Point {
            x: self.x + 0.5 * self.width,
            y: self.y + 0.5 * self.height,
        }
    }

    /// Its area in square pixels.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// The area of the intersection divided by the area of the union, 0 to 1.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> f32 {
        let both = self.shared(other);
        if both <= 0.0 {
            return 0.0;
        }
        both / (self.area() + other.area() - both)
    }

    /// The share of this box's area that is inside `other`, 0 to 1.
    #[must_use]
    pub fn within(&self, other: &Self) -> f32 {
        self.shared(other) / self.area().max(f32::MIN_POSITIVE)
    }

    /// The area of the intersection.
    fn shared(&self, other: &Self) -> f32 {
        let across = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let down = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        across.max(0.0) * down.max(0.0)
    }
}

/// The similarity that maps `from` onto `to` with the least sum of squared distances, or `None` if
/// the points of `from` coincide.
///
/// With points as complex numbers about their means, the factor is sum(conj(from) to) / sum(|from|^2):
/// the solution of Umeyama (1991) for two dimensions without reflection.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a handful of points")]
pub fn similarity_between<const N: usize>(
    from: &[Point; N],
    to: &[Point; N],
) -> Option<Similarity> {
    let mean = |points: &[Point; N]| Point {
        x: points.iter().map(|p| p.x).sum::<f32>() / N as f32,
        y: points.iter().map(|p| p.y).sum::<f32>() / N as f32,
    };
    let (f0, t0) = (mean(from), mean(to));
    let (mut re, mut im, mut norm) = (0.0, 0.0, 0.0);
    for (f, t) in from.iter().zip(to) {
        let (fx, fy, tx, ty) = (f.x - f0.x, f.y - f0.y, t.x - t0.x, t.y - t0.y);
        re += fx * tx + fy * ty;
        im += fx * ty - fy * tx;
        norm += fx * fx + fy * fy;
    }
    let (a, b) = (re / norm, im / norm);
    (a.is_finite() && b.is_finite() && (a != 0.0 || b != 0.0)).then_some(Similarity {
        a,
        b,
        tx: t0.x - (a * f0.x - b * f0.y),
        ty: t0.y - (b * f0.x + a * f0.y),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_the_similarity_that_made_the_points(
            angle in -3.1f32..3.1, scale in 0.1f32..10.0, tx in -500f32..500.0, ty in -500f32..500.0,
            xs in proptest::array::uniform5(-100f32..100.0), ys in proptest::array::uniform5(-100f32..100.0),
        ) {
            let from: [Point; 5] = std::array::from_fn(|i| Point { x: xs[i], y: ys[i] });
            let spread = from.iter().map(|p| p.distance(from[0])).fold(0.0, f32::max);
            prop_assume!(spread > 10.0);
            let (sin, cos) = angle.sin_cos();
            let to = from.map(|p| Point {
                x: scale * (cos * p.x - sin * p.y) + tx,
                y: scale * (sin * p.x + cos * p.y) + ty,
            });
            let found = similarity_between(&from, &to).unwrap();
            prop_assert!((found.a - scale * cos).abs() < 1e-3 * scale);
            prop_assert!((found.b - scale * sin).abs() < 1e-3 * scale);
            prop_assert!((found.tx - tx).abs() < 0.5 && (found.ty - ty).abs() < 0.5);
        }
    }

    #[test]
    fn coinciding_points_have_no_similarity() {
        let dot = [Point { x: 3.0, y: 4.0 }; 5];
        assert!(similarity_between(&dot, &dot).is_none());
    }

    #[test]
    fn overlap_of_known_boxes() {
        let a = Rect {
            x: 0.0,
            y: 0.0,
            width: 2.0,
            height: 2.0,
        };
        let b = Rect {
            x: 1.0,
            y: 1.0,
            width: 2.0,
            height: 2.0,
        };
        let apart = Rect { x: 5.0, ..a };
        assert!((a.overlap(&b) - 1.0 / 7.0).abs() < 1e-6);
        assert!((a.overlap(&a) - 1.0).abs() < 1e-6);
        assert!(a.overlap(&apart).abs() < 1e-6);
    }
}
