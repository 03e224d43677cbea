//! Learning from photos, which may come from anyone, in a process of its own that can read them and answer, and no more.
//! The main process, which writes the gallery, decodes no picture: it sends requests, checks every response, and computes the
//! rest.
//!
//! ```text
//! train, enroll ── requests: photos, by path ───▶ learner (this program again, confined: no file to write, no device,
//!   writes the     ◀── responses: embeddings, ──   no network, no program to start)
//!   gallery            weights, why not
//! ```
//!
//! The learner gets the same arguments. The main process escapes what it prints and passes it on. If it gives an impossible
//! answer, nothing is changed. If a photo ends it or keeps it busy for too long, that photo is left out, and another learner
//! reads the rest.

mod serve;
#[cfg(test)]
mod tests;
mod wire;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};

use self::serve::LearnerServer;
pub use self::wire::{PhotoFaces, PhotoRequest, Sight, Subject, Unread, plain};
use self::wire::{ProtocolError, Request, Response};
use super::folder::{self, bar};
use super::{Exit, Failure, Loaded};
use crate::capture::UNREAD;
use crate::config::Overrides;
use crate::face::{Embedding, Landmarks};
use crate::learn::{Changes, PEOPLE, Top};
use crate::nn::Patch;

/// The name of this program as the learner: its argument 0.
pub const NAME: &str = "latchkey-learner";

/// How long it may take for a response: one photo, or one epoch of fine-tuning, on the slowest board.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How many photos may end it before the whole command fails.
const MOST_ENDED: usize = 20;
/// The most bytes of its output that are passed on.
const MOST_PRINTED: u64 = 64 << 10;

/// Why a learner responds no more. Nothing has been changed.
#[derive(Debug)]
pub enum LearnerError {
    /// It could not be started.
    Start(std::io::Error),
    /// Its response breaks the protocol.
    ProtocolError(ProtocolError),
    /// It ended, or was killed.
    Ended(String),
    /// It does not answer.
    Silent,
    /// It has answered that it cannot go on.
    Failed(String, Exit),
}

impl std::fmt::Display for LearnerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(error) => write!(f, "the learner cannot be started: {error}"),
            Self::ProtocolError(error) => write!(
                f,
                "the learner answered {error} and was stopped; nothing was changed. A photo may have been made to do this: try \
                 with fewer photos to find it, and leave it out"
            ),
            Self::Ended(how) => write!(
                f,
                "the learner ended before it was done ({how}); nothing was changed. There may be too little memory: try with fewer \
                 photos"
            ),
            Self::Silent => write!(
                f,
                "the learner has not answered for {} minutes and was stopped; nothing was changed",
                RESPONSE_TIMEOUT.as_secs() / 60
            ),
            Self::Failed(why, _) => f.write_str(why),
        }
    }
}

impl From<ProtocolError> for LearnerError {
    fn from(error: ProtocolError) -> Self {
        Self::ProtocolError(error)
    }
}

impl From<LearnerError> for Failure {
    fn from(error: LearnerError) -> Self {
        let exit = match &error {
            LearnerError::Failed(_, exit) => *exit,
            _ => Exit::Machine,
        };
        Self {
            exit,
            text: error.to_string(),
        }
    }
}

/// A running learner. Dropping it ends the process.
pub struct Learner {
    command: Command,
    sha256: String,
    dimensions: usize,
    timeout: Duration,
    process: Process,
}

/// The learner's process.
struct Process {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    printed: Option<JoinHandle<()>>,
}

