//! One identity before the door, from its first look until it is gone: its latest recognitions, whether they agree, and which
//! attempts it was charged.

use std::time::Duration;

use super::observation::Verdict;
use super::policy::{MAX_VOTES, Policy};
use super::ring::Ring;
use crate::clock::Timestamp;
use crate::people::{Motion, PersonId};

/// The person whom a recognition names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Person(PersonId),
    Stranger,
    /// A person whose visit, to which the vote belonged, is over. The vote keeps its place among the last M, so that no older
    /// vote moves back into the last M.
    Void,
}

/// One recognition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) captured: Timestamp,
    pub(super) named: Named,
    pub(super) score: f32,
    /// Whether the vote meets the strict bar.
    pub(super) strong: bool,
}

/// The state of one presentation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presentation {
    pub(super) id: u32,
    pub(super) track: u32,
    /// When the presentation was first in a frame.
    pub(super) began: Timestamp,
    /// When the presentation was last in a frame, recognised or not.
    pub(super) seen: Timestamp,
    /// When the camera took the frame of the latest recognition.
    pub(super) looked: Timestamp,
    /// The person was let in: the presentation is not refused, and costs nothing.
    pub(super) settled: bool,
    /// Whether the presentation has had its log line (`reported`), and the line that reports it as a thing (`fixed`).
    pub(super) reported: bool,
    pub(super) fixed: bool,
    /// The presentation has gone, and may come back in the same place.
    pub(super) gone: bool,
    /// Number of recognitions as a stranger's and as a person's, and the highest score of all recognitions.
    pub(super) strange: u32,
    pub(super) known: u32,
    pub(super) score: f32,
    motion: Motion,
    /// Whether the presentation must meet the strict bar, whatever applies to others.
    strict: bool,
    /// The presentation is an attempt that is not charged yet. It will be charged once it moves or leaves.
    owes: bool,
    /// When the presentation was last charged.
    paid: Option<Timestamp>,
    votes: Ring<Vote, { MAX_VOTES as usize }>,
}

impl Presentation {
    pub(super) const fn new(id: u32, track: u32, now: Timestamp) -> Self {
        let filler = Vote {
            captured: Timestamp::from_nanos(0),
            named: Named::Stranger,
            score: 0.0,
            strong: false,
        };
        Self {
            id,
            track,
            began: now,
            seen: now,
            looked: now,
            settled: false,
            reported: false,
            fixed: false,
            gone: false,
            strange: 0,
            known: 0,
            score: -1.0,
            motion: Motion::Still,
            strict: false,
            owes: false,
            paid: None,
            votes: Ring::new(filler),
        }
    }

    /// The presentation is in a frame. One that is back in its old place must meet the strict bar, because it has had its
    /// chance and was not let in.
    pub(super) fn appear(&mut self, now: Timestamp, motion: Motion) {
        if self.gone {
            self.strict |= motion == Motion::Still && !self.settled;
            (self.gone, self.reported) = (false, self.fixed);
            (self.strange, self.known, self.score) = (0, 0, -1.0);
        }
        self.seen = now;
        self.motion = motion;
        if motion.is_thing() {
            // A fixture is charged only once it has gone, because it may have been a picture held still.
            self.owes &= motion == Motion::Fixture;
            self.doubt();
        }
    }

    /// Adds a recognition. An unclear recognition takes no place among the last M.
    pub(super) fn vote(&mut self, captured: Timestamp, verdict: Verdict, policy: &Policy) {
        let (named, score, strong) = match verdict {
            Verdict::Known {
                person,
                score,
                strong,
            } => (Named::Person(person), score, strong),
            Verdict::Stranger { score } => (Named::Stranger, score, false),
            Verdict::Unclear => return,
        };
        self.looked = captured;
        self.score = self.score.max(score);
        match named {
            Named::Stranger => self.strange = self.strange.saturating_add(1),
            _ => self.known = self.known.saturating_add(1),
        }
        // With fewer looks than this no one is let in, so they are not an attempt.
        let tried = self.strange > 0 && self.strange + self.known >= policy.votes;
        if tried && self.paid.is_none() && !self.settled && !self.motion.is_thing() {
            self.owes = true;
        }
        let vote = Vote {
            captured,
            named,
            score,
            strong,
        };
        self.votes.push(vote, policy.strict_of() as usize);
    }

