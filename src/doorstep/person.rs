//! A synthetic person: who they are, generated from the face model by a number, and how they look in a pose.
//!
//! The face comes from the model; the head, hair, ears, neck and clothes are simple bodies around it. The same number always
//! gives the same person.

use super::head::{self, Head, of};
use super::model::Model;
use super::noise::rough;
use super::raster::{Canvas, Colour, Corner, Tile, mix};
use super::view::{Light, Pose, View, cross, minus, unit};
use crate::chance::Chance;
use crate::face::{Landmarks, Point, Rect};

/// Points of the face model, with MediaPipe's numbers.
mod point {
    pub const NOSE: usize = 1;
    pub const MOUTH_LEFT: usize = 61;
    pub const MOUTH_RIGHT: usize = 291;
    pub const EYE_LEFT: [usize; 16] = [
        33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
    ];
    pub const EYE_RIGHT: [usize; 16] = [
        263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
    ];
    pub const INNER_LIPS: [usize; 20] = [
        78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    ];
}

/// The ground truth about a person that was drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The face's box.
    pub bbox: Rect,
    /// The five points of the face.
    pub landmarks: Landmarks,
}

/// A person of the doorstep.
pub struct Person {
    shape: Vec<f32>,
    /// Skin colours, `side` x `side`.
    skin: Vec<Colour>,
    iris: Colour,
    glasses: bool,
    head: Head,
}

/// Colours of eyes.
const IRIS: [Colour; 5] = [
    [0.16, 0.10, 0.07],
    [0.25, 0.16, 0.09],
    [0.30, 0.33, 0.20],
    [0.33, 0.42, 0.52],
    [0.40, 0.45, 0.46],
];

/// The factor by which people differ more than the model says, because the model keeps most of how faces differ, but not all
/// of it.
const APART: f32 = 1.5;

/// The share of the spread of brightness and tint in photos that comes from the skin. The rest comes from light.
const SPREAD: [f32; 3] = [0.8, 0.5, 0.5];

/// Memory that is reused for every picture.
#[derive(Default)]
pub struct Scratch {
    tile: Tile,
    points: Vec<f32>,
    normals: Vec<[f32; 3]>,
}

/// From luma and its two colour differences (BT.601) to red, green and blue.
fn rgb(luma: f32, cb: f32, cr: f32) -> Colour {
    let (r, b) = (luma + cr / 0.713, luma + cb / 0.564);
    [r, (luma - 0.299 * r - 0.114 * b) / 0.587, b]
}

