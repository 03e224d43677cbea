//! The counts of what happened in visits. The caller prints them.

use std::collections::BTreeSet;

use super::play::Hours;
use crate::rates::wilson;

/// What happened, over all draws.
#[derive(Default)]
pub struct Tally {
    pub residents: Visited,
    pub as_another: usize,
    pub strangers: Visited,
    /// The lowest likeness at which a face counts as an enrolled person, and the highest one that any enrolled person needs.
    pub thresholds: [f32; 2],
    pub hours: Hours,
}

/// Visits of residents, or of strangers.
#[derive(Default)]
pub struct Visited {
    pub visits: usize,
    /// Visits in which no face was found.
    pub faceless: usize,
    /// The number of visits that went wrong: a resident was not let in, or a stranger was.
    pub wrong: usize,
    pub people: BTreeSet<usize>,
    /// The people who had at least one visit that went wrong.
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

    /// The 95 % interval of the share of people who had a visit that went wrong. Visits of one person are not independent, and
    /// the same person comes again in other draws, so the interval is computed from people only.
    pub fn people_at_95(&self) -> [f64; 2] {
        wilson(self.people_wrong.len(), self.people.len())
    }
}
