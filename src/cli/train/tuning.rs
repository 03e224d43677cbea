//! Fine-tuning: trains the embedder's top layers on everybody's photos, and takes the outcome only if it does better on
//! photos and strangers that were held back from it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::{Value, json};

use super::Arguments;
use super::photos::{Learner, Stranger};
use super::trials::{Known, PARTS};
use crate::capture::Photo;
use crate::cli::folder::{bar, each};
use crate::cli::{Failure, Loaded};
use crate::face::{Embedder, Embedding, FaceError, Landmarks, Reader};
use crate::frame::{Image, Sampler};
use crate::learn::{
    Changes, FaceCut, Lesson, TUNING_VIEWS, Top, Trunk, calibrate, carry_over, drawn, measure,
};
use crate::nn::{EngineSettings, ModelFile, Weights, hex};
use crate::people::{Operating, TunedPerson};

/// Strangers that are learnt from or held back, at most.
const MOST_STRANGERS: usize = 300;

/// Where a face is seen.
enum Sight {
    Photo(PathBuf, Landmarks),
    Cut(Box<FaceCut>),
}

/// A face to learn from, or to try the outcome on.
struct Subject {
    /// The place of whom it shows; `None` is a stranger.
    who: Option<usize>,
    /// Whether it is kept from the training.
    held: bool,
    /// A stranger who has lived.
    real: bool,
    seed: u64,
    sight: Sight,
}

/// What a network says of a face: of its picture, then of its views.
type Said = Vec<(Embedding, Option<Trunk>)>;

/// How a network and its head do on what was held back.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stand {
    /// Looks at the enrolled that are refused if no look at a stranger lets one in.
    refused: usize,
    /// Looks at the enrolled.
    looks: usize,
    /// How far the likenesses of the enrolled lie above those of strangers, in deviations.
    apart: f64,
}

/// What came of it.
pub struct Tuning {
    /// The network's file.
    pub network: Vec<u8>,
    pub sha256: String,
    /// In the order of the learners.
    pub people: Vec<TunedPerson>,
    pub operating: Operating,
    before: Stand,
    after: Stand,
    strangers: usize,
    seconds: f32,
}

/// Trains and measures. `readers` are of the set's own embedder.
pub fn fine_tune(
    loaded: &Loaded,
    readers: &mut [Reader],
    learners: &[Learner],
    strangers: &[Stranger],
    arguments: &Arguments,
) -> Result<Tuning, Failure> {
    let begun = Instant::now();
    let manifest = loaded.manifest.embedder();
    let file = ModelFile::find(&manifest.file, &loaded.config.model_files)?;
    let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;
    let wrong = |e: crate::nn::WeightsError| Failure {
        exit: crate::cli::Exit::Usage,
        text: format!(
            "{}: {e}; only the set `latchkey` can be fine-tuned",
            file.path().display()
        ),
    };
    let mut network = Weights::parse(file.bytes().to_vec()).map_err(wrong)?;
    let top = Top::of(&network).map_err(wrong)?;

    let subjects = subjects(learners, strangers, arguments)?;
    let views = arguments.views.max(TUNING_VIEWS);
    let frozen = look(
        readers,
        "reading for fine-tuning",
        &subjects,
        views,
        arguments,
    )?;
    let known = learn(learners.len(), &subjects, &frozen, arguments, |s| !s.held);
    let mut lessons = Vec::new();
    for (subject, said) in subjects.iter().zip(&frozen).filter(|(s, _)| !s.held) {
        let Some((own, _)) = said.first() else {
            continue;
        };
        lessons.extend(said.iter().filter_map(|(_, trunk)| {
            Some(Lesson {
                trunk: trunk.clone()?,
                who: subject.who,
                frozen: *own,
            })
        }));
    }
    let progress = bar("fine-tuning", Top::epochs());
    let directions = known.directions.clone();
    let tuned = top.tuned(&lessons, &directions, arguments.seed, |_| progress.inc(1));
    progress.finish_and_clear();
    tuned.put(&mut network, &lessons).map_err(wrong)?;
    drop(lessons);

    // What the door will see is what counts: the file, run as the door runs it.
    let bytes = network.bytes().to_vec();
    let sha256 = hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    let own = exchange(loaded, readers, &bytes, &sha256)?;
    let anew = look(
        readers,
        "trying the fine-tuned network",
        &subjects,
        views,
        arguments,
    );
    for (reader, embedder) in readers.iter_mut().zip(own) {
        reader.exchange(embedder);
    }
    let anew = anew?;
    let tuned = learn(learners.len(), &subjects, &anew, arguments, |s| !s.held);

    let scores = |known: &Known, said: &[Said], real: bool| -> Vec<f32> {
        let held = subjects.iter().zip(said);
        let held = held.filter(|(s, _)| s.held && s.who.is_none() && (s.real || !real));
        let each = held.filter_map(|(_, said)| said.first());
        each.map(|(e, _)| known.nearest(e)).collect()
    };
    let [was, is] = [scores(&known, &frozen, false), scores(&tuned, &anew, false)];
    let strict = carry_over(loaded.rule.threshold, &was, &is);
    let tried = scores(&tuned, &anew, true);
    let calibration = if loaded.rule.fixed {
        measure(&tried, arguments.far, loaded.rule.threshold)
    } else {
        calibrate(&tried, arguments.far, strict)
    };
    let counted = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let everybody = learn(learners.len(), &subjects, &anew, arguments, |_| true);
    let people = everybody.templates.into_iter().zip(everybody.directions);
    Ok(Tuning {
        people: people
            .map(|(templates, direction)| TunedPerson {
                templates,
                direction,
            })
            .collect(),
        operating: Operating {
            threshold: calibration.threshold,
            far: arguments.far,
            trials: counted(calibration.trials),
            accepted: counted(calibration.accepted),
        },
        before: stand(&subjects, &frozen, &known),
        after: stand(&subjects, &anew, &tuned),
        strangers: was.len(),
        seconds: begun.elapsed().as_secs_f32(),
        network: bytes,
        sha256,
    })
}

