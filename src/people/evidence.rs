//! What the frames of one visit say together: the mean of a face's embeddings while it is followed, the newest heaviest.
//!
//! The mean is not brought back to length 1: its cosine to a person's direction is the mean of the frames' cosines, so a
//! threshold for one frame holds for many, and chance evens out. Held inline: nothing is allocated.

use crate::face::{Embedding, MAX_FACES};

/// What a frame leaves of the evidence before it: five frames back a third is left.
const KEEP: f32 = 0.8;
/// A face less like the evidence than this is somebody else, who came into the other's place.
const OTHER: f32 = 0.35;

#[derive(Clone, Copy)]
struct Held {
    track: u32,
    values: [f32; Embedding::MAX],
    len: usize,
    weight: f32,
}

const NONE: Held = Held {
    track: 0,
    values: [0.0; Embedding::MAX],
    len: 0,
    weight: 0.0,
};

/// The evidence about up to [`MAX_FACES`] faces.
pub struct Evidence([Held; MAX_FACES]);

impl Default for Evidence {
    fn default() -> Self {
        Self([NONE; MAX_FACES])
    }
}

impl Evidence {
    /// Adds the face of `track` in a new frame, and gives what all of its frames say: as many numbers, of length at most 1.
    /// Track numbers are never used again; the oldest tracks are forgotten.
    pub fn add(&mut self, track: u32, face: &Embedding) -> &[f32] {
        let place = self
            .0
            .iter()
            .position(|h| h.weight > 0.0 && h.track == track);
        let place = place.unwrap_or_else(|| {
            let free = (0..MAX_FACES).min_by_key(|i| (self.0[*i].weight > 0.0, self.0[*i].track));
            let free = free.unwrap_or(0);
            self.0[free].weight = 0.0;
            free
        });
        let held = &mut self.0[place];
        let len = face.values().len();
        let before = &held.values[..held.len];
        let length = before.iter().map(|v| v * v).sum::<f32>().sqrt();
        // Asked for what is alike, so that a NaN is not.
        let same = held.weight > 0.0 && held.len == len && face.cosine(before) >= OTHER * length;
        if !same {
            *held = Held { track, len, ..NONE };
        }
        let weight = KEEP.mul_add(held.weight, 1.0);
        let share = 1.0 / weight;
        for (mean, new) in held.values.iter_mut().zip(face.values()) {
            *mean = (new - *mean).mul_add(share, *mean);
        }
        held.weight = weight;
        &held.values[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn noisy(direction: &[f32], chance: &mut Chance) -> Embedding {
        Embedding::normalised(direction.iter().map(|d| d + 0.12 * chance.normal())).unwrap()
    }

    #[test]
    fn many_frames_say_what_they_say_in_the_mean() {
        let mut chance = Chance::new(1);
        let (mut evidence, direction) = (Evidence::default(), [0.5; 4].map(|v| [v, 0.0]).concat());
        let one = noisy(&direction, &mut chance);
        assert_eq!(
            evidence.add(7, &one),
            one.values(),
            "one frame says what it says"
        );
        let mut frames = vec![one];
        for _ in 0..9 {
            let frame = noisy(&direction, &mut chance);
            frames.push(frame);
            let mean = evidence.add(7, &frame).to_vec();
            // Weighted by hand.
            let weights: Vec<f32> = (0..frames.len())
                .rev()
                .map(|age| KEEP.powi(age as i32))
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
    fn whoever_takes_somebodys_place_starts_with_nothing() {
        let mut evidence = Evidence::default();
        let [ada, other] = [[1.0, 0.0], [0.1, 1.0]].map(|d| Embedding::normalised(d).unwrap());
        for _ in 0..5 {
            evidence.add(1, &ada);
        }
        assert_eq!(evidence.add(1, &other), other.values());
        assert_eq!(
            evidence.add(2, &ada),
            ada.values(),
            "another track is another face"
        );
    }

    #[test]
    fn more_tracks_than_faces_push_out_the_oldest() {
        let mut evidence = Evidence::default();
        let [a, b] = [[1.0, 0.0], [0.8, 0.6]].map(|d| Embedding::normalised(d).unwrap());
        for track in 1..=MAX_FACES as u32 + 1 {
            evidence.add(track, &a);
        }
        assert_ne!(evidence.add(2, &b), b.values(), "still held");
        assert_eq!(evidence.add(1, &b), b.values(), "forgotten");
    }
}
