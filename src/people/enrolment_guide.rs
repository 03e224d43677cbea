//! Guided enrolment decides which pictures of a person before the camera are kept, and what would improve the next one. This code
//! is pure: it uses no clock, camera or gallery. [`crate::face`] finds the faces, and the caller shows the prompt.

use std::fmt;
use std::time::Duration;

use crate::face::{Quality, Unfit};

/// What a frame shows of the person who is being enrolled.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentFrame {
    /// The number of faces of similar size.
    pub faces: usize,
    /// Why the largest face is unfit for recognition; `None` if it is fit.
    pub unfit: Option<Unfit>,
    /// The quality of the largest face.
    pub quality: Quality,
    /// Whether the largest face's box leaves the frame or fills most of it.
    pub too_near: bool,
    /// Mean tone of the face, 0 to 255.
    pub light: f32,
    /// The cosine to the nearest picture that was kept; -1 while there is none.
    pub nearest: f32,
}

/// A request to the person, which would improve the next picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// No face is seen.
    ComeIntoView,
    /// More than one face is seen.
    OnePersonOnly,
    /// The face is too small.
    ComeCloser,
    /// The face is too large, or cut off.
    GoBack,
    /// The face is too dark.
    MoreLight,
    /// The face is blurred.
    HoldStill,
    /// The face is turned too far to be recognised.
    FaceCamera,
    /// There are enough pictures from the sides.
    LookStraight,
    /// Pictures turned to the person's own left are missing.
    TurnLeft,
    /// Pictures turned to the person's own right are missing.
    TurnRight,
    /// The picture is like one that was already kept.
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

/// A face whose [`Quality::yaw`] is greater than this, to either side, counts as seen from the side.
const SIDE: f32 = 0.12;
/// A face darker than this is hard to distinguish from others.
const DARK: f32 = 40.0;
/// Two pictures count as alike if their cosine is above this. The limit rises from the first value at the beginning to the second
/// at [`EnrolmentGuide::VIEW_TIMEOUT`].
const ALIKE: [f32; 2] = [0.92, 0.995];

/// Counts the pictures from each side.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentGuide {
    /// The wanted numbers of pictures from the front, the person's left and the person's right.
    wanted: [usize; 3],
    accepted: [usize; 3],
}

impl EnrolmentGuide {
    /// How long the guide waits for the views that it asks for. After this time, a fit picture from any side is accepted.
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

    /// Checks whether a picture is worth keeping, at the time `elapsed` after the beginning, and counts it if so.
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
        // The comparison is for a new picture, so that a NaN does not count as new.
        let new = frame.nearest <= (ALIKE[1] - ALIKE[0]).mul_add(part, ALIKE[0]);
        if !new {
            return Err(Prompt::MoveHead);
        }
        self.accepted[side] += 1;
        Ok(())
    }

    /// The request for the side from which most pictures are missing.
    fn missing(&self) -> Prompt {
        let left = |side: usize| self.wanted[side].saturating_sub(self.accepted[side]);
        let sides = [Prompt::LookStraight, Prompt::TurnLeft, Prompt::TurnRight];
        let most = (0..3).max_by_key(|side| (left(*side), 3 - side));
        most.map_or(Prompt::MoveHead, |side| sides[side])
    }
}

/// The side from which a face is seen: 0 front, 1 the person's left, 2 the person's right. The camera sees a person's left on its
/// right.
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
