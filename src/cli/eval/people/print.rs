//! Prints the error rates of households, in lines and as JSON. [`lab`](crate::lab) computes them.

use serde_json::{Value, json};

use crate::cli::Loaded;
use crate::lab::people::{METHODS, Rates, Tally};

pub fn print(tally: &Tally, [size, photos]: [usize; 2], loaded: &Loaded, engine: &str) {
    println!(
        "{size} people, {photos} photos of each; {} with {}, {engine}",
        loaded.manifest.embedder, loaded.manifest.name
    );
    println!(
        "{} draws; {} faces of the enrolled tried, {} other people with {} faces a draw",
        tally.draws(),
        tally.faces(),
        tally.impostor_people,
        tally.impostor_faces()
    );
    for (m, name) in METHODS.iter().enumerate().take(tally.methods()) {
        let all = tally.rates(m);
        println!(
            "{name:9} FRR at FAR 0.1 % {:5.2} % (spread {:.2}, 95 % {:.2} to {:.2}), wrong name {:.3} %; threshold \
             from others: FRR {:.2} %, FAR {:.3} %",
            100.0 * all.frr,
            100.0 * all.spread,
            100.0 * all.frr_ci95[0],
            100.0 * all.frr_ci95[1],
            100.0 * all.wrong_name,
            100.0 * all.calibrated.frr,
            100.0 * all.calibrated.far,
        );
    }
}

fn method(rates: &Rates) -> Value {
    let calibrated = &rates.calibrated;
    json!({
        "frr_at_far_1e_3": rates.frr,
        "spread": rates.spread,
        "ci95": rates.frr_ci95,
        "wrong_name_rate": rates.wrong_name,
        "calibrated": {
            "frr": calibrated.frr,
            "far": calibrated.far,
            "far_ci95": calibrated.far_ci95,
        },
    })
}

/// The same as JSON.
pub fn report(tally: &Tally, [size, photos]: [usize; 2]) -> Value {
    let mut all = method(&tally.rates(0));
    all["people"] = json!(size);
    all["photos"] = json!(photos);
    all["draws"] = json!(tally.draws());
    all["faces"] = json!(tally.faces());
    all["impostors"] = json!(tally.impostor_people);
    all["impostor_faces"] = json!(tally.impostor_faces());
    for (m, name) in METHODS.iter().enumerate().take(tally.methods()).skip(1) {
        all[*name] = method(&tally.rates(m));
    }
    all
}
