//! Finds whose the faces of a frame are: tracks, presentations and names. It reads no pixels, decides nothing about the door,
//! and allocates nothing.

use crate::clock::Timestamp;
use crate::door::{Observation, Sighting, Verdict};
use crate::face::{Face, MAX_FACES, Rect, Tracker};
use crate::people::{Evidence, Identifier, Motion, UnsteadyRegions};

/// Follows faces from frame to frame and names them.
pub struct IdentityTracker {
    identifier: Identifier,
    tracker: Tracker,
    evidence: Evidence,
    regions: UnsteadyRegions,
    /// The number of the newest presentation.
    newest: u32,
}

/// A face of a frame that is not a thing; parts of it may look like smaller faces.
#[derive(Clone, Copy)]
struct OuterFace {
    bbox: Rect,
    score: f32,
    known: bool,
}

/// If more than this part of a face's area is inside another face, the smaller one is a part of the other.
const PART: f32 = 0.5;

impl OuterFace {
    /// Whether `face`, which is smaller, is a part of this one. If this one is not a known person's, the smaller one may be the
    /// real face and the larger one a mistake: then the face with the higher score is regarded as real.
    fn has_part(&self, face: &Face) -> bool {
        face.bbox.within(&self.bbox) > PART && (self.known || self.score >= face.score)
    }
}

impl IdentityTracker {
    /// Names faces with `identifier`.
    #[must_use]
    pub fn new(identifier: Identifier) -> Self {
        Self {
            identifier,
            tracker: Tracker::default(),
            evidence: Evidence::default(),
            regions: UnsteadyRegions::default(),
            newest: 0,
        }
    }

    /// Replaces the identifier, and forgets all earlier looks, because a former resident may be a stranger now. Returns the old
    /// identifier.
    pub fn exchange(&mut self, identifier: Identifier) -> Identifier {
        self.forget();
        std::mem::replace(&mut self.identifier, identifier)
    }

    /// Forgets all earlier looks.
    pub fn forget(&mut self) {
        self.evidence.clear();
        self.regions.clear();
    }

