//! The output of our family: grids of cells with several strides. A cell has a logit for whether the centre of a face is in
//! it. It also describes that face in units of its stride: the shift of its centre, the logarithms of width and height, five
//! points. A cell of the first grid first has these values for its four quarters, line by line, and then for itself.
//!
//! `scripts/training/detector.py` reads it in the same way (`by_stride`, `found`).

use super::super::geometry::Point;
use super::{Detection, detection, logit, output};
use crate::frame::Similarity;
use crate::nn::{InputManifest, ModelFile, Network, NnError, Tensor};

/// Numbers per cell: middle, size, five points.
const VALUES: usize = 14;
/// Parts of a cell of the first grid.
const QUARTERS: usize = 4;

/// One grid.
struct Level {
    stride: f32,
    columns: usize,
    /// The number of cells and quarters.
    answers: usize,
    quartered: bool,
    scores: usize,
    geometry: usize,
}

/// All grids of a network.
pub struct Grid(Vec<Level>);

impl Grid {
    /// Compares the outputs of `network` with the manifest.
    ///
    /// [`NnError`] if the outputs have other shapes.
    /// [`NnError`] if they are of other shapes.
    #[expect(clippy::cast_precision_loss, reason = "pixels of a small picture")]
    pub fn new(
        model: &ModelFile,
        network: &dyn Network,
        strides: &[u32],
        input: &InputManifest,
    ) -> Result<Self, NnError> {
        let level = |(k, &stride): (usize, &u32)| {
            let rows = input.height.div_ceil(stride) as usize;
            let columns = input.width.div_ceil(stride) as usize;
            let find = |what, values| output(model, network, what, &[1, rows, columns, values]);
            let each = if k == 0 { QUARTERS + 1 } else { 1 };
            Ok(Level {
                stride: stride as f32,
                columns,
                answers: rows * columns * each,
                quartered: k == 0,
                scores: find("scores", each)?,
                geometry: find("geometry", each * VALUES)?,
            })
        };
        let levels: Result<_, _> = strides.iter().enumerate().map(level).collect();
        levels.map(Self)
    }

    /// The most faces that one output can contain.
    pub fn answers(&self) -> usize {
        self.0.iter().map(|l| l.answers).sum()
    }

    /// Adds the detections whose score is `threshold` or more.
    pub fn read(
        &self,
        network: &dyn Network,
        threshold: f32,
        window: &Similarity,
        out: &mut Vec<Detection>,
    ) {
        let least = logit(threshold);
        for level in &self.0 {
            let geometry = network.output(level.geometry);
            above(&network.output(level.scores), least, |answer, logit| {
                out.extend(level.face(answer, logit, &geometry, window));
            });
        }
    }
}

impl Level {
    #[expect(clippy::cast_precision_loss, reason = "cells of a small grid")]
    fn face(
        &self,
        answer: usize,
        logit: f32,
        geometry: &Tensor<'_>,
        window: &Similarity,
    ) -> Option<Detection> {
        let (row, column, stride) = self.cell(answer);
        let value = |k: usize| geometry.get(answer * VALUES + k);
        let place = |k: usize| Point {
            x: (column as f32 + 0.5 + value(k)) * stride,
            y: (row as f32 + 0.5 + value(k + 1)) * stride,
        };
        let size = [2, 3].map(|k| stride * value(k).exp());
        let [left, right, nose, l, r] = std::array::from_fn(|p| place(4 + 2 * p));
        let points = [left, right, nose, l.middle(r)];
        detection(logit, place(0), size, points, Some([l, r]), window)
    }
}

impl Level {
    /// The row and column of the cell or quarter that an answer describes, and its side.
    const fn cell(&self, answer: usize) -> (usize, usize, f32) {
        let (cell, part) = if self.quartered {
            (answer / (QUARTERS + 1), answer % (QUARTERS + 1))
        } else {
            (answer, QUARTERS)
        };
        let (row, column) = (cell / self.columns, cell % self.columns);
        if part == QUARTERS {
            (row, column, self.stride)
        } else {
            (2 * row + part / 2, 2 * column + part % 2, 0.5 * self.stride)
        }
    }
}

