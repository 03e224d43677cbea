//! Regions of the picture where one unknown face after another appears, because something there looks like a face to the
//! detector, each time like a different one. [`Evidence`](super::Evidence) finds things that always look like the same face.
//!
//! A region is *unsteady* once eight unknown faces have begun there within a minute, and stays unsteady as long as more follow.
//! People who pass by are fewer, and each person who waits is one face. All regions are stored inline, so nothing is allocated.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::face::Rect;

/// The number of regions that are remembered.
const CAPACITY: usize = 64;
/// The smallest overlap of a face with its region. It is small because the size of false detections varies.
const MIN_OVERLAP: f32 = 0.3;
/// The number of unknown faces that make a region unsteady if they begin within [`WITHIN`].
const FACES: usize = 8;
const WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
struct Region {
    /// The mean of the latest faces.
    bbox: Rect,
    /// The times when the latest faces began; the oldest is at `next`. 0 marks a free entry.
    starts: [Timestamp; FACES],
    next: usize,
    latest: Timestamp,
}

const NEVER: Timestamp = Timestamp::from_nanos(0);

const FREE: Region = Region {
    bbox: Rect {
        x: 0.0,
        y: 0.0,
        width: 0.0,
        height: 0.0,
    },
    starts: [NEVER; FACES],
    next: 0,
    latest: NEVER,
};

impl Region {
    fn is_unsteady(&self, now: Timestamp) -> bool {
        let oldest = self.starts[self.next];
        oldest > NEVER && now.since(oldest) <= WITHIN
    }
}

/// The regions of the picture in which unknown faces have begun.
pub struct UnsteadyRegions {
    regions: [Region; CAPACITY],
}

impl Default for UnsteadyRegions {
    fn default() -> Self {
        Self {
            regions: [FREE; CAPACITY],
        }
    }
}

impl UnsteadyRegions {
    /// Forgets all regions.
    pub const fn clear(&mut self) {
        self.regions = [FREE; CAPACITY];
    }

    /// Records that an unknown face begins at `bbox`.
    pub fn record(&mut self, now: Timestamp, bbox: &Rect) {
        let region = self.find(bbox).unwrap_or_else(|| {
            let oldest = |i: &usize| (self.regions[*i].is_unsteady(now), self.regions[*i].latest);
            let region = (0..CAPACITY).min_by_key(oldest).unwrap_or(0);
            self.regions[region] = Region {
                bbox: *bbox,
                ..FREE
            };
            region
        });
        let region = &mut self.regions[region];
        region.bbox = region.bbox.towards(bbox, 1.0 / FACES as f32);
        region.latest = now;
        region.starts[region.next] = now;
        region.next = (region.next + 1) % FACES;
    }

    /// Whether a face at `bbox` is in an unsteady region.
    #[must_use]
    pub fn is_unsteady(&self, now: Timestamp, bbox: &Rect) -> bool {
        let here = |r: &&Region| r.latest > NEVER && r.bbox.overlap(bbox) >= MIN_OVERLAP;
        self.regions.iter().filter(here).any(|r| r.is_unsteady(now))
    }

    /// The region that overlaps `bbox` most.
    fn find(&self, bbox: &Rect) -> Option<usize> {
        let overlap = |i: &usize| self.regions[*i].bbox.overlap(bbox);
        (0..CAPACITY)
            .filter(|i| self.regions[*i].latest > NEVER)
            .max_by(|a, b| overlap(a).total_cmp(&overlap(b)))
            .filter(|i| overlap(i) >= MIN_OVERLAP)
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
        let mut regions = UnsteadyRegions::default();
        for k in 0..8 {
            assert!(!regions.is_unsteady(s(5 * k), &at(3.0 * k as f32)), "{k}");
            regions.record(s(5 * k), &at(3.0 * k as f32));
        }
        assert!(regions.is_unsteady(s(35), &at(10.0)));
        assert!(!regions.is_unsteady(s(35), &at(80.0)), "another region");
        assert!(regions.is_unsteady(s(60), &at(10.0)));
        assert!(
            !regions.is_unsteady(s(61), &at(10.0)),
            "the first is too long ago"
        );
        regions.record(s(62), &at(10.0));
        assert!(regions.is_unsteady(s(62), &at(10.0)), "they go on");
        regions.clear();
        assert!(!regions.is_unsteady(s(62), &at(10.0)));
    }

    #[test]
    fn an_unsteady_place_is_remembered_among_hundreds_of_faces_elsewhere() {
        let mut regions = UnsteadyRegions::default();
        for k in 0..8 {
            regions.record(s(k), &at(0.0));
        }
        for k in 0..500 {
            regions.record(s(10), &at(100.0 * (k + 1) as f32));
        }
        assert!(regions.is_unsteady(s(20), &at(0.0)));
    }

    proptest! {
        /// People come to one region, at most seven in any minute, each as one face.
        #[test]
        fn people_who_pass_by_leave_a_place_steady(
            pauses in proptest::collection::vec(8600_u64..60_000, 1..100),
        ) {
            let mut regions = UnsteadyRegions::default();
            let mut now = 1_000_000;
            for pause in pauses {
                regions.record(Timestamp::from_millis(now), &at(0.0));
                prop_assert!(!regions.is_unsteady(Timestamp::from_millis(now), &at(0.0)));
                now += pause;
            }
        }
    }
}
