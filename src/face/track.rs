//! Which face of this frame is which face of the last frame: each face keeps a number while it is in view, so that votes of
//! different people never add up.
//!
//! Only the overlap of boxes is used. Two people who swap places between two frames would swap their numbers. Their votes
//! then disagree, which can delay the door but not open it.

use std::time::Duration;

use super::MAX_FACES;
use super::geometry::Rect;
use super::numbers::Numbers;
use crate::clock::Timestamp;

/// The smallest overlap between a face and its previous place.
const MIN_OVERLAP: f32 = 0.15;
/// How long a face may be out of sight and still keep its number. Such a gap comes from the detector, not from another
/// visit. A face of the previous frame has not been out of sight, however long that frame took to read.
const LONGEST_GAP: Duration = Duration::from_millis(1000);

#[derive(Clone, Copy)]
struct Track {
    number: u32,
    bbox: Rect,
    seen: Timestamp,
}

/// Follows up to [`MAX_FACES`] faces.
#[derive(Default)]
pub struct Tracker {
    tracks: [Option<Track>; MAX_FACES],
    numbers: Numbers,
    /// When the previous frame was taken.
    previous: Timestamp,
}

impl Tracker {
    /// Assigns numbers to the faces in `boxes`, in their order, at the time `now`. Numbers start at 1 and are not used
    /// again. Faces beyond [`MAX_FACES`] get no number.
    pub fn follow(&mut self, now: Timestamp, boxes: &[Rect]) -> [u32; MAX_FACES] {
        let boxes = &boxes[..boxes.len().min(MAX_FACES)];
        let mut numbers = [0; MAX_FACES];
        for track in &mut self.tracks {
            if track.is_some_and(|t| t.seen != self.previous && now.since(t.seen) > LONGEST_GAP) {
                *track = None;
            }
        }
        self.previous = now;
        // The best overlap is matched first, until no pair is left: there are at most 8 x 8 pairs.
        let mut taken = [false; MAX_FACES];
        loop {
            let mut best: Option<(usize, usize, f32)> = None;
            for (f, bbox) in boxes.iter().enumerate().filter(|(f, _)| numbers[*f] == 0) {
                for (t, track) in self.tracks.iter().enumerate().filter(|(t, _)| !taken[*t]) {
                    let overlap = track.map_or(0.0, |track| track.bbox.overlap(bbox));
                    if overlap > best.map_or(MIN_OVERLAP, |(_, _, o)| o) {
                        best = Some((f, t, overlap));
                    }
                }
            }
            let Some((f, t, _)) = best else { break };
            taken[t] = true;
            if let Some(track) = &mut self.tracks[t] {
                track.bbox = boxes[f];
                track.seen = now;
                numbers[f] = track.number;
            }
        }
        for (number, bbox) in numbers.iter_mut().zip(boxes).filter(|(n, _)| **n == 0) {
            let longest_unseen = (0..MAX_FACES)
                .filter(|t| !taken[*t])
                .min_by_key(|t| self.tracks[*t].map_or(Timestamp::default(), |track| track.seen));
            let Some(t) = longest_unseen else { break };
            taken[t] = true;
            *number = self.numbers.next_number();
            self.tracks[t] = Some(Track {
                number: *number,
                bbox: *bbox,
                seen: now,
            });
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32) -> Rect {
        Rect {
            x,
            y: 0.0,
            width: 50.0,
            height: 50.0,
        }
    }

    #[test]
    fn a_face_keeps_its_number_while_it_moves_and_others_get_their_own() {
        let mut tracker = Tracker::default();
        let ms = Timestamp::from_millis;
        assert_eq!(tracker.follow(ms(0), &[at(0.0), at(200.0)])[..2], [1, 2]);
        assert_eq!(tracker.follow(ms(33), &[at(210.0), at(10.0)])[..2], [2, 1]);
        assert_eq!(tracker.follow(ms(66), &[at(400.0), at(15.0)])[..2], [3, 1]);
    }

    #[test]
    fn a_short_gap_keeps_the_number_and_an_absence_does_not() {
        let mut tracker = Tracker::default();
        let ms = Timestamp::from_millis;
        assert_eq!(tracker.follow(ms(0), &[at(0.0)])[0], 1);
        tracker.follow(ms(300), &[]);
        assert_eq!(tracker.follow(ms(600), &[at(0.0)])[0], 1);
        tracker.follow(ms(1650), &[]);
        assert_eq!(tracker.follow(ms(1700), &[at(0.0)])[0], 2);
    }

    #[test]
    fn a_slow_reader_still_follows() {
        let mut tracker = Tracker::default();
        let ms = Timestamp::from_millis;
        assert_eq!(tracker.follow(ms(0), &[at(0.0)])[0], 1);
        assert_eq!(tracker.follow(ms(4000), &[at(5.0)])[0], 1);
        tracker.follow(ms(8000), &[]);
        assert_eq!(tracker.follow(ms(8100), &[at(5.0)])[0], 2);
    }

    #[test]
    fn a_crowd_does_not_overflow() {
        let mut tracker = Tracker::default();
        let crowd: Vec<_> = (0..20u8).map(|i| at(100.0 * f32::from(i))).collect();
        let numbers = tracker.follow(Timestamp::from_millis(0), &crowd);
        assert_eq!(
            numbers,
            std::array::from_fn(|i| u32::try_from(i).unwrap() + 1)
        );
        let again = tracker.follow(Timestamp::from_millis(33), &crowd[8..]);
        assert_eq!(
            again,
            std::array::from_fn(|i| u32::try_from(i).unwrap() + 9)
        );
    }
}