impl Tuning {
    /// Whether it does better than the set's own network on what was held back, by both measures.
    pub fn is_better(&self) -> bool {
        self.before.looks > 0
            && self.after.refused <= self.before.refused
            && self.after.apart > self.before.apart
    }

    /// What it did, in a line.
    pub fn say(&self) -> String {
        let (before, after) = (self.before, self.after);
        let verdict = if self.is_better() {
            "in use; `latchkey train --undo` goes back"
        } else {
            "no better: the set's own network stays"
        };
        format!(
            "fine-tuned in {:.1} s: of {} looks held back, {} are refused where no stranger of {} gets in, {} before; \
             strangers lie {:.2} deviations below, {:.2} before: {verdict}",
            self.seconds,
            after.looks,
            after.refused,
            self.strangers,
            before.refused,
            after.apart,
            before.apart
        )
    }

    pub fn json(&self) -> Value {
        let stand = |s: Stand| json!({"looks": s.looks, "refused": s.refused, "apart": s.apart});
        json!({
            "better": self.is_better(),
            "before": stand(self.before),
            "after": stand(self.after),
            "strangers_held_back": self.strangers,
            "sha256": self.sha256,
            "threshold": self.operating.threshold,
            "seconds": self.seconds,
        })
    }
}

/// Of each person every fifth photo is held back, and every other stranger.
fn subjects(
    learners: &[Learner],
    strangers: &[Stranger],
    arguments: &Arguments,
) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for (who, learner) in learners.iter().enumerate() {
        subjects.extend(learner.examples.iter().enumerate().map(|(k, e)| Subject {
            who: Some(who),
            held: k % PARTS == PARTS - 1,
            real: true,
            seed: 0,
            sight: Sight::Photo(e.photo.clone(), e.landmarks),
        }));
    }
    let step = strangers.len().div_ceil(MOST_STRANGERS).max(1);
    let some = strangers.iter().step_by(step).enumerate();
    subjects.extend(some.map(|(k, s)| Subject {
        who: None,
        held: k % 2 == 1,
        real: true,
        seed: 0,
        sight: Sight::Photo(s.photo.clone(), s.landmarks),
    }));
    let mut sampler = Sampler::new(640, 256);
    let mut number = 0;
    drawn(|image, landmarks| {
        if let Some(cut) = FaceCut::new(image, landmarks, &mut sampler)? {
            subjects.push(Subject {
                who: None,
                held: number % 2 == 1,
                real: false,
                seed: 0,
                sight: Sight::Cut(Box::new(cut)),
            });
        }
        number += 1;
        Ok(())
    })?;
    for (place, subject) in subjects.iter_mut().enumerate() {
        subject.seed = arguments.seed.wrapping_add(place as u64);
    }
    Ok(subjects)
}

