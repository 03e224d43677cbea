//! The main process's end of the connection: starts the learner, sends requests, and checks every answer. The callers use the
//! answers.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::error::{LearnerError, RESPONSE_TIMEOUT};
use super::process::Process;
use super::wire::{
    self, PhotoFaces, PhotoRequest, ProtocolError, Request, Response, Subject, Unread, plain,
};
use super::{NAME, Show};
use crate::capture::UNREAD;
use crate::face::{Embedding, Landmarks};
use crate::lesson::{PEOPLE, Top};
use crate::nn::{EmbedderManifest, Patch};

/// The number of photos that may end the learner's process before the whole command fails.
const MOST_ENDED: usize = 20;

/// A running learner. Dropping it ends the process.
pub struct Learner {
    command: Command,
    sha256: String,
    dimensions: usize,
    timeout: Duration,
    process: Process,
}

impl Learner {
    /// Starts this program once more, with its own arguments, and waits until the new process is ready to learn with `embedder`.
    pub fn start(embedder: &EmbedderManifest) -> Result<Self, LearnerError> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).args(std::env::args_os().skip(1));
        Self::start_as(
            command,
            &embedder.sha256,
            embedder.dimensions,
            RESPONSE_TIMEOUT,
        )
    }

    /// Starts `command`, which must become ready with the embedder of this checksum and `dimensions` dimensions.
    pub(super) fn start_as(
        mut command: Command,
        sha256: &str,
        dimensions: usize,
        timeout: Duration,
    ) -> Result<Self, LearnerError> {
        let mut learner = Self {
            process: Process::start(&mut command)?,
            command,
            sha256: sha256.to_owned(),
            dimensions,
            timeout,
        };
        learner.wait_until_ready()?;
        Ok(learner)
    }

    /// Starts another process in the place of one that has ended.
    fn restart(&mut self) -> Result<(), LearnerError> {
        self.process = Process::start(&mut self.command)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), LearnerError> {
        match self.next()? {
            Response::Ready(has) if has == self.sha256 => Ok(()),
            Response::Ready(_) => Err(LearnerError::Failed(
                "the learner runs another embedder than this program: latchkey or its models were replaced just now. \
                 Nothing was changed; give the command again"
                    .to_owned(),
                true,
            )),
            other => Err(unexpected(other)),
        }
    }

    /// The faces of photos, in the order of the photos. The inner error is the reason why a photo cannot be read. `step` is
    /// called for every answer.
    ///
    /// A photo that ends the process, through lack of memory or a defect in a decoder, cannot be used. Another process then reads
    /// the photos that are left, one at a time, to find out which one it was.
    pub fn photos(
        &mut self,
        wanted: &[PhotoRequest],
        mut step: impl FnMut(),
    ) -> Result<Vec<Result<PhotoFaces, Unread>>, LearnerError> {
        let mut shown: Vec<Option<Result<PhotoFaces, Unread>>> = Vec::new();
        shown.resize_with(wanted.len(), || None);
        if let Err(error) = self.some(wanted, &mut shown, &mut step) {
            error.of_a_photo()?;
            self.restart()?;
            let mut ended = 0;
            for (photo, shown) in wanted.chunks(1).zip(shown.chunks_mut(1)) {
                if shown[0].is_some() {
                    continue;
                }
                if let Err(error) = self.some(photo, shown, &mut step) {
                    let how = error.of_a_photo()?;
                    ended += 1;
                    if ended > MOST_ENDED {
                        return Err(LearnerError::Ended(how));
                    }
                    let why = format!(
                        "{UNREAD}it ended the process that read it ({how}): it may be damaged, or too large for this machine's memory"
                    );
                    shown[0] = Some(Err(Unread {
                        why,
                        machine: false,
                    }));
                    step();
                    self.restart()?;
                }
            }
        }
        let all: Option<Vec<_>> = shown.into_iter().collect();
        Ok(all.ok_or(ProtocolError::Count)?)
    }

    /// Requests the photos `wanted`, and puts each answer into `shown` as it comes.
    fn some(
        &mut self,
        wanted: &[PhotoRequest],
        shown: &mut [Option<Result<PhotoFaces, Unread>>],
        mut step: impl FnMut(),
    ) -> Result<(), LearnerError> {
        let dimensions = self.dimensions;
        self.request(&Request::Photos(wanted.to_vec()), |answer| {
            let Response::Photo(place, seen) = answer else {
                return Err(answer);
            };
            let place = place as usize;
            let free = shown.get_mut(place).filter(|s| s.is_none());
            let Some(free) = free else {
                return Ok(Err(ProtocolError::Place));
            };
            *free = Some(match seen {
                Ok(seen) => match seen.check(dimensions, wanted[place].views as usize) {
                    Ok(shown) => Ok(shown),
                    Err(error) => return Ok(Err(error)),
                },
                Err(unread) => Err(Unread {
                    why: plain(&unread.why),
                    ..unread
                }),
            });
            step();
            Ok(Ok(()))
        })?;
        match shown.iter().all(Option::is_some) {
            true => Ok(()),
            false => Err(ProtocolError::Count.into()),
        }
    }

    /// One embedding of each synthetic person.
    pub fn drawn(&mut self, show: Show) -> Result<Vec<Embedding>, LearnerError> {
        let mut step = show("synthetic strangers", PEOPLE as usize);
        let (mut faces, mut count) = (Vec::new(), 0);
        let dimensions = self.dimensions;
        let outcome = self.request(&Request::Drawn, |answer| {
            let Response::Drawn(values) = answer else {
                return Err(answer);
            };
            count += 1;
            if count > PEOPLE {
                return Ok(Err(ProtocolError::Count));
            }
            step();
            let face = values.map(|v| wire::embedding(&v, dimensions)).transpose();
            Ok(face.map(|face| faces.extend(face)))
        });
        drop(step);
        outcome?;
        match count {
            PEOPLE => Ok(faces),
            _ => Err(ProtocolError::Count.into()),
        }
    }

    /// The network's embeddings for each subject: first that of its face, then those of its views. The learner keeps the subjects
    /// that it will learn from.
    pub fn study(
        &mut self,
        subjects: Vec<Subject>,
        step: impl FnMut(),
    ) -> Result<Vec<Vec<Embedding>>, LearnerError> {
        let views: Vec<u32> = subjects.iter().map(|s| s.views).collect();
        self.subjects(&Request::Study(subjects), &views, step)
    }

    /// The tuned network's embeddings for the subjects of the last `study`. `views` is the number of views of each subject.
    pub fn again(
        &mut self,
        views: &[u32],
        step: impl FnMut(),
    ) -> Result<Vec<Vec<Embedding>>, LearnerError> {
        self.subjects(&Request::Again, views, step)
    }

    fn subjects(
        &mut self,
        request: &Request,
        views: &[u32],
        mut step: impl FnMut(),
    ) -> Result<Vec<Vec<Embedding>>, LearnerError> {
        let mut answers: Vec<Option<Vec<Embedding>>> = vec![None; views.len()];
        let dimensions = self.dimensions;
        self.request(request, |answer| {
            let Response::Subject(place, faces) = answer else {
                return Err(answer);
            };
            let place = place as usize;
            let free = answers.get_mut(place).filter(|s| s.is_none());
            let Some(free) = free else {
                return Ok(Err(ProtocolError::Place));
            };
            if faces.len() > views[place] as usize + 1 {
                return Ok(Err(ProtocolError::Count));
            }
            step();
            let faces = faces.iter().map(|f| wire::embedding(f, dimensions));
            Ok(faces.collect::<Result<Vec<_>, _>>().map(|faces| {
                *free = Some(faces);
            }))
        })?;
        let all: Option<Vec<_>> = answers.into_iter().collect();
        Ok(all.ok_or(ProtocolError::Count)?)
    }

    /// Weights for the network's top layers, trained on the subjects of [`Learner::study`]. [`Patch::put`] checks them.
    pub fn tune(
        &mut self,
        directions: Vec<Vec<f32>>,
        seed: u64,
        mut step: impl FnMut(),
    ) -> Result<Patch, LearnerError> {
        let (mut patch, mut epochs) = (None, 0);
        self.request(&Request::Tune(directions, seed), |answer| {
            match answer {
                Response::Epoch if epochs < Top::epochs() => {
                    epochs += 1;
                    step();
                }
                Response::Patch(weights) if patch.is_none() => patch = Some(*weights),
                Response::Epoch | Response::Patch(_) => return Ok(Err(ProtocolError::Count)),
                other => return Err(other),
            }
            Ok(Ok(()))
        })?;
        Ok(patch.ok_or(ProtocolError::Count)?)
    }

    /// Sends a request, and passes every response to `each` until the last one has come. `each` returns a response that it does
    /// not expect as an error.
    fn request(
        &mut self,
        request: &Request,
        mut each: impl FnMut(Response) -> Result<Result<(), ProtocolError>, Response>,
    ) -> Result<(), LearnerError> {
        let bytes = wire::frame(request).map_err(LearnerError::Start)?;
        let Some(mut to) = self.process.to.take() else {
            return Err(ProtocolError::Turn.into());
        };
        // The request is sent from another thread, because a learner that reads nothing would block this one for ever.
        let sent = std::thread::spawn(move || to.write_all(&bytes).map(|()| to));
        loop {
            match each(self.next()?) {
                Ok(fit) => fit?,
                Err(Response::Done) => break,
                Err(other) => return Err(unexpected(other)),
            }
        }
        // The learner has read everything, so the other thread is about to end.
        let end = Instant::now() + Duration::from_secs(5);
        while !sent.is_finished() {
            if Instant::now() > end {
                return Err(ProtocolError::Turn.into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        match sent.join() {
            Ok(Ok(to)) => self.process.to = Some(to),
            _ => return Err(self.process.ended()),
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Response, LearnerError> {
        self.process.answer(self.timeout)
    }
}

/// The error for a response that was not requested.
fn unexpected(answer: Response) -> LearnerError {
    match answer {
        Response::Failed(why, machine) => LearnerError::Failed(plain(&why), machine),
        _ => ProtocolError::Turn.into(),
    }
}

/// The faces of `photos`, in the order of the photos, with `views` views of the largest face. The first photo has the seed
/// `seed`, and each further photo the next number. The inner error is the reason why a photo cannot be read.
pub fn read_all(
    learner: &mut Learner,
    show: Show,
    what: &'static str,
    photos: &[&Path],
    views: u32,
    seed: u64,
) -> Result<Vec<Result<PhotoFaces, Unread>>, LearnerError> {
    if photos.is_empty() {
        return Ok(Vec::new());
    }
    let step = show(what, photos.len());
    let seeds = (0..).map(|k: u64| seed.wrapping_add(k));
    let wanted = photos.iter().zip(seeds);
    let wanted = wanted.map(|(photo, seed)| PhotoRequest::new(photo, seed, views));
    learner.photos(&wanted.collect::<Vec<_>>(), step)
}

/// Landmarks and embedding of a photo's largest face, if a person can be recognised by it.
pub fn largest(shown: &PhotoFaces) -> Option<(Landmarks, Embedding)> {
    let face = shown.faces.first()?;
    Some((face.landmarks, face.embedding.ok()?))
}
