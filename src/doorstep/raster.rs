//! Draws triangles into a tile that holds colour, coverage and depth at a finer resolution than the picture; the tile is then
//! put onto the picture.
//!
//! It knows nothing of faces.

/// Linear interpolation.
#[must_use]
pub fn mix(a: f32, b: f32, t: f32) -> f32 {
    (b - a).mul_add(t, a)
}

/// A colour: red, green, blue, 0 to 1 as a screen shows them.
pub type Colour = [f32; 3];

/// A picture in memory.
#[derive(Clone, Debug, Default)]
pub struct Canvas {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row.
    pub pixels: Vec<Colour>,
}

impl Canvas {
    /// A black picture.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![[0.0; 3]; width * height],
        }
    }
}

/// An area that is drawn at a finer resolution before it is put onto a canvas.
#[derive(Default)]
pub struct Tile {
    width: usize,
    height: usize,
    colour: Vec<Colour>,
    depth: Vec<f32>,
    /// The left and top edge on the canvas, in pixels.
    origin: (i32, i32),
    fine: usize,
}

/// A corner of a triangle: its place (pixels of the canvas; depth increases away from the camera), and numbers that are
/// interpolated between corners.
#[derive(Clone, Copy, Debug)]
pub struct Corner<const N: usize> {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
    /// Away.
    pub depth: f32,
    /// Values for `paint`.
    pub values: [f32; N],
}

impl Tile {
    /// Clears the tile and lays it over `width` x `height` pixels of the canvas, starting at `origin`, with `fine` times the
    /// resolution.
    pub fn start(&mut self, origin: (i32, i32), width: usize, height: usize, fine: usize) {
        (self.width, self.height) = (width * fine, height * fine);
        (self.origin, self.fine) = (origin, fine);
        self.colour.clear();
        self.colour.resize(self.width * self.height, [0.0; 3]);
        self.depth.clear();
        self.depth.resize(self.width * self.height, f32::INFINITY);
    }

    /// Draws a triangle where it is nearer than what has been drawn there. `paint` gives a colour for interpolated values,
    /// or `None` for a hole.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "pixels of a tile, clamped to it"
    )]
    pub fn triangle<const N: usize>(
        &mut self,
        corners: [Corner<N>; 3],
        mut paint: impl FnMut(&[f32; N]) -> Option<Colour>,
    ) {
        let fine = self.fine as f32;
        let place = |c: &Corner<N>| {
            (
                (c.x - self.origin.0 as f32) * fine,
                (c.y - self.origin.1 as f32) * fine,
            )
        };
        let [(ax, ay), (bx, by), (cx, cy)] = [0, 1, 2].map(|k| place(&corners[k]));
        let area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
        if area.abs() < 1e-6 || !area.is_finite() {
            return;
        }
        let low = |a: f32, b: f32, c: f32| a.min(b).min(c).floor().max(0.0) as usize;
        let high = |a: f32, b: f32, c: f32, end: usize| {
            (a.max(b).max(c).ceil() + 1.0).clamp(0.0, end as f32) as usize
        };
        for row in low(ay, by, cy)..high(ay, by, cy, self.height) {
            for column in low(ax, bx, cx)..high(ax, bx, cx, self.width) {
                let (px, py) = (column as f32 + 0.5, row as f32 + 0.5);
                let v = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) / area;
                let w = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) / area;
                let u = 1.0 - v - w;
                if u < -1e-4 || v < -1e-4 || w < -1e-4 {
                    continue;
                }
                let [a, b, c] = &corners;
                let depth = u * a.depth + v * b.depth + w * c.depth;
                let at = row * self.width + column;
                if depth >= self.depth[at] {
                    continue;
                }
                let values =
                    std::array::from_fn(|k| u * a.values[k] + v * b.values[k] + w * c.values[k]);
                if let Some(colour) = paint(&values) {
                    self.depth[at] = depth;
                    self.colour[at] = colour;
                }
            }
        }
    }

    /// Puts the tile onto the canvas with smooth edges.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "pixels of a tile"
    )]
    pub fn finish(&self, canvas: &mut Canvas) {
        let fine = self.fine;
        let share = 1.0 / (fine * fine) as f32;
        for y in 0..self.height / fine {
            let row = self.origin.1 + y as i32;
            if row < 0 || row >= canvas.height as i32 {
                continue;
            }
            for x in 0..self.width / fine {
                let column = self.origin.0 + x as i32;
                if column < 0 || column >= canvas.width as i32 {
                    continue;
                }
                let (mut sum, mut cover) = ([0.0; 3], 0.0);
                for j in 0..fine {
                    for i in 0..fine {
                        let at = (y * fine + j) * self.width + x * fine + i;
                        if self.depth[at].is_finite() {
                            cover += share;
                            for (s, c) in sum.iter_mut().zip(self.colour[at]) {
                                *s += share * c;
                            }
                        }
                    }
                }
                let under = &mut canvas.pixels[row as usize * canvas.width + column as usize];
                for (u, s) in under.iter_mut().zip(sum) {
                    *u = s + *u * (1.0 - cover);
                }
            }
        }
    }
}
