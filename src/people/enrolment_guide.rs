//! Guided enrolment: which pictures of a person before the camera are kept, and what would improve the next one. Pure:
//! no clock, no camera, no gallery; [`crate::face`] looks, and the caller shows the prompt.

use std::fmt;
use std::time::Duration;

use crate::face::{Quality, Unfit};

/// What a frame shows of the person to be enrolled.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentFrame {
    /// Faces of similar size.
    pub faces: usize,
    /// What is wrong with the largest.
    pub unfit: Option<Unfit>,
    /// The quality of the largest.
    pub quality: Quality,
    /// Whether its box leaves the frame, or fills most of it.
    pub too_near: bool,
    /// Mean tone of the face, 0 to 255.
    pub light: f32,
    /// Cosine to the nearest picture that is kept; -1 while there is none.
    pub nearest: f32,
}

/// What would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// No face is seen.
    ComeIntoView,
    /// More than one.
    OnePersonOnly,
    /// Too small.
    ComeCloser,
    /// Too large, or cut off.
    GoBack,
    /// Too dark.
    MoreLight,
    /// Blurred.
    HoldStill,
    /// Turned too far to be recognised.
    FaceCamera,
    /// Enough from the sides.
    LookStraight,
    /// Turned to the person's own left.
    TurnLeft,
    /// Turned to the person's own right.
    TurnRight,
    /// Like a picture that is already kept.
    MoveHead,
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ComeIntoView => "come before the camera",
            Self::OnePersonOnly => "one person only, please",
            Self::ComeCloser => "come closer",
            Self::GoBack => "go back a little",
            Self::MoreLight => "more light, please",
            Self::HoldStill => "hold still",
            Self::FaceCamera => "look more towards the camera",
            Self::LookStraight => "look straight into the camera",
            Self::TurnLeft => "turn a little to your left",
            Self::TurnRight => "turn a little to your right",
            Self::MoveHead => "move your head a little",
        })
    }
}

/// From this [`Quality::yaw`] on a face is seen from the side.
const SIDE: f32 = 0.12;
/// A face darker than this is hard to distinguish from others.
const DARK: f32 = 40.0;
/// Pictures with a greater cosine than this are alike, at first and after [`EnrolmentGuide::VIEW_TIMEOUT`].
const ALIKE: [f32; 2] = [0.92, 0.995];

/// Counts the pictures from each side.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentGuide {
    /// Front, the person's left, the person's right.
    wanted: [usize; 3],
    accepted: [usize; 3],
}

impl EnrolmentGuide {
    /// How long it waits for the views that it asks for; after that any fit picture is accepted.
    pub const VIEW_TIMEOUT: Duration = Duration::from_secs(35);

    /// A guide for `count` pictures: half of them from the front, a quarter from either side.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        let side = count / 4;
        Self {
            wanted: [count - 2 * side, side, side],
            accepted: [0; 3],
        }
    }

    /// Whether a picture is worth keeping, `elapsed` after the beginning; if so, it is counted.
    ///
    /// # Errors
    /// [`Prompt`] on what to change.
    pub fn check(&mut self, frame: &EnrolmentFrame, elapsed: Duration) -> Result<(), Prompt> {
        match frame.faces {
            0 => return Err(Prompt::ComeIntoView),
            1 => {}
            _ => return Err(Prompt::OnePersonOnly),
        }
        if frame.too_near {
            return Err(Prompt::GoBack);
        }
        match frame.unfit {
            Some(Unfit::Small) => return Err(Prompt::ComeCloser),
            Some(Unfit::Turned) => return Err(Prompt::FaceCamera),
            // A dark face looks blurred.
            _ if frame.light < DARK => return Err(Prompt::MoreLight),
            Some(Unfit::Blurred | Unfit::Unreadable) => return Err(Prompt::HoldStill),
            None => {}
        }
        let part = elapsed.div_duration_f32(Self::VIEW_TIMEOUT).min(1.0);
        let side = side_of(frame.quality.yaw);
        if part < 1.0 && self.accepted[side] >= self.wanted[side] {
            return Err(self.missing());
        }
        // Tests what is new, so that a NaN is not.
        let new = frame.nearest <= (ALIKE[1] - ALIKE[0]).mul_add(part, ALIKE[0]);
        if !new {
            return Err(Prompt::MoveHead);
        }
        self.accepted[side] += 1;
        Ok(())
    }

    /// The side with the most missing pictures.
    fn missing(&self) -> Prompt {
        let left = |side: usize| self.wanted[side].saturating_sub(self.accepted[side]);
        let sides = [Prompt::LookStraight, Prompt::TurnLeft, Prompt::TurnRight];
        let most = (0..3).max_by_key(|side| (left(*side), 3 - side));
        most.map_or(Prompt::MoveHead, |side| sides[side])
    }
}