    /// Whether the presentation is charged for an attempt in this frame. It is not charged as long as it has not moved, because
    /// it may be a thing. A stranger who stays is charged again from time to time, and must then meet the strict bar.
    pub(super) fn pays(&mut self, now: Timestamp, policy: &Policy) -> bool {
        if self.settled || self.motion != Motion::Moved {
            return false;
        }
        let stays = self.paid.is_some_and(|at| now.since(at) >= policy.stay());
        let newest = self.votes.as_slice().last();
        if stays && newest.is_some_and(|vote| vote.named == Named::Stranger) {
            self.strict = true;
            self.owes = true;
        }
        self.pays_on_leaving(now)
    }

    /// Whether the presentation is charged for an attempt when it has gone.
    pub(super) fn pays_on_leaving(&mut self, now: Timestamp) -> bool {
        if self.owes {
            self.paid = Some(now);
        }
        std::mem::take(&mut self.owes)
    }

    /// The person is let in. Returns whether a charge is refunded: one attempt at most.
    pub(super) fn takes_back(&mut self) -> bool {
        self.owes = false;
        self.paid.take().is_some()
    }

    /// Forgets the votes that are older than `window`.
    pub(super) fn expire(&mut self, now: Timestamp, window: Duration) {
        self.votes.retain(|vote| now.since(vote.captured) <= window);
    }

    /// Forgets all votes.
    pub(super) const fn clear(&mut self) {
        self.votes.clear();
    }

    /// Forgets the votes for people. A stranger's votes stay as evidence of who is there.
    pub(super) fn doubt(&mut self) {
        self.votes.retain(|vote| vote.named == Named::Stranger);
    }

    /// Voids the votes for `person`.
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

    /// The last M recognitions.
    fn last(&self, policy: &Policy) -> &[Vote] {
        let votes = self.votes.as_slice();
        &votes[votes.len().saturating_sub(policy.of as usize)..]
    }

    /// The person whom enough of the votes name, if the newest vote is one of these votes; also the newest vote and the number
    /// of these votes. `strict`: by the strict bar.
    pub(super) fn elected(&self, policy: &Policy, strict: bool) -> Option<(PersonId, Vote, u32)> {
        let newest = *self.votes.as_slice().last()?;
        let Named::Person(person) = newest.named else {
            return None;
        };
        if strict || self.strict {
            let strong = |v: &&Vote| v.strong && v.named == Named::Person(person);
            let votes = count(self.votes.as_slice().iter().filter(strong));
            let enough = newest.strong && votes >= policy.strict_votes();
            return enough.then_some((person, newest, votes));
        }
        let votes = self.votes_for(person, policy);
        (votes >= policy.votes).then_some((person, newest, votes))
    }

    /// The highest score, if there are M recognitions and no person has enough votes.
    pub(super) fn rejected(&self, policy: &Policy) -> Option<f32> {
        let votes = self.last(policy);
        let full = votes.len() >= policy.of as usize;
        let void = votes.iter().any(|v| v.named == Named::Void);
        (full && !void && !self.agrees(policy)).then(|| {
            let scores = votes.iter().map(|v| v.score);
            scores.fold(f32::NEG_INFINITY, f32::max)
        })
    }

    /// Whether some votes are a stranger's and not enough of the others name one person.
    pub(super) fn is_strange(&self, policy: &Policy) -> bool {
        let mut votes = self.last(policy).iter();
        votes.any(|v| v.named == Named::Stranger) && !self.agrees(policy)
    }

    /// Whether enough of the votes name one person.
    pub(super) fn agrees(&self, policy: &Policy) -> bool {
        self.last(policy).iter().any(|v| match v.named {
            Named::Person(person) => self.votes_for(person, policy) >= policy.votes,
            Named::Stranger | Named::Void => false,
        })
    }

    fn votes_for(&self, person: PersonId, policy: &Policy) -> u32 {
        let votes = self.last(policy).iter();
        count(votes.filter(|v| v.named == Named::Person(person)))
    }
}

fn count(votes: impl Iterator) -> u32 {
    votes.map(|_| 1).sum()
}
