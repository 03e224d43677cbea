//! The bank of strangers of a model set: what its embedder says of people who live elsewhere. By them it is known for each
//! enrolled person from which likeness on hardly any stranger is taken for that person, without a photo of a stranger.
//!
//! | bytes | what |
//! |---|---|
//! | people x dimensions | embeddings, one after the other, each number a signed byte; their lengths are of no meaning |
//!
//! One embedding is one person. No picture is in it, and nobody's name.

use std::path::PathBuf;

use super::head::likeness;
use crate::face::Embedding;
use crate::learn::{admissible, proven_far};
use crate::nn::{EmbedderManifest, ModelError, ModelFile};

/// The share of strangers that one look may take for somebody of the household, by the bank.
pub const FAR: f64 = 0.001;

/// Why a set's bank cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// Its file is missing, or another one.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It is not as long as the manifest says.
    #[error(
        "{file}: has {found} bytes, the manifest says {people} people of {dimensions} numbers: correct strangers.people in the \
         manifest, or copy the file again"
    )]
    Length {
        /// The file.
        file: String,
        /// Its bytes.
        found: usize,
        /// The manifest's people.
        people: usize,
        /// Numbers in an embedding.
        dimensions: usize,
    },
}

/// Strangers, one embedding each.
#[derive(Clone, Copy, Debug)]
pub struct Bank {
    dimensions: usize,
    rows: &'static [u8],
}

/// One enrolled person: their direction, and their templates. All of length 1.
pub type Enrolled<'a> = (&'a [f32], Vec<&'a [f32]>);

/// Where likenesses begin to be somebody, by a bank.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// Lowest likeness to each person that is that person.
    pub thresholds: Vec<f32>,
    /// Strangers who were tried.
    pub trials: usize,
    /// Those who are taken for somebody.
    pub accepted: usize,
    /// The share of strangers whom one look takes for somebody is below this at 95 % confidence, as far as the bank stands
    /// for all.
    pub proven: f64,
}