impl Person {
    /// Creates the person with this number.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "pixels of the skin")]
    pub fn new(model: &Model, number: u64) -> Self {
        let mut chance = Chance::new(number);
        let shape = model.draw_shape(|| APART * chance.normal());
        let luma = model.draw_skin(|| APART * chance.normal());
        let colour = model.draw_colour(|| 0.6 * chance.normal());
        let (means, lower) = &model.tone;
        let deviates = [chance.normal(), chance.normal(), chance.normal()];
        let tone: [f32; 3] = std::array::from_fn(|r| {
            means[r]
                + (0..=r)
                    .map(|c| SPREAD[r] * lower[r][c] * deviates[c])
                    .sum::<f32>()
        });
        let bright = tone[0].exp().clamp(0.22, 0.68);
        let freckled = chance.between(0.02, 0.16);
        let (side, small) = (model.side, model.colour_side);
        let area = small * small;
        let at = |plane: usize, u: f32, v: f32| {
            let (x, y) = (u * small as f32 - 0.5, v * small as f32 - 0.5);
            bilinear(&colour[plane * area..(plane + 1) * area], small, x, y)
        };
        let mut skin: Vec<Colour> = (0..side * side)
            .map(|k| {
                let (u, v) = (
                    ((k % side) as f32 + 0.5) / side as f32,
                    ((k / side) as f32 + 0.5) / side as f32,
                );
                // Pores, freckles and lines are too fine for the model. Colour fades with light.
                let fine = freckled * rough(number.wrapping_add(21), 26.0 * u, 26.0 * v, 3);
                let l = (luma[k] + fine).clamp(0.05, 1.9);
                rgb(
                    bright * l,
                    (tone[1] + at(0, u, v)) * l.min(1.2),
                    (tone[2] + at(1, u, v)) * l.min(1.2),
                )
            })
            .collect();
        // The head's skin has the colour of the cheeks, and the face blends into it at its edge.
        let mut plain = [0.0; 3];
        let mut count = 0.0;
        for y in side / 2..side * 5 / 8 {
            for x in (side / 5..side * 3 / 10).chain(side * 7 / 10..side * 4 / 5) {
                for (p, s) in plain.iter_mut().zip(skin[y * side + x]) {
                    *p += s;
                }
                count += 1.0;
            }
        }
        let plain = plain.map(|p| p / count);
        for (k, s) in skin.iter_mut().enumerate() {
            let (u, v) = (
                ((k % side) as f32 + 0.5) / side as f32 - 0.5,
                ((k / side) as f32 + 0.5) / side as f32 - 0.5,
            );
            let edge = ((u * u + v * v).sqrt() * 2.0 - 0.72) / 0.22;
            let t = edge.clamp(0.0, 1.0);
            for (s, p) in s.iter_mut().zip(plain) {
                *s = mix(*s, p, t * t * (3.0 - 2.0 * t));
            }
        }
        let dark = bright < 0.36;
        let iris = IRIS[chance.one_of(if dark { 2 } else { IRIS.len() })];
        let glasses = chance.happens(0.15);
        Self {
            shape,
            skin,
            iris,
            glasses,
            head: Head::new(plain, dark, number, &mut chance),
        }
    }

    /// How different two people are, by the strongest parts of shape and skin.
    #[must_use]
    pub fn unlikeness(model: &Model, a: u64, b: u64) -> f32 {
        let (mut a, mut b) = (Chance::new(a), Chance::new(b));
        let mut sum = 0.0;
        for parts in model.parts() {
            for k in 0..parts {
                #[expect(clippy::cast_precision_loss, reason = "a hundred parts")]
                let weight = 1.0 / (1.0 + k as f32);
                sum += weight * (a.normal() - b.normal()).powi(2);
            }
        }
        sum
    }

    /// Draws the person.
    pub fn draw(
        &self,
        model: &Model,
        pose: &Pose,
        light: &Light,
        canvas: &mut Canvas,
        scratch: &mut Scratch,
    ) -> Drawn {
        let Scratch {
            tile,
            points,
            normals,
        } = scratch;
        points.clear();
        points.extend_from_slice(&self.shape);
        model.apply(pose.moves, points);
        let middle = |points: &[f32], lids: &[usize]| -> [f32; 3] {
            let n = lids.len() as f32;
            lids.iter().fold([0.0; 3], |s, &k| {
                let p = of(points, k);
                std::array::from_fn(|c| s[c] + p[c] / n)
            })
        };
        let at_rest = [
            &point::EYE_LEFT[..],
            &point::EYE_RIGHT,
            &[point::MOUTH_LEFT, point::MOUTH_RIGHT],
        ]
        .map(|k| middle(&self.shape, k));
        let view = View::new(at_rest, pose);
        // The shoulders follow the head a little.
        let standing = Pose {
            yaw: 0.3 * pose.yaw,
            pitch: 0.0,
            roll: 0.3 * pose.roll,
            ..*pose
        };
        let body = View::new(at_rest, &standing);

        let scale = view.scale;
        let reach = (0.30 * scale).ceil().max(4.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "pixels of a picture of a few thousand"
        )]
        {
            let fine = if pose.side < 50.0 { 3 } else { 2 };
            let left = (pose.x - reach).floor().clamp(-4000.0, 8000.0) as i32;
            let top = (pose.y - 0.62 * reach).floor().clamp(-4000.0, 8000.0) as i32;
            // The tile reaches down to the picture's edge, if the body reaches that far.
            let height = (1.7 * reach).min((canvas.height as f32 - top as f32).max(1.0));
            tile.start((left, top), (2.0 * reach) as usize, height as usize, fine);
        }

