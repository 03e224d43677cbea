//! The rest of a head and what is under it: the skull behind the face, the hair, the ears, the neck and the clothes.
//!
//! All lengths are in the units of the face model, along the axes right, down and away. A face is 0.14 tall.
//! [`super::person`] draws the face itself.

use super::noise::{rough, smooth};
use super::raster::{Colour, Corner, Tile, mix};
use super::view::{Light, View, minus, unit};
use crate::chance::Chance;

/// The centre and radii of the skull. The crown is as far above the eyes as the chin is below them.
const MIDDLE: [f32; 3] = [0.0, -0.034, 0.062];
const RADII: [f32; 3] = [0.0645, 0.081, 0.080];
/// Rows of points from the edge of the face to the back of the head.
const ROWS: usize = 9;

/// Colours of hair, from black to white.
const HAIR: [Colour; 7] = [
    [0.07, 0.06, 0.06],
    [0.14, 0.10, 0.08],
    [0.25, 0.17, 0.11],
    [0.36, 0.24, 0.14],
    [0.58, 0.45, 0.28],
    [0.42, 0.20, 0.10],
    [0.62, 0.61, 0.60],
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    None,
    Short,
    Full,
    Long,
}

/// A person's head without the face.
pub struct Head {
    /// Colour of the skin around the face.
    skin: Colour,
    cut: Cut,
    hair: Colour,
    /// The height of the hairline in the middle of the forehead.
    hairline: f32,
    /// Where the hair is parted, as a distance to the right of the centre.
    parting: f32,
    cloth: Colour,
    seed: u64,
}

/// The triangles of the skull, for a face whose edge goes through the points `contour` in order. `first` is the number of
/// the skull's first point, which comes after the face's own points.
#[expect(clippy::cast_possible_truncation, reason = "a few hundred points")]
pub fn triangles(contour: &[u16], first: usize) -> Vec<[u16; 3]> {
    let n = contour.len();
    let point = |row: usize, k: usize| match row {
        0 => contour[k % n],
        r if r <= ROWS => (first + (r - 1) * n + k % n) as u16,
        _ => (first + ROWS * n) as u16,
    };
    let mut out = Vec::with_capacity(2 * n * ROWS + n);
    for row in 0..ROWS {
        for k in 0..n {
            let quad = [
                point(row, k),
                point(row, k + 1),
                point(row + 1, k),
                point(row + 1, k + 1),
            ];
            out.extend([[quad[0], quad[1], quad[2]], [quad[1], quad[3], quad[2]]]);
        }
    }
    out.extend((0..n).map(|k| [point(ROWS, k), point(ROWS, k + 1), point(ROWS + 1, k)]));
    out
}

/// Adds the points of the skull to those of a face.
#[expect(clippy::cast_precision_loss, reason = "a few rows")]
pub fn extend(contour: &[u16], points: &mut Vec<f32>) {
    // Each row is nearer to an ellipsoid and farther from the edge of the face, at which the rows start.
    for row in 1..=ROWS {
        let t = row as f32 / (ROWS + 1) as f32;
        for &k in contour {
            let c = of(points, k.into());
            let n = unit(std::array::from_fn(|i| (c[i] - MIDDLE[i]) / RADII[i]));
            let (from_front, around) = ((-n[2]).acos(), n[1].atan2(n[0]));
            let polar = mix(from_front, std::f32::consts::PI, t);
            let on = [
                polar.sin() * around.cos(),
                polar.sin() * around.sin(),
                -polar.cos(),
            ];
            let rest = (1.0 - t) * (1.0 - t);
            for i in 0..3 {
                points.push(
                    MIDDLE[i] + RADII[i] * on[i] + rest * (c[i] - MIDDLE[i] - RADII[i] * n[i]),
                );
            }
        }
    }
    points.extend([MIDDLE[0], MIDDLE[1], MIDDLE[2] + RADII[2]]);
}

/// Point `k` of points that are stored one after the other.
pub fn of(points: &[f32], k: usize) -> [f32; 3] {
    [points[3 * k], points[3 * k + 1], points[3 * k + 2]]
}

/// This normal of a triangle, or its opposite, so that it points out of the head.
pub fn outward(normal: [f32; 3], at: [f32; 3]) -> [f32; 3] {
    let out = minus(at, MIDDLE);
    let along: f32 = normal.iter().zip(out).map(|(n, o)| n * o).sum();
    if along < 0.0 {
        normal.map(|v| -v)
    } else {
        normal
    }
}

