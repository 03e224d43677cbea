//! The results of a training: the data for the gallery, and the counts that show how good it is. The caller prints them.

use std::path::Path;

use super::calibrate::Calibration;
use super::household::Genuine;
use super::photos::Learnt;
use super::strangers::Strangers;
use super::trials::Given;
use super::tuned::Outcome;
use crate::face::Embedding;
use crate::people::{Cohort, Gallery, GalleryError, Operating, Person, Rule, Tuned, TunedPerson};

/// Everyone who was enrolled from photos, and the results of tests on photos and strangers that were not learnt from.
pub struct Trained {
    pub learners: Vec<Learnt>,
    /// The names of people without a photo that can be used.
    pub empty: Vec<String>,
    /// The strangers in the folder `unknown`.
    pub strangers: Strangers,
    /// Synthetic strangers.
    pub(super) drawn: Vec<Embedding>,
    /// What is wrong with photos, one line per photo.
    pub wrong: Vec<String>,
    /// Everyone whom the door knows after this training. The places in scores refer to this order.
    pub names: Vec<String>,
    /// The number of photos of strangers, in `unknown` and in `validation`, that the threshold was tested on.
    pub tried_photos: usize,
    pub genuine: Vec<Genuine>,
    pub calibration: Calibration,
    /// The results of the set's bank of strangers for `names`.
    pub cohort: Option<Cohort>,
    pub test: Given,
    pub tuning: Option<Outcome>,
    pub far: f64,
    pub rule: Rule,
    /// The set's embedder.
    pub(super) sha256: String,
    /// Whether the gallery had a fine-tuned network before.
    pub(super) was_tuned: bool,
}

/// Counts of what the door would have decided about faces of the enrolled.
pub struct Recognised {
    pub right: usize,
    pub wrong: usize,
    pub of: usize,
}

impl Trained {
    /// The lowest likeness at which a face counts as the person at `place`.
    fn threshold(&self, place: usize) -> f32 {
        let cohort = self.cohort.as_ref();
        let raised = cohort.and_then(|c| c.thresholds.get(place));
        raised.copied().unwrap_or(self.calibration.threshold)
    }

    /// Counts how the thresholds in force decide about `genuine`.
    pub fn recognised(&self, genuine: &[Genuine]) -> Recognised {
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

    /// The number of strangers of `test` whom the thresholds in force let in.
    pub fn let_in(&self) -> usize {
        let is_in = |alike: &&Vec<f32>| (0..alike.len()).any(|p| alike[p] >= self.threshold(p));
        self.test.impostors.iter().filter(is_in).count()
    }

    fn taken(&self) -> Option<&Tuned> {
        self.tuning.as_ref().and_then(Outcome::taken)
    }

    /// Whether this training ends the use of a fine-tuned network.
    pub fn ends_tuned(&self) -> bool {
        self.was_tuned && self.taken().is_none()
    }

    /// Whether fine-tuning was requested, but there were too few strangers.
    pub fn is_tuned_in_vain(&self) -> bool {
        matches!(self.tuning, Some(Outcome::TooFew { .. }))
    }

    /// Puts everyone into the gallery at `path`. `outdated` is called if the fine-tuned network is not used because it does not
    /// know a person who was enrolled during the training.
    ///
    /// # Errors
    /// [`GalleryError`]; the gallery is then unchanged.
    pub fn store(&self, path: &Path, outdated: impl Fn()) -> Result<(), GalleryError> {
        Gallery::update(path, |g| -> Result<(), GalleryError> {
            for l in &self.learners {
                let photos: Vec<Embedding> = l.examples.iter().map(|e| e.embedding).collect();
                let views: Vec<Embedding> =
                    l.examples.iter().flat_map(|e| &e.views).copied().collect();
                g.clear(&l.name);
                g.add(&l.name, &photos, &views, &self.sha256, path)?;
            }
            g.set_strangers(&self.strangers.by_person(&self.drawn));
            g.learn();
            let counted = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            g.set_operating(Operating {
                threshold: self.calibration.threshold,
                far: self.far,
                trials: counted(self.calibration.trials),
                accepted: counted(self.calibration.accepted),
            });
            if let Some(tuned) = self.taken() {
                let people = in_order(g, &self.learners, &tuned.people);
                if people.len() == g.people().len() {
                    let tuned = tuned.clone();
                    g.set_tuned(Some(Tuned { people, ..tuned }));
                } else {
                    outdated();
                }
            }
            Ok(())
        })
    }
}

/// The fine-tuned network's data for each of `learners`, in the gallery's order.
fn in_order(gallery: &Gallery, learners: &[Learnt], people: &[TunedPerson]) -> Vec<TunedPerson> {
    let of = |p: &Person| learners.iter().position(|l| l.name == p.name);
    let places = gallery.people().iter().filter_map(of);
    places.map(|place| people[place].clone()).collect()
}