        self.head.around(tile, &body, light);

        head::extend(&model.contour, points);
        normals.clear();
        normals.resize(points.len() / 3, [0.0; 3]);
        for t in model.triangles.iter().chain(&model.skull) {
            let [a, b, c] = t.map(|k| of(points, usize::from(k)));
            let n = head::outward(cross(minus(b, a), minus(c, a)), a);
            for k in *t {
                for (s, v) in normals[usize::from(k)].iter_mut().zip(n) {
                    *s += v;
                }
            }
        }
        self.head.draw(
            tile,
            &view,
            light,
            (points, normals),
            (&model.triangles, &model.skull),
        );
        let eyes = [point::EYE_LEFT, point::EYE_RIGHT].map(|lids| Eye::new(points, &lids));
        let mouth = Mouth::new(points);
        let side = model.side;
        #[expect(clippy::cast_precision_loss, reason = "pixels of the skin")]
        for t in &model.triangles {
            let k = t.map(usize::from);
            let corner = |k: usize| {
                let p = of(points, k);
                let (x, y, depth) = view.place(p);
                let shade = light.on(view.turned(unit(normals[k])));
                Corner {
                    x,
                    y,
                    depth,
                    values: [model.uv[k][0], model.uv[k][1], shade, p[0], p[1]],
                }
            };
            let corners = k.map(corner);
            let eye = eyes.iter().find(|e| k.iter().all(|p| e.lids.contains(p)));
            let lips = k.iter().all(|p| point::INNER_LIPS.contains(p));
            tile.triangle(corners, |&[u, v, shade, x, y]| {
                let albedo = if let Some(eye) = eye {
                    eye.colour(x, y, pose.gaze, self.iris)
                } else {
                    let skin = bilinear_colour(
                        &self.skin,
                        side,
                        u * side as f32 - 0.5,
                        v * side as f32 - 0.5,
                    );
                    match lips.then(|| mouth.inside(y)).flatten() {
                        Some((deep, amount)) => {
                            std::array::from_fn(|c| mix(skin[c], deep[c], amount))
                        }
                        None => skin,
                    }
                };
                Some(light.colour_of(albedo, shade))
            });
        }
        if self.glasses {
            for eye in &eyes {
                eye.frame(tile, self.head.dark(), &view, light);
            }
        }
        tile.finish(canvas);

        let middle = |lids| {
            let (x, y, _) = view.place(middle(points, lids));
            Point { x, y }
        };
        let at = |k: usize| {
            let (x, y, _) = view.place(of(points, k));
            Point { x, y }
        };
        let landmarks = [
            middle(&point::EYE_LEFT),
            middle(&point::EYE_RIGHT),
            at(point::NOSE),
            at(point::MOUTH_LEFT),
            at(point::MOUTH_RIGHT),
        ];
        Drawn {
            bbox: Rect {
                x: pose.x - 0.5 * pose.side,
                y: pose.y - 0.5 * pose.side,
                width: pose.side,
                height: pose.side,
            },
            landmarks,
        }
    }
}

/// An eye between its lids.
struct Eye {
    lids: [usize; 16],
    x: f32,
    y: f32,
    depth: f32,
    radius: f32,
}

impl Eye {
    fn new(points: &[f32], lids: &[usize; 16]) -> Self {
        let mean = |c: usize| lids.iter().map(|&k| points[3 * k + c]).sum::<f32>() / 16.0;
        let width = (points[3 * lids[8]] - points[3 * lids[0]]).abs();
        Self {
            lids: *lids,
            x: mean(0),
            y: mean(1),
            depth: mean(2),
            radius: 0.5 * width,
        }
    }

