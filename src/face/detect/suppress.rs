//! Leaves one detection per face: overlapping detections are averaged, and a part of a face is removed in favour of the
//! whole.

use super::super::geometry::{Point, Rect};
use super::Detection;

/// If more than this share of a box's area is inside a larger box, the box shows a part of the same face. Two faces of one
/// size whose boxes overlap less than boxes of one face do (intersection over union 0.4) share at most 0.57 of their areas.
const PART: f32 = 0.6;

/// Weighted non-maximum suppression: every group of overlapping candidates becomes their average, weighted by score, with
/// the best score of the group (Bazarevsky et al., BlazeFace, 2019, section 3.4: steadier from frame to frame than keeping
/// only the best box). The result is sorted, best first. Empties `candidates`.
pub fn suppress(candidates: &mut Vec<Detection>, found: &mut Vec<Detection>, overlap: f32) {
    found.clear();
    candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    while let Some(best) = candidates.first().copied() {
        let (mut sum, mut weight) = (Sum::default(), 0.0);
        candidates.retain(|c| {
            let same = c.bbox.overlap(&best.bbox) > overlap;
            if same {
                sum.add(c);
                weight += c.score;
            }
            !same
        });
        if weight > 0.0 {
            found.push(sum.divided(weight, best.score));
        } else {
            // Boxes without area overlap nothing, not even themselves.
            candidates.remove(0);
        }
    }
}

/// Removes the parts of faces from `found[from..]`. An eye, a nose or a mouth of a large sharp face can look like a small
/// face, and can have a higher score than the whole face. The larger box stays whatever the scores are, provided that its
/// own score is at least `least`. Keeps the order.
pub fn whole_faces(found: &mut Vec<Detection>, from: usize, least: f32) {
    let mut i = from;
    while let Some(part) = found.get(i) {
        let whole = |d: &Detection| d.score >= least && part_of(&part.bbox, &d.bbox);
        // Being a part is transitive except for the margin of `PART`, so the order of removal hardly matters.
        if found[from..].iter().any(whole) {
            found.remove(i);
        } else {
            i += 1;
        }
    }
}

/// Whether `part` is the smaller box and is inside `whole`.
fn part_of(part: &Rect, whole: &Rect) -> bool {
    part.area() < whole.area() && part.within(whole) > PART
}

#[derive(Default)]
struct Sum([f32; 4], [Point; 4], Option<[Point; 2]>);

impl Sum {
    fn add(&mut self, d: &Detection) {
        let b = d.bbox;
        for (sum, v) in self.0.iter_mut().zip([b.x, b.y, b.width, b.height]) {
            *sum += d.score * v;
        }
        let add = |sum: &mut Point, p: Point| {
            sum.x += d.score * p.x;
            sum.y += d.score * p.y;
        };
        for (sum, p) in self.1.iter_mut().zip(d.points) {
            add(sum, p);
        }
        // A detector finds the corners for all its faces or for none.
        if let Some(corners) = d.corners {
            let sums = self.2.get_or_insert_default();
            for (sum, p) in sums.iter_mut().zip(corners) {
                add(sum, p);
            }
        }
    }

