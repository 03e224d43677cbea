//! Fine-tuning: trains the embedder's top layers on everyone's photos, and uses the result only if strangers who had no part
//! in the training show that no more of them are let in.
//!
//! Real strangers are divided by person into three groups. The first is learnt from. The second sets the tuned network's
//! threshold and shows whether that network is better. The third judges it: the 95 % upper bound of the share of them that is
//! let in must be no more than before, and no more than what was asked for. Photos of the enrolled are divided in the same way.

use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Arguments;
use super::photos::{Learnt, Strangers};
use super::trials::{Genuine, Known, PARTS, nearest};
use crate::chance::Chance;
use crate::cli::{Failure, Loaded, bar};
use crate::face::Embedding;
use crate::learn::{TAIL, calibrate, clear_of};
use crate::learner::{Learner, Sight, Subject};
use crate::lesson::{PEOPLE, TUNING_VIEWS, Top};
use crate::nn::{ModelFile, hex};
use crate::people::{Operating, Tuned, TunedPerson};
use crate::rates::{needed, proven_far};

/// Strangers that are learnt from, at least: fewer do not represent how strangers look.
const LEAST_LEARNT: usize = 50;
/// Strangers that are learnt from, at most: more take memory and change little.
const MOST_LEARNT: usize = 300;
/// Looks at each face that is held back: as it is, and in a view.
const LOOKS: usize = 2;

/// What a photo is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It is learnt from.
    Learn,
    /// It sets the threshold, and decides whether the network is better.
    Select,
    /// It judges the network.
    Judge,
}

/// A face, and what it is for.
struct Part {
    /// The place of the enrolled person it shows; `None` is a stranger.
    who: Option<usize>,
    /// Which stranger it shows.
    stranger: usize,
    role: Role,
    sight: Sight,
}

/// How many strangers fine-tuning takes, counted as people and not as photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    learn: usize,
    select: usize,
    judge: usize,
}

impl Need {
    /// What it takes to show that no more than a share `far` of strangers is let in, if none of them is.
    fn to_show(far: f64) -> Self {
        let judge = needed(far);
        Self {
            learn: LEAST_LEARNT,
            // A threshold that was found with fewer people than judge it would let some of those in.
            select: judge.max(TAIL + 1),
            judge,
        }
    }

    const fn all(self) -> usize {
        self.learn + self.select + self.judge
    }
}

/// The outcome of fine-tuning.
pub enum Outcome {
    /// There are too few strangers to know what it would do.
    TooFew {
        far: f64,
        photos: usize,
        people: usize,
        need: Need,
    },
    Tried(Box<Trial>),
}

/// The results of a network, its head and its threshold on what was held back.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stand {
    threshold: f32,
    /// Looks at the enrolled in which they are not recognised.
    missed: usize,
    looks: usize,
    /// Strangers of whom at least one look is taken for an enrolled person.
    let_in: usize,
    strangers: usize,
    /// How far the likenesses of the enrolled lie above those of strangers, in deviations.
    apart: f64,
}

impl Stand {
    /// The share of strangers let in is below this, at 95 %.
    fn far(self) -> f64 {
        proven_far(self.let_in, self.strangers)
    }

    /// The share of looks at the enrolled that are missed is below this, at 95 %.
    fn frr(self) -> f64 {
        proven_far(self.missed, self.looks)
    }
}

/// A tuned network that was tried: results before and after, with those who select and with those who judge.
pub struct Trial {
    tuned: Tuned,
    select: [Stand; 2],
    judge: [Stand; 2],
    far: f64,
    seconds: f32,
}