/// Calls `take` with the place and the value of every element that is at least `least`. Thousands of cells are negative, so
/// 8-bit elements are compared in their stored form.
fn above(scores: &Tensor<'_>, least: f32, mut take: impl FnMut(usize, f32)) {
    match *scores {
        Tensor::I8(data, scale, zero) => {
            #[expect(clippy::cast_precision_loss, reason = "zero points are 8-bit values")]
            let stored = (least / scale + zero as f32).ceil();
            // A chunk without a candidate is skipped in a few instructions.
            for (n, chunk) in data.chunks(64).enumerate() {
                let most = chunk.iter().fold(i8::MIN, |most, v| most.max(*v));
                if f32::from(most) < stored {
                    continue;
                }
                for (i, v) in chunk.iter().enumerate() {
                    if f32::from(*v) >= stored {
                        take(64 * n + i, scores.get(64 * n + i));
                    }
                }
            }
        }
        _ => {
            for i in 0..scores.len() {
                let value = scores.get(i);
                // This is false for a NaN.
                if value >= least {
                    take(i, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_and_floats_pass_the_same_threshold() {
        let stored: Vec<i8> = (0..200).map(|i| (i * 37 % 256 - 128) as i8).collect();
        let (scale, zero) = (0.07, 11);
        let real: Vec<f32> = stored
            .iter()
            .map(|v| (f32::from(*v) - 11.0) * scale)
            .collect();
        for least in [-20.0, -1.0, 0.0, 0.07, 2.5, 20.0] {
            let (mut a, mut b) = (vec![], vec![]);
            above(&Tensor::I8(&stored, scale, zero), least, |i, _| a.push(i));
            above(&Tensor::F32(&real), least, |i, _| b.push(i));
            assert_eq!(a, b, "{least}");
        }
    }

    #[test]
    fn a_cell_describes_a_face_in_units_of_its_stride() {
        let level = Level {
            stride: 16.0,
            columns: 3,
            answers: 6,
            quartered: false,
            scores: 0,
            geometry: 0,
        };
        let mut values = [0.0f32; 6 * VALUES];
        // Row 1, column 2: its centre is at (40, 24).
        values[5 * VALUES..].copy_from_slice(&[
            0.25,
            -0.5,
            2f32.ln(),
            3f32.ln(),
            -1.0,
            -1.0,
            1.0,
            -1.0,
            0.0,
            0.0,
            -0.5,
            1.0,
            0.5,
            1.0,
        ]);
        let window = Similarity {
            a: 2.0,
            b: 0.0,
            tx: 5.0,
            ty: 0.0,
        };
        let d = level.face(5, 0.0, &Tensor::F32(&values), &window).unwrap();
        // (40 + 4, 24 - 8) is the centre, and 32x48 is the size. In the picture it is twice that, and 5 farther to the
        // right.
        assert!((d.bbox.width - 64.0).abs() < 1e-3 && (d.bbox.height - 96.0).abs() < 1e-3);
        assert!((d.bbox.x - (93.0 - 32.0)).abs() < 1e-3 && (d.bbox.y - (32.0 - 48.0)).abs() < 1e-3);
        assert!((d.score - 0.5).abs() < 1e-6);
        let eyes = d.landmarks().unwrap();
        assert_eq!([eyes[0].x, eyes[0].y], [2.0 * 24.0 + 5.0, 2.0 * 8.0]);
        assert_eq!([eyes[4].x, eyes[4].y], [2.0 * 48.0 + 5.0, 2.0 * 40.0]);
        assert_eq!(
            [d.points[3].x, d.points[3].y],
            [2.0 * 40.0 + 5.0, 2.0 * 40.0]
        );
    }

    #[test]
    fn a_cell_of_the_first_grid_covers_its_quarters_too() {
        let level = Level {
            stride: 16.0,
            columns: 3,
            answers: 30,
            quartered: true,
            scores: 0,
            geometry: 0,
        };
        // The cell in row 1, column 2.
        let parts = std::array::from_fn(|part| level.cell(5 * 5 + part));
        let quarters = [(2, 4, 8.0), (2, 5, 8.0), (3, 4, 8.0), (3, 5, 8.0)];
        assert_eq!(
            parts,
            [
                quarters[0],
                quarters[1],
                quarters[2],
                quarters[3],
                (1, 2, 16.0)
            ]
        );
    }
}
