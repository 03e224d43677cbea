//! Picks households at random from many people, enrols them, and tests on the rest of their photos and on everyone else's.
//! `crowd` reads the photos, and `tally` adds up the results.

use super::crowd::{Candidate, Seen, Shot};
use super::tally::{Scores, Tally};
use super::{FAR, LEFT, Plan};
use crate::chance::Chance;
use crate::face::Embedding;
use crate::lab::LabError;
use crate::learn::calibrate;
use crate::lesson::{Lesson, Top};
use crate::nn::{Weights, WeightsError};
use crate::people::{directions, likeness};

/// One in this many of the other people is used to find the threshold.
const CALIBRATION: usize = 5;

/// One household, and the people whom it is tested with.
struct Draw<'a> {
    /// For each enrolled person, the photos to learn from.
    learnt: Vec<Vec<&'a Shot>>,
    /// The enrolled people's photos to test on, each with the person's place; `None` where no face was found.
    tried: Vec<(usize, Option<&'a Shot>)>,
    /// Photos of the strangers to learn from, one per stranger.
    unknown: Vec<&'a Shot>,
    /// Photos of the strangers with whom the threshold is found.
    calibration: Vec<&'a Shot>,
    /// Photos of the strangers to test on, and the number of these strangers.
    impostors: Vec<&'a Shot>,
    impostor_people: usize,
}

/// The likeness of a person of the household to a face.
type Alike<'a> = &'a dyn Fn(usize, &Embedding) -> f32;

/// What was learnt about the household, with one place per person.
struct Known {
    directions: Vec<Vec<f32>>,
    templates: Vec<Vec<Vec<f32>>>,
    means: Vec<Vec<f32>>,
}

impl Known {
    fn likeness(&self, who: usize, face: &Embedding) -> f32 {
        let templates = self.templates[who].iter().map(Vec::as_slice);
        likeness(face.values(), &self.directions[who], templates)
    }
}

fn nearest(templates: &[Vec<f32>], face: &Embedding) -> f32 {
    let cosines = templates.iter().map(|t| face.cosine(t));
    cosines.fold(-1.0, f32::max)
}

/// Picks a household at random and tests it, [`Plan::draws`] times. `network` is the embedder's file if the embedder should be
/// fine-tuned, too.
pub fn tally(
    people: &[Candidate],
    [size, photos]: [usize; 2],
    plan: &Plan,
    least: f32,
    network: Option<&Weights>,
) -> Result<Tally, LabError> {
    let enrollable: Vec<usize> = (0..people.len())
        .filter(|i| people[*i].shots.iter().flatten().count() >= photos + LEFT)
        .collect();
    if enrollable.len() < size {
        return Err(LabError::TooFew(format!(
            "{} people have {} photos with a face or more, {size} are to be enrolled: give more photos, or enrol fewer",
            enrollable.len(),
            photos + LEFT
        )));
    }
    let mut tally = Tally::default();
    for number in 0..plan.draws {
        let mut chance = Chance::new(plan.seed ^ (u64::from(number) << 32));
        let draw = Draw::new(people, &enrollable, [size, photos], plan, &mut chance);
        tally.impostor_people = draw.impostor_people;
        let own = |seen: &Seen| Some(seen.embedding);
        let views = plan.views as usize;
        let known = draw.known(&own, views);
        let mut methods = vec![draw.scores(&own, &|who, face| known.likeness(who, face), least)];
        let alone: [Alike<'_>; 3] = [
            &|who, face| face.cosine(&known.directions[who]),
            &|who, face| nearest(&known.templates[who], face),
            &|who, face| face.cosine(&known.means[who]),
        ];
        methods.extend(alone.map(|alike| draw.scores(&own, alike, least)));
        if let Some(network) = network {
            let top = draw.tuned(network, plan.seed, views)?;
            let tuned = |seen: &Seen| top.embed(seen.trunk.as_ref()?);
            let again = draw.known(&tuned, views);
            // The set's threshold is not valid for a fine-tuned network, so only the strangers' faces set the threshold.
            let least = -1.0;
            methods.push(draw.scores(&tuned, &|who, face| again.likeness(who, face), least));
        }
        tally.add(&methods);
    }
    Ok(tally)
}

