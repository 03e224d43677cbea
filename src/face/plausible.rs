//! Rejects things that are not faces. If a detector mistakes a cup for a face, it also finds eyes, nose and mouth, but not
//! where a face has them. A second network that looks for the same points finds them at yet other places.

use super::detect::{Detection, point};
use super::landmarks::Landmarks;

// The bounds are wide: faces turned to the side or looking up are faces too, even if they are not worth
// recognising (which [`super::quality`] judges).

/// The distance between the eyes divided by the width of the box.
const EYES: std::ops::RangeInclusive<f32> = 0.1..=0.7;
/// The distance from the eyes to the mouth divided by the distance between the eyes. It grows as the face turns to the side.
const LENGTH: std::ops::RangeInclusive<f32> = 0.5..=4.0;
/// Where the nose is between the eyes (0) and the mouth (1).
const NOSE: std::ops::RangeInclusive<f32> = 0.0..=1.0;
/// The greatest mean distance between the detector's points and the refined ones, divided by the width of the box.
const AGREE: f32 = 0.3;

/// Whether the detector's own points can belong to a face: eyes beside each other, the nose below them, the mouth below the
/// nose, in a face's proportions.
#[must_use]
pub fn detection(d: &Detection) -> bool {
    let [left, right] = [d.points[point::EYE_LEFT], d.points[point::EYE_RIGHT]];
    proportions(
        [left.x, left.y],
        [right.x, right.y],
        [d.points[point::NOSE].x, d.points[point::NOSE].y],
        [d.points[point::MOUTH].x, d.points[point::MOUTH].y],
        d.bbox.width,
    )
}

/// Whether the refined points can also belong to a face, and agree with those of the detector.
#[must_use]
pub fn refined(d: &Detection, landmarks: &Landmarks) -> bool {
    let [left, right, nose, mouth_left, mouth_right] = *landmarks;
    let mouth = mouth_left.middle(mouth_right);
    let apart = left.distance(d.points[point::EYE_LEFT])
        + right.distance(d.points[point::EYE_RIGHT])
        + nose.distance(d.points[point::NOSE])
        + mouth.distance(d.points[point::MOUTH]);
    apart / 4.0 <= AGREE * d.bbox.width
        && proportions(
            [left.x, left.y],
            [right.x, right.y],
            [nose.x, nose.y],
            [mouth.x, mouth.y],
            d.bbox.width,
        )
}

/// The comparisons are written so that a NaN is not plausible.
fn proportions(
    left: [f32; 2],
    right: [f32; 2],
    nose: [f32; 2],
    mouth: [f32; 2],
    width: f32,
) -> bool {
    let eyes = [0.5 * (left[0] + right[0]), 0.5 * (left[1] + right[1])];
    let between = (right[0] - left[0]).hypot(right[1] - left[1]);
    let down = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
    let length = down[0].hypot(down[1]);
    // How far down the face the nose is, and whether the mouth is below the eyes and not above them: the cross product of
    // the eye line and the line to the mouth is positive if the face is the right way up.
    let nose_at =
        ((nose[0] - eyes[0]) * down[0] + (nose[1] - eyes[1]) * down[1]) / (length * length);
    let upright = (right[0] - left[0]) * down[1] - (right[1] - left[1]) * down[0];
    EYES.contains(&(between / width))
        && LENGTH.contains(&(length / between))
        && NOSE.contains(&nose_at)
        && upright > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::geometry::{Point, Rect};

    fn face() -> Detection {
        let p = |x, y| Point { x, y };
        Detection {
            bbox: Rect {
                x: 0.0,
                y: 0.0,
                width: 100.0,
                height: 100.0,
            },
            score: 0.9,
            points: [p(30.0, 35.0), p(70.0, 35.0), p(50.0, 55.0), p(50.0, 78.0)],
            corners: None,
            refined: None,
        }
    }

    fn moved(of: usize, x: f32, y: f32) -> Detection {
        let mut d = face();
        d.points[of] = Point { x, y };
        d
    }

    #[test]
    fn a_face_is_plausible_and_a_scramble_is_not() {
        assert!(detection(&face()));
        assert!(
            !detection(&moved(point::EYE_RIGHT, 34.0, 35.0)),
            "eyes together"
        );
        assert!(
            !detection(&moved(point::MOUTH, 50.0, 10.0)),
            "mouth above the eyes"
        );
        assert!(
            !detection(&moved(point::NOSE, 50.0, 20.0)),
            "nose above the eyes"
        );
        assert!(
            !detection(&moved(point::MOUTH, 50.0, 40.0)),
            "mouth between the eyes"
        );
        assert!(
            !detection(&moved(point::NOSE, f32::NAN, 55.0)),
            "not a number"
        );
    }

    #[test]
    fn points_that_disagree_are_no_face() {
        let d = face();
        let near: Landmarks = [
            [31.0, 36.0],
            [69.0, 36.0],
            [51.0, 57.0],
            [38.0, 78.0],
            [63.0, 78.0],
        ]
        .map(|[x, y]| Point { x, y });
        assert!(refined(&d, &near));
        let far = near.map(|p| Point {
            x: p.x + 36.0,
            y: p.y,
        });
        assert!(!refined(&d, &far));
    }
}
