//! One face, one detection: what overlaps is averaged.

use super::super::geometry::{Point, Rect};
use super::Detection;

/// Weighted non-maximum suppression: every group of overlapping candidates becomes their average,
/// weighted by score, with the best score of the group (Bazarevsky et al., BlazeFace, 2019, section
/// 3.4: steadier from frame to frame than keeping the best box alone). A candidate whose middle is about that of a
/// better one is the same face seen at another size: it is dropped. Empties `candidates`.
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
            !same && !concentric(&c.bbox, &best.bbox)
        });
        if weight > 0.0 {
            found.push(sum.divided(weight, best.score));
        } else {
            // Boxes without area overlap nothing, not even themselves.
            candidates.remove(0);
        }
    }
}

/// Whether the middle of one lies within the middle half of the other.
fn concentric(a: &Rect, b: &Rect) -> bool {
    let (p, q) = (a.centre(), b.centre());
    let (dx, dy) = ((p.x - q.x).abs(), (p.y - q.y).abs());
    [a, b]
        .iter()
        .any(|r| dx < 0.25 * r.width && dy < 0.25 * r.height)
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
        // A detector tells them of all its faces or of none.
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

    #[test]
    fn a_face_seen_at_two_sizes_is_one_face() {
        let small = Detection {
            bbox: Rect {
                x: 4.0,
                y: 3.0,
                width: 4.0,
                height: 4.0,
            },
            ..at(0.0, 0.7)
        };
        let beside = Detection {
            bbox: Rect {
                x: 8.0,
                y: 3.0,
                width: 4.0,
                height: 4.0,
            },
            ..at(0.0, 0.6)
        };
        let (mut candidates, mut found) = (vec![at(0.0, 0.9), small, beside], vec![]);
        suppress(&mut candidates, &mut found, 0.3);
        let left: Vec<f32> = found.iter().map(|d| d.bbox.x).collect();
        // The larger one's box is not pulled towards the smaller.
        assert_eq!(left, [0.0, 8.0]);
    }

    #[test]
    fn boxes_without_area_do_not_hang_it() {
        let flat = Detection {
            bbox: Rect::default(),
            ..at(0.0, 0.9)
        };
        let (mut candidates, mut found) = (vec![flat, at(0.0, 0.8)], vec![]);
        suppress(&mut candidates, &mut found, 0.3);
        assert_eq!(found.len(), 1);
    }
}
