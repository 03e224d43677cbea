//! Smooth noise over a plane, the same on every machine.

use crate::chance::unit;

/// Smooth noise over a plane, -1 to 1, whose features are about 1 wide.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cells of the plane, whose numbers may wrap"
)]
pub fn smooth(seed: u64, x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let corner = |dx: i64, dy: i64| {
        let cell = ((left as i64 + dx) as u64) ^ ((top as i64 + dy) as u64).rotate_left(32);
        2.0 * unit(seed, cell) - 1.0
    };
    let (u, v) = (ease(fx), ease(fy));
    let upper = super::raster::mix(corner(0, 0), corner(1, 0), u);
    let lower = super::raster::mix(corner(0, 1), corner(1, 1), u);
    super::raster::mix(upper, lower, v)
}

/// Noise with detail: `octaves` layers of [`smooth`], each half as wide and half as strong as the one before.
#[must_use]
pub fn rough(seed: u64, x: f32, y: f32, octaves: u32) -> f32 {
    let (mut sum, mut scale, mut strength) = (0.0, 1.0, 0.5);
    for octave in 0..octaves {
        sum += strength * smooth(seed.wrapping_add(u64::from(octave)), x * scale, y * scale);
        scale *= 2.0;
        strength *= 0.5;
    }
    sum
}
