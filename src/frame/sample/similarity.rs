//! The places of target pixels in the source: rotation, one scale for both axes, translation.
//!
//! Face alignment estimates it from landmarks; this file does not.

/// Maps a position in the target picture to one in the source picture:
/// `x = a*u - b*v + tx`, `y = b*u + a*v + ty`.
///
/// Positions are continuous, in pixels: pixel (i, j) covers `[i, i+1) x [j, j+1)`, and its centre is at `(i + 0.5, j +
/// 0.5)`. `a = s*cos(r)` and `b = s*sin(r)` for a scale of `s` source pixels per target pixel and a rotation by `r`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Scale times cosine of the rotation.
    pub a: f32,
    /// Scale times sine of the rotation.
    pub b: f32,
    /// Source x of the target's origin, in pixels.
    pub tx: f32,
    /// Source y of the target's origin, in pixels.
    pub ty: f32,
}

impl Similarity {
    /// Maps every target pixel to the same place in the source.
    pub const IDENTITY: Self = Self {
        a: 1.0,
        b: 0.0,
        tx: 0.0,
        ty: 0.0,
    };

    /// The map to the upright window that starts at (`x0`, `y0`) and reaches to `x1`, in source pixels, for a target with
    /// `target_width` pixels per line. The target's height decides how far down the window reaches.
    #[must_use]
    pub fn crop(x0: f32, y0: f32, x1: f32, target_width: u32) -> Self {
        Self {
            a: (x1 - x0) / target_width as f32,
            b: 0.0,
            tx: x0,
            ty: y0,
        }
    }

    /// The map that shows the whole picture of `source` (width, height), centred and as large as fits into `target`. The
    /// remaining area is outside the source.
    #[must_use]
    pub fn letterbox(source: (u32, u32), target: (u32, u32)) -> Self {
        let (w, h) = (f64::from(source.0), f64::from(source.1));
        let (tw, th) = (f64::from(target.0), f64::from(target.1));
        let scale = (w / tw).max(h / th);
        Self {
            a: scale as f32,
            b: 0.0,
            tx: ((w - scale * tw) / 2.0) as f32,
            ty: ((h - scale * th) / 2.0) as f32,
        }
    }

    /// The place of target position (`u`, `v`) in the source.
    #[must_use]
    pub fn apply(&self, u: f32, v: f32) -> (f32, f32) {
        (
            self.a * u - self.b * v + self.tx,
            self.b * u + self.a * v + self.ty,
        )
    }

    /// The inverse, from source to target. Not finite if the scale is zero.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let (a, b) = (f64::from(self.a), f64::from(self.b));
        let (tx, ty) = (f64::from(self.tx), f64::from(self.ty));
        let square = a * a + b * b;
        let (a, b) = (a / square, -b / square);
        Self {
            a: a as f32,
            b: b as f32,
            tx: (b * ty - a * tx) as f32,
            ty: (-b * tx - a * ty) as f32,
        }
    }

    /// Source pixels per target pixel, along a line. Above 1 the picture shrinks.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Whether all numbers are finite and the scale is not zero.
    pub(super) fn is_usable(&self) -> bool {
        let Self { a, b, tx, ty } = *self;
        [a, b, tx, ty].into_iter().all(f32::is_finite) && (a != 0.0 || b != 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letterbox_centres_the_longer_side() {
        let map = Similarity::letterbox((640, 480), (128, 128));
        assert_eq!(map.apply(0.0, 16.0), (0.0, 0.0));
        assert_eq!(map.apply(128.0, 112.0), (640.0, 480.0));
        let map = Similarity::letterbox((90, 180), (360, 360));
        assert_eq!(map.apply(90.0, 0.0), (0.0, 0.0));
        assert_eq!(map.apply(270.0, 360.0), (90.0, 180.0));
    }

    #[test]
    fn crop_spans_its_window() {
        let map = Similarity::crop(100.0, 50.0, 196.0, 48);
        assert_eq!(map.scale(), 2.0);
        assert_eq!(map.apply(0.0, 0.0), (100.0, 50.0));
        assert_eq!(map.apply(48.0, 24.0), (196.0, 98.0));
    }

    proptest! {
        #[test]
        fn inverse_leads_back(
            scale in 0.1f32..10.0, turn in -3.2f32..3.2,
            tx in -500f32..500.0, ty in -500f32..500.0,
            u in -200f32..200.0, v in -200f32..200.0,
        ) {
            let map = Similarity { a: scale * turn.cos(), b: scale * turn.sin(), tx, ty };
            let (x, y) = map.apply(u, v);
            let (u1, v1) = map.inverse().apply(x, y);
            prop_assert!((u - u1).abs() < 0.02 && (v - v1).abs() < 0.02, "{u1} {v1}");
        }
    }
}
