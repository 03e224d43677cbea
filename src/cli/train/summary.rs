//! The report of a training: who was learnt, the results with photos and strangers that were not learnt, what is proven.

use std::path::PathBuf;

use serde_json::json;

use super::photos::{Learnt, Strangers};
use super::trials::{Genuine, Given};
use super::tuning::Outcome;
use crate::cli::print_json;
use crate::learn::Calibration;
use crate::people::{Cohort, Rule};
use crate::rates::{needed, wilson};

pub struct Summary<'a> {
    pub learners: &'a [Learnt],
    pub empty: &'a [String],
    /// In `unknown`.
    pub strangers: &'a Strangers,
    /// Photos of strangers, there and in `validation`, that the threshold was tried on.
    pub tried_photos: usize,
    pub calibration: Calibration,
    /// The results of the set's bank of strangers for `names`.
    pub cohort: Option<&'a Cohort>,
    pub names: Vec<&'a str>,
    pub far: f64,
    pub genuine: &'a [Genuine],
    pub test: &'a Given,
    pub tuning: Option<&'a Outcome>,
    pub seconds: f32,
    pub gallery: Option<&'a PathBuf>,
    pub rule: Rule,
}

/// Counts of what the door would have decided about faces of the enrolled.
struct Recognised {
    right: usize,
    wrong: usize,
    of: usize,
}

impl Summary<'_> {
    /// The lowest likeness at which a face is taken for the person at `place`.
    fn threshold(&self, place: usize) -> f32 {
        let raised = self.cohort.and_then(|c| c.thresholds.get(place));
        raised.copied().unwrap_or(self.calibration.threshold)
    }

    fn recognised(&self, genuine: &[Genuine]) -> Recognised {
        let sure = |who: usize, score: f32, next: f32| {
            score >= self.threshold(who) && score - next >= self.rule.margin
        };
        let count = |is: &dyn Fn(&Genuine) -> bool| genuine.iter().filter(|g| is(g)).count();
        Recognised {
            right: count(&|g| sure(g.who, g.own, g.other)),
            wrong: count(&|g| sure(g.like, g.other, g.own)),
            of: genuine.len(),
        }
    }

    /// Strangers of `test` whom the thresholds in force let in.
    fn let_in(&self) -> usize {
        let is_in = |alike: &&Vec<f32>| (0..alike.len()).any(|p| alike[p] >= self.threshold(p));
        self.test.impostors.iter().filter(is_in).count()
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
            ", as configured"
        } else {
            ""
        };
        println!(
            "a face is an enrolled person from a likeness of {:.3} on{set}: {} of {} ({} of them) would be let in",
            c.threshold,
            c.accepted,
            people(c.trials, "stranger"),
            photos(self.tried_photos)
        );
        if let Some(cohort) = self.cohort {
            self.print_cohort(cohort);
        }
        let asked = 100.0 * self.far;
        let needed = needed(self.far);
        let shown = self.cohort.is_some_and(|c| c.proven <= self.far);
        if c.trials == 0 && !shown {
            println!(
                "not proven: no photos of strangers were given; put photos of others into `unknown`, of {needed} people to \
                 show {asked} %"
            );
        } else if c.trials > 0 {
            let shown = if c.shown {
                format!("asked for: {asked} %")
            } else {
                format!("{asked} % takes {needed} people, of whom none is let in")
            };
            println!(
                "proven at 95 %: one look takes fewer than {:.2} % of strangers for an enrolled person ({shown}); a visit is many \
                 looks, and the best of them gets in more often",
                100.0 * c.proven
            );
        }
        let test = self.test;
        if !test.genuine.is_empty() || !test.faces.is_empty() {
            let seen = self.recognised(&test.genuine);
            println!(
                "test: {} of {} faces of the enrolled recognised, {} taken for another; {} of {} ({} of them) let in",
                seen.right,
                seen.of,
                seen.wrong,
                self.let_in(),
                people(test.impostors.len(), "stranger"),
                photos(test.faces.len() - test.again)
            );
            if test.again > 0 {
                println!(
                    "{} in `test/unknown` show people of `unknown` or `validation` and were left out: test with others",
                    photos(test.again)
                );
            }
        }
        if let Some(tuning) = self.tuning {
            println!("{}", tuning.line());
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

    /// Prints the results of the set's strangers, at the thresholds that will be in force.
    fn print_cohort(&self, cohort: &Cohort) {
        let least = self.calibration.threshold;
        for (name, threshold) in self.names.iter().zip(&cohort.thresholds) {
            if *threshold > least {
                println!(
                    "a face is {name} from {threshold:.3} on, as strangers of the set come close"
                );
            }
        }
        println!(
            "by {} strangers of the set, of whom {} would be let in, one look takes fewer than {:.3} % of strangers for an enrolled person \
             (95 %; the set's network may have learnt from them, and separates others a little worse)",
            cohort.trials,
            cohort.accepted,
            100.0 * cohort.proven
        );
    }

    /// The same as JSON.
    fn cohort_json(&self) -> Option<serde_json::Value> {
        let cohort = self.cohort?;
        let each = self.names.iter().zip(&cohort.thresholds);
        let thresholds: serde_json::Map<_, _> =
            each.map(|(n, t)| ((*n).to_owned(), json!(t))).collect();
        Some(json!({
            "strangers": cohort.trials, "let_in": cohort.accepted, "below_at_95": cohort.proven, "thresholds": thresholds,
        }))
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
            "strangers": {"photos": self.strangers.photos.len(), "people": self.strangers.people.len()},
            "wrong": wrong,
            "threshold": c.threshold,
            "far": {
                "asked": self.far, "trials": c.trials, "photos": self.tried_photos, "accepted": c.accepted,
                "below_at_95": c.proven, "shown": c.shown,
            },
            "bank": self.cohort_json(),
            "cross_validation": rates(self.genuine),
            "test": {
                "enrolled": rates(&self.test.genuine),
                "strangers": self.test.impostors.len(),
                "photos": self.test.faces.len() - self.test.again,
                "let_in": self.let_in(),
            },
            "fine_tuning": self.tuning.map(Outcome::json),
            "seconds": self.seconds,
            "gallery": self.gallery,
        }));
    }
}

fn people(count: usize, who: &str) -> String {
    format!("{count} {who}{}", if count == 1 { "" } else { "s" })
}

fn photos(count: usize) -> String {
    people(count, "photo")
}
