//! The report of a training: who was enrolled, the results on photos and strangers that were not learnt from, and what is proven.

use std::path::PathBuf;

use serde_json::json;

use super::tuning;
use crate::cli::print_json;
use crate::learn::{Genuine, Trained};
use crate::people::Cohort;
use crate::rates::{needed, wilson};

pub struct Summary<'a> {
    pub trained: &'a Trained,
    pub seconds: f32,
    pub gallery: Option<&'a PathBuf>,
}

impl Summary<'_> {
    pub fn print(&self) {
        for l in &self.trained.learners {
            println!(
                "{}: {} of {} photos learnt",
                l.name,
                l.examples.len(),
                l.given
            );
        }
        let c = &self.trained.calibration;
        let seen = self.trained.recognised(&self.trained.genuine);
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
        let set = if self.trained.rule.fixed {
            ", as configured"
        } else {
            ""
        };
        println!(
            "a face is an enrolled person from a likeness of {:.3} on{set}: {} of {} ({} of them) would be let in",
            c.threshold,
            c.accepted,
            people(c.trials, "stranger"),
            photos(self.trained.tried_photos)
        );
        if let Some(cohort) = &self.trained.cohort {
            self.print_cohort(cohort);
        }
        let asked = 100.0 * self.trained.far;
        let needed = needed(self.trained.far);
        let shown = self
            .trained
            .cohort
            .as_ref()
            .is_some_and(|c| c.proven <= self.trained.far);
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
        let test = &self.trained.test;
        if !test.genuine.is_empty() || !test.faces.is_empty() {
            let seen = self.trained.recognised(&test.genuine);
            println!(
                "test: {} of {} faces of the enrolled recognised, {} taken for another; {} of {} ({} of them) let in",
                seen.right,
                seen.of,
                seen.wrong,
                self.trained.let_in(),
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
        if let Some(outcome) = &self.trained.tuning {
            println!("{}", tuning::line(outcome));
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
        let least = self.trained.calibration.threshold;
        for (name, threshold) in self.trained.names.iter().zip(&cohort.thresholds) {
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
        let cohort = self.trained.cohort.as_ref()?;
        let each = self.trained.names.iter().zip(&cohort.thresholds);
        let thresholds: serde_json::Map<_, _> =
            each.map(|(n, t)| ((*n).to_owned(), json!(t))).collect();
        Some(json!({
            "strangers": cohort.trials, "let_in": cohort.accepted, "below_at_95": cohort.proven, "thresholds": thresholds,
        }))
    }

    pub fn print_json(&self) {
        let c = &self.trained.calibration;
        let rates = |genuine: &[Genuine]| {
            let seen = self.trained.recognised(genuine);
            json!({"faces": seen.of, "recognised": seen.right, "wrong_name": seen.wrong})
        };
        let people: Vec<_> = self
            .trained
            .learners
            .iter()
            .map(|l| json!({"name": l.name, "photos": l.given, "used": l.examples.len()}))
            .collect();
        print_json(&json!({
            "people": people,
            "without_photos": self.trained.empty,
            "strangers": {"photos": self.trained.strangers.photos.len(), "people": self.trained.strangers.people.len()},
            "wrong": self.trained.wrong,
            "threshold": c.threshold,
            "far": {
                "asked": self.trained.far, "trials": c.trials, "photos": self.trained.tried_photos, "accepted": c.accepted,
                "below_at_95": c.proven, "shown": c.shown,
            },
            "bank": self.cohort_json(),
            "cross_validation": rates(&self.trained.genuine),
            "test": {
                "enrolled": rates(&self.trained.test.genuine),
                "strangers": self.trained.test.impostors.len(),
                "photos": self.trained.test.faces.len() - self.trained.test.again,
                "let_in": self.trained.let_in(),
            },
            "fine_tuning": self.trained.tuning.as_ref().map(tuning::json),
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