/// Trains, and tries the result.
pub fn fine_tune(
    loaded: &Loaded,
    learner: &mut Learner,
    learnt: &[Learnt],
    strangers: &Strangers,
    arguments: &Arguments,
) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let need = Need::to_show(arguments.far);
    if strangers.people.len() < need.all() {
        return Ok(Outcome::TooFew {
            far: arguments.far,
            photos: strangers.photos.len(),
            people: strangers.people.len(),
            need,
        });
    }
    let manifest = loaded.manifest.embedder();
    let file = ModelFile::find(&manifest.file, &loaded.config.model_files)?;
    let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;

    let parts = parts(learnt, strangers, need, arguments.seed);
    let views = |role: Role| match role {
        Role::Learn => arguments.views.max(TUNING_VIEWS),
        Role::Select | Role::Judge => LOOKS as u32 - 1,
    };
    let (roles, asked): (Vec<Role>, Vec<u32>) =
        parts.iter().map(|p| (p.role, views(p.role))).unzip();
    let people: Vec<(Option<usize>, usize)> = parts.iter().map(|p| (p.who, p.stranger)).collect();
    let subjects = parts.into_iter().enumerate().map(|(place, part)| Subject {
        sight: part.sight,
        seed: arguments.seed.wrapping_add(place as u64),
        views: views(part.role),
        learnt: (part.role == Role::Learn).then(|| part.who.and_then(|w| u32::try_from(w).ok())),
    });
    let step = bar::show("reading for fine-tuning", roles.len());
    let frozen = learner.study(subjects.collect(), step);
    let frozen = Seen::new(&roles, &people, frozen?);
    let known = frozen.learn(learnt.len(), arguments);

    let step = bar::show("fine-tuning", Top::epochs());
    let patch = learner.tune(known.directions.clone(), arguments.seed, step)?;
    let network = patch.applied(file.bytes()).map_err(|e| Failure {
        exit: crate::cli::Exit::Usage,
        text: format!(
            "{}: {e}; only the set `latchkey` can be fine-tuned; nothing was changed",
            file.path().display()
        ),
    })?;
    let step = bar::show("trying the fine-tuned network", roles.len());
    let tuned = learner.again(&asked, step);
    let tuned = Seen::new(&roles, &people, tuned?);
    let known_tuned = tuned.learn(learnt.len(), arguments);

    let margin = loaded.rule.margin;
    let own = frozen.strangers(&known, Role::Select);
    let own = calibrate(&own, arguments.far, loaded.rule.threshold).threshold;
    // There are enough of them. A threshold of 1 would let no one in.
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
                far: arguments.far,
                trials: counted(judge[1].strangers),
                accepted: counted(judge[1].let_in),
            },
        },
        select,
        judge,
        far: arguments.far,
        seconds: begun.elapsed().as_secs_f32(),
    })))
}

/// Of each person every tenth photo selects and another tenth judges. Strangers are divided by person, in random order.
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
    // A third of those who are not needed to select or judge is learnt from, within bounds. The rest selects and judges in
    // equal parts.
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
    // Synthetic people are only learnt from, as they prove nothing.
    let drawn = (0..PEOPLE).map(|number| Part {
        who: None,
        stranger: strangers.people.len() + number as usize,
        role: Role::Learn,
        sight: Sight::Drawn(number),
    });
    parts.extend(drawn);
    parts
}

/// A network's answers for all parts.
struct Seen<'a> {
    roles: &'a [Role],
    /// Whom each part shows: the place of an enrolled person, or which stranger.
    people: &'a [(Option<usize>, usize)],
    answers: Vec<Vec<Embedding>>,
}

impl<'a> Seen<'a> {
    const fn new(
        roles: &'a [Role],
        people: &'a [(Option<usize>, usize)],
        answers: Vec<Vec<Embedding>>,
    ) -> Self {
        Self {
            roles,
            people,
            answers,
        }
    }

    fn of(&self, role: Role) -> impl Iterator<Item = ((Option<usize>, usize), &[Embedding])> {
        let all = self.roles.iter().zip(self.people).zip(&self.answers);
        all.filter(move |((r, _), _)| **r == role)
            .map(|((_, who), faces)| (*who, &faces[..]))
    }

    /// What is learnt: photos as templates, and for the head also as many views as training without fine-tuning would take.
    fn learn(&self, people: usize, arguments: &Arguments) -> Known {
        let (mut templates, mut rows) = (vec![Vec::new(); people], vec![Vec::new(); people]);
        let mut strangers = std::collections::BTreeMap::<usize, Vec<&[f32]>>::new();
        for ((who, stranger), faces) in self.of(Role::Learn) {
            let mut faces = faces.iter().map(Embedding::values);
            let Some(photo) = faces.next() else { continue };
            match who {
                Some(who) => {
                    templates[who].push(photo);
                    rows[who].push(photo);
                    rows[who].extend(faces.take(arguments.views as usize));
                }
                None => strangers.entry(stranger).or_default().push(photo),
            }
        }
        let strangers: Vec<Vec<&[f32]>> = strangers.into_values().collect();
        Known::new(&templates, &rows, &strangers)
    }

