//! Finds out who is in each track: groups the looks at one identity, and keeps their mean embedding.
//!
//! A *presentation* is one identity before the door. It begins with a recognised look and has a number that is never used for
//! another presentation. A look that the network regards as another person's does not join the presentation. At first that look
//! is only a doubt; once a second look agrees with it, the two begin their own presentation. So looks at one person never help
//! the next person, and a blurred look at a person does not end their presentation.
//!
//! If the detector loses a face that has not moved since its presentation began, and finds it again in the same place, it is
//! still the same presentation. A face that stays in its place for a long time and is never recognised as an enrolled person is a
//! fixture: a thing that looks like a face, or a picture of one.
//!
//! The mean is not scaled back to length 1. So its product with a person's direction is the mean of the frames' cosines, a
//! threshold for one frame is valid for many frames, and random errors average out. The newest look has the largest weight. All
//! entries are stored inline, so nothing is allocated.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::face::{Embedding, MAX_FACES, Numbers, Rect};

/// The share of the earlier looks' weight that is left after each new look. After five looks a third is left.
const DECAY: f32 = 0.8;

/// The number of presentations that are remembered: those in view, and things that are out of sight.
const CAPACITY: usize = 4 * MAX_FACES;

/// The smallest overlap with its old place at which a face that has not moved is still in that place.
const PLACE_OVERLAP: f32 = 0.5;
/// A face has moved if its overlap with that place is less than this.
const UNMOVED_OVERLAP: f32 = 0.7;
/// A face that has moved is in another place if the overlap is less than this, because it then went about as far as a face is
/// wide.
const AWAY_OVERLAP: f32 = 0.1;
/// The weight of the newest box in the mean box of a place.
const BOX_WEIGHT: f32 = 0.1;
/// If the time between two looks is longer than this, the face was out of sight in between.
const OUT_OF_SIGHT: Duration = Duration::from_secs(2);
/// A face that has never moved is a fixture after it has stayed in its place, in sight, for this time.
const FIXTURE_AFTER: Duration = Duration::from_secs(20);
/// The same for a face that has moved before.
const MOVED_FIXTURE_AFTER: Duration = Duration::from_secs(60);

/// How a face has moved since its presentation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It has not moved yet.
    Still,
    /// It has moved as a person does.
    Moved,
    /// It stayed in its place for so long, without being recognised as an enrolled person, that it must be a thing.
    Fixture,
    /// It is in a place where one unknown face after another appears.
    Unsteady,
}

impl Motion {
    /// Whether the face is treated as a thing and not as a person.
    #[must_use]
    pub const fn is_thing(self) -> bool {
        matches!(self, Self::Fixture | Self::Unsteady)
    }
}

/// The weighted mean of embeddings.
#[derive(Clone, Copy)]
struct Mean {
    values: [f32; Embedding::MAX],
    len: usize,
    weight: f32,
}

impl Mean {
    const EMPTY: Self = Self {
        values: [0.0; Embedding::MAX],
        len: 0,
        weight: 0.0,
    };

    fn of(face: &Embedding) -> Self {
        let mut mean = Self::EMPTY;
        mean.add(face);
        mean
    }

    fn values(&self) -> &[f32] {
        &self.values[..self.len]
    }

    /// Whether `face` is the same person's, which it is if the cosine is at least `same`. The comparison is for alike faces, so
    /// that a NaN does not count as alike.
    fn fits(&self, face: &Embedding, same: f32) -> bool {
        let length = self.values().iter().map(|v| v * v).sum::<f32>().sqrt();
        let alike = self.len == face.values().len() && face.cosine(self.values()) >= same * length;
        self.weight > 0.0 && alike
    }

    fn add(&mut self, face: &Embedding) {
        self.len = face.values().len();
        let weight = DECAY.mul_add(self.weight, 1.0);
        let share = 1.0 / weight;
        for (mean, new) in self.values.iter_mut().zip(face.values()) {
            *mean = (new - *mean).mul_add(share, *mean);
        }
        self.weight = weight;
    }
}

/// One presentation.
#[derive(Clone, Copy)]
struct Entry {
    /// The presentation's number; 0 marks a free entry.
    number: u32,
    /// The track that shows the presentation, or the last one that did.
    track: u32,
    /// Whether that track still shows the presentation.
    current: bool,
    mean: Mean,
    /// The number of looks that joined.
    looks: u32,
    /// The last look, if it did not join the presentation.
    rival: Option<Mean>,
    /// The place where the face stays, and the time since which it has been there.
    place: Rect,
    since: Timestamp,
    moved: bool,
    /// Whether the face was named as an enrolled person's.
    enrolled: bool,
    seen: Timestamp,
}