/// The colour of clothes: mostly dark or grey, sometimes bright.
fn cloth(chance: &mut Chance) -> Colour {
    let (light, strong) = (chance.between(0.08, 0.6), chance.between(0.0, 0.9).powi(2));
    std::array::from_fn(|_| light * (1.0 + strong * chance.between(-0.8, 0.8)))
}

impl Head {
    /// Creates a random head around a face with this skin.
    pub fn new(skin: Colour, dark: bool, seed: u64, chance: &mut Chance) -> Self {
        let tint = chance.between(0.85, 1.15);
        Self {
            skin,
            cut: [
                Cut::Short,
                Cut::Full,
                Cut::Long,
                Cut::Short,
                Cut::Full,
                Cut::Long,
                Cut::None,
            ][chance.one_of(7)],
            hair: HAIR[chance.one_of(if dark { 2 } else { HAIR.len() })].map(|c| c * tint),
            hairline: chance.between(-0.090, -0.072),
            parting: chance.between(-0.03, 0.03),
            cloth: cloth(chance),
            seed,
        }
    }

    /// The colour of things that are dark against the skin, like the frame of glasses.
    pub fn dark(&self) -> Colour {
        self.hair.map(|c| 0.5 * c)
    }

    /// The height above the edge of the hair at a place on the head; negative where there is no hair.
    fn above_edge(&self, p: [f32; 3]) -> f32 {
        let low = match self.cut {
            Cut::None => return -1.0,
            Cut::Short => 0.002,
            Cut::Full => 0.014,
            Cut::Long => 0.10,
        };
        // The edge of the hair: at the hairline in front, in front of the ears at the sides, at the nape behind.
        let angle = p[0].atan2(MIDDLE[2] - p[2]).abs();
        let off = p[0] - self.parting;
        let front = 4.0f32.mul_add(off * off, self.hairline);
        let t = ((angle - 0.80) / 0.45).clamp(0.0, 1.0);
        let behind = ((angle - 1.7) / 0.6).clamp(0.0, 1.0) * 0.03;
        mix(front, low + behind, t * t * (3.0 - 2.0 * t)) - p[1]
    }

    fn strands(&self, p: [f32; 3]) -> Colour {
        // Strands are fine across and long along their direction; they start at the crown.
        let angle = (p[0] - 0.3 * self.parting).atan2(0.06 - p[2]);
        let strand = rough(self.seed, angle * 40.0, p[1] * 60.0, 3)
            + 0.6 * smooth(self.seed.wrapping_add(9), angle * 120.0, p[1] * 40.0);
        self.hair
            .map(|c| (c * 0.5f32.mul_add(strand, 1.0)).max(0.0))
    }

    /// Draws the skull and the hair on it. `points` are the face's points followed by those of [`extend`]; `face` and
    /// `skull` are the triangles of each.
    pub fn draw(
        &self,
        tile: &mut Tile,
        view: &View,
        light: &Light,
        (points, normals): (&[f32], &[[f32; 3]]),
        (face, skull): (&[[u16; 3]], &[[u16; 3]]),
    ) {
        let corner = |k: usize, out: f32| {
            let (p, n) = (of(points, k), unit(normals[k]));
            let q = std::array::from_fn(|i| out.mul_add(n[i], p[i]));
            let (x, y, depth) = view.place(q);
            let shade = light.on(view.turned(n));
            Corner {
                x,
                y,
                depth,
                values: [p[0], p[1], p[2], shade],
            }
        };
        for t in skull {
            tile.triangle(t.map(|k| corner(k.into(), 0.0)), |&[_, y, z, shade]| {
                // Little light reaches the area under the chin.
                let under = ((y - 0.055) / 0.02).clamp(0.0, 1.0) * (z / 0.03).clamp(0.0, 1.0);
                Some(light.colour_of(self.skin, shade * 0.4f32.mul_add(-under, 1.0)))
            });
        }
        let most = match self.cut {
            Cut::None => return,
            Cut::Short => 0.005,
            Cut::Full => 0.013,
            Cut::Long => 0.011,
        };
        let thickness = |k: usize| {
            let above = self.above_edge(of(points, k));
            let t = ((above + 0.004) / 0.022).clamp(0.0, 1.0);
            most * t * (2.0 - t) + 0.0004
        };
        for t in face.iter().chain(skull) {
            let k = t.map(usize::from);
            if k.iter().all(|&k| self.above_edge(of(points, k)) < -0.012) {
                continue;
            }
            tile.triangle(k.map(|k| corner(k, thickness(k))), |&[x, y, z, shade]| {
                let angle = x.atan2(MIDDLE[2] - z);
                let ragged = 0.004 * smooth(self.seed.wrapping_add(5), angle * 9.0, 0.0)
                    + 0.003 * smooth(self.seed.wrapping_add(6), angle * 50.0, y * 20.0);
                let above = self.above_edge([x, y, z]) + ragged;
                (above > 0.0).then(|| {
                    // The roots are in shadow.
                    let root = 0.4f32.mul_add((above / 0.008).min(1.0), 0.6);
                    light.colour_of(self.strands([x, y, z]), shade * root)
                })
            });
        }
    }

