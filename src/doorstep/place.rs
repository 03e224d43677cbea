//! What a camera beside a door sees when no one is there: a garden path, a stairwell or a street, by day and by lamp.

use super::noise::{rough, smooth};
use super::raster::{Canvas, Colour, mix};
use crate::chance::Chance;

/// The width of all these pictures, in pixels.
pub const WIDTH: usize = 640;
/// The height of all these pictures, in pixels.
pub const HEIGHT: usize = 480;

/// A place by day; [`super::Play`] dims it for the evening.
#[must_use]
pub fn place(seed: u64) -> Canvas {
    let mut chance = Chance::new(seed ^ 0x9_1AC3);
    let kind = chance.one_of(3);
    let shape = Shape {
        seed,
        horizon: chance.between(170.0, 250.0),
        left: chance.between(60.0, 230.0),
        right: chance.between(420.0, 600.0),
        tint: [
            chance.between(0.35, 0.75),
            chance.between(0.35, 0.7),
            chance.between(0.3, 0.65),
        ],
    };
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    for (k, pixel) in canvas.pixels.iter_mut().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "pixels of a small picture")]
        let (x, y) = ((k % WIDTH) as f32, (k / WIDTH) as f32);
        *pixel = match kind {
            0 => shape.garden(x, y),
            1 => shape.stairwell(x, y),
            _ => shape.street(x, y),
        };
    }
    canvas
}

struct Shape {
    seed: u64,
    horizon: f32,
    left: f32,
    right: f32,
    tint: Colour,
}

fn shaded(colour: Colour, by: f32) -> Colour {
    colour.map(|c| (c * by).clamp(0.0, 1.0))
}

impl Shape {
    fn noise(&self, part: u64, x: f32, y: f32, octaves: u32) -> f32 {
        rough(self.seed.wrapping_add(part), x, y, octaves)
    }

    /// The ground: lines run away from the camera to the horizon.
    fn ground(&self, x: f32, y: f32, colour: Colour, tiles: f32) -> Colour {
        let depth = 60.0 / (y - self.horizon + 6.0);
        let (across, along) = ((x - 320.0) * depth / 60.0, depth * 9.0);
        let grain = 1.0 + 0.25 * self.noise(1, across * 6.0, along * 6.0, 4);
        let joint = |v: f32| (v * tiles - (v * tiles).floor()) < 0.05;
        let line = if tiles > 0.0 && (joint(across) || joint(along)) {
            0.75
        } else {
            1.0
        };
        shaded(colour, grain * line)
    }

    fn garden(&self, x: f32, y: f32) -> Colour {
        let hedge = self.horizon - 50.0 - 35.0 * smooth(self.seed, x / 60.0, 0.0);
        if y < hedge {
            let cloud = 0.5 + 0.5 * self.noise(2, x / 140.0, y / 60.0, 4);
            return [
                mix(0.55, 0.9, cloud),
                mix(0.68, 0.91, cloud),
                mix(0.85, 0.93, cloud),
            ];
        }
        if y < self.horizon {
            // Leaves.
            let leaf = 0.8
                + 0.9 * self.noise(3, x / 7.0, y / 7.0, 3)
                + 0.3 * self.noise(4, x / 50.0, y / 50.0, 2);
            return shaded([0.22, 0.36, 0.14], leaf);
        }
        // A path between lawns.
        let t = (y - self.horizon) / (480.0 - self.horizon);
        let (l, r) = (
            mix(300.0, self.left - 120.0, t),
            mix(345.0, self.right + 40.0, t),
        );
        if x > l && x < r {
            return self.ground(x, y, [0.58, 0.55, 0.50], 2.0);
        }
        let blade = 0.85 + 0.6 * self.noise(5, x / 5.0, y / 9.0, 3);
        shaded([0.30, 0.45, 0.18], blade)
    }

    fn stairwell(&self, x: f32, y: f32) -> Colour {
        let wall = shaded(
            self.tint.map(|c| mix(c, 0.8, 0.6)),
            1.0 + 0.06 * self.noise(2, x / 90.0, y / 90.0, 4) - 0.0006 * (x - 200.0).abs(),
        );
        let foot = self.horizon + 150.0;
        if y > foot {
            return self.ground(x, y - 90.0, [0.46, 0.42, 0.38], 3.0);
        }
        if y > foot - 14.0 {
            return shaded(wall, 0.6);
        }
        // A door opposite, with two panels and a handle.
        let (l, r, top) = (self.right - 190.0, self.right - 30.0, self.horizon - 130.0);
        if x > l && x < r && y > top {
            let wood = 1.0 + 0.2 * self.noise(3, x / 4.0, y / 90.0, 3);
            let inner = x > l + 26.0
                && x < r - 26.0
                && ((y > top + 26.0 && y < top + 120.0) || y > top + 150.0);
            let rim = x < l + 6.0 || x > r - 6.0 || y < top + 6.0;
            if (x - l - 14.0).abs() < 5.0 && (y - top - 150.0).abs() < 9.0 {
                return [0.75, 0.70, 0.55];
            }
            return shaded(
                self.tint.map(|c| 0.7 * c),
                wood * if rim {
                    0.6
                } else if inner {
                    0.85
                } else {
                    1.0
                },
            );
        }
        // Banisters.
        let rail = 150.0 + 0.45 * x;
        if x < self.left && y > rail && y < rail + 110.0 {
            if y < rail + 9.0 {
                return [0.24, 0.15, 0.09];
            }
            if x.rem_euclid(26.0) < 6.0 {
                return [0.30, 0.29, 0.28];
            }
        }
        wall
    }

    fn street(&self, x: f32, y: f32) -> Colour {
        if y > self.horizon + 90.0 {
            return self.ground(x, y - 60.0, [0.50, 0.50, 0.50], 1.2);
        }
        if y > self.horizon + 70.0 {
            return [0.62, 0.61, 0.59];
        }
        // A house of bricks across the street, with windows.
        let window =
            |at: f32| (x - at).abs() < 46.0 && y > self.horizon - 130.0 && y < self.horizon - 10.0;
        for at in [self.left, self.right] {
            if window(at) {
                if (x - at).abs() > 40.0
                    || (x - at).abs() < 2.5
                    || y < self.horizon - 124.0
                    || y > self.horizon - 16.0
                {
                    return [0.88, 0.87, 0.84];
                }
                let glass = 0.28 + 0.25 * self.noise(4, x / 60.0, y / 40.0, 3);
                return [glass * 0.9, glass, glass * 1.1];
            }
        }
        let row = (y / 12.0).floor();
        let shift = if row.rem_euclid(2.0) < 0.5 { 0.0 } else { 15.0 };
        let column = ((x + shift) / 30.0).floor();
        let joint = y.rem_euclid(12.0) < 1.6 || (x + shift).rem_euclid(30.0) < 1.6;
        if joint {
            return [0.60, 0.57, 0.53];
        }
        let own = 1.0 + 0.25 * smooth(self.seed.wrapping_add(7), column * 1.7, row * 1.7);
        let brick = [
            mix(self.tint[0], 0.55, 0.5),
            0.6 * self.tint[1],
            0.5 * self.tint[2],
        ];
        shaded(brick, own + 0.15 * self.noise(8, x / 6.0, y / 6.0, 2))
    }
}
