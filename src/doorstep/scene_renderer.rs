//! Draws a play as its camera sees it: the place, the people, the light, blur and noise. Also returns who is where.

use image::RgbImage;

use super::model::Model;
use super::person::{Person, Scratch};
use super::place::{HEIGHT, WIDTH, place};
use super::play::{Play, Who};
use super::raster::{Canvas, mix};
use super::view::{Light, Pose};
use crate::chance::{Chance, bits};
use crate::face::{Landmarks, Rect};

/// A person in a frame: the ground truth about them.
#[derive(Clone, Copy, Debug)]
pub struct GroundTruth {
    /// Who.
    pub who: Who,
    /// The face's box, which may reach over the edge of the picture.
    pub bbox: Rect,
    /// The five points of the face.
    pub landmarks: Landmarks,
}

/// A play with everything that is necessary to draw it.
pub struct SceneRenderer {
    play: Play,
    model: Model,
    cast: Vec<Person>,
    numbers: Vec<u64>,
    place: Canvas,
    canvas: Canvas,
    scratch: Scratch,
    /// Normal deviates; reading can start at any place.
    grain: Vec<f32>,
}

/// Chooses the people of a cast. For each role there are a few candidates, and the one who is least like all people chosen
/// before is taken. With people who look like siblings it would be another play.
fn choose(model: &Model, seed: u64, people: usize) -> Vec<u64> {
    const CANDIDATES: u64 = 12;
    let mut cast: Vec<u64> = Vec::with_capacity(people);
    for who in 0..people as u64 {
        let alone = |n: &u64| {
            let unlike = cast.iter().map(|c| Person::unlikeness(model, *c, *n));
            unlike.fold(f32::INFINITY, f32::min)
        };
        // In a large crowd the first candidate is taken, because not all of the faces can be kept apart.
        let candidates = if who < 64 { CANDIDATES } else { 1 };
        let best = (0..candidates)
            .map(|k| bits(seed, 100_000 + who * CANDIDATES + k))
            .max_by(|a, b| alone(a).total_cmp(&alone(b)));
        cast.extend(best);
    }
    cast
}

impl SceneRenderer {
    /// Creates everyone in the play from the built-in model.
    #[must_use]
    pub fn new(play: Play) -> Self {
        let model = Model::built_in();
        let script = play.script();
        let people = (script.residents + script.strangers) as usize;
        let numbers = choose(&model, script.seed, people);
        let cast = numbers.iter().map(|n| Person::new(&model, *n)).collect();
        let mut chance = Chance::new(17);
        Self {
            place: place(script.seed),
            canvas: Canvas::new(WIDTH, HEIGHT),
            scratch: Scratch::default(),
            grain: (0..(1 << 16) + WIDTH).map(|_| chance.normal()).collect(),
            play,
            model,
            cast,
            numbers,
        }
    }

    /// The play.
    #[must_use]
    pub const fn play(&self) -> &Play {
        &self.play
    }

    /// Draws second `t` of the play onto `picture`, 640x480, and returns who is in it.
    pub fn draw(&mut self, t: f32, picture: &mut RgbImage) -> Vec<GroundTruth> {
        let (light, dark) = (self.play.light(t), self.play.evening(t));
        self.empty(&light, dark);
        let roles = self.play.roles(t);
        let mut seen = Vec::with_capacity(roles.len());
        for role in &roles {
            seen.push(self.person(role.who, &role.pose, &light));
        }
        self.take(
            bits(self.play.script().seed, u64::from(t.to_bits())),
            dark,
            1.0,
            picture,
        );
        seen
    }

    /// Draws photo `k` of a person as people take photos for enrolment: near, from several sides, in different light.
    pub fn photo(&mut self, who: Who, k: u32, picture: &mut RgbImage) -> GroundTruth {
        let mut chance = Chance::new(bits(self.numbers[who], 7000 + u64::from(k)));
        let dark = if k % 4 == 3 { 1.0 } else { 0.0 };
        let mut light = self.play.light(dark * self.play.end());
        light.from = super::view::unit([chance.between(-0.6, 0.6), light.from[1], light.from[2]]);
        self.empty(&light, dark);
        #[expect(clippy::cast_precision_loss, reason = "a small picture")]
        let pose = Pose {
            x: chance.between(0.4, 0.6) * WIDTH as f32,
            y: chance.between(0.42, 0.54) * HEIGHT as f32,
            side: chance.between(110.0, 200.0),
            yaw: chance.between(-0.4, 0.4),
            pitch: chance.between(-0.15, 0.2),
            roll: chance.between(-0.12, 0.12),
            gaze: [chance.between(-0.6, 0.6), chance.between(-0.3, 0.3)],
            moves: super::Moves {
                open: chance.between(-0.6, 0.5).max(0.0),
                smile: chance.between(-0.4, 0.9).max(0.0),
                blink: 0.0,
            },
        };
        let seen = self.person(who, &pose, &light);
        self.take(chance.bits(), dark, 0.6, picture);
        seen
    }

    /// Draws the place without people.
    fn empty(&mut self, light: &Light, dark: f32) {
        // The background is farther from the lamp.
        let k: [f32; 3] =
            std::array::from_fn(|c| mix(0.9 * light.colour[c], 0.45 * light.colour[c], dark));
        for (out, p) in self.canvas.pixels.iter_mut().zip(&self.place.pixels) {
            *out = std::array::from_fn(|c| p[c] * k[c]);
        }
    }

    fn person(&mut self, who: Who, pose: &Pose, light: &Light) -> GroundTruth {
        let drawn = self.cast[who].draw(
            &self.model,
            pose,
            light,
            &mut self.canvas,
            &mut self.scratch,
        );
        GroundTruth {
            who,
            bbox: drawn.bbox,
            landmarks: drawn.landmarks,
        }
    }

    /// Applies the effects of lens and sensor to the canvas.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=255, and places in a table"
    )]
    fn take(&self, chance: u64, dark: f32, strength: f32, picture: &mut RgbImage) {
        let noise = strength * mix(2.0, 5.5, dark);
        let sharp = 1.0 - 0.35 * crate::chance::unit(chance, 1);
        let around = (1.0 - sharp) / 4.0;
        let pixels = &self.canvas.pixels;
        for y in 0..HEIGHT {
            let (up, down) = (y.saturating_sub(1) * WIDTH, (y + 1).min(HEIGHT - 1) * WIDTH);
            let grain = &self.grain[bits(chance, 2 + y as u64) as usize & 0xFFFF..][..WIDTH];
            for x in 0..WIDTH {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(WIDTH - 1));
                let row = y * WIDTH;
                let near = [
                    pixels[up + x],
                    pixels[down + x],
                    pixels[row + left],
                    pixels[row + right],
                ];
                let own = pixels[row + x];
                let out = &mut picture.get_pixel_mut(x as u32, y as u32).0;
                for c in 0..3 {
                    let sum = near[0][c] + near[1][c] + near[2][c] + near[3][c];
                    let v = sharp.mul_add(own[c], around * sum);
                    out[c] = (v.mul_add(255.0, noise * grain[x]) + 0.5).clamp(0.0, 255.0) as u8;
                }
            }
        }
    }
}

/// An empty picture for [`SceneRenderer`] to draw on.
#[must_use]
pub fn picture() -> RgbImage {
    RgbImage::new(WIDTH as u32, HEIGHT as u32)
}
