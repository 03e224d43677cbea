//! The outcome of fine-tuning, in one line and as JSON.

use serde_json::{Value, json};

use crate::learn::{Outcome, Stand};

/// The result in one line.
pub fn line(outcome: &Outcome) -> String {
    let trial = match outcome {
        Outcome::TooFew {
            far,
            photos,
            people,
            need,
        } => {
            return format!(
                "not fine-tuned: it takes {} strangers in `unknown`: {} to judge it by (if none of them is let in, fewer than \
                 {} % are, at 95 %), {} others to find its threshold with, and {} others to learn from; {photos} photos of {}, \
                 {} are missing. The set's own network is in use",
                need.all(),
                need.judge,
                100.0 * far,
                need.select,
                need.learn,
                match people {
                    1 => "1 person was given".to_owned(),
                    people => format!("{people} people were given"),
                },
                need.all() - people
            );
        }
        Outcome::Tried(trial) => trial,
    };
    let ([before, after], [_, chosen]) = (trial.judge, trial.select);
    let verdict = match outcome.taken() {
        Some(_) => "in use; `latchkey train --undo` goes back",
        None if !trial.is_better() => "no better: the set's own network stays in use",
        None => "not proven as safe as before: the set's own network stays in use",
    };
    format!(
        "fine-tuned in {:.1} s: from a likeness of {:.3} on, found with {} strangers, {} of {} others would be let in by \
         one look (95 %: fewer than {:.2} %), {} before (fewer than {:.2} %); {} of {} looks at the enrolled are missed, {} \
         before: {verdict}",
        trial.seconds,
        after.threshold,
        chosen.strangers,
        after.let_in,
        after.strangers,
        100.0 * after.far(),
        before.let_in,
        100.0 * before.far(),
        after.missed,
        after.looks,
        before.missed,
    )
}

/// The same as JSON.
pub fn json(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::TooFew {
            photos,
            people,
            need,
            ..
        } => json!({
            "taken": false,
            "strangers": {"photos": photos, "people": people, "needed": need.all(), "missing": need.all() - people},
        }),
        Outcome::Tried(trial) => {
            let stand = |s: Stand| {
                json!({
                    "threshold": s.threshold, "looks": s.looks, "missed": s.missed, "strangers": s.strangers,
                    "let_in": s.let_in, "far_below_at_95": s.far(), "apart": s.apart,
                })
            };
            let both = |[before, after]: [Stand; 2]| json!({"before": stand(before), "after": stand(after)});
            json!({
                "taken": outcome.taken().is_some(),
                "selected_by": both(trial.select),
                "judged_by": both(trial.judge),
                "sha256": trial.tuned.embedder_sha256,
                "seconds": trial.seconds,
            })
        }
    }
}
