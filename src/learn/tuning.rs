//! Fine-tuning: trains the embedder's top layers on everyone's photos, and uses the result only if strangers who had no part
//! in the training show that no more of them are let in.
//!
//! Real strangers are divided by person into three groups. The network learns from the first. The second sets the tuned network's
//! threshold and shows whether that network is better. The third judges it: the 95 % upper bound of the share of these strangers
//! that is let in must be no more than before, and no more than requested. Photos of the enrolled are divided in the same way.

use std::time::Instant;

use sha2::{Digest, Sha256};

use super::calibrate::{TAIL, calibrate, clear_of};
use super::error::LearnError;
use super::photos::Learnt;
use super::strangers::Strangers;
use super::training::Plan;
use super::trials::PARTS;
use super::tuned::{LOOKS, Outcome, Role, Seen, Trial};
use crate::chance::Chance;
use crate::learner::{Learner, Sight, Subject};
use crate::lesson::{PEOPLE, TUNING_VIEWS, Top};
use crate::nn::{ModelFile, hex};
use crate::people::{Operating, Tuned, TunedPerson};
use crate::rates::needed;

/// The smallest number of strangers to learn from. Fewer do not represent how strangers look.
const LEAST_LEARNT: usize = 50;
/// The largest number of strangers to learn from. More take memory and change little.
const MOST_LEARNT: usize = 300;
/// A face, and its purpose.
struct Part {
    /// The place of the enrolled person whom the face shows; `None` for a stranger.
    who: Option<usize>,
    /// The number of the stranger whom the face shows.
    stranger: usize,
    role: Role,
    sight: Sight,
}

/// The number of strangers that fine-tuning needs, counted as people and not as photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    pub learn: usize,
    pub select: usize,
    pub judge: usize,
}

impl Need {
    /// The strangers needed to show that no more than a share `far` of strangers is let in, if none of those who judge is let in.
    fn to_show(far: f64) -> Self {
        let judge = needed(far);
        Self {
            learn: LEAST_LEARNT,
            // The threshold must be found with at least as many strangers as later judge it; with fewer, it would let some of
            // the judging strangers in.
            select: judge.max(TAIL + 1),
            judge,
        }
    }

    pub const fn all(self) -> usize {
        self.learn + self.select + self.judge
    }
}

