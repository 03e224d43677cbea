//! The learner itself: reads photos and answers, and can do nothing else. It starts with everything that it needs, and with no
//! file that it could write.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::process::{Signal, set_parent_process_death_signal};

use super::readers::share;
use super::wire::{self, PhotoRequest, RawPhotoFaces, Request, Response, Sight, Subject, Unread};
use crate::capture::{Photo, PhotoError};
use crate::face::{Embedder, Embedding, FaceError, Landmarks, Point, Reader};
use crate::fault;
use crate::frame::{Image, ImageError, SampleError, Sampler};
use crate::lesson::{Changes, FaceCut, Lesson, Top, Trunk, built_in, drawn};
use crate::nn::{
    EmbedderManifest, EngineSettings, ModelError, ModelFile, NnError, Patch, Weights, WeightsError,
    hex,
};

/// The learner's networks, settings and data.
pub struct LearnerServer<'a> {
    embedder: &'a EmbedderManifest,
    /// Folders that may contain the embedder's file.
    model_files: &'a [PathBuf],
    engine: EngineSettings,
    readers: Vec<Reader>,
    changes: Changes,
    /// The subjects for fine-tuning.
    studied: Vec<Subject>,
    lessons: Vec<Lesson>,
    /// The faces of synthetic people.
    cuts: Vec<FaceCut>,
}

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Face(#[from] FaceError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Network(#[from] NnError),
}

/// Makes this process end when the main process ends, because it is useless without the main process, and might fill a board's
/// memory.
pub fn end_with_the_asker() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Answers why a [`LearnerServer`] could not be made, and whether that is the machine's fault.
///
/// # Errors
/// The pipe's.
pub fn refuse(mut to: impl Write, why: String, machine: bool) -> io::Result<()> {
    wire::send_response(&mut to, &Response::Failed(why, machine))
}

/// A network's outputs for a face: for its picture, then for its views.
type Outputs = Vec<(Embedding, Option<Trunk>)>;