/// The camera sees a person's left on its right.
fn side_of(yaw: f32) -> usize {
    if yaw > SIDE {
        1
    } else if yaw < -SIDE {
        2
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: EnrolmentFrame = EnrolmentFrame {
        faces: 1,
        unfit: None,
        quality: Quality {
            eye_distance: 60.0,
            yaw: 0.0,
            pitch: 0.5,
            roll: 0.0,
            sharpness: 0.03,
        },
        too_near: false,
        light: 120.0,
        nearest: 0.5,
    };

    fn turned(yaw: f32) -> EnrolmentFrame {
        let mut frame = FRAME;
        frame.quality.yaw = yaw;
        frame
    }

    #[test]
    fn unusable_pictures_give_advice_and_are_not_counted() {
        let mut guide = EnrolmentGuide::new(20);
        let mut check = |frame: EnrolmentFrame| guide.check(&frame, Duration::ZERO);
        assert_eq!(
            check(EnrolmentFrame { faces: 0, ..FRAME }),
            Err(Prompt::ComeIntoView)
        );
        assert_eq!(
            check(EnrolmentFrame { faces: 2, ..FRAME }),
            Err(Prompt::OnePersonOnly)
        );
        assert_eq!(
            check(EnrolmentFrame {
                too_near: true,
                ..FRAME
            }),
            Err(Prompt::GoBack)
        );
        let unfit = |unfit| EnrolmentFrame {
            unfit: Some(unfit),
            ..FRAME
        };
        assert_eq!(check(unfit(Unfit::Small)), Err(Prompt::ComeCloser));
        assert_eq!(check(unfit(Unfit::Turned)), Err(Prompt::FaceCamera));
        assert_eq!(check(unfit(Unfit::Blurred)), Err(Prompt::HoldStill));
        assert_eq!(
            check(EnrolmentFrame {
                light: 20.0,
                ..unfit(Unfit::Blurred)
            }),
            Err(Prompt::MoreLight)
        );
        assert_eq!(
            check(EnrolmentFrame {
                nearest: 0.97,
                ..FRAME
            }),
            Err(Prompt::MoveHead)
        );
        assert_eq!(
            check(EnrolmentFrame {
                nearest: f32::NAN,
                ..FRAME
            }),
            Err(Prompt::MoveHead)
        );
        assert_eq!(guide.accepted, [0; 3]);
    }

    #[test]
    fn asks_for_every_side_in_turn_and_ends_with_all_of_them() {
        let mut guide = EnrolmentGuide::new(20);
        let (mut kept, mut asked) = (0, Vec::new());
        let mut yaw = 0.0;
        while kept < 20 {
            match guide.check(&turned(yaw), Duration::from_secs(5)) {
                Ok(()) => kept += 1,
                Err(prompt) => {
                    asked.push(prompt);
                    yaw = match prompt {
                        Prompt::TurnLeft => 0.3,
                        Prompt::TurnRight => -0.3,
                        _ => panic!("{prompt:?}"),
                    };
                }
            }
        }
        assert_eq!(asked, [Prompt::TurnLeft, Prompt::TurnRight]);
        assert_eq!(guide.accepted, [10, 5, 5]);
    }

    #[test]
    fn a_person_who_does_not_turn_is_enrolled_after_the_patience_is_over() {
        let mut guide = EnrolmentGuide::new(2);
        assert_eq!(guide.check(&FRAME, Duration::ZERO), Ok(()));
        let alike = EnrolmentFrame {
            nearest: 0.98,
            ..FRAME
        };
        assert_eq!(
            guide.check(&alike, Duration::from_secs(1)),
            Err(Prompt::MoveHead)
        );
        assert_eq!(guide.check(&alike, EnrolmentGuide::VIEW_TIMEOUT), Ok(()));
        let same = EnrolmentFrame {
            nearest: 0.999,
            ..FRAME
        };
        assert_eq!(
            guide.check(&same, EnrolmentGuide::VIEW_TIMEOUT * 2),
            Err(Prompt::MoveHead),
            "never twice"
        );
    }

    #[test]
    fn few_pictures_are_asked_for_from_the_front() {
        for count in 1..4 {
            assert_eq!(EnrolmentGuide::new(count).wanted, [count, 0, 0]);
        }
    }
}
