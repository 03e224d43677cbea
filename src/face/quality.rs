//! Whether a face is worth recognising: whether it is so large, sharp and turned to the camera that its embedding is
//! meaningful. Doubtful faces count neither as strangers nor as known: they have no vote.

use super::geometry::Point;
use super::landmarks::Landmarks;
use crate::frame::{Target, TensorMut};

/// The quality of a face, measured from its five points and its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Quality {
    /// The distance between the eyes, in pixels of the picture.
    pub eye_distance: f32,
    /// The turn to the side: how far the tip of the nose is beside the middle of the eyes and mouth, in eye distances. 0 is
    /// frontal, more than 0.5 is nearly a profile.
    pub yaw: f32,
    /// The nod: where the tip of the nose is between the eyes (0) and the mouth (1). About 0.5 is frontal.
    pub pitch: f32,
    /// The lean in degrees, clockwise as seen. 0 is upright.
    pub roll: f32,
    /// The sharpness (see [`sharpness`]); 0 if it was not measured.
    pub sharpness: f32,
}

/// Why a face is not worth recognising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// The face has too few pixels.
    Small,
    /// The face is turned, nods or leans too far.
    Turned,
    /// The face is blurred.
    Blurred,
    /// The network's output has no direction.
    Unreadable,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Small => "too small (come closer)",
            Self::Turned => "turned away (look at the camera)",
            Self::Blurred => "blurred (hold still, more light)",
            Self::Unreadable => "unreadable",
        })
    }
}

/// The lowest quality of a face that is recognised.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// The smallest distance between the eyes, in pixels.
    pub eye_distance: f32,
    /// The greatest [`Quality::yaw`] to either side.
    pub yaw: f32,
    /// The greatest lean to either side, in degrees.
    pub roll: f32,
    /// The lowest [`sharpness`].
    pub sharpness: f32,
}

impl Default for Gate {
    /// With fewer than 18 pixels between the eyes, a face has less than half of the detail that the embedders' templates can
    /// show. The other values were chosen so that ordinary photos pass completely.
    fn default() -> Self {
        Self {
            eye_distance: 18.0,
            yaw: 0.6,
            roll: 50.0,
            sharpness: 0.015,
        }
    }
}

impl Gate {
    /// Lets every face through.
    pub const OPEN: Self = Self {
        eye_distance: 0.0,
        yaw: f32::INFINITY,
        roll: f32::INFINITY,
        sharpness: 0.0,
    };

    /// Checks everything that the points alone show, before any pixel is read.
    ///
    /// # Errors
    /// [`Unfit`] if the face is too small or turned too far.
    pub fn pose(&self, quality: &Quality) -> Result<(), Unfit> {
        // Tests whether the face is fit, so that a NaN is unfit.
        let large = quality.eye_distance >= self.eye_distance;
        if !large {
            return Err(Unfit::Small);
        }
        if !(quality.yaw.abs() <= self.yaw && quality.roll.abs() <= self.roll) {
            return Err(Unfit::Turned);
        }
        Ok(())
    }

    /// Checks everything that the aligned pixels show.
    ///
    /// # Errors
    /// [`Unfit::Blurred`].
    pub fn sharp(&self, quality: &Quality) -> Result<(), Unfit> {
        let sharp = quality.sharpness >= self.sharpness;
        if sharp { Ok(()) } else { Err(Unfit::Blurred) }
    }
}

impl Quality {
    /// The measures that follow from the five points; sharpness is left at 0.
    #[must_use]
    pub fn of(landmarks: &Landmarks) -> Self {
        let [left, right, nose, mouth_left, mouth_right] = *landmarks;
        let (eyes, mouth) = (left.middle(right), mouth_left.middle(mouth_right));
        let eye_distance = left.distance(right);
        // The unit vector along the eyes, and the unit vector down the face at a right angle to it.
        let (ux, uy) = (
            (right.x - left.x) / eye_distance,
            (right.y - left.y) / eye_distance,
        );
        let along = |p: Point| (p.x - eyes.x) * ux + (p.y - eyes.y) * uy;
        let down = |p: Point| (p.y - eyes.y) * ux - (p.x - eyes.x) * uy;
        Self {
            eye_distance,
            yaw: (along(nose) - 0.5 * along(mouth)) / eye_distance,
            pitch: down(nose) / down(mouth),
            roll: uy.atan2(ux).to_degrees(),
            sharpness: 0.0,
        }
    }
}

