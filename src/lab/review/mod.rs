//! Compares the log of `run --source doorstep:SCRIPT` with who really came.
//!
//! The log alone decides. A visit is right if the door opened in it for a resident who came, or stayed shut because no resident
//! came. If a lock-out kept a resident out, the visit counts as locked.

mod log;
mod sheet;

pub use self::log::Logged;
pub use self::sheet::{Eyes, sheet};
use crate::doorstep::{Play, Visit};

/// How the door did in all visits of a play, in their order.
pub struct Review {
    pub judged: Vec<Judged>,
    /// How often the door opened before anybody came.
    pub early: usize,
}

impl Review {
    /// Compares `logged` with who came in `play`.
    pub fn of(play: &Play, logged: &Logged) -> Self {
        let judged = (0..play.visits().len()).map(|k| Judged::of(play, k, logged));
        // Openings before the first visit are counted as early.
        let first = play.visits().first().map_or(u64::MAX, |v| millis(v.from));
        Self {
            judged: judged.collect(),
            early: logged.opened.iter().filter(|(at, _)| *at < first).count(),
        }
    }

    /// The number of visits for which `is` is true.
    pub fn count(&self, is: fn(&Judged) -> bool) -> usize {
        self.judged.iter().filter(|j| is(j)).count()
    }

    /// The number of visits about which the door was wrong, and of openings before anybody came.
    pub fn wrong(&self) -> usize {
        self.count(|j| j.wrong) + self.early
    }
}

/// How the door did in one visit.
pub struct Judged {
    /// Who opened the door, for each opening in the visit.
    pub opened_by: Vec<String>,
    pub refused: bool,
    /// Whether a resident came and a lock-out kept the door shut.
    pub locked: bool,
    pub wrong: bool,
}

impl Judged {
    fn of(play: &Play, k: usize, logged: &Logged) -> Self {
        let visit = &play.visits()[k];
        // What the door does after a person has left still belongs to that person's visit.
        let next = play
            .visits()
            .get(k + 1)
            .map_or(u64::MAX, |v| millis(v.from));
        let within = |at: &u64| (millis(visit.from)..next).contains(at);
        let opened = logged.opened.iter().filter(|(at, _)| within(at));
        let opened_by: Vec<String> = opened.map(|(_, by)| by.clone()).collect();
        let welcome: Vec<String> = visit
            .who
            .iter()
            .filter(|who| play.lives_here(**who))
            .map(|who| play.name(*who))
            .collect();
        let (from, until) = (millis(visit.from), millis(visit.until));
        let in_force = |(begun, over): &(u64, u64)| *begun < until && *over > from;
        let locked =
            opened_by.is_empty() && !welcome.is_empty() && logged.locked.iter().any(in_force);
        let wrong = (opened_by.is_empty() != welcome.is_empty() && !locked)
            || opened_by.iter().any(|by| !welcome.contains(by));
        Self {
            opened_by,
            refused: logged.refused.iter().any(within),
            locked,
            wrong,
        }
    }

    /// Who came, and what the door did.
    pub fn line(&self, play: &Play, visit: &Visit) -> String {
        let did = match (self.opened_by.as_slice(), self.refused) {
            ([], true) => "refused".to_owned(),
            ([], false) => "stayed shut".to_owned(),
            (by, _) => format!("opened by {}", by.join(", ")),
        };
        format!("{}: {did}", names(play, visit))
    }
}

fn names(play: &Play, visit: &Visit) -> String {
    let names: Vec<String> = visit.who.iter().map(|w| play.name(*w)).collect();
    names.join(", ")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a play's time, from 0 on"
)]
fn millis(seconds: f32) -> u64 {
    (1000.0 * seconds).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doorstep::Script;

    #[test]
    fn only_a_resident_who_came_may_open_the_door() {
        let play = Play::new(
            &"3,visits=60,residents=2,strangers=5"
                .parse::<Script>()
                .unwrap(),
        );
        let kind = |wanted: &dyn Fn(&[usize]) -> bool| {
            play.visits().iter().position(|v| wanted(&v.who)).unwrap()
        };
        let alone = kind(&|who| who == [0]);
        let stranger = kind(&|who| who.len() == 1 && !play.lives_here(who[0]));
        let wrong = |k: usize, by: &[&str]| {
            let at = millis(play.visits()[k].from) + 800;
            let opened = by.iter().map(|by| (at, (*by).to_owned())).collect();
            Judged::of(
                &play,
                k,
                &Logged {
                    opened,
                    ..Logged::default()
                },
            )
            .wrong
        };
        assert!(!wrong(alone, &["Ada"]));
        assert!(wrong(alone, &[]));
        assert!(wrong(alone, &["Ben"]));
        assert!(wrong(alone, &["Ada", "Ben"]));
        assert!(wrong(alone, &["button"]));
        assert!(!wrong(stranger, &[]));
        assert!(wrong(stranger, &["Ada"]));

        // A lock-out excuses a door that stays shut while it is in force, and no other.
        let during = |from: f32, until: f32, by: &[&str]| {
            let visit = &play.visits()[alone];
            let at = |seconds: f32| millis(visit.from + seconds);
            let logged = Logged {
                opened: by.iter().map(|by| (at(0.8), (*by).to_owned())).collect(),
                locked: vec![(at(from), at(until))],
                ..Logged::default()
            };
            let judged = Judged::of(&play, alone, &logged);
            (judged.locked, judged.wrong)
        };
        assert_eq!(during(-1.0, 1.0, &[]), (true, false));
        assert_eq!(during(-2.0, -1.0, &[]), (false, true));
        assert_eq!(during(-1.0, 1.0, &["Ben"]), (false, true));
        assert_eq!(during(-1.0, 1.0, &["Ada"]), (false, false));
    }
}
