//! One face followed from frame to frame: its latest recognitions, and whether they agree.

use super::observation::Verdict;
use super::policy::{MAX_VOTES, Policy};
use super::ring::Ring;
use crate::clock::Timestamp;
use crate::people::PersonId;

/// One recognition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) captured: Timestamp,
    /// Nobody: a stranger.
    pub(super) person: Option<PersonId>,
    pub(super) score: f32,
}

/// What is known of one track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Track {
    pub(super) id: u32,
    /// When it was last in a frame, recognised or not.
    pub(super) seen: Timestamp,
    /// Whether it has had its refusal, or its person was let in: it is not refused (again).
    pub(super) settled: bool,
    votes: Ring<Vote, { MAX_VOTES as usize }>,
}

impl Track {
    pub(super) const fn new(id: u32, seen: Timestamp) -> Self {
        let filler = Vote {
            captured: Timestamp::from_nanos(0),
            person: None,
            score: 0.0,
        };
        Self {
            id,
            seen,
            settled: false,
            votes: Ring::new(filler),
        }
    }

    /// Takes a recognition in. One that is unclear takes no place among the last M.
    pub(super) fn vote(&mut self, captured: Timestamp, verdict: Verdict, policy: &Policy) {
        let (person, score) = match verdict {
            Verdict::Known { person, score } => (Some(person), score),
            Verdict::Stranger { score } => (None, score),
            Verdict::Unclear => return,
        };
        let vote = Vote {
            captured,
            person,
            score,
        };
        self.votes.push(vote, policy.of as usize);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Vote) -> bool) {
        self.votes.retain(keep);
    }

    pub(super) fn votes(&self) -> &[Vote] {
        self.votes.as_slice()
    }

    pub(super) fn votes_for(&self, person: PersonId) -> u32 {
        let votes = self.votes().iter().filter(|v| v.person == Some(person));
        votes.map(|_| 1).sum()
    }

    /// The person whom enough of the votes name, if the newest one is among them.
    pub(super) fn elected(&self, policy: &Policy) -> Option<(PersonId, Vote, u32)> {
        let newest = *self.votes().last()?;
        let person = newest.person?;
        let votes = self.votes_for(person);
        (votes >= policy.votes).then_some((person, newest, votes))
    }

    /// Whether enough of the votes name one person, whoever it is.
    pub(super) fn agrees(&self, policy: &Policy) -> bool {
        let mut people = self.votes().iter().filter_map(|v| v.person);
        people.any(|p| self.votes_for(p) >= policy.votes)
    }

    /// The highest score, if there are M votes and no person has enough of them.
    pub(super) fn rejected(&self, policy: &Policy) -> Option<f32> {
        let full = self.votes.len() >= policy.of as usize;
        (full && !self.agrees(policy)).then(|| {
            let scores = self.votes().iter().map(|v| v.score);
            scores.fold(f32::NEG_INFINITY, f32::max)
        })
    }

    pub(super) fn has_stranger(&self) -> bool {
        self.votes().iter().any(|v| v.person.is_none())
    }
}
