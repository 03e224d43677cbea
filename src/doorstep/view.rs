//! Converts the model of a head into a picture of it: pose, perspective, light, and the small amount of geometry for them.

use super::model::Moves;
use super::raster::{Colour, mix};

/// The side of a face's box divided by the distance between its eyes, and how far the box's centre is below the eyes, in
/// units of the distance from the eyes to the mouth. Both are as in BlazeFace's boxes.
const BOX_SIDE: f32 = 2.42;
const BOX_MIDDLE: f32 = 0.62;

/// Where a person is in a picture, and what they do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pose {
    /// The x of the middle of the face's box, in pixels of the picture.
    pub x: f32,
    /// The y of the middle of the face's box, in pixels of the picture.
    pub y: f32,
    /// The side of the face's box, in pixels.
    pub side: f32,
    /// The turn to the picture's right, in radians.
    pub yaw: f32,
    /// The nod in radians; down is positive.
    pub pitch: f32,
    /// The tilt in radians, clockwise.
    pub roll: f32,
    /// Where the eyes look, as a shift to the right and down from straight ahead, in radii of the iris.
    pub gaze: [f32; 2],
    /// What the face does.
    pub moves: Moves,
}

/// A single lamp, or the sky.
#[derive(Clone, Copy, Debug)]
pub struct Light {
    /// The direction from which the light comes: right, down, away; of length 1.
    pub from: [f32; 3],
    /// The share of the light that comes from everywhere, 0 to 1.
    pub ambient: f32,
    /// The light's colour and strength.
    pub colour: Colour,
}

/// The projection from the model to the picture.
pub struct View {
    turn: [[f32; 3]; 3],
    /// The point that the model turns about.
    pivot: [f32; 3],
    /// Pixels per unit of the model.
    pub scale: f32,
    x: f32,
    y: f32,
}

impl View {
    /// The view of a face that has its eyes and mouth at these points when it looks straight ahead.
    pub fn new([left, right, mouth]: [[f32; 3]; 3], pose: &Pose) -> Self {
        let eyes: [f32; 3] = std::array::from_fn(|c| 0.5 * (left[c] + right[c]));
        let distance = (right[0] - left[0]).max(1e-3);
        let (sy, cy) = pose.yaw.sin_cos();
        let (sp, cp) = pose.pitch.sin_cos();
        let (sr, cr) = pose.roll.sin_cos();
        let yaw = [[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]];
        let pitch = [[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]];
        let roll = [[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]];
        let turn = times(&roll, &times(&pitch, &yaw));
        let pivot = [eyes[0], mix(eyes[1], mouth[1], BOX_MIDDLE), 0.02];
        Self {
            turn,
            pivot,
            scale: pose.side / (BOX_SIDE * distance),
            x: pose.x,
            y: pose.y,
        }
    }

    /// A direction of the model, as the picture shows it.
    pub fn turned(&self, v: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|r| (0..3).map(|c| self.turn[r][c] * v[c]).sum())
    }

    /// The place of a point in the picture, in pixels to the right and down, and its depth.
    pub fn place(&self, p: [f32; 3]) -> (f32, f32, f32) {
        let q = self.turned(minus(p, self.pivot));
        // Nearer parts are larger, as seen from a distance of an arm's length or more.
        let k = self.scale / (1.0 + 0.9 * q[2]);
        (self.x + k * q[0], self.y + k * q[1], q[2])
    }
}

impl Light {
    /// How bright a surface with this normal is.
    pub fn on(&self, normal: [f32; 3]) -> f32 {
        let facing: f32 = normal.iter().zip(self.from).map(|(n, l)| n * l).sum();
        self.ambient + (1.0 - self.ambient) * facing.max(0.0)
    }

    /// What a colour looks like in this light.
    pub fn colour_of(&self, albedo: Colour, shade: f32) -> Colour {
        std::array::from_fn(|c| albedo[c] * shade * self.colour[c])
    }
}

pub fn minus(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|c| a[c] - b[c])
}

pub fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

pub fn unit(v: [f32; 3]) -> [f32; 3] {
    let n = v.iter().map(|c| c * c).sum::<f32>().sqrt().max(1e-12);
    v.map(|c| c / n)
}

fn times(a: &[[f32; 3]; 3], b: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    std::array::from_fn(|r| std::array::from_fn(|c| (0..3).map(|k| a[r][k] * b[k][c]).sum()))
}
