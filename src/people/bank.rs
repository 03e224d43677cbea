//! The bank of strangers of a model set: its embedder's embeddings of people who live elsewhere. With them the program finds, for
//! each enrolled person, the likeness above which hardly any stranger is mistaken for that person. The owner needs no photos of
//! strangers for that.
//!
//! | bytes | what |
//! |---|---|
//! | people x dimensions | embeddings, one after the other, each number a signed byte; their lengths have no meaning |
//!
//! Each person has one embedding. The bank has no pictures and no names.

use std::path::PathBuf;

use super::linear_head::likeness;
use crate::face::Embedding;
use crate::nn::{EmbedderManifest, ModelError, ModelFile};
use crate::rates::{admissible, proven_far};

/// The share of strangers whom a single look may mistake for a resident, unless `train` was given another share.
pub const FAR: f64 = 0.001;

/// Why a set's bank cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// The bank's file is missing, or it is another file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file's length differs from what the manifest lists.
    #[error(
        "{file}: has {found} bytes, the manifest lists {people} people of {dimensions} numbers: correct strangers.people in the \
         manifest, or copy the file again"
    )]
    Length {
        /// The file.
        file: String,
        /// The file's length, in bytes.
        found: usize,
        /// The number of people that the manifest lists.
        people: usize,
        /// The number of values in an embedding.
        dimensions: usize,
    },
    /// One person's embedding has only zeros, which no face gives.
    #[error("{file}: person {number} has only zeros: make it again with scripts/train bank")]
    Zeros {
        /// The file.
        file: String,
        /// The person's place in the file, counting from 0.
        number: usize,
    },
}

/// A bank of strangers, with one embedding per person.
#[derive(Clone, Copy, Debug)]
pub struct Bank {
    dimensions: usize,
    rows: &'static [u8],
}

/// One enrolled person: their direction, and their templates. All of length 1.
pub type Enrolled<'a> = (&'a [f32], Vec<&'a [f32]>);

/// Each person's threshold (the lowest likeness at which a face counts as that person), found with a bank of strangers.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// For each person, the lowest likeness at which a face counts as that person. It is above 1 if a stranger in the bank has
    /// exactly the same embedding.
    pub thresholds: Vec<f32>,
    /// The number of strangers in the bank.
    pub trials: usize,
    /// The number of these strangers who are mistaken for an enrolled person.
    pub accepted: usize,
    /// At 95 % confidence, a single look mistakes less than this share of strangers (0 to 1) for an enrolled person, if the
    /// strangers are like those in the bank. The network may have been trained on the people in the bank, and then distinguishes
    /// them a little better than other people.
    pub proven: f64,
}

impl Bank {
    /// Opens the bank of the embedder of `manifest`. The bank's file is in one of `folders`. `None` if the set has no bank.
    ///
    /// # Errors
    /// [`BankError`].
    pub fn open(
        manifest: &EmbedderManifest,
        folders: &[PathBuf],
    ) -> Result<Option<Self>, BankError> {
        let Some(strangers) = &manifest.strangers else {
            return Ok(None);
        };
        let path = ModelFile::find(&strangers.file, folders)?;
        let file = ModelFile::open(&path, &strangers.sha256, &strangers.source)?;
        let (people, dimensions, rows) = (strangers.people, manifest.dimensions, file.bytes());
        if rows.len() != people * dimensions {
            return Err(BankError::Length {
                file: file.name(),
                found: rows.len(),
                people,
                dimensions,
            });
        }
        let zeros = |row: &[u8]| row.iter().all(|b| *b == 0);
        if let Some(number) = rows.chunks_exact(dimensions).position(zeros) {
            let file = file.name();
            return Err(BankError::Zeros { file, number });
        }
        Ok(Some(Self { dimensions, rows }))
    }

    /// The number of values in an embedding.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The number of strangers in the bank.
    #[must_use]
    pub const fn people(&self) -> usize {
        self.rows.len() / self.dimensions
    }

