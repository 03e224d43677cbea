//! Tests with learners that give arbitrary answers: real processes at real pipes, whose answers the test has written.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::error::RESPONSE_TIMEOUT;
use super::wire::{
    self, PhotoRequest, ProtocolError, RawPhotoFaces, Response, Unread, frame, read,
};
use super::*;
use crate::face::{Embedding, Face, Landmarks, Quality, Rect, Unfit};
use crate::lesson::{PEOPLE, Top};
use crate::nn::{Patch, PatchedLayer};
use proptest::prelude::*;

const SHA256: &str = "its checksum";

/// A learner that gives these `answers` to any request, and then runs the shell command `then`.
fn start(answers: &[u8], then: &str, timeout: Duration) -> Result<Learner, LearnerError> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("answers"), answers).expect("written");
    let mut command = Command::new("/bin/sh");
    let script = format!("cat \"$0/answers\"; {then}");
    command.args(["-c", &script]).arg(folder.path());
    let learner = Learner::start_as(command, SHA256, 2, timeout);
    FOLDERS.with_borrow_mut(|all| all.push(folder));
    learner
}

fn unshown(_: &'static str, _: usize) -> Step {
    Box::new(|| ())
}

thread_local! {
    /// The folders of files that a test's learners read; they exist until the test ends.
    static FOLDERS: std::cell::RefCell<Vec<tempfile::TempDir>> = std::cell::RefCell::default();
}

fn frames(answers: &[Response]) -> Vec<u8> {
    let ready = Response::Ready(SHA256.to_owned());
    let all = [ready]
        .into_iter()
        .map(|a| frame(&a))
        .chain(answers.iter().map(frame));
    all.collect::<Result<Vec<_>, _>>()
        .expect("encoded")
        .concat()
}

/// Requests the faces of two photos, with one view each, from such a learner. Returns how many photos were read.
fn asked(answers: &[u8], then: &str) -> Result<usize, LearnerError> {
    let mut learner = start(answers, then, Duration::from_secs(20))?;
    let wanted = ["1.jpg", "2.jpg"].map(|p| PhotoRequest::new(Path::new(p), 1, 1));
    let shown = learner.photos(&wanted, || ());
    shown.map(|all| all.iter().filter(|s| s.is_ok()).count())
}

fn face(embedding: Result<Embedding, Unfit>) -> Face {
    Face {
        bbox: Rect {
            x: 1.0,
            y: 2.0,
            width: 30.0,
            height: 40.0,
        },
        score: 0.9,
        landmarks: Landmarks::default(),
        quality: Quality::default(),
        embedding,
    }
}

fn unit() -> Embedding {
    Embedding::normalised([0.6, 0.8]).expect("a direction")
}

fn seen(place: u32) -> Response {
    Response::Photo(
        place,
        Ok(RawPhotoFaces::of(&[face(Ok(unit()))], &[unit()], 100.0)),
    )
}

/// The frame of an answer about a photo in which the bytes `from` are replaced by `to`.
fn changed(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = frame(&seen(0)).expect("encoded");
    let places: Vec<usize> = (0..bytes.len())
        .filter(|k| bytes[*k..].starts_with(from))
        .collect();
    let place = *places.first().expect("it is in there");
    bytes.splice(place..place + from.len(), to.iter().copied());
    let length = u32::try_from(bytes.len() - 4).expect("short");
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    [frames(&[]), bytes, frames(&[])].concat()
}

fn assert_refused(answers: &[u8], error: ProtocolError) {
    match asked(answers, "exec sleep 60") {
        Err(LearnerError::Protocol(b)) if b == error => {}
        other => panic!("{error:?}: {other:?}"),
    }
}

#[test]
fn a_learner_that_answers_correctly_is_trusted() {
    let unread = Unread {
        why: "1.jpg: \u{1b}[2Jno picture".to_owned(),
        machine: true,
    };
    let no_photo = Response::Photo(1, Err(unread));
    let answers = frames(&[no_photo, seen(0), Response::Done]);
    assert_eq!(asked(&answers, "exec sleep 60").expect("answered"), 1);
    let mut learner = start(&answers, "exec sleep 60", Duration::from_secs(20)).expect("started");
    let wanted = ["1.jpg", "2.jpg"].map(|p| PhotoRequest::new(Path::new(p), 1, 1));
    let shown = learner.photos(&wanted, || ()).expect("answered");
    let Err(unread) = &shown[1] else {
        panic!("no photo");
    };
    assert!(unread.machine);
    assert_eq!(
        unread.why, "1.jpg: \\u{1b}[2Jno picture",
        "no control sequence of a terminal"
    );
    let (_, own) = largest(shown[0].as_ref().expect("a photo")).expect("a face");
    assert!(own.cosine(unit().values()) > 0.9999);
}

