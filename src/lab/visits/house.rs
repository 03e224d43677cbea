//! Picks households at random, and plays their visits and those of strangers at the door. `film` makes what a visit shows, and
//! `play` runs the door.

use std::path::{Path, PathBuf};

use super::film::{Film, Shot, noise, shoot};
use super::play::Play;
use super::tally::Tally;
use super::{Kind, Plan};
use crate::chance::Chance;
use crate::door::Policy;
use crate::face::{Embedding, Reader};
use crate::lab::LabError;
use crate::lab::people::MOST;
use crate::learn::{FEW_STRANGERS, Named};
use crate::learner::{Show, each};
use crate::lesson::built_in;
use crate::people::{Bank, Gallery, Identifier, PersonId, Rule};
use crate::pipeline::IdentityTracker;

/// The people's roles in one draw, by their places in the folder.
struct Cast {
    household: Vec<usize>,
    /// Strangers that the head learns from.
    learnt: Vec<usize>,
    /// Strangers who come.
    strangers: Vec<usize>,
}

/// The people, networks' results and settings from which draws are made.
pub struct House<'a> {
    named: &'a [Named],
    people: Vec<Vec<Shot>>,
    /// Synthetic strangers, from which `train` also learns if the owner has too few.
    drawn: Vec<Embedding>,
    bank: Option<Bank>,
    rule: Rule,
    policy: Policy,
    /// The checksum of the set's embedder.
    set: String,
    kind: Kind,
    looks: usize,
}

/// The settings with which the door decides.
pub struct Judgement {
    pub bank: Option<Bank>,
    pub rule: Rule,
    pub policy: Policy,
    /// The checksum of the set's embedder.
    pub set: String,
}

impl<'a> House<'a> {
    /// Reads everyone's photos, and makes the looks of visits from them.
    pub fn read(
        readers: &mut [Reader],
        show: Show,
        named: &'a [Named],
        judgement: Judgement,
        plan: &Plan,
    ) -> Result<Self, LabError> {
        // A film is played to its end, so all of its frames are read.
        let most = match plan.kind {
            Kind::Photos => MOST,
            Kind::Frames => usize::MAX,
        };
        let jobs: Vec<(usize, &PathBuf)> = named
            .iter()
            .enumerate()
            .flat_map(|(who, n)| n.photos.iter().take(most).map(move |p| (who, p)))
            .collect();
        let noise = noise(plan.seed);
        let shots = each(
            readers,
            show,
            "playing visits",
            &jobs,
            |reader, (_, path)| shoot(reader, path, plan, &noise),
        );
        let mut people: Vec<Vec<Shot>> = named.iter().map(|_| Vec::new()).collect();
        for ((who, _), shot) in jobs.iter().zip(shots) {
            people[*who].push(shot?);
        }
        let mut drawn = Vec::new();
        built_in(&mut readers[0], |e| drawn.extend(e))?;
        let Judgement {
            bank,
            rule,
            policy,
            set,
        } = judgement;
        Ok(Self {
            named,
            people,
            drawn,
            bank,
            rule,
            policy,
            set,
            kind: plan.kind,
            looks: usize::from(plan.looks),
        })
    }

    /// Picks households at random, with the numbers of people and of learnt photos in `sizes`, and plays their visits.
    pub fn tally(&self, sizes: [usize; 2], plan: &Plan) -> Result<Tally, LabError> {
        let mut tally = Tally::default();
        for number in 0..plan.draws {
            let mut chance = Chance::new(plan.seed ^ (u64::from(number) << 32));
            self.draw(sizes, plan.unknown, &mut chance, &mut tally)?;
        }
        Ok(tally)
    }
}

