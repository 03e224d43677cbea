//! The script of a play: `SEED` or `SEED,visits=20,strangers=5,...`, as written after `doorstep:`.

use std::fmt;
use std::str::FromStr;

/// Who comes and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The seed from which everything that happens follows.
    pub seed: u64,
    /// Visits, 1 to 100 000.
    pub visits: u32,
    /// People who live here, 1 to 8.
    pub residents: u32,
    /// People who are not residents, 0 to 1000. Residents and strangers each have the same share of the visits.
    pub strangers: u32,
    /// Seconds from one visit to the next, 2 to 600.
    pub every: f32,
    /// Whether the clock waits for recognition instead of the other way round. The play then runs as fast as this machine
    /// can, and no frame is lost. Only for simulated outputs.
    pub fast: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 1,
            visits: 20,
            residents: 2,
            strangers: 20,
            every: 6.0,
            fast: false,
        }
    }
}

/// An invalid script, with the word, what is wrong with it and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?}: {fix}")]
pub struct ScriptError {
    /// The invalid word, as written.
    pub word: String,
    /// What the word must be.
    pub fix: &'static str,
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut words = text.split(',');
        let seed = words.next().unwrap_or_default();
        let wrong = |word: &str, fix| ScriptError {
            word: word.to_owned(),
            fix,
        };
        let mut script = Self {
            seed: seed
                .parse()
                .map_err(|_| wrong(seed, "the seed must be a whole number from 0 on"))?,
            ..Self::default()
        };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let within = |low: u32, high: u32, fix| {
                value
                    .parse()
                    .ok()
                    .filter(|n| (low..=high).contains(n))
                    .ok_or_else(|| wrong(word, fix))
            };
            match key {
                "visits" => {
                    script.visits = within(1, 100_000, "must be visits=1 to visits=100000")?
                }
                "residents" => {
                    script.residents = within(1, 8, "must be residents=1 to residents=8")?
                }
                "strangers" => {
                    script.strangers = within(0, 1000, "must be strangers=0 to strangers=1000")?
                }
                "every" => {
                    let seconds: Option<f32> =
                        value.parse().ok().filter(|s| (2.0..=600.0).contains(s));
                    script.every = seconds
                        .ok_or_else(|| wrong(word, "must be every=2 to every=600, seconds"))?;
                }
                "fast" if value.is_empty() => script.fast = true,
                _ => {
                    return Err(wrong(
                        word,
                        "there are visits=N, residents=N, strangers=N, every=SECONDS and fast",
                    ));
                }
            }
        }
        Ok(script)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            visits,
            residents,
            strangers,
            every,
            fast,
        } = self;
        write!(
            f,
            "{seed},visits={visits},residents={residents},strangers={strangers},every={every}"
        )?;
        if *fast { f.write_str(",fast") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_survives_writing_and_reading() {
        for text in ["7", "7,visits=200,strangers=0,residents=3,every=2.5,fast"] {
            let script: Script = text.parse().unwrap();
            assert_eq!(script.to_string().parse(), Ok(script));
        }
        assert!(
            "7".parse::<Script>().unwrap()
                == Script {
                    seed: 7,
                    ..Script::default()
                }
        );
    }

    #[test]
    fn mistakes_are_named_with_their_fix() {
        let error = |text: &str| text.parse::<Script>().unwrap_err().to_string();
        assert_eq!(error(""), "\"\": the seed must be a whole number from 0 on");
        assert_eq!(
            error("1,visits=0"),
            "\"visits=0\": must be visits=1 to visits=100000"
        );
        assert_eq!(
            error("1,every=nan"),
            "\"every=nan\": must be every=2 to every=600, seconds"
        );
        assert!(error("1,visitors=3").contains("visits=N"));
        assert!(error("1,fast=1").contains("fast"));
    }
}
