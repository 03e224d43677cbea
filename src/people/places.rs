//! Places in view where one unknown face after another appears: something there looks like a face to the detector, and
//! each time like another one. [`Evidence`](super::Evidence) finds things that always look like one face.
//!
//! A place is *unsteady* from the eighth unknown face on that begins there within a minute, as long as more follow.
//! People who pass by are fewer, and those who wait are one face each. Held inline: nothing is allocated.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::face::Rect;

/// Places that are remembered.
const MAX: usize = 64;
/// Least overlap of a face with its place. A false detection has no steady size.
const PLACE: f32 = 0.3;
/// Unknown faces that begin within [`WITHIN`] and make a place unsteady.
const FACES: usize = 8;
const WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
struct Place {
    /// The mean of the latest faces.
    bbox: Rect,
    /// When the last faces began; the oldest is at `next`. 0 for none.
    begun: [Timestamp; FACES],
    next: usize,
    latest: Timestamp,
}

const NEVER: Timestamp = Timestamp::from_nanos(0);

const FREE: Place = Place {
    bbox: Rect {
        x: 0.0,
        y: 0.0,
        width: 0.0,
        height: 0.0,
    },
    begun: [NEVER; FACES],
    next: 0,
    latest: NEVER,
};

impl Place {
    fn unsteady(&self, now: Timestamp) -> bool {
        let oldest = self.begun[self.next];
        oldest > NEVER && now.since(oldest) <= WITHIN
    }
}

/// The places in view.
pub struct Places {
    held: [Place; MAX],
}

impl Default for Places {
    fn default() -> Self {
        Self { held: [FREE; MAX] }
    }
}

impl Places {
    /// Forgets all places.
    pub const fn clear(&mut self) {
        self.held = [FREE; MAX];
    }

    /// Records that an unknown face begins at `bbox`.
    pub fn begin(&mut self, now: Timestamp, bbox: &Rect) {
        let place = self.at(bbox).unwrap_or_else(|| {
            let oldest = |i: &usize| (self.held[*i].unsteady(now), self.held[*i].latest);
            let place = (0..MAX).min_by_key(oldest).unwrap_or(0);
            self.held[place] = Place {
                bbox: *bbox,
                ..FREE
            };
            place
        });
        let place = &mut self.held[place];
        place.bbox = place.bbox.towards(bbox, 1.0 / FACES as f32);
        place.latest = now;
        place.begun[place.next] = now;
        place.next = (place.next + 1) % FACES;
    }

    /// Whether a face at `bbox` is in an unsteady place.
    #[must_use]
    pub fn unsteady(&self, now: Timestamp, bbox: &Rect) -> bool {
        let here = |p: &&Place| p.latest > NEVER && p.bbox.overlap(bbox) >= PLACE;
        self.held.iter().filter(here).any(|p| p.unsteady(now))
    }

    /// The place that overlaps `bbox` most.
    fn at(&self, bbox: &Rect) -> Option<usize> {
        let overlap = |i: &usize| self.held[*i].bbox.overlap(bbox);
        (0..MAX)
            .filter(|i| self.held[*i].latest > NEVER)
            .max_by(|a, b| overlap(a).total_cmp(&overlap(b)))
            .filter(|i| overlap(i) >= PLACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(x: f32) -> Rect {
        Rect {
            x,
            y: 50.0,
            width: 60.0,
            height: 80.0,
        }
    }

    const fn s(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + 1000 * seconds)
    }

    #[test]
    fn the_eighth_face_within_a_minute_makes_a_place_unsteady_until_they_are_fewer() {
        let mut places = Places::default();
        for k in 0..8 {
            assert!(!places.unsteady(s(5 * k), &at(3.0 * k as f32)), "{k}");
            places.begin(s(5 * k), &at(3.0 * k as f32));
        }
        assert!(places.unsteady(s(35), &at(10.0)));
        assert!(!places.unsteady(s(35), &at(80.0)), "another place");
        assert!(places.unsteady(s(60), &at(10.0)));
        assert!(
            !places.unsteady(s(61), &at(10.0)),
            "the first is too long ago"
        );
        places.begin(s(62), &at(10.0));
        assert!(places.unsteady(s(62), &at(10.0)), "they go on");
        places.clear();
        assert!(!places.unsteady(s(62), &at(10.0)));
    }

    #[test]
    fn an_unsteady_place_is_remembered_among_hundreds_of_faces_elsewhere() {
        let mut places = Places::default();
        for k in 0..8 {
            places.begin(s(k), &at(0.0));
        }
        for k in 0..500 {
            places.begin(s(10), &at(100.0 * (k + 1) as f32));
        }
        assert!(places.unsteady(s(20), &at(0.0)));
    }

    proptest! {
        /// People come to one place, at most seven in any minute, each as one face.
        #[test]
        fn people_who_pass_by_leave_a_place_steady(
            pauses in proptest::collection::vec(8600_u64..60_000, 1..100),
        ) {
            let mut places = Places::default();
            let mut now = 1_000_000;
            for pause in pauses {
                places.begin(Timestamp::from_millis(now), &at(0.0));
                prop_assert!(!places.unsteady(Timestamp::from_millis(now), &at(0.0)));
                now += pause;
            }
        }
    }
}
