//! What training ends with: who was learnt, how well photos and strangers that were not learnt did, what is proven.

use std::path::PathBuf;

use serde_json::json;

use super::photos::Learner;
use super::trials::Genuine;
use super::tuning::Tuning;
use crate::cli::print_json;
use crate::learn::{Calibration, proven_far, wilson};
use crate::people::Rule;

pub struct Summary<'a> {
    pub learners: &'a [Learner],
    pub empty: &'a [String],
    pub strangers: usize,
    pub calibration: Calibration,
    pub far: f64,
    pub genuine: &'a [Genuine],
    pub test: &'a (Vec<Genuine>, Vec<f32>),
    pub tuning: Option<&'a Tuning>,
    pub seconds: f32,
    pub gallery: Option<&'a PathBuf>,
    pub rule: Rule,
}

/// Counts of what the door would have said of faces of the enrolled.
struct Recognised {
    right: usize,
    wrong: usize,
    of: usize,
}

impl Summary<'_> {
    fn recognised(&self, genuine: &[Genuine]) -> Recognised {
        let least = self.calibration.threshold;
        let sure = |a: f32, b: f32| a >= least && a - b >= self.rule.margin;
        Recognised {
            right: genuine
                .iter()
                .filter(|(own, other)| sure(*own, *other))
                .count(),
            wrong: genuine
                .iter()
                .filter(|(own, other)| sure(*other, *own))
                .count(),
            of: genuine.len(),
        }
    }

    pub fn print(&self) {
        for l in self.learners {
            println!(
                "{}: {} of {} photos learnt",
                l.name,
                l.examples.len(),
                l.given
            );
        }
        let c = &self.calibration;
        let seen = self.recognised(self.genuine);
        if seen.of > 0 {
            let [low, high] = wilson(seen.of - seen.right, seen.of);
            println!(
                "tried on photos that it had not learnt: {} of {} recognised, {} taken for another; so it misses {:.1} % \
                 of looks (95 %: {:.1} to {:.1} %)",
                seen.right,
                seen.of,
                seen.wrong,
                100.0 * (seen.of - seen.right) as f64 / seen.of as f64,
                100.0 * low,
                100.0 * high
            );
        }
        let set = if self.rule.fixed {
            ", as the configuration says"
        } else {
            ""
        };
        println!(
            "a face is somebody from a likeness of {:.3} on{set}: {} of {} strangers' faces tried would be let in",
            c.threshold, c.accepted, c.trials
        );
        let asked = 100.0 * self.far;
        if c.shown {
            println!(
                "proven at 95 %: fewer than {:.2} % of strangers' faces are taken for somebody (asked for: {asked} %)",
                100.0 * c.proven
            );
        } else if c.trials == 0 {
            println!(
                "not proven: no photos of strangers were given; put photos of others into `unknown`, {} of them to show \
                 {asked} %",
                needed(self.far)
            );
        } else {
            println!(
                "proven at 95 %: fewer than {:.2} %; {asked} % cannot be shown with {} strangers' faces, it takes {}",
                100.0 * c.proven,
                c.trials,
                needed(self.far)
            );
        }
        let (genuine, impostors) = self.test;
        if !genuine.is_empty() || !impostors.is_empty() {
            let seen = self.recognised(genuine);
            let let_in = impostors.iter().filter(|s| **s >= c.threshold).count();
            println!(
                "test: {} of {} faces of the enrolled recognised, {} taken for another; {let_in} of {} strangers' faces \
                 let in",
                seen.right,
                seen.of,
                seen.wrong,
                impostors.len()
            );
        }
        if let Some(tuning) = self.tuning {
            println!("{}", tuning.say());
        }
        match self.gallery {
            Some(path) => println!(
                "learnt in {:.1} s, in force: {}",
                self.seconds,
                path.display()
            ),
            None => println!("{:.1} s; nothing was changed", self.seconds),
        }
    }

    pub fn print_json(&self, wrong: &[String]) {
        let c = &self.calibration;
        let rates = |genuine: &[Genuine]| {
            let seen = self.recognised(genuine);
            json!({"faces": seen.of, "recognised": seen.right, "wrong_name": seen.wrong})
        };
        let people: Vec<_> = self
            .learners
            .iter()
            .map(|l| json!({"name": l.name, "photos": l.given, "used": l.examples.len()}))
            .collect();
        print_json(&json!({
            "people": people,
            "without_photos": self.empty,
            "strangers": self.strangers,
            "wrong": wrong,
            "threshold": c.threshold,
            "far": {"asked": self.far, "trials": c.trials, "accepted": c.accepted, "below_at_95": c.proven, "shown": c.shown},
            "cross_validation": rates(self.genuine),
            "test": {
                "enrolled": rates(&self.test.0),
                "strangers": self.test.1.len(),
                "let_in": self.test.1.iter().filter(|s| **s >= c.threshold).count(),
            },
            "fine_tuning": self.tuning.map(Tuning::json),
            "seconds": self.seconds,
            "gallery": self.gallery,
        }));
    }
}

/// Strangers that show a FAR if none of them is let in.
fn needed(far: f64) -> usize {
    (1..)
        .map(|k| k * 50)
        .find(|n| proven_far(0, *n) <= far)
        .unwrap_or(usize::MAX)
}
