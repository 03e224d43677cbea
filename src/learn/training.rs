//! Runs a training step by step: checks everything that can be checked first, has the photos read, and tests how well people are
//! recognised. The result goes into the gallery. The caller prints what should be printed during the training.

use std::path::{Path, PathBuf};

use super::calibrate::{calibrate, measure};
use super::error::LearnError;
use super::folder::{self, Named};
use super::household::{Household, nearest};
use super::photos::{Learnt, learn_from, sort_out};
use super::results::Trained;
use super::strangers::{FEW_STRANGERS, Strangers, strangers};
use super::trials::{cross_validate, given, rows};
use super::tuned::Outcome;
use super::tuning::fine_tune;
use crate::face::Embedding;
use crate::learner::{Learner, Show};
use crate::nn::EmbedderManifest;
use crate::people::folders::{UNKNOWN, special};
use crate::people::{Bank, GROUPING_FRACTION, Gallery, Person, Rule};

/// Folders in the data set with photos for testing.
const VALIDATION: &str = "validation";
const TEST: &str = "test";

/// The settings of a training.
pub struct Plan<'a> {
    /// The number of additional views of each photo.
    pub views: u32,
    pub seed: u64,
    /// The share of strangers whom a single look may mistake for an enrolled person.
    pub far: f64,
    pub fine_tune: bool,
    pub rule: Rule,
    /// The set's embedder.
    pub set: &'a EmbedderManifest,
    /// Folders that may contain the embedder's file.
    pub model_files: &'a [PathBuf],
    pub gallery: &'a Path,
    pub show: Show,
}

impl Plan<'_> {
    /// The lowest cosine at which two faces of strangers count as the same person's.
    pub fn same(&self) -> f32 {
        GROUPING_FRACTION * self.set.threshold
    }
}

/// The data set, as found in its folder.
pub struct DataSet {
    folder: PathBuf,
    named: Vec<Named>,
    wrong: Vec<String>,
}

impl DataSet {
    /// Finds the people in `folder`, of whom at least one must have photos.
    pub fn of(folder: &Path) -> Result<Self, LearnError> {
        let (named, wrong) = folder::people(folder, &[UNKNOWN, VALIDATION, TEST])?;
        let folder = folder.to_owned();
        if named.iter().all(|n| n.photos.is_empty()) {
            let but = wrong.first().map_or(String::new(), |w| format!(" ({w})"));
            return Err(LearnError::NoOne { folder, but });
        }
        Ok(Self {
            folder,
            named,
            wrong,
        })
    }

    /// Checks `plan` against the people and the gallery, and returns the gallery. This comes first, so that an error is reported
    /// before all photos are read.
    fn check(&mut self, plan: &Plan<'_>) -> Result<Gallery, LearnError> {
        if plan.rule.fixed && plan.fine_tune {
            return Err(LearnError::Threshold(plan.rule.threshold));
        }
        let gallery = Gallery::load(plan.gallery)?;
        gallery.suits(&plan.set.sha256, plan.gallery)?;
        folder::agree(&mut self.named, &gallery, &mut self.wrong);
        let with_photos = |name: &str| {
            let mut those = self.named.iter().filter(|n| !n.photos.is_empty());
            those.any(|n| n.name == name)
        };
        let absent = gallery.people().iter().find(|p| !with_photos(&p.name));
        if let (Some(absent), true) = (absent, plan.fine_tune) {
            return Err(LearnError::Absent {
                name: absent.name.clone(),
                folder: self.folder.clone(),
            });
        }
        Ok(gallery)
    }
}

/// A training that has read the photos of the people.
pub struct Training<'a> {
    plan: &'a Plan<'a>,
    folder: PathBuf,
    /// The gallery as it was before the training.
    gallery: Gallery,
    bank: Option<Bank>,
    learner: Learner,
    learners: Vec<Learnt>,
    strangers: Strangers,
    drawn: Vec<Embedding>,
    wrong: Vec<String>,
    /// Whether a photo of a person could not be read because of a fault of the machine.
    machine: bool,
}