    /// The door's information about a frame taken at `captured` with these faces, largest first. Faces beyond [`MAX_FACES`] are
    /// left out.
    #[must_use]
    pub fn observe(&mut self, captured: Timestamp, faces: &[Face]) -> Observation {
        let faces = &faces[..faces.len().min(MAX_FACES)];
        let mut boxes = [Rect::default(); MAX_FACES];
        for (place, face) in boxes.iter_mut().zip(faces) {
            *place = face.bbox;
        }
        let tracks = self.tracker.follow(captured, &boxes[..faces.len()]);
        let mut observation = Observation::new(captured);
        // Larger faces come first, because a face inside another one is a part of it.
        let mut outer = [None; MAX_FACES];
        for (place, (face, track)) in faces.iter().zip(tracks).enumerate() {
            let (now, bbox) = (captured, &face.bbox);
            let mut sighting = Sighting::passed_over(track);
            if outer
                .iter()
                .flatten()
                .any(|outer: &OuterFace| outer.has_part(face))
            {
                observation.push(sighting);
                continue;
            }
            let presented = match &face.embedding {
                Err(_) => self.evidence.update_position(now, track, bbox),
                Ok(face) => {
                    let same = self.identifier.threshold();
                    self.evidence.look(now, track, bbox, face, same)
                }
            };
            (sighting.presentation, sighting.motion) = (presented.number, presented.motion);
            let mut known = false;
            if let (Ok(embedding), Some(mean)) = (&face.embedding, presented.mean) {
                let found = self.identifier.identify_visit(embedding, mean);
                sighting.verdict = match found.who {
                    Some(person) => Verdict::Known {
                        person,
                        score: found.score,
                        strong: found.strong,
                    },
                    // A bad look at an enrolled person: the next frames will show who it is.
                    None if found.doubt => Verdict::Unclear,
                    None => Verdict::Stranger { score: found.score },
                };
                known = found.who.is_some() || found.doubt;
            }
            // This also applies in an unsteady region: a person who is known there is not a thing when the region is steady
            // again.
            if known && !sighting.motion.is_thing() {
                let named = matches!(sighting.verdict, Verdict::Known { .. });
                self.evidence.mark_enrolled(sighting.presentation, named);
            }
            let was_unsteady = self.regions.is_unsteady(now, bbox);
            let is_new = sighting.presentation > self.newest;
            self.newest = self.newest.max(sighting.presentation);
            if is_new && !known {
                self.regions.record(now, bbox);
            }
            // A face in an unsteady region is never let in and costs nothing. The door logs one line about each region.
            if was_unsteady {
                observation.push(Sighting::passed_over(track));
                continue;
            }
            if is_new && self.regions.is_unsteady(now, bbox) {
                sighting.motion = Motion::Unsteady;
            }
            if !sighting.motion.is_thing() {
                let (bbox, score) = (face.bbox, face.score);
                outer[place] = Some(OuterFace { bbox, score, known });
            }
            observation.push(sighting);
        }
        observation
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::chance::Chance;
    use crate::door::{Door, Event, Policy};
    use crate::face::{Embedding, Point, Quality};
    use crate::people::{Gallery, Rule};

    fn tracker(ada: &Embedding) -> IdentityTracker {
        let mut gallery = Gallery::default();
        gallery
            .add("Ada", &[*ada], &[], "aa", Path::new("test"))
            .unwrap();
        gallery.learn();
        let rule = Rule {
            threshold: 0.5,
            fixed: true,
            margin: 0.05,
        };
        IdentityTracker::new(Identifier::new(gallery.enrolled("aa"), rule, None))
    }

    fn random_person(chance: &mut Chance) -> Embedding {
        Embedding::normalised((0..64).map(|_| chance.normal())).unwrap()
    }

    /// A face 100 pixels wide.
    fn face(x: f32, embedding: Embedding) -> Face {
        Face {
            bbox: Rect {
                x,
                y: 100.0,
                width: 100.0,
                height: 120.0,
            },
            score: 0.9,
            landmarks: [Point { x: 0.0, y: 0.0 }; 5],
            quality: Quality::default(),
            embedding: Ok(embedding),
        }
    }

    /// A removed resident is a stranger like any other, also in the place where the resident stood.
    #[test]
    fn a_resident_who_is_removed_is_refused() {
        let mut chance = Chance::new(8);
        let (ada, bob) = (random_person(&mut chance), random_person(&mut chance));
        let mut tracker = tracker(&ada);
        let mut door = Door::new(Policy::default()).unwrap();
        let mut refused = Vec::new();
        for frame in 0..40_u64 {
            let now = Timestamp::from_millis(1_000_000 + 100 * frame);
            if frame == 20 {
                assert!(door.relay());
                let other = self::tracker(&bob);
                tracker.exchange(other.identifier);
            }
            for event in &door.observe(now, &tracker.observe(now, &[face(200.0, ada)])) {
                if matches!(event, Event::Refused { .. }) {
                    refused.push(frame);
                }
            }
        }
        assert_eq!(refused, [24]);
    }

    /// One picture after another in one place. Each is held still until it counts as a thing.
    #[test]
    fn pictures_that_are_held_still_one_after_the_other_are_attempts() {
        let mut chance = Chance::new(9);
        let ada = random_person(&mut chance);
        let mut tracker = tracker(&ada);
        let mut door = Door::new(Policy::default()).unwrap();
        let (mut now, mut strict_at) = (1_000_000, None);
        for picture in 0..40 {
            // Every fifth picture is of a person who is similar enough to Ada for the usual bar only.
            let other = random_person(&mut chance);
            let both = other.cosine(ada.values());
            let beside = Embedding::normalised(
                ada.values()
                    .iter()
                    .zip(other.values())
                    .map(|(a, b)| b - both * a),
            );
            let beside = beside.unwrap();
            let like = ada.values().iter().zip(beside.values());
            let shown = match picture % 5 {
                4 => Embedding::normalised(like.map(|(a, b)| 0.56 * a + 0.83 * b)).unwrap(),
                _ => beside,
            };
            for _ in 0..205 {
                now += 100;
                let at = Timestamp::from_millis(now);
                for event in &door.observe(at, &tracker.observe(at, &[face(200.0, shown)])) {
                    match event {
                        Event::Strict => strict_at = strict_at.or(Some(picture)),
                        Event::Granted { .. } => assert!(picture < 5, "picture {picture}"),
                        _ => {}
                    }
                }
            }
        }
        // In the time of nine pictures the policy allows A + T/W = 8 attempts, and one picture is still there.
        assert!(
            strict_at.is_some_and(|picture| picture <= 9),
            "{strict_at:?}"
        );
    }

    /// A bush in the wind: it looks like another face in the same place every 0.4 s.
    #[test]
    fn a_place_of_changing_faces_never_locks_the_door_and_is_never_let_in() {
        let mut chance = Chance::new(7);
        let ada = random_person(&mut chance);
        let mut tracker = tracker(&ada);
        let mut door = Door::new(Policy::default()).unwrap();
        let (mut attempts, mut unsteady, mut granted) = (0, 0, Vec::new());
        let mut bush = random_person(&mut chance);
        for frame in 0..6000_u64 {
            let now = Timestamp::from_millis(1_000_000 + 100 * frame);
            if frame % 4 == 0 {
                bush = random_person(&mut chance);
            }
            // After the first minute the bush often looks like Ada.
            if frame > 600 && frame % 40 < 8 {
                bush = ada;
            }
            let shift = chance.between(-4.0, 4.0);
            let mut faces = vec![face(200.0 + shift, bush)];
            // Ada comes every minute, and stands beside the bush.
            if frame % 600 > 570 {
                faces.push(face(340.0, ada));
            }
            for event in &door.observe(now, &tracker.observe(now, &faces)) {
                match event {
                    Event::Refused { .. } | Event::Undecided { .. } => attempts += 1,
                    Event::Unsteady { .. } => unsteady += 1,
                    Event::Granted { track, .. } => granted.push((frame, *track)),
                    Event::LockedOut { .. } => panic!("locked out in frame {frame}"),
                    _ => {}
                }
            }
        }
        assert!(attempts <= 9 && unsteady == 1, "{attempts}, {unsteady}");
        assert_eq!(granted.len(), 10, "{granted:?}");
        assert!(granted.iter().all(|(frame, _)| frame % 600 > 570));
    }
}