impl<'a> Draw<'a> {
    fn new(
        people: &'a [Candidate],
        enrollable: &[usize],
        [size, photos]: [usize; 2],
        plan: &Plan,
        chance: &mut Chance,
    ) -> Self {
        let mut household = enrollable.to_vec();
        chance.shuffle(&mut household);
        household.truncate(size);
        let mut others: Vec<usize> = (0..people.len())
            .filter(|i| !household.contains(i))
            .collect();
        chance.shuffle(&mut others);
        let (unknown, others) = others.split_at(plan.unknown.min(others.len()));
        let (calibration, test) = others.split_at(others.len() / CALIBRATION);
        let (mut learnt, mut tried) = (Vec::new(), Vec::new());
        for (who, person) in household.iter().enumerate() {
            let mut shots: Vec<&Option<Shot>> = people[*person].shots.iter().collect();
            chance.shuffle(&mut shots);
            // A photo without a face cannot be learnt from, but is tested on.
            shots.sort_by_key(|s| s.is_none());
            let (learn, rest) = shots.split_at(photos);
            learnt.push(learn.iter().filter_map(|s| s.as_ref()).collect());
            let rest = rest.iter().map(|s| s.as_ref());
            tried.extend(
                rest.filter(|s| s.is_none_or(|s| s.tried.is_some()))
                    .map(|s| (who, s)),
            );
        }
        let shots_of = |who: &usize| people[*who].shots.iter().flatten();
        Self {
            learnt,
            tried,
            unknown: unknown.iter().filter_map(|i| shots_of(i).next()).collect(),
            calibration: calibration.iter().flat_map(shots_of).collect(),
            impostors: test.iter().flat_map(shots_of).collect(),
            impostor_people: test.len(),
        }
    }

    /// What is learnt about the household from its photos, `views` views of each photo, and the strangers, all embedded by
    /// `embed`.
    fn known(&self, embed: &dyn Fn(&Seen) -> Option<Embedding>, views: usize) -> Known {
        let of = |shots: &Vec<&Shot>, views: usize| -> Vec<Vec<f32>> {
            let all = shots
                .iter()
                .flat_map(|s| [&s.seen].into_iter().chain(s.views.iter().take(views)));
            let all = all.filter_map(embed);
            all.map(|e| e.values().to_vec()).collect()
        };
        let templates: Vec<Vec<Vec<f32>>> = self.learnt.iter().map(|s| of(s, 0)).collect();
        let learnt: Vec<Vec<Vec<f32>>> = self.learnt.iter().map(|s| of(s, views)).collect();
        let learnt: Vec<Vec<&[f32]>> = learnt
            .iter()
            .map(|p| p.iter().map(Vec::as_slice).collect())
            .collect();
        let strangers = of(&self.unknown, 0);
        let strangers: Vec<Vec<&[f32]>> = strangers.iter().map(|s| vec![&s[..]]).collect();
        Known {
            directions: directions(&learnt, &strangers),
            means: templates.iter().map(|t| mean(t)).collect(),
            templates,
        }
    }

    /// The scores of all photos to test on, embedded by `embed`, against the enrolled people.
    fn scores(
        &self,
        embed: &dyn Fn(&Seen) -> Option<Embedding>,
        alike: Alike<'_>,
        least: f32,
    ) -> Scores<'a> {
        let best = |seen: &Seen| -> (usize, f32) {
            let Some(face) = embed(seen) else {
                return (usize::MAX, -1.0);
            };
            let each = (0..self.learnt.len()).map(|who| alike(who, &face));
            each.enumerate()
                .fold((0, -1.0), |b, s| if s.1 > b.1 { s } else { b })
        };
        let genuine = self.tried.iter().map(|(who, shot)| {
            let seen = shot.and_then(|s| s.tried.as_ref());
            let (named, score) = seen.map_or((usize::MAX, -1.0), best);
            (named == *who, score, *shot)
        });
        let of = |shots: &[&'a Shot]| -> Vec<(f32, &'a Shot)> {
            shots.iter().map(|s| (best(&s.seen).1, *s)).collect()
        };
        let calibration: Vec<f32> = of(&self.calibration).into_iter().map(|(s, _)| s).collect();
        Scores {
            genuine: genuine.collect(),
            impostors: of(&self.impostors),
            threshold: calibrate(&calibration, FAR, least).threshold,
        }
    }

    /// The embedder's top layers, fine-tuned on the photos to learn from, and rounded to 8 bits.
    fn tuned(&self, network: &Weights, seed: u64, views: usize) -> Result<Top, WeightsError> {
        let mut lessons = Vec::new();
        let learnt = self.learnt.iter().enumerate();
        let learnt = learnt.flat_map(|(who, shots)| shots.iter().map(move |s| (Some(who), *s)));
        for (who, shot) in learnt.chain(self.unknown.iter().map(|s| (None, *s))) {
            let all = [&shot.seen].into_iter().chain(&shot.views);
            lessons.extend(all.filter_map(|seen| {
                Some(Lesson {
                    trunk: seen.trunk.clone()?,
                    who,
                    frozen: shot.seen.embedding,
                })
            }));
        }
        let frozen = self.known(&|seen| Some(seen.embedding), views).directions;
        let top = Top::of(network)?.tuned(&lessons, &frozen, seed, |_| ());
        let mut rounded = network.clone();
        top.put(&mut rounded, &lessons)?;
        Top::of(&rounded)
    }
}

fn mean(templates: &[Vec<f32>]) -> Vec<f32> {
    let length = templates.first().map_or(0, Vec::len);
    let sums = (0..length).map(|k| templates.iter().map(|t| t[k]).sum::<f32>());
    Embedding::normalised(sums).map_or_else(Vec::new, |e| e.values().to_vec())
}
