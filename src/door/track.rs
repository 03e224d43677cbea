//! One face followed from frame to frame: its latest recognitions, and whether they agree.

use std::time::Duration;

use super::observation::Verdict;
use super::policy::{MAX_VOTES, Policy};
use super::ring::Ring;
use crate::clock::Timestamp;
use crate::people::PersonId;

/// Whom a recognition names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Person(PersonId),
    Stranger,
    /// A person whose visit it belonged to is over. It keeps its place among the last M, so that no
    /// older vote comes back into them.
    Void,
}

/// One recognition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) captured: Timestamp,
    pub(super) named: Named,
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
            named: Named::Stranger,
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
        let (named, score) = match verdict {
            Verdict::Known { person, score } => (Named::Person(person), score),
            Verdict::Stranger { score } => (Named::Stranger, score),
            Verdict::Unclear => return,
        };
        let vote = Vote {
            captured,
            named,
            score,
        };
        self.votes.push(vote, policy.of as usize);
    }

    /// Forgets the votes that are older than `window`.
    pub(super) fn expire(&mut self, now: Timestamp, window: Duration) {
        self.votes.retain(|vote| now.since(vote.captured) <= window);
    }

    /// Forgets all votes.
    pub(super) const fn clear(&mut self) {
        self.votes.clear();
    }

    /// The votes for `person` no longer count.
    pub(super) fn void(&mut self, person: PersonId) {
        for vote in self.votes.as_mut_slice() {
            if vote.named == Named::Person(person) {
                vote.named = Named::Void;
            }
        }
    }

    pub(super) fn has_votes(&self) -> bool {
        self.votes.len() > 0
    }

    /// The person whom enough of the votes name, if the newest one is among them; that one, and how
    /// many they are.
    pub(super) fn elected(&self, policy: &Policy) -> Option<(PersonId, Vote, u32)> {
        let newest = *self.votes.as_slice().last()?;
        let Named::Person(person) = newest.named else {
            return None;
        };
        let votes = self.votes_for(person);
        (votes >= policy.votes).then_some((person, newest, votes))
    }

    /// The highest score, if there are M recognitions and no person has enough of them.
    pub(super) fn rejected(&self, policy: &Policy) -> Option<f32> {
        let votes = self.votes.as_slice();
        let full = votes.len() >= policy.of as usize;
        let void = votes.iter().any(|v| v.named == Named::Void);
        (full && !void && !self.agrees(policy)).then(|| {
            let scores = votes.iter().map(|v| v.score);
            scores.fold(f32::NEG_INFINITY, f32::max)
        })
    }

    /// Whether some votes are a stranger's and not enough of the others name one person.
    pub(super) fn is_strange(&self, policy: &Policy) -> bool {
        let mut votes = self.votes.as_slice().iter();
        votes.any(|v| v.named == Named::Stranger) && !self.agrees(policy)
    }

    /// Whether enough of the votes name one person.
    pub(super) fn agrees(&self, policy: &Policy) -> bool {
        self.votes.as_slice().iter().any(|v| match v.named {
            Named::Person(person) => self.votes_for(person) >= policy.votes,
            Named::Stranger | Named::Void => false,
        })
    }

    fn votes_for(&self, person: PersonId) -> u32 {
        let votes = self.votes.as_slice().iter();
        votes
            .map(|v| u32::from(v.named == Named::Person(person)))
            .sum()
    }
}