/// What the readers' embedder says of everybody.
fn look(
    readers: &mut [Reader],
    what: &'static str,
    subjects: &[Subject],
    views: u32,
    arguments: &Arguments,
) -> Result<Vec<Said>, Failure> {
    let changes = Changes::without(&arguments.without);
    let said = each(readers, what, subjects, |reader, subject| {
        let mut said = Vec::new();
        let mut sampler = Sampler::new(640, 256);
        let mut read = |image: &Image<'_>, landmarks: &Landmarks| -> Result<(), FaceError> {
            let embedding = reader.read_at(image, landmarks)?;
            let trunk = reader.trunk().and_then(Trunk::of);
            said.extend(embedding.map(|e| (e, trunk)));
            Ok(())
        };
        let cut = match &subject.sight {
            Sight::Photo(path, landmarks) => {
                let photo = Photo::open(path)?;
                let image = photo.image();
                read(&image, landmarks)?;
                FaceCut::new(&image, landmarks, &mut sampler).map_err(FaceError::from)?
            }
            Sight::Cut(cut) => {
                read(&cut.image()?, cut.landmarks())?;
                Some((**cut).clone())
            }
        };
        for number in 0..views {
            let Some(cut) = &cut else { break };
            let view = cut.view(subject.seed, number, changes, &mut sampler);
            let view = view.map_err(FaceError::from)?;
            read(&view.image()?, view.landmarks())?;
        }
        Ok(said)
    });
    said.into_iter().collect()
}

/// Puts the network of these bytes into every reader; gives their own ones back.
fn exchange(
    loaded: &Loaded,
    readers: &mut [Reader],
    network: &[u8],
    sha256: &str,
) -> Result<Vec<Embedder>, Failure> {
    // In memory: it may write to the gallery's folder only, where nothing half tried shall lie.
    let failed = |e: std::io::Error| Failure::machine(format!("a file in memory: {e}"));
    let file = memfd_create("network", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut file = File::from(file);
    file.write_all(network).map_err(failed)?;
    let mut manifest = loaded.manifest.embedder().clone();
    manifest.file = format!("proc/self/fd/{}", file.as_raw_fd());
    sha256.clone_into(&mut manifest.sha256);
    let engine: EngineSettings = loaded.config.engine;
    let folders = [Path::new("/").to_owned()];
    let open = |_: &Reader| Embedder::open(&manifest, &folders, engine);
    let anew = readers.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let all = readers.iter_mut().zip(anew);
    Ok(all
        .map(|(reader, embedder)| reader.exchange(embedder))
        .collect())
}

/// What is learnt of those whom `keep` names: photos for templates, and for the head as many views besides as training
/// without fine-tuning would take.
fn learn(
    people: usize,
    subjects: &[Subject],
    said: &[Said],
    arguments: &Arguments,
    keep: impl Fn(&Subject) -> bool,
) -> Known {
    let (mut templates, mut rows) = (vec![Vec::new(); people], vec![Vec::new(); people]);
    let mut strangers = Vec::new();
    for (subject, said) in subjects.iter().zip(said).filter(|(s, _)| keep(s)) {
        let mut faces = said.iter().map(|(e, _)| e.values());
        let Some(photo) = faces.next() else { continue };
        match subject.who {
            Some(who) => {
                templates[who].push(photo);
                rows[who].push(photo);
                rows[who].extend(faces.take(arguments.views as usize));
            }
            None => strangers.push(photo),
        }
    }
    Known::new(&templates, &rows, &strangers)
}

/// How a network does on what was held back: each face as it is and in one view.
fn stand(subjects: &[Subject], said: &[Said], known: &Known) -> Stand {
    const LOOKS: usize = 2;
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    for (subject, said) in subjects.iter().zip(said).filter(|(s, _)| s.held) {
        for (face, _) in said.iter().take(LOOKS) {
            match subject.who {
                Some(who) => {
                    let (own, other) = known.score(who, face);
                    genuine.push(if own > other { own } else { -1.0 });
                }
                None => impostors.push(known.nearest(face)),
            }
        }
    }
    let highest = impostors.iter().copied().fold(-1.0, f32::max);
    let spread = |scores: &[f32]| {
        let n = scores.len().max(1) as f64;
        let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
        let squares = scores.iter().map(|s| (f64::from(*s) - mean).powi(2));
        (mean, squares.sum::<f64>() / n)
    };
    let ((own, own_variance), (other, other_variance)) = (spread(&genuine), spread(&impostors));
    Stand {
        refused: genuine.iter().filter(|s| **s <= highest).count(),
        looks: genuine.len(),
        apart: (own - other) / (0.5 * (own_variance + other_variance)).sqrt().max(1e-6),
    }
}
