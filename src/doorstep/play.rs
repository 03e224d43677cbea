//! The play: who comes when, and where everyone is at any moment. It depends only on the script and draws nothing.

use super::model::Moves;
use super::noise::smooth;
use super::place::{HEIGHT, WIDTH};
use super::raster::mix;
use super::script::Script;
use super::view::{Light, Pose};
use crate::chance::{Chance, bits};

/// Names of the residents.
pub const NAMES: [&str; 8] = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gwen", "Hugo"];
/// Seconds before the first visit.
pub const LEAD: f32 = 3.0;

/// A person of the cast: residents first, then strangers, counted from 0.
pub type Who = usize;

/// One visit.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Who comes: one person, or two together.
    pub who: Vec<Who>,
    /// When the first person comes into view, in seconds.
    pub from: f32,
    /// When the last person has left, in seconds.
    pub until: f32,
    /// The seed for everything that is random in the visit.
    chance: u64,
}

/// Where a person is at some moment, and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Who.
    pub who: Who,
    /// Where and how the person is.
    pub pose: Pose,
}

/// All that happens.
pub struct Play {
    script: Script,
    visits: Vec<Visit>,
}

impl Play {
    /// The play that follows from this script.
    #[must_use]
    pub fn new(script: &Script) -> Self {
        let mut chance = Chance::new(bits(script.seed, 11));
        let (residents, strangers) = (script.residents as usize, script.strangers as usize);
        // The break is long enough that the next person starts another visit, even if it is the same person.
        let stay = (script.every - 1.1).clamp(0.6, 8.0);
        let mut next_stranger = 0;
        let mut stranger = || {
            next_stranger += 1;
            residents + (next_stranger - 1) % strangers.max(1)
        };
        #[expect(clippy::cast_precision_loss, reason = "as exact as a play needs")]
        let visits = (0..script.visits)
            .map(|k| {
                let from = LEAD + k as f32 * script.every;
                let one = chance.one_of(residents);
                let kind = chance.unit();
                let who = match kind {
                    _ if strangers == 0 && kind > 0.1 => vec![one],
                    _ if kind < 0.05 && residents > 1 => vec![one, (one + 1) % residents],
                    _ if kind < 0.10 && strangers > 0 => vec![one, stranger()],
                    _ if kind < 0.50 || strangers == 0 => vec![one],
                    _ => vec![stranger()],
                };
                Visit {
                    who,
                    from,
                    until: from + stay,
                    chance: bits(script.seed, 1000 + u64::from(k)),
                }
            })
            .collect();
        Self {
            script: script.clone(),
            visits,
        }
    }

    /// The script.
    #[must_use]
    pub const fn script(&self) -> &Script {
        &self.script
    }

    /// All visits in their order.
    #[must_use]
    pub fn visits(&self) -> &[Visit] {
        &self.visits
    }

    /// When the play is over, in seconds.
    #[must_use]
    pub fn end(&self) -> f32 {
        self.visits.last().map_or(0.0, |v| v.until) + 2.0
    }

    /// Whether this person is a resident.
    #[must_use]
    pub const fn lives_here(&self, who: Who) -> bool {
        who < self.script.residents as usize
    }

    /// This person's name.
    #[must_use]
    pub fn name(&self, who: Who) -> String {
        if self.lives_here(who) {
            NAMES[who].to_owned()
        } else {
            format!("stranger-{}", who - self.script.residents as usize + 1)
        }
    }

    /// How dark it is at second `t`: 0 by day, 1 by lamp. The last third of the play is in the evening.
    #[must_use]
    pub fn evening(&self, t: f32) -> f32 {
        ((t / self.end() - 0.62) / 0.06).clamp(0.0, 1.0)
    }

    /// The light at second `t`: a sky that changes, or a lamp above the door.
    #[must_use]
    pub fn light(&self, t: f32) -> Light {
        let dark = self.evening(t);
        let drift = smooth(bits(self.script.seed, 5), t / 40.0, 0.0);
        let from = super::view::unit([
            mix(0.55 * drift, 0.15, dark),
            mix(-0.35, -0.62, dark),
            mix(-0.85, -0.75, dark),
        ]);
        let day = 0.12f32.mul_add(smooth(bits(self.script.seed, 6), t / 25.0, 0.0), 1.18);
        Light {
            from,
            ambient: mix(0.58, 0.38, dark),
            colour: std::array::from_fn(|c| {
                mix([1.0, 0.99, 0.95][c] * day, [0.80, 0.64, 0.46][c], dark)
            }),
        }
    }

    /// Who is visible at second `t`, the farthest person first.
    #[must_use]
    pub fn roles(&self, t: f32) -> Vec<Role> {
        let first = self.visits.partition_point(|v| v.until < t);
        let mut roles: Vec<Role> = self.visits[first..]
            .iter()
            .take_while(|v| v.from <= t)
            .flat_map(|v| v.roles(t))
            .collect();
        roles.sort_by(|a, b| a.pose.side.total_cmp(&b.pose.side));
        roles
    }
}

