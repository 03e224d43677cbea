//! Guided enrolment: which pictures of a person before the camera are kept, and what would improve the next one. Pure:
//! no clock, no camera, no gallery; [`crate::face`] looks, and the caller shows the advice.

use std::fmt;
use std::time::Duration;

use crate::face::{Quality, Unfit};

/// What a frame shows of the person to be enrolled.
#[derive(Clone, Copy, Debug)]
pub struct Look {
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
pub enum Advice {
    /// No face is seen.
    Come,
    /// More than one.
    Alone,
    /// Too small.
    Closer,
    /// Too large, or cut off.
    Back,
    /// Too dark.
    Light,
    /// Blurred.
    Still,
    /// Turned too far to be recognised.
    LookHere,
    /// Enough from the sides.
    Front,
    /// Turned to the person's own left.
    Left,
    /// Turned to the person's own right.
    Right,
    /// Like a picture that is already kept.
    Move,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Come => "come before the camera",
            Self::Alone => "one person only, please",
            Self::Closer => "come closer",
            Self::Back => "go back a little",
            Self::Light => "more light, please",
            Self::Still => "hold still",
            Self::LookHere => "look more towards the camera",
            Self::Front => "look straight into the camera",
            Self::Left => "turn a little to your left",
            Self::Right => "turn a little to your right",
            Self::Move => "move your head a little",
        })
    }
}

/// From this [`Quality::yaw`] on a face is seen from the side.
const SIDE: f32 = 0.12;
/// A face darker than this is hard to distinguish from others.
const DARK: f32 = 40.0;
/// Pictures with a greater cosine than this are alike, at first and after [`Guide::PATIENCE`].
const ALIKE: [f32; 2] = [0.92, 0.995];

/// Counts the pictures from each side.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// Front, the person's left, the person's right.
    wanted: [usize; 3],
    kept: [usize; 3],
}

impl Guide {
    /// How long it waits for the views that it asks for; after that any fit picture is accepted.
    pub const PATIENCE: Duration = Duration::from_secs(35);

    /// A guide for `count` pictures: half of them from the front, a quarter from either side.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        let side = count / 4;
        Self {
            wanted: [count - 2 * side, side, side],
            kept: [0; 3],
        }
    }

    /// Whether a picture is worth keeping, `elapsed` after the beginning; if so, it is counted.
    ///
    /// # Errors
    /// [`Advice`] on what to change.
    pub fn judge(&mut self, look: &Look, elapsed: Duration) -> Result<(), Advice> {
        match look.faces {
            0 => return Err(Advice::Come),
            1 => {}
            _ => return Err(Advice::Alone),
        }
        if look.too_near {
            return Err(Advice::Back);
        }
        match look.unfit {
            Some(Unfit::Small) => return Err(Advice::Closer),
            Some(Unfit::Turned) => return Err(Advice::LookHere),
            // A dark face looks blurred.
            _ if look.light < DARK => return Err(Advice::Light),
            Some(Unfit::Blurred | Unfit::Unreadable) => return Err(Advice::Still),
            None => {}
        }
        let part = elapsed.div_duration_f32(Self::PATIENCE).min(1.0);
        let side = side_of(look.quality.yaw);
        if part < 1.0 && self.kept[side] >= self.wanted[side] {
            return Err(self.missing());
        }
        // Tests what is new, so that a NaN is not.
        let new = look.nearest <= (ALIKE[1] - ALIKE[0]).mul_add(part, ALIKE[0]);
        if !new {
            return Err(Advice::Move);
        }
        self.kept[side] += 1;
        Ok(())
    }

    /// The side with the most missing pictures.
    fn missing(&self) -> Advice {
        let left = |side: usize| self.wanted[side].saturating_sub(self.kept[side]);
        let sides = [Advice::Front, Advice::Left, Advice::Right];
        let most = (0..3).max_by_key(|side| (left(*side), 3 - side));
        most.map_or(Advice::Move, |side| sides[side])
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

    const LOOK: Look = Look {
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

    fn turned(yaw: f32) -> Look {
        let mut look = LOOK;
        look.quality.yaw = yaw;
        look
    }

    #[test]
    fn unusable_pictures_give_advice_and_are_not_counted() {
        let mut guide = Guide::new(20);
        let mut judge = |look: Look| guide.judge(&look, Duration::ZERO);
        assert_eq!(judge(Look { faces: 0, ..LOOK }), Err(Advice::Come));
        assert_eq!(judge(Look { faces: 2, ..LOOK }), Err(Advice::Alone));
        assert_eq!(
            judge(Look {
                too_near: true,
                ..LOOK
            }),
            Err(Advice::Back)
        );
        let unfit = |unfit| Look {
            unfit: Some(unfit),
            ..LOOK
        };
        assert_eq!(judge(unfit(Unfit::Small)), Err(Advice::Closer));
        assert_eq!(judge(unfit(Unfit::Turned)), Err(Advice::LookHere));
        assert_eq!(judge(unfit(Unfit::Blurred)), Err(Advice::Still));
        assert_eq!(
            judge(Look {
                light: 20.0,
                ..unfit(Unfit::Blurred)
            }),
            Err(Advice::Light)
        );
        assert_eq!(
            judge(Look {
                nearest: 0.97,
                ..LOOK
            }),
            Err(Advice::Move)
        );
        assert_eq!(
            judge(Look {
                nearest: f32::NAN,
                ..LOOK
            }),
            Err(Advice::Move)
        );
        assert_eq!(guide.kept, [0; 3]);
    }

    #[test]
    fn asks_for_every_side_in_turn_and_ends_with_all_of_them() {
        let mut guide = Guide::new(20);
        let (mut kept, mut asked) = (0, Vec::new());
        let mut yaw = 0.0;
        while kept < 20 {
            match guide.judge(&turned(yaw), Duration::from_secs(5)) {
                Ok(()) => kept += 1,
                Err(advice) => {
                    asked.push(advice);
                    yaw = match advice {
                        Advice::Left => 0.3,
                        Advice::Right => -0.3,
                        _ => panic!("{advice:?}"),
                    };
                }
            }
        }
        assert_eq!(asked, [Advice::Left, Advice::Right]);
        assert_eq!(guide.kept, [10, 5, 5]);
    }

    #[test]
    fn a_person_who_does_not_turn_is_enrolled_after_the_patience_is_over() {
        let mut guide = Guide::new(2);
        assert_eq!(guide.judge(&LOOK, Duration::ZERO), Ok(()));
        let alike = Look {
            nearest: 0.98,
            ..LOOK
        };
        assert_eq!(
            guide.judge(&alike, Duration::from_secs(1)),
            Err(Advice::Move)
        );
        assert_eq!(guide.judge(&alike, Guide::PATIENCE), Ok(()));
        let same = Look {
            nearest: 0.999,
            ..LOOK
        };
        assert_eq!(
            guide.judge(&same, Guide::PATIENCE * 2),
            Err(Advice::Move),
            "never twice"
        );
    }

    #[test]
    fn few_pictures_are_asked_for_from_the_front() {
        for count in 1..4 {
            assert_eq!(Guide::new(count).wanted, [count, 0, 0]);
        }
    }
}