const FREE: Entry = Entry {
    number: 0,
    track: 0,
    current: false,
    mean: Mean::EMPTY,
    looks: 0,
    rival: None,
    place: Rect {
        x: 0.0,
        y: 0.0,
        width: 0.0,
        height: 0.0,
    },
    since: Timestamp::from_nanos(0),
    moved: false,
    enrolled: false,
    seen: Timestamp::from_nanos(0),
};

impl Entry {
    fn motion(&self) -> Motion {
        let stays = self.seen.since(self.since);
        match self.moved {
            true if stays >= MOVED_FIXTURE_AFTER && !self.enrolled => Motion::Fixture,
            false if stays >= FIXTURE_AFTER && !self.enrolled => Motion::Fixture,
            true => Motion::Moved,
            false => Motion::Still,
        }
    }

    /// Records that the face is at `bbox`.
    fn move_to(&mut self, now: Timestamp, bbox: &Rect) {
        // Time out of sight does not count as staying, because a person may have gone and come back to the same place.
        let unseen = now.since(self.seen);
        if unseen > OUT_OF_SIGHT {
            self.since = self.since.plus(unseen);
        }
        self.seen = now;
        self.moved |= self.place.overlap(bbox) < UNMOVED_OVERLAP;
        let away = if self.moved {
            AWAY_OVERLAP
        } else {
            PLACE_OVERLAP
        };
        if self.place.overlap(bbox) < away {
            (self.place, self.since) = (*bbox, now);
            return;
        }
        self.place = self.place.towards(bbox, BOX_WEIGHT);
    }
}

/// What the looks at a face show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presented<'a> {
    /// The number of the presentation; 0 if the face was never recognised.
    pub number: u32,
    /// How the face has moved.
    pub motion: Motion,
    /// The mean embedding of the presentation's looks, of length at most 1. `None` if no look joined them in this frame.
    pub mean: Option<&'a [f32]>,
}

/// The presentations before the door.
pub struct Evidence {
    entries: [Entry; CAPACITY],
    numbers: Numbers,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            entries: [FREE; CAPACITY],
            numbers: Numbers::default(),
        }
    }
}

impl Evidence {
    /// Forgets all looks. Numbers continue, so that none is used twice.
    pub fn clear(&mut self) {
        for entry in &mut self.entries {
            entry.number = 0;
        }
    }