impl<'a> Training<'a> {
    /// Starts the learner and has the photos of the people read, without those of strangers.
    pub fn begin(mut data: DataSet, plan: &'a Plan<'a>) -> Result<Self, LearnError> {
        let gallery = data.check(plan)?;
        let bank = Bank::open(plan.set, plan.model_files)?;
        let mut learner = Learner::start(plan.set)?;
        let DataSet {
            folder,
            named,
            mut wrong,
        } = data;
        let (mut learners, machine) = learn_from(&mut learner, &named, plan, &mut wrong)?;
        sort_out(&mut learners, &mut wrong);
        Ok(Self {
            plan,
            folder,
            gallery,
            bank,
            learner,
            learners,
            strangers: Strangers::default(),
            drawn: Vec::new(),
            wrong,
            machine,
        })
    }

    /// Everyone in the folder, including people without a photo that can be used.
    pub fn learners(&self) -> &[Learnt] {
        &self.learners
    }

    /// What is wrong with photos, one line per photo.
    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Whether a photo of a person could not be read because of a fault of the machine. If so, another attempt may help.
    pub const fn is_machines(&self) -> bool {
        self.machine
    }

    /// Whether no photo of any person can be used.
    pub fn is_in_vain(&self) -> bool {
        self.learners.iter().all(|l| l.examples.is_empty())
    }

    /// Has the photos of strangers read and, if there are few strangers, pictures of synthetic people drawn.
    pub fn meet_strangers(&mut self) -> Result<(), LearnError> {
        let unknown = special(&self.folder, UNKNOWN);
        self.strangers = strangers(&mut self.learner, &unknown, self.plan, &mut self.wrong)?;
        if self.strangers.people.len() < FEW_STRANGERS {
            self.drawn = self.learner.drawn(self.plan.show)?;
        }
        Ok(())
    }

    /// Tests how well people are recognised, finds the threshold, fine-tunes if that was requested, and ends the learner.
    pub fn try_out(self) -> Result<Trained, LearnError> {
        let Self {
            plan,
            folder,
            gallery,
            bank,
            mut learner,
            learners,
            strangers,
            drawn,
            mut wrong,
            ..
        } = self;
        let (empty, learners): (Vec<_>, Vec<_>) =
            learners.into_iter().partition(|l| l.examples.is_empty());
        // A person who is enrolled and not in the folder stays enrolled, and strangers are tested against that person, too.
        let stay = |p: &&Person| learners.iter().all(|l| l.name != p.name);
        let household = Household {
            stay: gallery.people().iter().filter(stay).collect(),
            learners: &learners,
        };
        let (mut genuine, mut impostors) = cross_validate(&household, &strangers, &drawn);
        let unknown_rows = rows(&strangers, strangers.people.iter(), &drawn);
        let known = household.known(|_| true, &unknown_rows);
        let photos = strangers.photos.iter();
        let mut before: Vec<&[f32]> = photos.map(|s| s.embedding.values()).collect();
        let mut try_out = |inner: &'static str, before: &[&[f32]]| {
            let folder = special(&folder, inner);
            given(&mut learner, &folder, &household, &known, before, plan)
        };
        let validation = try_out(VALIDATION, &before)?;
        genuine.extend(&validation.genuine);
        impostors.extend(validation.impostors.iter().map(|alike| nearest(alike)));
        let rule = plan.rule;
        let calibration = if rule.fixed {
            measure(&impostors, plan.far, rule.threshold)
        } else {
            calibrate(&impostors, plan.far, rule.threshold)
        };
        before.extend(validation.faces.iter().map(Embedding::values));
        let test = try_out(TEST, &before)?;
        wrong.extend(validation.wrong.iter().chain(&test.wrong).cloned());
        let tuning = match plan.fine_tune {
            true => Some(fine_tune(plan, &mut learner, &learners, &strangers)?),
            false => None,
        };
        // The learner's output comes before that of the caller.
        drop(learner);
        let taken = tuning.as_ref().and_then(Outcome::taken);
        // Computed in the same way as the door does when it reads the gallery.
        let bank = bank.filter(|_| !rule.fixed && taken.is_none());
        let cohort = bank.map(|b| b.cohort(&known.enrolled(), calibration.threshold, plan.far));
        Ok(Trained {
            names: household.names().map(str::to_owned).collect(),
            tried_photos: strangers.photos.len() + validation.faces.len() - validation.again,
            was_tuned: gallery.tuned().is_some() || gallery.was_tuned_earlier(),
            far: plan.far,
            rule,
            sha256: plan.set.sha256.clone(),
            empty: empty.into_iter().map(|l| l.name).collect(),
            learners,
            strangers,
            drawn,
            wrong,
            genuine,
            calibration,
            cohort,
            test,
            tuning,
        })
    }
}