/// From 0 to 1 without a jerk.
fn ease(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl Visit {
    fn roles(&self, t: f32) -> Vec<Role> {
        let pair = self.who.len() > 1;
        self.who
            .iter()
            .enumerate()
            .map(|(k, &who)| {
                let mut chance = Chance::new(bits(self.chance, k as u64));
                let pose = walk(
                    &mut chance,
                    (t - self.from) / (self.until - self.from),
                    t,
                    pair.then_some(k),
                );
                Role { who, pose }
            })
            .collect()
    }
}

/// The person walks up to the door, waits a while before it, and walks away. `u` is the elapsed fraction of the visit. If
/// there are two people, one is on the left.
#[expect(clippy::cast_precision_loss, reason = "a small picture")]
fn walk(chance: &mut Chance, u: f32, t: f32, of_two: Option<usize>) -> Pose {
    let (width, height) = (WIDTH as f32, HEIGHT as f32);
    let near = if of_two.is_some() {
        chance.between(90.0, 125.0)
    } else {
        chance.between(95.0, 190.0)
    };
    let far = chance.between(40.0, 62.0);
    let middle = match of_two {
        None => chance.between(0.36, 0.64) * width,
        Some(0) => chance.between(0.26, 0.34) * width,
        Some(_) => chance.between(0.66, 0.74) * width,
    };
    let height = chance.between(0.40, 0.55) * height;
    let side = |chance: &mut Chance| match of_two {
        None if chance.happens(0.5) => 1.0,
        None | Some(0) => -1.0,
        Some(_) => 1.0,
    };
    let (came, left) = (side(chance), side(chance));
    let (begin, end) = (chance.between(0.22, 0.34), chance.between(0.74, 0.82));
    let (arriving, leaving) = (1.0 - ease(u / begin), ease((u - end) / (1.0 - end)));
    let away = arriving.max(leaving);
    let to = if arriving > 0.0 { came } else { left };
    let seed = bits(chance.bits(), 3);
    let sway = |part: u64, rate: f32| smooth(seed.wrapping_add(part), t * rate, 0.0);
    let size = mix(near, far, away) * 0.04f32.mul_add(sway(1, 0.8), 1.0);
    // Near the door the person looks around; on the way they look where they walk.
    let looks = 0.22 * sway(2, 0.9);
    let yaw = mix(
        looks,
        if arriving > 0.0 { -0.35 * to } else { 1.1 * to },
        ease(away * 1.4),
    );
    let speaks = chance.happens(0.5);
    let smiles = chance.between(-0.3, 0.8).max(0.0);
    let open = if speaks {
        0.55 * (0.5 + 0.5 * (t * chance.between(9.0, 14.0)).sin()) * ease(2.0 * sway(3, 1.2))
    } else {
        0.0
    };
    let blinks = sway(4, 2.6) > 0.62;
    Pose {
        x: middle + to * away * 0.33 * width + 5.0 * sway(5, 1.0),
        y: height + (30.0 * away) + 3.0 * away * (t * 11.0).sin() + 3.0 * sway(6, 0.9),
        side: size,
        yaw,
        pitch: 0.14 * sway(7, 0.7) + 0.04,
        roll: 0.08 * sway(8, 0.6),
        gaze: [0.7 * sway(9, 1.1), 0.4 * sway(10, 0.9)],
        moves: Moves {
            open,
            smile: smiles * ease(0.5 + sway(11, 0.5)),
            blink: if blinks { 1.0 } else { 0.0 },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(text: &str) -> Play {
        Play::new(&text.parse().unwrap())
    }

    #[test]
    fn everyone_comes_and_two_visits_never_overlap() {
        let play = play("5,visits=200,strangers=20,every=3");
        let mut seen = [0; 22];
        for pair in play.visits().windows(2) {
            assert!(pair[0].until + 1.0 < pair[1].from);
        }
        for who in play.visits().iter().flat_map(|v| &v.who) {
            seen[*who] += 1;
        }
        assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
        assert!(play.visits().iter().any(|v| v.who.len() == 2));
    }

    #[test]
    fn the_same_script_is_the_same_play() {
        let (a, b, c) = (play("5"), play("5"), play("6"));
        assert_eq!(a.visits(), b.visits());
        assert_ne!(a.visits(), c.visits());
        let t = a.visits()[0].from + 1.5;
        assert_eq!(
            a.roles(t)[0].pose.x.to_bits(),
            b.roles(t)[0].pose.x.to_bits()
        );
    }

    #[test]
    fn no_one_is_there_between_visits() {
        let play = play("5,every=3");
        for v in play.visits() {
            assert!(play.roles(v.until + 0.5).is_empty());
            assert_eq!(play.roles((v.from + v.until) / 2.0).len(), v.who.len());
        }
    }

    #[test]
    fn without_strangers_only_residents_come() {
        let play = play("5,strangers=0,visits=100");
        assert!(
            play.visits()
                .iter()
                .flat_map(|v| &v.who)
                .all(|w| play.lives_here(*w))
        );
    }
}