impl Bank {
    /// The bank of the embedder of `manifest`, its file being in one of `folders`; `None` where the set has none.
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
        let file = ModelFile::open(&path, &strangers.sha256, &manifest.source)?;
        let (people, dimensions, rows) = (strangers.people, manifest.dimensions, file.bytes());
        if rows.len() != people * dimensions {
            return Err(BankError::Length {
                file: file.name(),
                found: rows.len(),
                people,
                dimensions,
            });
        }
        Ok(Some(Self { dimensions, rows }))
    }

    /// How many strangers there are.
    #[must_use]
    pub const fn people(&self) -> usize {
        self.rows.len() / self.dimensions
    }

    /// The thresholds of `people`, none below `least`, at which one look takes no more strangers for anybody than prove that
    /// it takes less than `far` of them: as few for each person as for every other one. Where there are too few strangers to
    /// prove that, none of them is let in.
    #[must_use]
    pub fn cohort(&self, people: &[Enrolled<'_>], least: f32, far: f64) -> Cohort {
        let trials = self.people();
        let scores: Vec<Vec<f32>> = people.iter().map(|person| self.scores(person)).collect();
        let sorted: Vec<Vec<f32>> = scores
            .iter()
            .map(|scores| {
                let mut sorted = scores.clone();
                sorted.sort_unstable_by(|a, b| b.total_cmp(a));
                sorted
            })
            .collect();
        let thresholds = |each: usize| -> Vec<f32> {
            let above =
                |sorted: &Vec<f32>| sorted.get(each).map_or(least, |s| s.next_up().max(least));
            sorted.iter().map(above).collect()
        };
        let let_in = |thresholds: &[f32]| {
            let is_in = |k: &usize| scores.iter().zip(thresholds).any(|(s, t)| s[*k] >= *t);
            (0..trials).filter(is_in).count()
        };
        let most = admissible(trials, far).unwrap_or(0);
        // Of `least` strangers a person, as many as all persons together may let in: it grows with the number for each.
        let (mut each, mut too_many) = (0, most + 1);
        while too_many - each > 1 {
            let k = usize::midpoint(each, too_many);
            if let_in(&thresholds(k)) <= most {
                each = k;
            } else {
                too_many = k;
            }
        }
        let thresholds = thresholds(each);
        let accepted = let_in(&thresholds);
        Cohort {
            thresholds,
            trials,
            accepted,
            proven: proven_far(accepted, trials),
        }
    }

    /// How alike each stranger is to a person.
    fn scores(&self, (direction, templates): &Enrolled<'_>) -> Vec<f32> {
        let mut row = [0.0; Embedding::MAX];
        let row = &mut row[..self.dimensions];
        let each = self.rows.chunks_exact(self.dimensions).map(|bytes| {
            for (value, byte) in row.iter_mut().zip(bytes) {
                *value = f32::from(byte.cast_signed());
            }
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            let alike = likeness(row, direction, templates.iter().copied());
            if length > 0.0 { alike / length } else { -1.0 }
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use proptest::prelude::*;

    const DIMENSIONS: usize = 16;

    /// A bank of so many chance people, those of one half all somewhat alike.
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
        Bank {
            dimensions: DIMENSIONS,
            rows: rows.leak(),
        }
    }

    fn unit(values: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let unit = Embedding::normalised(values).expect("a direction");
        unit.values().to_vec()
    }

    fn anybody(seed: u64, group: f32) -> Vec<f32> {
        let mut chance = Chance::new(seed);
        unit((0..DIMENSIONS).map(|d| chance.normal() + if d == 0 { group } else { 0.0 }))
    }

    #[test]
    fn who_is_like_many_strangers_needs_more_than_who_is_like_none() {
        let bank = bank(4000, 1);
        let (common, rare) = (
            unit((0..DIMENSIONS).map(|d| f32::from(u8::from(d == 0)))),
            {
                let mut values = anybody(5, 0.0);
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
        // By hand: the share of all strangers who are over either threshold.
        let over = bank.rows.chunks_exact(DIMENSIONS).filter(|row| {
            let row = unit(row.iter().map(|b| f32::from(b.cast_signed())));
            let dot = |a: &[f32]| a.iter().zip(&row).map(|(a, b)| a * b).sum::<f32>();
            dot(&common) >= cohort.thresholds[0] || dot(&rare) >= cohort.thresholds[1]
        });
        assert!(over.count().abs_diff(cohort.accepted) <= 1, "{cohort:?}");
    }

    #[test]
    fn too_few_to_prove_it_let_nobody_in() {
        let bank = bank(50, 2);
        let ada = anybody(7, 0.0);
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
        std::fs::write(&file, [1; 256]).expect("written");
        let sha256 = hex(&<sha2::Sha256 as sha2::Digest>::digest([1; 256]));
        let bank = open(sha256, 2).expect("a bank").expect("named");
        assert_eq!(bank.people(), 2);
        manifest.strangers = None;
        assert!(Bank::open(&manifest, &[]).expect("none").is_none());
    }

    proptest! {
        #[test]
        fn no_more_strangers_than_prove_the_rate_are_let_in(
            seeds in proptest::collection::vec(0_u64..1000, 1..6),
            far in 0.002_f64..0.2,
            least in -0.5_f32..0.8,
        ) {
            let bank = bank(2000, 3);
            let all: Vec<Vec<f32>> = seeds.iter().map(|s| anybody(*s, 0.5)).collect();
            let people: Vec<Enrolled<'_>> = all.iter().map(|p| (&p[..], vec![&p[..]])).collect();
            let cohort = bank.cohort(&people, least, far);
            prop_assert!(cohort.thresholds.iter().all(|t| *t >= least));
            prop_assert!(cohort.proven <= far, "{:?}", cohort);
            // With more people nobody's threshold falls.
            let fewer = bank.cohort(&people[..people.len() - 1], least, far);
            prop_assert!(fewer.thresholds.iter().zip(&cohort.thresholds).all(|(a, b)| a <= b));
        }
    }
}