impl Learner {
    /// Starts this program once more, with its own arguments, and waits until it is ready to learn with the embedder of
    /// `loaded`.
    pub fn start(loaded: &Loaded) -> Result<Self, LearnerError> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).args(std::env::args_os().skip(1));
        let embedder = loaded.manifest.embedder();
        Self::start_as(
            command,
            &embedder.sha256,
            embedder.dimensions,
            RESPONSE_TIMEOUT,
        )
    }

    /// Starts `command`, which must be ready with the embedder of this checksum and so many dimensions.
    fn start_as(
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

    /// Another process in the place of one that has ended.
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
                Exit::Machine,
            )),
            other => Err(unexpected(other)),
        }
    }

    /// The faces of photos, in their order; the inner error is why a photo cannot be read. `step` is called for every answer.
    ///
    /// A photo that ends the process, by a lack of memory or a defect of a decoder, cannot be used. Another process then reads
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

    /// Puts what is seen in photos into `shown`, as it comes.
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
    pub fn drawn(&mut self) -> Result<Vec<Embedding>, LearnerError> {
        let bar = bar("synthetic strangers", PEOPLE as usize);
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
            bar.inc(1);
            let face = values.map(|v| wire::embedding(&v, dimensions)).transpose();
            Ok(face.map(|face| faces.extend(face)))
        });
        bar.finish_and_clear();
        outcome?;
        match count {
            PEOPLE => Ok(faces),
            _ => Err(ProtocolError::Count.into()),
        }
    }

    /// The network's answers for each subject: of its face, then of its views. The learner keeps what it is to learn.
    pub fn study(
        &mut self,
        subjects: Vec<Subject>,
        step: impl FnMut(),
    ) -> Result<Vec<Vec<Embedding>>, LearnerError> {
        let views: Vec<u32> = subjects.iter().map(|s| s.views).collect();
        self.subjects(&Request::Study(subjects), &views, step)
    }

    /// The network's answers for the same subjects, whose numbers of views are `views`, once it is tuned.
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

    /// Weights for the network's top layers, trained on what was studied. [`Patch::put`] checks them.
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

    /// Sends a request, and hands every response to `each` until the last has come. `each` returns a response that it does not expect.
    fn request(
        &mut self,
        request: &Request,
        mut each: impl FnMut(Response) -> Result<Result<(), ProtocolError>, Response>,
    ) -> Result<(), LearnerError> {
        let bytes = wire::frame(request).map_err(LearnerError::Start)?;
        let Some(mut to) = self.process.to.take() else {
            return Err(ProtocolError::Turn.into());
        };
        // From another thread: a learner that reads nothing would block this one for ever.
        let sent = std::thread::spawn(move || to.write_all(&bytes).map(|()| to));
        loop {
            match each(self.next()?) {
                Ok(fit) => fit?,
                Err(Response::Done) => break,
                Err(other) => return Err(unexpected(other)),
            }
        }
        // The learner has read everything: the other thread is about to end.
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
        let mut waiting = TimedReader {
            from: &mut self.process.from,
            timeout: self.timeout,
            timed_out: false,
        };
        let read = wire::read(&mut waiting, wire::MOST_BYTES);
        if waiting.timed_out {
            return Err(LearnerError::Silent);
        }
        match read {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.process.ended()),
        }
    }
}

/// The error for a response that was not requested.
fn unexpected(answer: Response) -> LearnerError {
    match answer {
        Response::Failed(why, machine) => {
            let exit = if machine { Exit::Machine } else { Exit::Usage };
            LearnerError::Failed(plain(&why), exit)
        }
        _ => ProtocolError::Turn.into(),
    }
}

impl LearnerError {
    /// How the process ended, if a photo may have ended it.
    fn of_a_photo(self) -> Result<String, Self> {
        match self {
            Self::Ended(how) => Ok(how),
            Self::Silent => Ok(format!(
                "{} minutes without an answer",
                RESPONSE_TIMEOUT.as_secs() / 60
            )),
            other => Err(other),
        }
    }
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, LearnerError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(LearnerError::Start)?;
        let missing = || LearnerError::Start(std::io::Error::other("no pipe"));
        let from = child.stdout.take().ok_or_else(missing)?;
        let printed = child.stderr.take().ok_or_else(missing)?;
        Ok(Self {
            to: child.stdin.take(),
            child,
            from: BufReader::new(from),
            printed: Some(std::thread::spawn(move || pass_on(printed))),
        })
    }

    /// How it ended.
    fn ended(&mut self) -> LearnerError {
        // It has closed its pipe, and may still be running.
        let end = Instant::now() + Duration::from_secs(2);
        let mut status = self.child.try_wait();
        while matches!(status, Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
            status = self.child.try_wait();
        }
        LearnerError::Ended(match status {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "it closed its pipe".to_owned(),
            Err(error) => error.to_string(),
        })
    }
}