    /// Draws the ears, the neck, the clothes, and hair that hangs down.
    pub fn around(&self, tile: &mut Tile, view: &View, light: &Light) {
        let skin = self.skin;
        if self.cut == Cut::Long {
            ellipsoid(
                tile,
                view,
                light,
                [0.0, 0.022, 0.075],
                [0.082, 0.125, 0.045],
                |p| {
                    let tips = 0.10 + 0.012 * smooth(self.seed.wrapping_add(7), p[0] * 90.0, 0.0);
                    (p[1] < tips).then(|| self.strands(p).map(|c| 0.9 * c))
                },
            );
        }
        ellipsoid(
            tile,
            view,
            light,
            [0.0, 0.232, 0.090],
            [0.165, 0.130, 0.070],
            |p| {
                // An opening at the neck.
                let open =
                    (p[0] / 0.045).powi(2) + ((p[1] - 0.106) / 0.020).powi(2) < 1.0 && p[2] < 0.09;
                let weave = 1.0
                    + 0.10 * smooth(self.seed.wrapping_add(3), p[0] * 300.0, p[1] * 300.0)
                    + 0.25 * smooth(self.seed.wrapping_add(4), p[0] * 14.0, p[1] * 20.0);
                Some(if open {
                    skin.map(|c| 0.9 * c)
                } else {
                    self.cloth.map(|c| c * weave)
                })
            },
        );
        ellipsoid(
            tile,
            view,
            light,
            [0.0, 0.075, 0.072],
            [0.041, 0.110, 0.042],
            |p| {
                let shadow = 0.5 * (1.0 - ((p[1] - 0.070) / 0.035).clamp(0.0, 1.0));
                Some(skin.map(|c| c * (0.92 - shadow)))
            },
        );
        if self.cut == Cut::Long {
            return;
        }
        for x in [-0.0655, 0.0655] {
            ellipsoid(
                tile,
                view,
                light,
                [x, -0.008, 0.067],
                [0.007, 0.022, 0.013],
                |p| {
                    let rim = ((p[1] + 0.008) / 0.022).powi(2) + ((p[2] - 0.067) / 0.013).powi(2);
                    Some([1.02, 0.93, 0.92].map(|c| c * 0.35f32.mul_add(rim.min(1.0), 0.68)))
                        .map(|k| std::array::from_fn(|c| skin[c] * k[c]))
                },
            );
        }
    }
}

/// Draws an ellipsoid as a part of the body. `paint` gives the colour at a place of the model, or `None` for a hole.
#[expect(clippy::cast_precision_loss, reason = "a few steps")]
fn ellipsoid(
    tile: &mut Tile,
    view: &View,
    light: &Light,
    centre: [f32; 3],
    radii: [f32; 3],
    paint: impl Fn([f32; 3]) -> Option<Colour>,
) {
    const ROWS: usize = 20;
    const COLUMNS: usize = 32;
    let at = |row: usize, column: usize| {
        let polar = std::f32::consts::PI * row as f32 / ROWS as f32;
        let around = std::f32::consts::TAU * column as f32 / COLUMNS as f32;
        let n = [
            polar.sin() * around.sin(),
            -polar.cos(),
            -polar.sin() * around.cos(),
        ];
        let p = std::array::from_fn(|c| centre[c] + radii[c] * n[c]);
        let normal = unit(std::array::from_fn(|c| n[c] / radii[c]));
        let (x, y, depth) = view.place(p);
        let shade = light.on(view.turned(normal));
        Corner {
            x,
            y,
            depth,
            values: [p[0], p[1], p[2], shade],
        }
    };
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let quad = [
                at(row, column),
                at(row, column + 1),
                at(row + 1, column),
                at(row + 1, column + 1),
            ];
            for corners in [[quad[0], quad[1], quad[2]], [quad[1], quad[3], quad[2]]] {
                tile.triangle(corners, |&[x, y, z, shade]| {
                    paint([x, y, z]).map(|albedo| light.colour_of(albedo, shade))
                });
            }
        }
    }
}