impl<'a> LearnerServer<'a> {
    /// A server whose readers have loaded `embedder`, whose file is in one of `model_files`, into `engine`.
    pub fn new(
        embedder: &'a EmbedderManifest,
        model_files: &'a [PathBuf],
        engine: EngineSettings,
        readers: Vec<Reader>,
        changes: Changes,
    ) -> Self {
        Self {
            embedder,
            model_files,
            engine,
            readers,
            changes,
            studied: Vec::new(),
            lessons: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// Answers until there are no more requests.
    ///
    /// # Errors
    /// The pipes'.
    pub fn serve(&mut self, mut from: impl Read, mut to: impl Write) -> io::Result<()> {
        let sha256 = self.embedder.sha256.clone();
        wire::send_response(&mut to, &Response::Ready(sha256))?;
        while let Some(request) = wire::read_request(&mut from)? {
            let done = match request {
                Request::Photos(wanted) => self.photos(&wanted, &mut to)?,
                Request::Drawn => self.drawn(&mut to)?,
                Request::Study(subjects) => {
                    self.studied = subjects;
                    self.study(&mut to, true)?
                }
                Request::Tune(directions, seed) => self.tune(&directions, seed, &mut to)?,
                Request::Again => self.study(&mut to, false)?,
            };
            let last = match done {
                Ok(()) => Response::Done,
                Err(error) => Response::Failed(error.to_string(), fault::is_machines(&error)),
            };
            wire::send_response(&mut to, &last)?;
        }
        Ok(())
    }

    fn photos(
        &mut self,
        wanted: &[PhotoRequest],
        to: &mut impl Write,
    ) -> io::Result<Result<(), ServeError>> {
        let changes = self.changes;
        let mut failed = Ok(());
        let mut sent = Ok(());
        share(
            &mut self.readers,
            wanted,
            |reader, wanted| show(reader, wanted, changes),
            |place, shown| {
                let seen = match shown {
                    Ok(Ok(seen)) => Ok(seen),
                    Ok(Err(e)) => {
                        failed = Err(e.into());
                        return;
                    }
                    Err(unread) => Err(unread),
                };
                let answer = Response::Photo(u32::try_from(place).unwrap_or(u32::MAX), seen);
                if sent.is_ok() {
                    sent = wire::send_response(to, &answer);
                }
            },
        );
        sent.map(|()| failed)
    }

    fn drawn(&mut self, to: &mut impl Write) -> io::Result<Result<(), ServeError>> {
        let mut sent = Ok(());
        let done = built_in(&mut self.readers[0], |face| {
            if sent.is_ok() {
                let values = face.map(|e| e.values().to_vec());
                sent = wire::send_response(to, &Response::Drawn(values));
            }
        });
        sent.map(|()| done.map_err(ServeError::from))
    }

    /// Embeds the subjects that were sent. If `learn`, keeps the lessons of those that the learner learns from.
    fn study(&mut self, to: &mut impl Write, learn: bool) -> io::Result<Result<(), ServeError>> {
        if learn {
            self.lessons.clear();
            if let Err(e) = self.draw() {
                return Ok(Err(e.into()));
            }
        }
        let (cuts, changes, lessons) = (&self.cuts, self.changes, &mut self.lessons);
        let subjects = &self.studied;
        let mut failed = Ok(());
        let mut sent = Ok(());
        let mut kept: Vec<(usize, Vec<Lesson>)> = Vec::new();
        share(
            &mut self.readers,
            subjects,
            |reader, subject| look(reader, subject, cuts, changes, learn),
            |place, result| {
                let answers = match result {
                    Ok(answers) => answers,
                    Err(e) => {
                        failed = Err(e);
                        return;
                    }
                };
                let embeddings = answers.iter().map(|(e, _)| e.values().to_vec()).collect();
                let place_sent = u32::try_from(place).unwrap_or(u32::MAX);
                if sent.is_ok() {
                    sent = wire::send_response(to, &Response::Subject(place_sent, embeddings));
                }
                let own = answers.first().map(|(e, _)| *e);
                if let (Some(who), Some(frozen), true) = (subjects[place].learnt, own, learn) {
                    let of = |(_, trunk): (_, Option<Trunk>)| {
                        Some(Lesson {
                            trunk: trunk?,
                            who: who.map(|w| w as usize),
                            frozen,
                        })
                    };
                    kept.push((place, answers.into_iter().filter_map(of).collect()));
                }
            },
        );
        // The order must not depend on which reader is faster, because the result of learning depends on the order.
        kept.sort_by_key(|(place, _)| *place);
        lessons.extend(kept.into_iter().flat_map(|(_, l)| l));
        sent.map(|()| failed)
    }

    /// Draws the synthetic people if some of the subjects are synthetic.
    fn draw(&mut self) -> Result<(), FaceError> {
        let is_drawn = |s: &Subject| matches!(s.sight, Sight::Drawn(_));
        if !self.cuts.is_empty() || !self.studied.iter().any(is_drawn) {
            return Ok(());
        }
        let mut sampler = Sampler::new(640, 256);
        drawn(|image, landmarks| {
            self.cuts
                .extend(FaceCut::new(image, landmarks, &mut sampler)?);
            Ok(())
        })
    }

    fn tune(
        &mut self,
        directions: &[Vec<f32>],
        seed: u64,
        to: &mut impl Write,
    ) -> io::Result<Result<(), ServeError>> {
        let mut sent = Ok(());
        let done = self.trained(directions, seed, || {
            if sent.is_ok() {
                sent = wire::send_response(to, &Response::Epoch);
            }
        });
        sent?;
        Ok(match done {
            Ok(patch) => {
                wire::send_response(to, &Response::Patch(Box::new(patch)))?;
                Ok(())
            }
            Err(error) => Err(error),
        })
    }

    /// Trains, and puts the network with the new weights into every reader, so that the tested network is the one that the door
    /// will use.
    fn trained(
        &mut self,
        directions: &[Vec<f32>],
        seed: u64,
        mut each: impl FnMut(),
    ) -> Result<Patch, ServeError> {
        let manifest = self.embedder;
        let file = ModelFile::find(&manifest.file, self.model_files)?;
        let file = ModelFile::open(&file, &manifest.sha256, &manifest.source)?;
        let top = Top::of(&Weights::parse(file.bytes().to_vec())?)?;
        let tuned = top.tuned(&self.lessons, directions, seed, |_| each());
        let patch = tuned.patch(&self.lessons);
        self.lessons = Vec::new();
        let bytes = patch.applied(file.bytes())?;
        let sha256 = hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        let file = ModelFile::sealed(&file.name(), &bytes, &sha256, "training")?;
        for reader in &mut self.readers {
            let embedder = Embedder::load(self.engine.build().as_ref(), &file, manifest)?;
            drop(reader.exchange(embedder));
        }
        Ok(patch)
    }
}

/// The faces and views of one photo. The outer error is the reason why it cannot be read.
fn show(
    reader: &mut Reader,
    wanted: &PhotoRequest,
    changes: Changes,
) -> Result<Result<RawPhotoFaces, FaceError>, Unread> {
    let photo = Photo::open(&wanted.path()).map_err(|e| Unread {
        why: e.why(),
        machine: fault::is_machines(&e),
    })?;
    let mut read = || {
        let image = photo.image();
        let faces = reader.read_photo(&image)?.to_vec();
        let (mut views, mut light) = (Vec::new(), 0.0);
        if let Some(face) = faces.first().filter(|f| f.embedding.is_ok()) {
            let mut sampler = Sampler::new(image.layout().width, 256);
            if let Some(cut) = FaceCut::new(&image, &face.landmarks, &mut sampler)? {
                light = cut.light();
                for number in 0..wanted.views {
                    let view = cut.view(wanted.seed, number, changes, &mut sampler)?;
                    if let Ok(image) = view.image() {
                        views.extend(reader.read_at(&image, view.landmarks())?);
                    }
                }
            }
        }
        Ok(RawPhotoFaces::of(&faces, &views, light))
    };
    Ok(read())
}

/// The outputs of the reader's embedder for a subject.
fn look(
    reader: &mut Reader,
    subject: &Subject,
    cuts: &[FaceCut],
    changes: Changes,
    learn: bool,
) -> Result<Outputs, ServeError> {
    let mut outputs = Vec::new();
    let mut sampler = Sampler::new(640, 256);
    let keeps = learn && subject.learnt.is_some();
    let mut read = |image: &Image<'_>, landmarks: &Landmarks| -> Result<(), FaceError> {
        let embedding = reader.read_at(image, landmarks)?;
        let trunk = reader.trunk().filter(|_| keeps).and_then(Trunk::of);
        outputs.extend(embedding.map(|e| (e, trunk)));
        Ok(())
    };
    let cut = match &subject.sight {
        Sight::Photo { path, landmarks } => {
            let landmarks = landmarks.map(|[x, y]| Point { x, y });
            let path = OsString::from_vec(path.clone());
            let photo = Photo::open(path.as_ref())?;
            let image = photo.image();
            read(&image, &landmarks)?;
            match subject.views {
                0 => None,
                _ => FaceCut::new(&image, &landmarks, &mut sampler)?,
            }
        }
        Sight::Drawn(number) => {
            let cut = cuts.get(*number as usize).cloned();
            if let Some(cut) = &cut {
                read(&cut.image()?, cut.landmarks())?;
            }
            cut
        }
    };
    for number in 0..subject.views {
        let Some(cut) = &cut else { break };
        let view = cut.view(subject.seed, number, changes, &mut sampler)?;
        read(&view.image()?, view.landmarks())?;
    }
    Ok(outputs)
}