/// Ends it, and passes on what it has printed.
impl Drop for Process {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A process that it has left behind may hold the pipe: do not wait for that one.
        let end = Instant::now() + Duration::from_secs(1);
        let printing = || self.printed.as_ref().is_some_and(|p| !p.is_finished());
        while printing() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Waits for bytes no longer than `timeout`.
struct TimedReader<'a> {
    from: &'a mut BufReader<ChildStdout>,
    timeout: Duration,
    timed_out: bool,
}

impl Read for TimedReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.from.buffer().is_empty() {
            let timeout = Timespec::try_from(self.timeout).ok();
            let mut fds = [PollFd::new(self.from.get_ref(), PollFlags::IN)];
            if poll(&mut fds, timeout.as_ref())? == 0 {
                self.timed_out = true;
                return Err(std::io::ErrorKind::TimedOut.into());
            }
        }
        self.from.read(buf)
    }
}

/// Prints the learner's output, a line at a time, escaped, and drops what is too much.
fn pass_on(printed: impl Read) {
    let mut printed = BufReader::new(printed.take(MOST_PRINTED));
    let mut line = Vec::new();
    while printed.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        eprintln!("{}", plain(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    // The rest must be read, as otherwise the learner would block.
    let _ = std::io::copy(&mut printed.into_inner().into_inner(), &mut std::io::sink());
}

/// Runs a learner: gives up what it does not need, and answers on standard output what is asked on standard input.
/// `photos` are files or folders, all that it will be able to read except the networks.
pub fn main(overrides: &Overrides, photos: &[PathBuf], changes: Changes) -> ExitCode {
    // It is useless without the process that asks, and might fill a board's memory.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let (from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let begin = || {
        let loaded = Loaded::new(overrides)?;
        // Before the first byte of a photo is read, and before an engine can start threads of its own. What the kernel
        // reports about memory cannot be read afterwards.
        let count = folder::how_many();
        let bounded = folder::bounded(count);
        loaded.confine_to(photos);
        let readers = folder::load_readers(&loaded, loaded.gated(), count)?;
        Ok::<_, Failure>((loaded, readers, bounded))
    };
    let served = match begin() {
        Ok((loaded, readers, _bounded)) => LearnerServer {
            loaded: &loaded,
            readers,
            changes,
            studied: Vec::new(),
            lessons: Vec::new(),
            cuts: Vec::new(),
        }
        .serve(from, to),
        Err(failure) => {
            let failed = Response::Failed(failure.text, failure.exit == Exit::Machine);
            wire::send_response(&mut to, &failed)
        }
    };
    // On an error the process that asks has gone, or reports the reason itself.
    match served {
        Ok(()) => Exit::Done.into(),
        Err(_) => Exit::Machine.into(),
    }
}

/// The faces of `photos`, in their order, with so many views of the largest, the seed counting up from `seed`; the inner
/// error is why a photo cannot be read.
pub fn read_all(
    learner: &mut Learner,
    what: &'static str,
    photos: &[&Path],
    views: u32,
    seed: u64,
) -> Result<Vec<Result<PhotoFaces, Unread>>, LearnerError> {
    if photos.is_empty() {
        return Ok(Vec::new());
    }
    let bar = bar(what, photos.len());
    let seeds = (0..).map(|k: u64| seed.wrapping_add(k));
    let wanted = photos.iter().zip(seeds);
    let wanted = wanted.map(|(photo, seed)| PhotoRequest::new(photo, seed, views));
    let shown = learner.photos(&wanted.collect::<Vec<_>>(), || bar.inc(1));
    bar.finish_and_clear();
    shown
}

/// Landmarks and embedding of a photo's largest face, if a person can be recognised by it.
pub fn largest(shown: &PhotoFaces) -> Option<(Landmarks, Embedding)> {
    let face = shown.faces.first()?;
    Some((face.landmarks, face.embedding.ok()?))
}