impl House<'_> {
    /// The embeddings that are learnt for `who` from `photos` photos, and the visits that the other photos give.
    fn parts<'a>(
        &'a self,
        who: usize,
        photos: usize,
        chance: &mut Chance,
    ) -> (Vec<Embedding>, Vec<Film<'a>>) {
        let mut shots: Vec<&Shot> = self.people[who].iter().collect();
        let (learnt, left): (Vec<&Shot>, Vec<&Shot>) = match self.kind {
            Kind::Photos => {
                chance.shuffle(&mut shots);
                // A photo without a face cannot be learnt from, but is played.
                shots.sort_by_key(|s| s.embedding.is_none());
                let (learn, rest) = shots.split_at(photos.min(shots.len()));
                (learn.to_vec(), rest.to_vec())
            }
            // Every second frame at the beginning of a film is learnt from. The rest of the film gives the visits.
            Kind::Frames => {
                let (first, rest) = shots.split_at((2 * photos).min(shots.len()));
                (first.iter().step_by(2).copied().collect(), rest.to_vec())
            }
        };
        let learnt = learnt.iter().filter_map(|s| s.embedding).collect();
        (learnt, self.films(&left))
    }

    fn films<'a>(&self, shots: &[&'a Shot]) -> Vec<Film<'a>> {
        let looks = |shot: &&'a Shot| shot.looks.iter().map(Vec::as_slice);
        match self.kind {
            Kind::Photos => shots.iter().map(|s| looks(s).collect()).collect(),
            Kind::Frames => {
                let whole = shots.chunks_exact(self.looks);
                whole
                    .map(|part| part.iter().flat_map(looks).collect())
                    .collect()
            }
        }
    }

    /// Picks the people of one draw.
    fn cast(
        &self,
        [size, photos]: [usize; 2],
        unknown: usize,
        chance: &mut Chance,
    ) -> Result<Cast, LabError> {
        let needed = match self.kind {
            Kind::Photos => photos + 1,
            Kind::Frames => 2 * photos + self.looks,
        };
        let mut household: Vec<usize> = (0..self.people.len())
            .filter(|who| {
                let first = match self.kind {
                    Kind::Photos => usize::MAX,
                    Kind::Frames => 2 * photos,
                };
                let shots = &self.people[*who];
                let usable = shots.iter().take(first).filter(|s| s.embedding.is_some());
                shots.len() >= needed && usable.count() >= photos
            })
            .collect();
        if household.len() < size {
            return Err(LabError::TooFew(format!(
                "{} people have {needed} photos and a face in {photos} of them, {size} are to be enrolled: give more photos, or \
                 ask for fewer --people or --photos",
                household.len()
            )));
        }
        chance.shuffle(&mut household);
        household.truncate(size);
        let mut others: Vec<usize> = (0..self.people.len())
            .filter(|i| !household.contains(i))
            .collect();
        chance.shuffle(&mut others);
        let strangers = others.split_off(unknown.min(others.len()));
        if strangers.is_empty() {
            return Err(LabError::TooFew(format!(
                "no one is left to come as a stranger: of {} people {size} are enrolled and {} are learnt from; ask for a smaller \
                 --unknown",
                self.people.len(),
                others.len()
            )));
        }
        Ok(Cast {
            household,
            learnt: others,
            strangers,
        })
    }

    /// Plays the visits of one household, those of strangers, and an hour of both.
    fn draw<'a>(
        &'a self,
        sizes: [usize; 2],
        unknown: usize,
        chance: &mut Chance,
        tally: &mut Tally,
    ) -> Result<(), LabError> {
        let cast = self.cast(sizes, unknown, chance)?;
        let sha256 = &self.set;
        let mut gallery = Gallery::default();
        let mut residents: Vec<(PersonId, Film<'a>)> = Vec::new();
        // The person of each visit, by place in the folder: ids in the gallery are valid in one household only.
        let mut whose: Vec<usize> = Vec::new();
        for who in &cast.household {
            let (embeddings, films) = self.parts(*who, sizes[1], chance);
            let (name, here) = (&self.named[*who].name, Path::new("the household"));
            let id = gallery.add(name, &embeddings, &[], sha256, here)?;
            whose.extend(std::iter::repeat_n(*who, films.len()));
            residents.extend(films.into_iter().map(|film| (id, film)));
        }
        let first = |who: &usize| self.people[*who].iter().find_map(|s| s.embedding);
        let mut unknown_faces: Vec<Vec<Embedding>> = cast
            .learnt
            .iter()
            .filter_map(first)
            .map(|e| vec![e])
            .collect();
        if unknown_faces.len() < FEW_STRANGERS {
            unknown_faces.extend(self.drawn.iter().map(|e| vec![*e]));
        }
        gallery.set_strangers(&unknown_faces);
        gallery.learn();
        let identifier = Identifier::new(gallery.enrolled(sha256), self.rule, self.bank.as_ref());
        let raised = identifier.cohort().map_or(&[][..], |c| &c.thresholds);
        let highest = raised
            .iter()
            .copied()
            .fold(identifier.threshold(), f32::max);
        tally.thresholds = [identifier.threshold(), highest.max(tally.thresholds[1])];
        let mut play = Play::new(IdentityTracker::new(identifier), self.policy.clone())?;

        let faceless = |film: &Film<'_>| film.iter().all(|faces| faces.is_empty());
        for (who, (id, film)) in whose.iter().zip(&residents) {
            // A resident whose face is not found is not let in.
            let let_in = play.visit(film)?;
            tally.residents.faceless += usize::from(faceless(film));
            tally.as_another += usize::from(let_in.is_some_and(|other| other != *id));
            tally.residents.add(*who, let_in != Some(*id));
        }
        let mut films: Vec<Film<'a>> = Vec::new();
        for who in cast.strangers {
            let shots: Vec<&Shot> = self.people[who].iter().collect();
            for film in self.films(&shots) {
                // A visit in which no face is found shows nothing about the other visits.
                if faceless(&film) {
                    tally.strangers.faceless += 1;
                    continue;
                }
                tally.strangers.add(who, play.visit(&film)?.is_some());
                films.push(film);
            }
        }
        if !films.is_empty() {
            play.hour(&films, &residents, chance, &mut tally.hours)?;
        }
        Ok(())
    }
}