    fn divided(&self, weight: f32, score: f32) -> Detection {
        let [x, y, width, height] = self.0.map(|v| v / weight);
        let mean = |p: Point| Point {
            x: p.x / weight,
            y: p.y / weight,
        };
        Detection {
            bbox: Rect {
                x,
                y,
                width,
                height,
            },
            score,
            points: self.1.map(mean),
            corners: self.2.map(|c| c.map(mean)),
            refined: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, score: f32) -> Detection {
        Detection {
            bbox: Rect {
                x,
                y: 0.0,
                width: 10.0,
                height: 10.0,
            },
            score,
            points: [Point { x, y: 5.0 }; 4],
            corners: Some([Point { x, y: 9.0 }; 2]),
            refined: None,
        }
    }

    #[test]
    fn overlapping_candidates_become_their_weighted_average() {
        let (mut candidates, mut found) =
            (vec![at(2.0, 0.6), at(0.0, 0.9), at(100.0, 0.7)], vec![]);
        suppress(&mut candidates, &mut found, 0.3);
        assert_eq!(found.len(), 2);
        // (0.9 * 0 + 0.6 * 2) / 1.5
        assert!((found[0].bbox.x - 0.8).abs() < 1e-6);
        assert!((found[0].points[3].x - 0.8).abs() < 1e-6);
        assert!((found[0].landmarks().unwrap()[4].x - 0.8).abs() < 1e-6);
        assert!((found[0].score - 0.9).abs() < 1e-6);
        assert!((found[1].bbox.x - 100.0).abs() < 1e-6);
    }

    fn square(x: f32, y: f32, side: f32, score: f32) -> Detection {
        Detection {
            bbox: Rect {
                x,
                y,
                width: side,
                height: side,
            },
            ..at(0.0, score)
        }
    }

    fn left(mut found: Vec<Detection>, least: f32) -> Vec<f32> {
        whole_faces(&mut found, 0, least);
        found.iter().map(|d| d.bbox.width).collect()
    }

    #[test]
    fn the_whole_face_wins_whatever_score_its_part_has() {
        // Places of the left eye, the right eye, the nose and the mouth in a box from eyebrow to chin.
        for (x, y) in [(0.3, 0.25), (0.7, 0.25), (0.5, 0.5), (0.5, 0.8)] {
            for side in [24.0, 60.0, 120.0, 160.0] {
                for (whole, part) in [(0.51, 0.99), (0.99, 0.51)] {
                    let (x, y) = (100.0 + 400.0 * x, 40.0 + 400.0 * y);
                    let eye = square(x - 0.5 * side, y - 0.5 * side, side, part);
                    let face = square(100.0, 40.0, 400.0, whole);
                    assert_eq!(left(vec![face, eye], 0.5), [400.0]);
                    assert_eq!(left(vec![eye, face], 0.5), [400.0]);
                }
            }
        }
    }

    #[test]
    fn the_largest_of_three_sizes_of_a_face_stays() {
        let faces = [(160.0, 0.9), (80.0, 0.95), (40.0, 0.99)];
        let faces = faces.map(|(side, score)| square(200.0 - side / 2.0, 200.0, side, score));
        assert_eq!(left(faces.to_vec(), 0.5), [160.0]);
    }

    #[test]
    fn faces_beside_each_other_are_two() {
        // Two faces cheek to cheek: 0.45 of the smaller box is inside the larger one.
        let child = square(155.0, 60.0, 100.0, 0.9);
        assert_eq!(
            left(vec![square(0.0, 0.0, 200.0, 0.6), child], 0.5).len(),
            2
        );
        // Two faces of the same size that share 40 of 100 pixels.
        let pair = vec![square(0.0, 0.0, 100.0, 0.6), square(60.0, 0.0, 100.0, 0.9)];
        assert_eq!(left(pair, 0.5).len(), 2);
    }

    #[test]
    fn a_doubtful_whole_does_not_remove_a_face() {
        let pair = vec![square(50.0, 50.0, 40.0, 0.9), square(0.0, 0.0, 200.0, 0.55)];
        assert_eq!(left(pair.clone(), 0.65), [40.0, 200.0]);
        assert_eq!(left(pair, 0.5), [200.0]);
    }

    #[test]
    fn earlier_detections_are_left_alone() {
        let mut found = vec![square(50.0, 50.0, 40.0, 0.9), square(0.0, 0.0, 200.0, 0.9)];
        whole_faces(&mut found, 1, 0.5);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn boxes_without_area_do_not_hang_the_suppression() {
        let flat = Detection {
            bbox: Rect::default(),
            ..at(0.0, 0.9)
        };
        let (mut candidates, mut found) = (vec![flat, at(0.0, 0.8)], vec![]);
        suppress(&mut candidates, &mut found, 0.3);
        assert_eq!(found.len(), 1);
    }
}