    /// Records that the face of `track` is at `bbox` in a new frame and cannot be recognised in it.
    pub fn update_position(&mut self, now: Timestamp, track: u32, bbox: &Rect) -> Presented<'_> {
        let Some(place) = self.in_track(track) else {
            return Presented {
                number: 0,
                motion: Motion::Still,
                mean: None,
            };
        };
        let entry = &mut self.entries[place];
        entry.move_to(now, bbox);
        Presented {
            number: entry.number,
            motion: entry.motion(),
            mean: None,
        }
    }

    /// Records that the face of `track` is at `bbox` in a new frame and looks like `face`. Looks show the same person if their
    /// cosine is at least `same`. A track's number is never used for another track.
    pub fn look(
        &mut self,
        now: Timestamp,
        track: u32,
        bbox: &Rect,
        face: &Embedding,
        same: f32,
    ) -> Presented<'_> {
        let place = match self.in_track(track) {
            None => self.begin(now, track, bbox, Mean::of(face), same),
            Some(place) if self.entries[place].mean.fits(face, same) => {
                let entry = &mut self.entries[place];
                entry.mean.add(face);
                entry.looks = entry.looks.saturating_add(1);
                entry.rival = None;
                place
            }
            Some(place) => {
                let entry = &mut self.entries[place];
                let rival = entry.rival.take().filter(|rival| rival.fits(face, same));
                // A single look does not take over the track; a second look that agrees with it does.
                if let (None, 2..) = (rival, entry.looks) {
                    entry.rival = Some(Mean::of(face));
                    entry.move_to(now, bbox);
                    return Presented {
                        number: entry.number,
                        motion: entry.motion(),
                        mean: None,
                    };
                }
                entry.current = false;
                let mut mean = rival.unwrap_or(Mean::EMPTY);
                mean.add(face);
                self.begin(now, track, bbox, mean, same)
            }
        };
        let entry = &mut self.entries[place];
        let was = entry.motion();
        entry.move_to(now, bbox);
        // A thing that moves is judged again from the beginning.
        if was == Motion::Fixture && entry.motion() != Motion::Fixture {
            (entry.number, entry.moved) = (self.numbers.next_number(), true);
        }
        let entry = &self.entries[place];
        Presented {
            number: entry.number,
            motion: entry.motion(),
            mean: Some(entry.mean.values()),
        }
    }

    /// Records that the presentation `number` may be an enrolled person's or, if `named`, that it is one's. A named person is
    /// never regarded as a thing, however still they stand and wherever they look.
    pub fn mark_enrolled(&mut self, number: u32, named: bool) {
        let mut entries = self.entries.iter_mut();
        if let Some(entry) = entries.find(|h| h.number == number && number != 0) {
            entry.since = entry.seen;
            entry.enrolled |= named;
        }
    }

    fn in_track(&self, track: u32) -> Option<usize> {
        let here = |h: &Entry| h.number != 0 && h.current && h.track == track;
        self.entries.iter().position(here)
    }

    /// Finds the presentation of a face whose track has none: one that has not moved and is found again, or a new one.
    fn begin(&mut self, now: Timestamp, track: u32, bbox: &Rect, mean: Mean, same: f32) -> usize {
        for entry in &mut self.entries {
            // A track belongs to one presentation at a time, the one that begins here.
            entry.current &= entry.track != track;
        }
        let direction = Embedding::normalised(mean.values().iter().copied());
        let again = |h: &Entry| {
            let away = !h.current || h.seen < now;
            let here = h.place.overlap(bbox) >= PLACE_OVERLAP;
            let alike = direction.as_ref().is_some_and(|d| h.mean.fits(d, same));
            h.number != 0 && away && !h.moved && here && alike
        };
        if let Some(place) = self.entries.iter().position(again) {
            let entry = &mut self.entries[place];
            (entry.track, entry.current) = (track, true);
            if let Some(face) = &direction {
                entry.mean.add(face);
            }
            return place;
        }
        // Presentations in view are dropped last. Things that have never moved are dropped second to last, because only such
        // things are found again.
        let rank = |i: &usize| {
            let h = &self.entries[*i];
            (
                h.number != 0,
                now.since(h.seen) <= OUT_OF_SIGHT,
                h.motion() == Motion::Fixture && !h.moved,
                h.seen,
                h.number,
            )
        };
        let place = (0..CAPACITY).min_by_key(rank).unwrap_or(0);
        self.entries[place] = Entry {
            number: self.numbers.next_number(),
            track,
            current: true,
            mean,
            looks: 1,
            rival: None,
            place: *bbox,
            since: now,
            moved: false,
            enrolled: false,
            seen: now,
        };
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::people::{Gallery, Identifier, PersonId, Rule};
    use proptest::prelude::*;
    use std::path::Path;

    const THRESHOLD: f32 = 0.5;

    fn at(x: f32) -> Rect {
        Rect {
            x,
            y: 100.0,
            width: 100.0,
            height: 100.0,
        }
    }

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn e(values: &[f32]) -> Embedding {
        Embedding::normalised(values.iter().copied()).unwrap()
    }

    fn noisy(direction: &[f32], much: f32, chance: &mut Chance) -> Embedding {
        Embedding::normalised(direction.iter().map(|d| d + much * chance.normal())).unwrap()
    }

    #[test]
    fn many_frames_give_their_weighted_mean() {
        let mut chance = Chance::new(1);
        let (mut evidence, direction) = (Evidence::default(), [0.5; 4].map(|v| [v, 0.0]).concat());
        let mut frames = Vec::new();
        for k in 0..10 {
            let frame = noisy(&direction, 0.12, &mut chance);
            frames.push(frame);
            let seen = evidence.look(ms(k), 7, &at(0.0), &frame, THRESHOLD);
            let mean = seen.mean.unwrap();
            // The weights, computed directly.
            let weights: Vec<f32> = (0..frames.len())
                .rev()
                .map(|age| DECAY.powi(age as i32))
                .collect();
            for (k, have) in mean.iter().enumerate() {
                let sum: f32 = frames
                    .iter()
                    .zip(&weights)
                    .map(|(f, w)| f.values()[k] * w)
                    .sum();
                assert!((have - sum / weights.iter().sum::<f32>()).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn another_person_in_the_track_is_a_separate_presentation() {
        let mut evidence = Evidence::default();
        let [ada, other] = [[1.0, 0.0], [0.1, 1.0]].map(|d| e(&d));
        for k in 0..5 {
            let seen = evidence.look(ms(k), 1, &at(0.0), &ada, THRESHOLD);
            assert_eq!(seen.number, 1);
        }
        let seen = evidence.look(ms(5), 1, &at(0.0), &other, THRESHOLD);
        assert_eq!((seen.number, seen.mean), (1, None), "a doubt at first");
        let seen = evidence.look(ms(6), 1, &at(0.0), &other, THRESHOLD);
        assert_eq!((seen.number, seen.mean), (2, Some(other.values())));
        let seen = evidence.look(ms(7), 2, &at(300.0), &ada, THRESHOLD);
        assert_eq!((seen.number, seen.mean), (3, Some(ada.values())));
    }

    #[test]
    fn a_bad_look_neither_ends_nor_holds_a_presentation() {
        let mut evidence = Evidence::default();
        let [ada, bad, worse] = [[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [0.0, 0.1, 1.0]].map(|d| e(&d));
        let mut look = |k, face| evidence.look(ms(k), 1, &at(0.0), face, THRESHOLD).number;
        assert_eq!(look(0, &bad), 1);
        assert_eq!([look(1, &ada), look(2, &ada)], [2, 2]);
        assert_eq!([look(3, &bad), look(4, &ada)], [2, 2]);
        assert_eq!([look(5, &bad), look(6, &worse), look(7, &ada)], [2, 2, 2]);
    }

    #[test]
    fn a_face_that_stays_is_a_thing_and_one_that_moves_is_not() {
        let mut evidence = Evidence::default();
        let thing = e(&[1.0, 0.0]);
        // The detector sees the thing now and then, each time in another track.
        let mut track = 0;
        for k in 0..20 {
            track += 1;
            let seen = evidence.look(
                ms(1000 * k),
                track,
                &at(3.0 * (k % 3) as f32),
                &thing,
                THRESHOLD,
            );
            assert_eq!((seen.number, seen.motion), (1, Motion::Still), "{k}");
        }
        let seen = evidence.look(ms(20_000), 99, &at(0.0), &thing, THRESHOLD);
        assert_eq!((seen.number, seen.motion), (1, Motion::Fixture));
        // Another person in the same place has another presentation.
        let seen = evidence.look(ms(21_000), 100, &at(0.0), &e(&[0.0, 1.0]), THRESHOLD);
        assert_eq!((seen.number, seen.motion), (2, Motion::Still));
        let seen = evidence.look(ms(22_000), 99, &at(0.0), &thing, THRESHOLD);
        assert_eq!((seen.number, seen.motion), (1, Motion::Fixture));
        let seen = evidence.look(ms(22_100), 99, &at(60.0), &thing, THRESHOLD);
        assert_eq!((seen.number, seen.motion), (3, Motion::Moved));
        // A known person may stand still without limit.
        for k in 0..600 {
            let seen = evidence.look(ms(30_000 + 100 * k), 200, &at(400.0), &thing, THRESHOLD);
            assert_eq!(seen.motion, Motion::Still);
            let number = seen.number;
            evidence.mark_enrolled(number, false);
        }
    }

    #[test]
    fn a_person_who_was_named_is_no_thing_when_they_turn_away_for_minutes() {
        for moved in [0.0, 60.0] {
            let mut evidence = Evidence::default();
            let ada = e(&[1.0, 0.0]);
            for k in 0..5 {
                evidence.look(
                    ms(100 * k),
                    1,
                    &at(if k == 0 { 0.0 } else { moved }),
                    &ada,
                    THRESHOLD,
                );
            }
            evidence.mark_enrolled(1, true);
            for k in 5..3000 {
                let seen = evidence.update_position(ms(100 * k), 1, &at(moved));
                assert_ne!(seen.motion, Motion::Fixture, "{k}");
            }
            let seen = evidence.look(ms(300_000), 1, &at(moved), &ada, THRESHOLD);
            assert_eq!(seen.number, 1);
            assert_ne!(seen.motion, Motion::Fixture);
        }
    }

    #[test]
    fn a_face_out_of_sight_has_not_stayed() {
        let mut evidence = Evidence::default();
        let ada = e(&[1.0, 0.0]);
        // She comes, is recognised, goes, and is back at the same place half a minute later, again and again.
        for visit in 0..4_u32 {
            for k in 0..5 {
                let t = ms(30_000 * u64::from(visit) + 100 * k);
                let seen = evidence.look(t, visit + 1, &at(0.0), &ada, THRESHOLD);
                assert_eq!(seen.motion, Motion::Still, "visit {visit}, look {k}");
            }
        }
    }

    #[test]
    fn things_are_kept_where_many_pass_by() {
        let mut evidence = Evidence::default();
        let [thing, person] = [[1.0, 0.0], [0.0, 1.0]].map(|d| e(&d));
        for k in 0..=20 {
            evidence.look(ms(1000 * k), 1, &at(0.0), &thing, THRESHOLD);
        }
        for k in 0..500_u32 {
            let x = 150.0 + (k % 7) as f32 * 150.0;
            let t = ms(21_000 + 1000 * u64::from(k));
            evidence.look(t, 10 + k, &at(x), &person, THRESHOLD);
        }
        let seen = evidence.look(ms(600_000), 9000, &at(0.0), &thing, THRESHOLD);
        assert_eq!((seen.number, seen.motion), (1, Motion::Fixture));
    }

    #[test]
    fn old_things_leave_room_for_faces_in_view() {
        let mut chance = Chance::new(3);
        let mut random_person = || Embedding::normalised((0..32).map(|_| chance.normal())).unwrap();
        let mut evidence = Evidence::default();
        // More pictures held still than can be remembered, and people who wait and go.
        for k in 0..80_u32 {
            let picture = random_person();
            let moved = 100.0 * (k % 2) as f32;
            for second in 0..63 {
                let t = ms(70_000 * u64::from(k) + 1000 * second);
                let x = if second == 0 { 0.0 } else { moved };
                evidence.look(t, k + 1, &at(x), &picture, THRESHOLD);
            }
        }
        let two = [random_person(), random_person()];
        let mut numbers = [0; 2];
        for k in 0..10 {
            for (who, face) in two.iter().enumerate() {
                let track = 1000 + who as u32;
                let t = ms(6_000_000 + 100 * k);
                let seen = evidence.look(t, track, &at(400.0 * who as f32), face, THRESHOLD);
                assert!(k == 0 || seen.number == numbers[who], "look {k} of {who}");
                numbers[who] = seen.number;
            }
        }
    }

    proptest! {
        /// If a stranger takes a resident's place while the resident is being recognised, a look names the stranger only if that
        /// look alone would do so. Looks at two people never have the same number.
        #[test]
        fn looks_of_two_people_never_help_each_other(
            seed in any::<u64>(),
            turns in proptest::collection::vec((any::<bool>(), 1_usize..6), 1..30),
            angle in 0.0_f32..0.45,
            much in 0.0_f32..0.35,
        ) {
            let mut chance = Chance::new(seed);
            let mut resident = [0.0; 16];
            let mut stranger = [0.0; 16];
            resident[0] = 1.0;
            (stranger[0], stranger[1]) = (angle, (1.0 - angle * angle).sqrt());
            let mut gallery = Gallery::default();
            gallery.add("Ada", &[e(&resident)], &[], "aa", Path::new("test")).unwrap();
            gallery.learn();
            let rule = Rule { threshold: THRESHOLD, fixed: true, margin: 0.05 };
            let identifier = Identifier::new(gallery.enrolled("aa"), rule, None);
            let mut evidence = Evidence::default();
            let mut whose = std::collections::HashMap::new();
            let mut now = 0;
            for (who, looks) in turns {
                for _ in 0..looks {
                    now += 100;
                    let direction = if who { &resident } else { &stranger };
                    let face = noisy(direction, 0.25 * much, &mut chance);
                    let other = if who { &stranger } else { &resident };
                    // Looks that the network itself regards as the other person's are not tested here.
                    if face.cosine(e(other).values()) >= THRESHOLD - 0.15 && much > 0.0 {
                        continue;
                    }
                    let seen = evidence.look(ms(now), 1, &at(0.0), &face, THRESHOLD);
                    let Some(mean) = seen.mean else { continue };
                    let named = identifier.identify_visit(&face, mean).who;
                    let alone = identifier.identify(&face).who;
                    prop_assert!(named.is_none() || named == alone);
                    prop_assert!(who || named.is_none() || alone == Some(PersonId(1)));
                    if much < 0.1 && angle < 0.3 {
                        let first = *whose.entry(seen.number).or_insert(who);
                        prop_assert_eq!(first, who, "one number for two people");
                    }
                }
            }
        }
    }
}