/// Trains the network and tests the result.
pub fn fine_tune(
    plan: &Plan<'_>,
    learner: &mut Learner,
    learnt: &[Learnt],
    strangers: &Strangers,
) -> Result<Outcome, LearnError> {
    let begun = Instant::now();
    let need = Need::to_show(plan.far);
    if strangers.people.len() < need.all() {
        return Ok(Outcome::TooFew {
            far: plan.far,
            photos: strangers.photos.len(),
            people: strangers.people.len(),
            need,
        });
    }
    let manifest = plan.set;
    let file = ModelFile::find(&manifest.file, plan.model_files)?;
    let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;

    let parts = parts(learnt, strangers, need, plan.seed);
    let views = |role: Role| match role {
        Role::Learn => plan.views.max(TUNING_VIEWS),
        Role::Select | Role::Judge => LOOKS as u32 - 1,
    };
    let (roles, asked): (Vec<Role>, Vec<u32>) =
        parts.iter().map(|p| (p.role, views(p.role))).unzip();
    let people: Vec<(Option<usize>, usize)> = parts.iter().map(|p| (p.who, p.stranger)).collect();
    let subjects = parts.into_iter().enumerate().map(|(place, part)| Subject {
        sight: part.sight,
        seed: plan.seed.wrapping_add(place as u64),
        views: views(part.role),
        learnt: (part.role == Role::Learn).then(|| part.who.and_then(|w| u32::try_from(w).ok())),
    });
    let step = (plan.show)("reading for fine-tuning", roles.len());
    let frozen = learner.study(subjects.collect(), step);
    let frozen = Seen::new(&roles, &people, frozen?);
    let known = frozen.learn(learnt.len(), plan.views);

    let step = (plan.show)("fine-tuning", Top::epochs());
    let patch = learner.tune(known.directions.clone(), plan.seed, step)?;
    let network = patch
        .applied(file.bytes())
        .map_err(|why| LearnError::Untunable {
            file: file.path().to_owned(),
            why,
        })?;
    let step = (plan.show)("trying the fine-tuned network", roles.len());
    let tuned = learner.again(&asked, step);
    let tuned = Seen::new(&roles, &people, tuned?);
    let known_tuned = tuned.learn(learnt.len(), plan.views);

    let margin = plan.rule.margin;
    let own = frozen.strangers(&known, Role::Select);
    let own = calibrate(&own, plan.far, plan.rule.threshold).threshold;
    // There are enough strangers for this. If not, a threshold of 1 would let no one in.
    let other = clear_of(&tuned.strangers(&known_tuned, Role::Select)).unwrap_or(1.0);
    let stand = |role| {
        [
            frozen.stand(&known, role, own, margin),
            tuned.stand(&known_tuned, role, other, margin),
        ]
    };
    let (select, judge) = (stand(Role::Select), stand(Role::Judge));
    let counted = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // The head that was judged is the one that will be used.
    let people = known_tuned
        .templates
        .into_iter()
        .zip(known_tuned.directions);
    let people = people.map(|(templates, direction)| TunedPerson {
        templates,
        direction,
    });
    Ok(Outcome::Tried(Box::new(Trial {
        tuned: Tuned {
            set_sha256: manifest.sha256.clone(),
            embedder_sha256: hex(&Sha256::digest(&network)),
            patch,
            people: people.collect(),
            operating: Operating {
                threshold: other,
                far: plan.far,
                trials: counted(judge[1].strangers),
                accepted: counted(judge[1].let_in),
            },
        },
        select,
        judge,
        far: plan.far,
        seconds: begun.elapsed().as_secs_f32(),
    })))
}

/// Divides the faces into parts by purpose. Of each person, every tenth photo selects and another tenth judges. Strangers are
/// divided by person, in random order.
fn parts(learnt: &[Learnt], strangers: &Strangers, need: Need, seed: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    for (who, learnt) in learnt.iter().enumerate() {
        parts.extend(learnt.examples.iter().enumerate().map(|(k, e)| Part {
            who: Some(who),
            stranger: 0,
            role: match k % (2 * PARTS) {
                k if k == PARTS - 1 => Role::Select,
                k if k == 2 * PARTS - 1 => Role::Judge,
                _ => Role::Learn,
            },
            sight: Sight::photo(&e.photo, &e.landmarks),
        }));
    }
    let mut order: Vec<usize> = (0..strangers.people.len()).collect();
    Chance::new(seed).shuffle(&mut order);
    // The network learns from a third of the strangers who are not needed to select or judge, within bounds. The rest selects and
    // judges in equal parts.
    let learn = need
        .learn
        .max(order.len().saturating_sub(need.select + need.judge) / 3);
    let learn = learn.min(MOST_LEARNT);
    let judge = need.judge + (order.len() - learn - need.select - need.judge) / 2;
    for (k, person) in order.into_iter().enumerate() {
        let role = match k {
            k if k < learn => Role::Learn,
            k if k < learn + judge => Role::Judge,
            _ => Role::Select,
        };
        parts.extend(strangers.people[person].iter().map(|place| {
            let photo = &strangers.photos[*place];
            Part {
                who: None,
                stranger: person,
                role,
                sight: Sight::photo(&photo.photo, &photo.landmarks),
            }
        }));
    }
    // Synthetic people are used for learning only, because they prove nothing.
    let drawn = (0..PEOPLE).map(|number| Part {
        who: None,
        stranger: strangers.people.len() + number as usize,
        role: Role::Learn,
        sight: Sight::Drawn(number),
    });
    parts.extend(drawn);
    parts
}
