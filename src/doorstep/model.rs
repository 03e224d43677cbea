//! The face model: how faces differ in shape, skin and colour, read from the file that `scripts/train faces` writes.
//!
//! The file contains only components, and no person. [`super::person`] generates people from them.

/// A component: one standard deviation in one direction, as 8-bit steps.
struct Part {
    step: f32,
    values: &'static [u8],
}

impl Part {
    fn add_to(&self, sum: &mut [f32], amount: f32) {
        let k = amount * self.step;
        for (s, v) in sum.iter_mut().zip(self.values) {
            *s += k * f32::from(v.cast_signed());
        }
    }
}

/// The model of all faces.
pub struct Model {
    /// The mean face, three numbers per point: right, down, away; the length of the whole is 1.
    pub mean: Vec<f32>,
    /// Where every point is on the skin, 0 to 1.
    pub uv: Vec<[f32; 2]>,
    /// The triangles of the face, three points each.
    pub triangles: Vec<[u16; 3]>,
    /// The points at the edge of the face, in order around it.
    pub contour: Vec<u16>,
    /// The triangles of the skull behind the face, whose points `head::extend` adds.
    pub skull: Vec<[u16; 3]>,
    shape: Vec<Part>,
    moves: Vec<Part>,
    skin_mean: Vec<f32>,
    skin: Vec<Part>,
    colour_mean: Vec<f32>,
    colour: Vec<Part>,
    /// The mean of brightness (logarithm), Cb and Cr, and the lower triangular matrix by which the three are sampled
    /// together.
    pub tone: ([f32; 3], [[f32; 3]; 3]),
    /// The side of the skin, in pixels.
    pub side: usize,
    /// The side of the skin's colour, in pixels.
    pub colour_side: usize,
}

/// How a face moves: 0 is not at all, 1 is as far as faces move.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moves {
    /// How far the mouth opens.
    pub open: f32,
    /// How strongly the face smiles.
    pub smile: f32,
    /// How far the eyes close.
    pub blink: f32,
}

struct Bytes(&'static [u8]);

impl Bytes {
    fn take(&mut self, n: usize) -> &'static [u8] {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head
    }

    fn word(&mut self) -> usize {
        let b = self.take(4);
        u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        self.take(4 * n)
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }

    fn parts(&mut self, n: usize, length: usize) -> Vec<Part> {
        (0..n)
            .map(|_| Part {
                step: self.floats(1)[0],
                values: self.take(length),
            })
            .collect()
    }
}

impl Model {
    /// The built-in model.
    ///
    /// # Panics
    /// Never: the file is part of the program, and a test reads it.
    #[must_use]
    pub fn built_in() -> Self {
        let mut b = Bytes(include_bytes!("../../models/latchkey/doorstep.faces"));
        assert_eq!(b.take(8), b"LKFACES1", "the built-in face model");
        let [
            points,
            triangles,
            shapes,
            moves,
            side,
            skins,
            colour_side,
            colours,
            _,
        ] = std::array::from_fn(|_| b.word());
        let mean = b.floats(3 * points);
        let uv = b
            .floats(2 * points)
            .chunks_exact(2)
            .map(|c| [c[0], c[1]])
            .collect();
        let triangles: Vec<[u16; 3]> = b
            .take(6 * triangles)
            .chunks_exact(6)
            .map(|t| std::array::from_fn(|k| u16::from_le_bytes([t[2 * k], t[2 * k + 1]])))
            .collect();
        let contour = edge(&triangles);
        let skull = super::head::triangles(&contour, points);
        let shape = b.parts(shapes, 3 * points);
        let moves = b.parts(moves, 3 * points);
        let skin_mean = b.floats(side * side);
        let skin = b.parts(skins, side * side);
        let area = 2 * colour_side * colour_side;
        let colour_mean = b.floats(area);
        let colour = b.parts(colours, area);
        let tone_mean = b.floats(3);
        let lower = b.floats(9);
        Self {
            mean,
            uv,
            triangles,
            contour,
            skull,
            shape,
            moves,
            skin_mean,
            skin,
            colour_mean,
            colour,
            tone: (
                [tone_mean[0], tone_mean[1], tone_mean[2]],
                std::array::from_fn(|r| std::array::from_fn(|c| lower[3 * r + c])),
            ),
            side,
            colour_side,
        }
    }

    /// The number of components of a shape and of a skin.
    #[must_use]
    pub const fn parts(&self) -> [usize; 2] {
        [self.shape.len(), self.skin.len()]
    }

    /// A shape. `draw` returns a normal deviate for each of its components.
    pub fn draw_shape(&self, mut draw: impl FnMut() -> f32) -> Vec<f32> {
        let mut sum = self.mean.clone();
        for part in &self.shape {
            part.add_to(&mut sum, draw());
        }
        sum
    }

    /// The luma of a skin relative to its mean, `side` x `side`, with `draw` as in [`Model::draw_shape`].
    pub fn draw_skin(&self, mut draw: impl FnMut() -> f32) -> Vec<f32> {
        let mut sum = self.skin_mean.clone();
        for part in &self.skin {
            part.add_to(&mut sum, draw());
        }
        sum
    }

    /// Cb and then Cr of a skin, each `colour_side` x `colour_side`, with `draw` as in [`Model::draw_shape`].
    pub fn draw_colour(&self, mut draw: impl FnMut() -> f32) -> Vec<f32> {
        let mut sum = self.colour_mean.clone();
        for part in &self.colour {
            part.add_to(&mut sum, draw());
        }
        sum
    }

    /// Moves the points of a shape.
    pub fn apply(&self, moves: Moves, shape: &mut [f32]) {
        for (part, amount) in self
            .moves
            .iter()
            .zip([moves.open, moves.smile, moves.blink])
        {
            part.add_to(shape, amount);
        }
    }
}

/// The points of those sides that belong to only one triangle, in order.
fn edge(triangles: &[[u16; 3]]) -> Vec<u16> {
    let sides = |t: &[u16; 3]| [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]];
    let mut all: Vec<[u16; 2]> = triangles.iter().flat_map(sides).collect();
    for s in &mut all {
        s.sort_unstable();
    }
    all.sort_unstable();
    let mut outer: Vec<[u16; 2]> = all
        .chunk_by(|a, b| a == b)
        .filter(|c| c.len() == 1)
        .map(|c| c[0])
        .collect();
    let mut out = vec![outer[0][0]];
    while let Some(k) = outer.iter().position(|s| s.contains(&out[out.len() - 1])) {
        let [a, b] = outer.swap_remove(k);
        out.push(if a == out[out.len() - 1] { b } else { a });
    }
    // The last point is the first one again.
    out.pop();
    out
}