    /// The highest score of each stranger.
    fn strangers(&self, known: &Known, role: Role) -> Vec<f32> {
        let mut scores = std::collections::BTreeMap::<usize, f32>::new();
        for ((who, stranger), faces) in self.of(role) {
            if who.is_none() {
                let score = scores.entry(stranger).or_insert(-1.0);
                *score = score.max(nearest(&known.highest(faces.iter().take(LOOKS))));
            }
        }
        scores.into_values().collect()
    }

    fn stand(&self, known: &Known, role: Role, threshold: f32, margin: f32) -> Stand {
        let (mut genuine, mut missed) = (Vec::new(), 0);
        for ((who, _), faces) in self.of(role) {
            let Some(who) = who else { continue };
            for face in faces.iter().take(LOOKS) {
                let Genuine { own, other, .. } = known.score(who, face);
                missed += usize::from(own < threshold || own - other < margin);
                genuine.push(own);
            }
            // A look without a face is missed, too.
            missed += LOOKS.saturating_sub(faces.len());
            genuine.extend((faces.len()..LOOKS).map(|_| -1.0));
        }
        let strangers = self.strangers(known, role);
        let spread = |scores: &[f32]| {
            let n = scores.len().max(1) as f64;
            let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
            let squares = scores.iter().map(|s| (f64::from(*s) - mean).powi(2));
            (mean, squares.sum::<f64>() / n)
        };
        let ((own, own_variance), (other, other_variance)) = (spread(&genuine), spread(&strangers));
        Stand {
            threshold,
            missed,
            looks: genuine.len(),
            let_in: strangers.iter().filter(|s| **s >= threshold).count(),
            strangers: strangers.len(),
            apart: (own - other) / (0.5 * (own_variance + other_variance)).sqrt().max(1e-6),
        }
    }
}

impl Trial {
    /// Whether it is better, with those who select.
    fn is_better(&self) -> bool {
        let [before, after] = self.select;
        before.looks > 0 && after.missed <= before.missed && after.apart > before.apart
    }

    /// Whether it is as safe as before, and as safe as was asked for, and misses no more, with those who judge.
    fn is_proven(&self) -> bool {
        let [before, after] = self.judge;
        after.looks > 0 && after.far() <= before.far().min(self.far) && after.frr() <= before.frr()
    }
}

impl Outcome {
    /// The tuned network, if it is to be used.
    pub fn taken(&self) -> Option<&Tuned> {
        match self {
            Self::Tried(trial) if trial.is_better() && trial.is_proven() => Some(&trial.tuned),
            _ => None,
        }
    }

    /// The result in one line.
    pub fn line(&self) -> String {
        let trial = match self {
            Self::TooFew {
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
                        0 => "0 people were given".to_owned(),
                        1 => "one person were given".to_owned(),
                        people => format!("{people} people were given"),
                    },
                    need.all() - people
                );
            }
            Self::Tried(trial) => trial,
        };
        let ([before, after], [_, chosen]) = (trial.judge, trial.select);
        let verdict = match self.taken() {
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

    pub fn json(&self) -> Value {
        match self {
            Self::TooFew {
                photos,
                people,
                need,
                ..
            } => json!({
                "taken": false,
                "strangers": {"photos": photos, "people": people, "needed": need.all(), "missing": need.all() - people},
            }),
            Self::Tried(trial) => {
                let stand = |s: Stand| {
                    json!({
                        "threshold": s.threshold, "looks": s.looks, "missed": s.missed, "strangers": s.strangers,
                        "let_in": s.let_in, "far_below_at_95": s.far(), "apart": s.apart,
                    })
                };
                let both = |[before, after]: [Stand; 2]| json!({"before": stand(before), "after": stand(after)});
                json!({
                    "taken": self.taken().is_some(),
                    "selected_by": both(trial.select),
                    "judged_by": both(trial.judge),
                    "sha256": trial.tuned.embedder_sha256,
                    "seconds": trial.seconds,
                })
            }
        }
    }
}