    fn colour(&self, x: f32, y: f32, gaze: [f32; 2], iris: Colour) -> Colour {
        let r = 0.50 * self.radius;
        let (dx, dy) = (
            (x - self.x) / r - 0.5 * gaze[0],
            (y - self.y) / r - 0.3 * gaze[1],
        );
        let from = (dx * dx + dy * dy).sqrt();
        let lid = 1.0 - 0.35 * (1.0 - ((y - self.y) / (0.5 * self.radius) + 0.6).clamp(0.0, 1.0));
        // The reflection of a window or a lamp.
        if ((dx + 0.28).powi(2) + (dy + 0.30).powi(2)).sqrt() < 0.17 {
            return [0.95; 3];
        }
        let white = [0.78, 0.74, 0.72].map(|c| c * lid);
        let ring = ((1.0 - from) / 0.18).clamp(0.0, 1.0);
        let colour = if from < 0.42 {
            [0.03; 3]
        } else {
            iris.map(|c| c * (0.65 + 0.5 * from))
        };
        std::array::from_fn(|c| mix(white[c], colour[c], ring))
    }

    /// Draws the rim of glasses around the eye.
    fn frame(&self, tile: &mut Tile, dark: Colour, view: &View, light: &Light) {
        let (rx, ry) = (1.45 * self.radius, 1.15 * self.radius);
        let steps = 28;
        #[expect(clippy::cast_precision_loss, reason = "a few steps")]
        let at = |step: usize, out: f32| {
            let a = std::f32::consts::TAU * step as f32 / steps as f32;
            let p = [
                self.x + out * rx * a.cos(),
                self.y + 0.002 + out * ry * a.sin(),
                self.depth - 0.014,
            ];
            let (x, y, depth) = view.place(p);
            Corner {
                x,
                y,
                depth,
                values: [0.0],
            }
        };
        let colour = light.colour_of(dark, 0.9);
        for step in 0..steps {
            let quad = [
                at(step, 1.0),
                at(step + 1, 1.0),
                at(step, 1.12),
                at(step + 1, 1.12),
            ];
            tile.triangle([quad[0], quad[1], quad[2]], |_| Some(colour));
            tile.triangle([quad[1], quad[3], quad[2]], |_| Some(colour));
        }
    }
}

/// The gap between the lips.
struct Mouth {
    top: f32,
    gap: f32,
}

impl Mouth {
    fn new(points: &[f32]) -> Self {
        let (top, bottom) = (points[3 * 13 + 1], points[3 * 14 + 1]);
        Self {
            top,
            gap: bottom - top,
        }
    }

    /// What is visible at a height between the lips, and how much it covers.
    fn inside(&self, y: f32) -> Option<(Colour, f32)> {
        // Lips that are this close to each other are closed.
        let open = ((self.gap - 0.006) / 0.006).clamp(0.0, 1.0);
        if open == 0.0 {
            return None;
        }
        let t = (y - self.top) / self.gap;
        let colour = if t < 0.38 {
            [0.80, 0.77, 0.72]
        } else {
            [0.16, 0.06, 0.06]
        };
        Some((colour, open))
    }
}

/// The four places around (x, y) in a square of `side` x `side`, and their weights.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the square"
)]
fn around(side: usize, x: f32, y: f32) -> [(usize, f32); 4] {
    let most = side as f32 - 1.001;
    let (x, y) = (x.clamp(0.0, most), y.clamp(0.0, most));
    let (left, top) = (x as usize, y as usize);
    let (fx, fy) = (x - left as f32, y - top as f32);
    let k = top * side + left;
    [
        (k, (1.0 - fx) * (1.0 - fy)),
        (k + 1, fx * (1.0 - fy)),
        (k + side, (1.0 - fx) * fy),
        (k + side + 1, fx * fy),
    ]
}

fn bilinear(plane: &[f32], side: usize, x: f32, y: f32) -> f32 {
    around(side, x, y).iter().map(|&(k, w)| w * plane[k]).sum()
}

fn bilinear_colour(plane: &[Colour], side: usize, x: f32, y: f32) -> Colour {
    let mut sum = [0.0; 3];
    for (k, w) in around(side, x, y) {
        for (s, p) in sum.iter_mut().zip(plane[k]) {
            *s += w * p;
        }
    }
    sum
}
