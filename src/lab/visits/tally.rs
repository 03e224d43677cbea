//! What happened in visits, in counts. How they are printed is the caller's.

use std::collections::BTreeSet;

use super::play::Hours;
use crate::rates::wilson;

/// What happened, over all draws.
#[derive(Default)]
pub struct Tally {
    pub residents: Visited,
    pub as_another: usize,
    pub strangers: Visited,
    /// The lowest likeness at which a face is an enrolled person, and the highest that one of them needs.
    pub thresholds: [f32; 2],
    pub hours: Hours,
}

/// Visits of residents, or of strangers.
#[derive(Default)]
pub struct Visited {
    pub visits: usize,
    /// Visits in which no face was found.
    pub faceless: usize,
    /// Visits that did not go as they should: a resident was not let in, a stranger was.
    pub wrong: usize,
    pub people: BTreeSet<usize>,
    /// People of whom at least one visit went wrong.
    pub people_wrong: BTreeSet<usize>,
}

impl Visited {
    pub(super) fn add(&mut self, who: usize, wrong: bool) {
        self.visits += 1;
        self.wrong += usize::from(wrong);
        self.people.insert(who);
        if wrong {
            self.people_wrong.insert(who);
        }
    }

    /// The share of people of whom a visit went wrong, at 95 %. Visits of one person are not independent, and come again in
    /// other draws: only people are counted with an interval.
    pub fn people_at_95(&self) -> [f64; 2] {
        wilson(self.people_wrong.len(), self.people.len())
    }
}