#[test]
fn garbage_and_messages_that_are_too_long_are_refused_before_memory_is_allocated() {
    assert_refused(
        b"GARBAGE GARBAGE",
        ProtocolError::Long(0x4252_4147, wire::MOST_BYTES),
    );
    assert_refused(
        &[5, 0, 0, 0, 255, 255, 255, 255, 255],
        ProtocolError::Garbled,
    );
    let most = u32::try_from(wire::MOST_BYTES).expect("small");
    let long = [frames(&[]), (most + 1).to_le_bytes().to_vec()].concat();
    assert_refused(
        &long,
        ProtocolError::Long(wire::MOST_BYTES + 1, wire::MOST_BYTES),
    );
    // One byte after the end of the answer.
    let mut longer = frame(&seen(0)).expect("encoded");
    longer.push(0);
    longer[0] += 1;
    assert_refused(&[frames(&[]), longer].concat(), ProtocolError::Garbled);
    // A photo with four thousand million faces, of which none follows.
    let huge = [
        frames(&[]),
        vec![8, 0, 0, 0, 1, 0, 0, 255, 255, 255, 255, 15],
    ]
    .concat();
    assert_refused(&huge, ProtocolError::Garbled);
    // From a learner with another network.
    let other = frame(&Response::Ready("another".to_owned())).expect("encoded");
    // No part of a photo has been read by then, so no photo is blamed.
    match asked(&other, "exec sleep 60") {
        Err(LearnerError::Failed(why, true)) => {
            assert!(why.contains("another embedder"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_numbers_are_refused() {
    let [x, _] = [0.6_f32, 0.8].map(f32::to_le_bytes);
    for wrong in [f32::NAN, f32::INFINITY, -3.0, 0.0] {
        assert_refused(&changed(&x, &wrong.to_le_bytes()), ProtocolError::Numbers);
    }
    for wrong in [f32::NAN, f32::INFINITY, 1e30] {
        // The width of the face's box, and the light.
        for number in [30.0_f32, 100.0] {
            assert_refused(
                &changed(&number.to_le_bytes(), &wrong.to_le_bytes()),
                ProtocolError::Numbers,
            );
        }
    }
    // An embedding with another network's dimensions.
    let long = Embedding::normalised([0.6, 0.8, 0.1]).expect("a direction");
    let answer = Response::Photo(0, Ok(RawPhotoFaces::of(&[face(Ok(long))], &[], 100.0)));
    assert_refused(&frames(&[answer]), ProtocolError::Numbers);
}

#[test]
fn answers_to_other_questions_are_refused() {
    assert_refused(&frames(&[seen(2)]), ProtocolError::Place);
    assert_refused(&frames(&[seen(u32::MAX)]), ProtocolError::Place);
    assert_refused(&frames(&[seen(1), seen(1)]), ProtocolError::Place);
    assert_refused(&frames(&[seen(1), Response::Done]), ProtocolError::Count);
    let crowd = RawPhotoFaces::of(&[face(Ok(unit())); 9], &[], 100.0);
    assert_refused(
        &frames(&[Response::Photo(0, Ok(crowd))]),
        ProtocolError::Count,
    );
    let views = RawPhotoFaces::of(&[face(Ok(unit()))], &[unit(), unit()], 100.0);
    assert_refused(
        &frames(&[Response::Photo(0, Ok(views))]),
        ProtocolError::Count,
    );
    let layer = || PatchedLayer {
        weights: vec![1.0],
        bias: vec![1.0],
        range: [0.0, 1.0],
    };
    let patch = || Response::Patch(Box::new(Patch([layer(), layer(), layer()])));
    let late = Response::Ready(SHA256.to_owned());
    for turn in [
        patch(),
        Response::Epoch,
        Response::Drawn(None),
        late,
        Response::Subject(0, vec![]),
    ] {
        assert_refused(&frames(&[turn]), ProtocolError::Turn);
    }

    // The same for the other requests.
    let start = |answers: &[Response]| {
        start(&frames(answers), "exec sleep 60", Duration::from_secs(20)).expect("started")
    };
    let error = |error: LearnerError| match error {
        LearnerError::Protocol(error) => error,
        other => panic!("{other}"),
    };
    let people = |n: u32| -> Vec<Response> { (0..n).map(|_| Response::Drawn(None)).collect() };
    let drawn = start(&people(PEOPLE + 1)).drawn(unshown);
    assert_eq!(error(drawn.expect_err("too many")), ProtocolError::Count);
    let few = [people(PEOPLE - 1), vec![Response::Done]].concat_answers();
    assert_eq!(
        error(start(&few).drawn(unshown).expect_err("too few")),
        ProtocolError::Count
    );
    let nan = Response::Drawn(Some(vec![f32::NAN, 1.0]));
    assert_eq!(
        error(start(&[nan]).drawn(unshown).expect_err("no face")),
        ProtocolError::Numbers
    );
    let subject = || Subject {
        sight: Sight::Drawn(0),
        seed: 1,
        views: 1,
        learnt: None,
    };
    let values = || unit().values().to_vec();
    for (answers, wrong) in [
        (
            vec![Response::Subject(0, vec![values(), values(), values()])],
            ProtocolError::Count,
        ),
        (
            vec![Response::Subject(1, vec![values()])],
            ProtocolError::Place,
        ),
        (
            vec![Response::Subject(0, vec![vec![1.0, 1.0]])],
            ProtocolError::Numbers,
        ),
        (vec![Response::Done], ProtocolError::Count),
    ] {
        let studied = start(&answers).study(vec![subject()], || ());
        assert_eq!(error(studied.expect_err("wrong")), wrong);
    }
    let epochs: Vec<Response> = (0..=Top::epochs()).map(|_| Response::Epoch).collect();
    for answers in [epochs, vec![patch(), patch()], vec![Response::Done]] {
        let tuned = start(&answers).tune(vec![], 1, || ());
        assert_eq!(error(tuned.expect_err("wrong")), ProtocolError::Count);
    }
}

/// Responses one after the other.
trait Concat {
    fn concat_answers(self) -> Vec<Response>;
}

impl Concat for [Vec<Response>; 2] {
    fn concat_answers(self) -> Vec<Response> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn photos_that_end_it_are_named_and_the_others_are_read() {
    // The learner ends after it has answered about one photo. Another one answers about the first photo of its request, and ends.
    let half = frames(&[seen(0)]);
    for (then, how) in [
        ("exit 7", "exit status: 7"),
        ("kill -9 $$", "signal: 9"),
        ("kill -SEGV $$", "signal: 11"),
        ("exec >&- <&- 2>&-; exec sleep 60", "closed its pipe"),
    ] {
        let mut learner = start(&half, then, Duration::from_secs(20)).expect("started");
        let wanted = ["1.jpg", "2.jpg"].map(|p| PhotoRequest::new(Path::new(p), 1, 1));
        let mut steps = 0;
        let shown = learner.photos(&wanted, || steps += 1);
        // The answer about the photo comes, the final answer does not.
        let shown = shown.expect("one photo cannot take the other down");
        assert!(shown[0].is_ok(), "{then}");
        let Err(Unread { why, .. }) = &shown[1] else {
            panic!("{then}: its reader never finished");
        };
        assert!(
            why.contains("it ended the process that read it") && why.contains(how),
            "{why}"
        );
        assert_eq!(steps, 3, "one is asked about twice");
    }
    // With a hundred photos, each of which ends the learner, the command fails before the last photo.
    let none = frames(&[]);
    let mut learner = start(&none, "exit 7", Duration::from_secs(20)).expect("started");
    let wanted = vec![PhotoRequest::new(Path::new("1.jpg"), 1, 1); 100];
    let ended = learner.photos(&wanted, || ());
    assert!(matches!(ended, Err(LearnerError::Ended(how)) if how.contains("exit status: 7")));
    // It also fails if the learner cannot even begin.
    assert!(
        matches!(asked(&none[..2], "exit 3"), Err(LearnerError::Ended(how)) if how.contains('3'))
    );
}

#[test]
fn a_learner_that_is_silent_or_does_not_read_is_stopped() {
    let short = Duration::from_millis(300);
    assert!(matches!(
        start(&[], "exec sleep 60", short),
        Err(LearnerError::Silent)
    ));
    let mut silent = start(&frames(&[]), "exec sleep 60", short).expect("started");
    assert!(matches!(silent.drawn(unshown), Err(LearnerError::Silent)));
    // A request that is larger than a pipe's buffer is once not answered, and once answered before it is read.
    for answers in [vec![], vec![Response::Done]] {
        let mut deaf = start(&frames(&answers), "exec sleep 60", short).expect("started");
        let long = vec![vec![0.5; 128]; 1000];
        let begun = Instant::now();
        let tuned = deaf.tune(long, 1, || ());
        let given_up = matches!(
            tuned,
            Err(LearnerError::Silent | LearnerError::Protocol(ProtocolError::Turn))
        );
        assert!(given_up && begun.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let missing = Learner::start_as(Command::new("/nowhere"), SHA256, 2, RESPONSE_TIMEOUT);
    assert!(matches!(missing, Err(LearnerError::Start(_))));
}

#[test]
fn a_learner_that_gives_a_reason_is_an_error_with_that_reason() {
    let why = Response::Failed("a\u{202e}b\nc".to_owned(), true);
    let failed = asked(&frames(&[why]), "exit 0").expect_err("it has failed");
    assert!(matches!(&failed, LearnerError::Failed(text, true) if text == "a\\u{202e}b c"));
}

proptest! {
    /// Any bytes give an answer that passes its checks, or an error; no panic.
    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>, at in 0_usize..200, with: u8) {
        let _ = read::<Response>(&mut &bytes[..], wire::MOST_BYTES);
        let mut bytes = frame(&seen(0)).expect("encoded");
        let place = at % bytes.len();
        bytes[place] = with;
        if let Ok(Ok(Response::Photo(_, Ok(seen)))) = read(&mut &bytes[..], wire::MOST_BYTES)
            && let Ok(shown) = seen.check(2, 1)
        {
            for face in &shown.faces {
                let embedding = face.embedding.map_or(1.0, |e| e.cosine(e.values()));
                prop_assert!((embedding - 1.0).abs() < 1e-3);
                prop_assert!(face.bbox.area().is_finite());
            }
        }
    }

    #[test]
    fn printed_text_has_no_control_characters(text: String) {
        let plain = plain(&text);
        prop_assert!(!plain.chars().any(char::is_control), "{plain:?}");
    }
}