/// How much of an aligned face's contrast is fine detail: the mean size of the second difference of neighbouring pixels
/// divided by the standard deviation of all pixels, on the middle channel (green) of the input tensor, over the middle half
/// of the face. It does not depend on brightness and contrast. Press photos of 250 x 250 pixels have 0.02 to 0.06; a photo
/// that is out of focus has 0.015. 0 if the tensor contains no picture.
#[must_use]
pub fn sharpness(target: &Target<'_>) -> f32 {
    let (w, h) = (target.width as usize, target.height as usize);
    match &target.data {
        TensorMut::F32(d) => detail(w, h, d.len(), |i| d[i]),
        TensorMut::U8 { data, .. } => detail(w, h, data.len(), |i| f32::from(data[i])),
        TensorMut::I8 { data, .. } => detail(w, h, data.len(), |i| f32::from(data[i])),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of pixels of a small picture"
)]
fn detail(width: usize, height: usize, len: usize, value: impl Fn(usize) -> f32) -> f32 {
    let channels = len / (width * height).max(1);
    if channels == 0 || width < 8 || height < 8 {
        return 0.0;
    }
    let green = channels / 2;
    let at = |x: usize, y: usize| value((y * width + x) * channels + green);
    let (mut fine, mut sum, mut squares, mut n) = (0.0f32, 0.0f32, 0.0f32, 0u32);
    for y in (height / 4..height - height / 4).step_by(2) {
        for x in (width / 4..width - width / 4).step_by(2) {
            let v = at(x, y);
            let around = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            fine += (around - 4.0 * v).abs();
            sum += v;
            squares += v * v;
            n += 1;
        }
    }
    let n = n as f32;
    let deviation = (squares / n - (sum / n) * (sum / n)).max(0.0).sqrt();
    let ratio = 0.25 * fine / n / deviation;
    if ratio.is_finite() { ratio } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONTAL: Landmarks = [
        Point { x: 100.0, y: 100.0 },
        Point { x: 140.0, y: 100.0 },
        Point { x: 120.0, y: 122.0 },
        Point { x: 104.0, y: 144.0 },
        Point { x: 136.0, y: 144.0 },
    ];

    #[test]
    fn a_frontal_face_is_frontal() {
        let q = Quality::of(&FRONTAL);
        assert!((q.eye_distance - 40.0).abs() < 1e-4);
        assert!(q.yaw.abs() < 1e-6 && q.roll.abs() < 1e-6);
        assert!((q.pitch - 0.5).abs() < 1e-6);
        assert_eq!(Gate::default().pose(&q), Ok(()));
    }

    #[test]
    fn leaning_changes_the_roll_alone() {
        let (sin, cos) = 30f32.to_radians().sin_cos();
        let q = Quality::of(&FRONTAL.map(|p| Point {
            x: p.x * cos - p.y * sin,
            y: p.x * sin + p.y * cos,
        }));
        assert!((q.roll - 30.0).abs() < 1e-3);
        assert!(q.yaw.abs() < 1e-4 && (q.pitch - 0.5).abs() < 1e-4);
    }

    #[test]
    fn the_gate_gives_the_reason_and_refuses_nan() {
        let gate = Gate::default();
        let good = Quality {
            sharpness: 1.0,
            ..Quality::of(&FRONTAL)
        };
        assert_eq!(
            gate.pose(&Quality {
                eye_distance: 9.0,
                ..good
            }),
            Err(Unfit::Small)
        );
        assert_eq!(
            gate.pose(&Quality { yaw: -0.9, ..good }),
            Err(Unfit::Turned)
        );
        assert_eq!(
            gate.pose(&Quality {
                roll: f32::NAN,
                ..good
            }),
            Err(Unfit::Turned)
        );
        assert_eq!(
            gate.sharp(&Quality {
                sharpness: f32::NAN,
                ..good
            }),
            Err(Unfit::Blurred)
        );
        assert_eq!(gate.sharp(&good), Ok(()));
    }

    #[test]
    fn blur_lowers_sharpness_and_contrast_does_not() {
        let picture = |blur: usize, contrast: f32| {
            let noise: Vec<f32> = (0..64 * 64u32)
                .map(|i| f32::from(u8::try_from((i.wrapping_mul(2_654_435_761)) >> 24).unwrap()))
                .collect();
            let mut data = vec![0f32; 64 * 64];
            for y in blur..64 - blur {
                for x in blur..64 - blur {
                    let mut sum = 0.0;
                    for dy in 0..=2 * blur {
                        for dx in 0..=2 * blur {
                            sum += noise[(y + dy - blur) * 64 + x + dx - blur];
                        }
                    }
                    data[y * 64 + x] = contrast * sum;
                }
            }
            detail(64, 64, data.len(), |i| data[i])
        };
        assert!(picture(0, 1.0) > 2.0 * picture(2, 1.0));
        assert!((picture(0, 1.0) - picture(0, 0.2)).abs() < 1e-3);
    }
}