    /// Finds the thresholds of `people`, none below `least`, at which a single look mistakes less than a share `far` (above 0,
    /// up to 1) of strangers for an enrolled person. If so many strangers of the bank reach `least` that `far` is not proven,
    /// each person's threshold rises to just above a stranger, a different one for each person. Then the highest threshold is
    /// lowered to just above that person's next stranger, again and again, as long as the rate stays proven. If there are too
    /// many people, or too few strangers, to prove `far`, each person's threshold stays just above their own stranger, and
    /// [`Cohort::proven`] gives the rate that this proves.
    ///
    /// Strangers who were used to find a threshold are not an independent test of it. Each step removes one stranger from the
    /// test. After k steps, the share of all strangers who are above the thresholds is distributed as if k - 1 strangers of the
    /// bank had been let in (Tukey, 1947, and Fraser, 1951: statistically equivalent blocks).
    #[must_use]
    pub fn cohort(&self, people: &[Enrolled<'_>], least: f32, far: f64) -> Cohort {
        let trials = self.people();
        let scores = self.scores(people);
        let let_in = |thresholds: &[f32]| {
            let is_in = |k: &usize| scores.iter().zip(thresholds).any(|(s, t)| s[*k] >= *t);
            (0..trials).filter(is_in).count()
        };
        let as_is = vec![least; people.len()];
        let accepted = let_in(&as_is);
        let most = admissible(trials, far);
        if people.is_empty() || most.is_some_and(|most| accepted <= most) {
            return Cohort {
                thresholds: as_is,
                trials,
                accepted,
                proven: proven_far(accepted, trials),
            };
        }
        let most = most.unwrap_or(0);
        // For each person, the strangers sorted by likeness, the most similar first.
        let orders: Vec<Vec<usize>> = scores
            .iter()
            .map(|scores| {
                let mut order: Vec<usize> = (0..trials).collect();
                order.sort_unstable_by(|a, b| scores[*b].total_cmp(&scores[*a]));
                order
            })
            .collect();
        let above = |who: usize, stranger: usize| scores[who][stranger].next_up();
        let mut thresholds: Vec<f32> = (0..people.len())
            .map(|who| above(who, orders[who][0]))
            .collect();
        let (mut out, mut taken) = (vec![false; trials], 0);
        loop {
            let who = if taken < people.len() {
                taken
            } else if taken <= most {
                let highest =
                    (0..people.len()).max_by(|a, b| thresholds[*a].total_cmp(&thresholds[*b]));
                match highest {
                    Some(who) if thresholds[who] > least => who,
                    _ => break,
                }
            } else {
                break;
            };
            let Some(next) = orders[who].iter().copied().find(|k| !out[*k]) else {
                break;
            };
            out[next] = true;
            taken += 1;
            thresholds[who] = above(who, next);
        }
        for threshold in &mut thresholds {
            *threshold = threshold.max(least);
        }
        Cohort {
            accepted: let_in(&thresholds),
            thresholds,
            trials,
            proven: proven_far(taken.saturating_sub(1), trials),
        }
    }

    /// The likeness of each stranger to each person.
    fn scores(&self, people: &[Enrolled<'_>]) -> Vec<Vec<f32>> {
        let mut scores: Vec<Vec<f32>> = people
            .iter()
            .map(|_| Vec::with_capacity(self.people()))
            .collect();
        let mut row = [0.0; Embedding::MAX];
        let row = &mut row[..self.dimensions];
        for bytes in self.rows.chunks_exact(self.dimensions) {
            for (value, byte) in row.iter_mut().zip(bytes) {
                *value = f32::from(byte.cast_signed());
            }
            // `open` has checked that the length is not zero.
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            for ((direction, templates), scores) in people.iter().zip(&mut scores) {
                let alike = likeness(row, direction, templates.iter().copied());
                scores.push(alike / length);
            }
        }
        scores
    }
}

#[cfg(test)]
impl Bank {
    pub(super) fn of(dimensions: usize, rows: Vec<u8>) -> Self {
        let rows = rows.leak();
        Self { dimensions, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use proptest::prelude::*;

    const DIMENSIONS: usize = 16;

    /// A bank of `people` random people. Those in one half all resemble each other a little.
    fn bank(people: usize, seed: u64) -> Bank {
        let mut chance = Chance::new(seed);
        let mut rows = Vec::new();
        for k in 0..people {
            let group = if k % 2 == 0 { 1.5 } else { 0.0 };
            let values: Vec<f32> = (0..DIMENSIONS)
                .map(|d| chance.normal() + if d == 0 { group } else { 0.0 })
                .collect();
            let most = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            rows.extend(
                values
                    .iter()
                    .map(|v| (v / most * 127.0).round() as i8 as u8),
            );
        }
        Bank::of(DIMENSIONS, rows)
    }

    fn unit(values: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let unit = Embedding::normalised(values).expect("a direction");
        unit.values().to_vec()
    }

    fn random_person(seed: u64, group: f32) -> Vec<f32> {
        let mut chance = Chance::new(seed);
        unit((0..DIMENSIONS).map(|d| chance.normal() + if d == 0 { group } else { 0.0 }))
    }

    #[test]
    fn a_person_like_many_strangers_needs_more_likeness() {
        let bank = bank(4000, 1);
        let (common, rare) = (
            unit((0..DIMENSIONS).map(|d| f32::from(u8::from(d == 0)))),
            {
                let mut values = random_person(5, 0.0);
                values[0] = -1.0;
                unit(values)
            },
        );
        let people = [
            (&common[..], vec![&common[..]]),
            (&rare[..], vec![&rare[..]]),
        ];
        let cohort = bank.cohort(&people, 0.0, 0.01);
        assert!(
            cohort.thresholds[0] > cohort.thresholds[1] + 0.05,
            "{cohort:?}"
        );
        assert!(cohort.accepted > 0 && cohort.proven <= 0.01, "{cohort:?}");
        // Counts directly how many of the strangers reach either threshold.
        let over = bank.rows.chunks_exact(DIMENSIONS).filter(|row| {
            let row = unit(row.iter().map(|b| f32::from(b.cast_signed())));
            let dot = |a: &[f32]| a.iter().zip(&row).map(|(a, b)| a * b).sum::<f32>();
            dot(&common) >= cohort.thresholds[0] || dot(&rare) >= cohort.thresholds[1]
        });
        assert!(over.count().abs_diff(cohort.accepted) <= 1, "{cohort:?}");
        // No threshold has to rise if few enough strangers are over it.
        let cohort = bank.cohort(&people, 0.99, 0.01);
        assert_eq!((&*cohort.thresholds, cohort.accepted), (&[0.99; 2][..], 0));
    }

    #[test]
    fn a_bank_too_small_to_prove_the_rate_lets_no_stranger_in() {
        let bank = bank(50, 2);
        let ada = random_person(7, 0.0);
        let cohort = bank.cohort(&[(&ada, vec![&ada])], 0.1, FAR);
        assert_eq!((cohort.trials, cohort.accepted), (50, 0));
        assert!((cohort.proven - 0.058).abs() < 1e-3, "{cohort:?}");
        assert_eq!(bank.cohort(&[], 0.1, FAR).thresholds, Vec::<f32>::new());
    }

    #[test]
    fn a_bank_of_another_length_or_checksum_is_refused() {
        use crate::nn::{Manifest, StrangersManifest, hex};
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("strangers.i8");
        std::fs::write(&file, [1; 300]).expect("written");
        let set = Manifest::load(&"latchkey".parse().expect("a name")).expect("built in");
        let mut manifest = set.embedder().clone();
        let sha256 = hex(&<sha2::Sha256 as sha2::Digest>::digest([1; 300]));
        let mut open = |sha256: String, people| {
            manifest.strangers = Some(StrangersManifest {
                file: "strangers.i8".to_owned(),
                sha256,
                people,
                embedder: String::new(),
                source: "here".to_owned(),
            });
            Bank::open(&manifest, &[folder.path().to_owned()])
        };
        let wrong = open(sha256.clone(), 2).expect_err("300 bytes");
        assert!(wrong.to_string().contains("has 300 bytes"), "{wrong}");
        let wrong = open("0".repeat(64), 2).expect_err("another file");
        assert!(matches!(
            wrong,
            BankError::Model(ModelError::Checksum { .. })
        ));
        let mut bytes = [1; 256];
        let mut put = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            open(hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes)), 2)
        };
        bytes[128..].fill(0);
        let wrong = put(&bytes).expect_err("a person of zeros");
        assert!(wrong.to_string().contains("person 1"), "{wrong}");
        bytes[128..].fill(255);
        let bank = put(&bytes).expect("a bank").expect("named");
        assert_eq!(bank.people(), 2);
        manifest.strangers = None;
        assert!(Bank::open(&manifest, &[]).expect("none").is_none());
    }

    /// In 95 of 100 banks, the stated share is also true for strangers who were not in the bank, for any number of people.
    #[test]
    fn the_stated_share_holds_for_other_strangers() {
        for household in [1, 5, 20] {
            let all: Vec<Vec<f32>> = (0..household)
                .map(|k| random_person(900 + k, 0.5))
                .collect();
            let people: Vec<Enrolled<'_>> = all.iter().map(|p| (&p[..], vec![&p[..]])).collect();
            let others = bank(40_000, 77);
            let over = others.scores(&people);
            let broken = (0..100)
                .filter(|seed| {
                    let cohort = bank(400, 1000 + seed).cohort(&people, -1.0, 0.02);
                    let is_in = |k: &usize| {
                        let mut each = over.iter().zip(&cohort.thresholds);
                        each.any(|(scores, threshold)| scores[*k] >= *threshold)
                    };
                    let share = (0..others.people()).filter(is_in).count() as f64 / 40_000.0;
                    share > cohort.proven
                })
                .count();
            // With 100 banks that each fail with a chance of 5 %, more than 12 fail in one of 700 runs.
            assert!(
                (1..=12).contains(&broken),
                "{household} people: {broken} of 100"
            );
        }
    }

    proptest! {
        #[test]
        fn no_more_strangers_than_prove_the_rate_are_let_in(
            seeds in proptest::collection::vec(0_u64..1000, 1..6),
            far in 0.002_f64..0.2,
            least in -0.5_f32..0.8,
        ) {
            let bank = bank(2000, 3);
            let all: Vec<Vec<f32>> = seeds.iter().map(|s| random_person(*s, 0.5)).collect();
            let people: Vec<Enrolled<'_>> = all.iter().map(|p| (&p[..], vec![&p[..]])).collect();
            let cohort = bank.cohort(&people, least, far);
            prop_assert!(cohort.thresholds.iter().all(|t| *t >= least));
            let scores = bank.scores(&people);
            let over = |k: &usize| scores.iter().zip(&cohort.thresholds).any(|(s, t)| s[*k] >= *t);
            let counted = (0..bank.people()).filter(over).count();
            prop_assert_eq!(counted, cohort.accepted);
            prop_assert!(cohort.proven >= proven_far(counted, 2000), "{:?}", cohort);
            prop_assert!(cohort.proven <= far || admissible(2000, far).is_none_or(|most| people.len() > most + 1), "{:?}", cohort);
        }
    }
}
