//! The guard as real processes: one that drives the relay (the driver is the log), its guard, and
//! this test, which kills, stops and hangs them. Against a real line: `gpio_sim.rs`.

mod common;
mod roles;

use std::io::{BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use latchkey::clock::Timestamp;
use latchkey::output::guard::Beat;
use latchkey::output::{GuardError, Wiring};
use roles::{guard_command, nobody_command, role_command, signal, start_guard};
use rustix::process::Signal;

/// A process that holds the relay on, up to the point where it says so.
fn relay_on(behaviour: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = role_command(behaviour, &Wiring::default())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test can start itself");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    roles::read_until(&mut out, "relay is on");
    (child, out)
}

/// What the processes said, once the last of them has ended.
fn last_words(child: &mut Child) -> String {
    let mut said = String::new();
    let mut err = child.stderr.take().expect("piped");
    err.read_to_string(&mut said).expect("readable");
    said
}

fn a_killed_process_leaves_its_relay_to_the_guard() {
    for kill in [Signal::KILL, Signal::ABORT, Signal::TERM, Signal::INT] {
        let (mut child, _out) = relay_on("beat");
        signal(child.id(), kill);
        let said = last_words(&mut child);
        assert!(said.contains("guard: latchkey died; relay off"), "{said}");
        child.wait().expect("ended");
    }
}

fn a_panic_in_any_thread_of_ours_ends_the_process() {
    let (mut child, _out) = relay_on("panic");
    let said = last_words(&mut child);
    assert!(said.contains("survived both"), "{said}");
    // The relay comes before the message, and is left alone by a panic that is contained.
    let (before, after) = said.split_once("a thread that panics").expect(&said);
    assert_eq!(before.matches("relay off first").count(), 1, "{said}");
    assert!(!after.contains("relay off first"), "{said}");
    assert!(said.contains("guard: latchkey died; relay off"), "{said}");
    let status = child.wait().expect("ended");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(6)
    );
}

fn a_process_that_hangs_with_the_relay_on_is_killed() {
    for behaviour in ["hang", "stop"] {
        let (mut child, _out) = relay_on(behaviour);
        if behaviour == "stop" {
            signal(child.id(), Signal::STOP);
        }
        let said = last_words(&mut child);
        assert!(
            said.contains("guard: latchkey hung with the relay on"),
            "{said}"
        );
        let status = child.wait().expect("ended");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }
}

fn a_process_that_is_silent_with_the_relay_off_is_left_alone() {
    let (mut child, mut out) = relay_on("off");
    roles::read_until(&mut out, "still alive");
    assert!(child.wait().expect("ended").success());
    assert!(!last_words(&mut child).contains("guard:"), "an orderly end");
}

fn the_guard_is_deaf_to_what_ends_the_process_it_watches() {
    let (mut guard, mut child) = start_guard(guard_command(), &Wiring::default()).expect("starts");
    for deaf in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        signal(guard.id(), deaf);
        for _ in 0..20 {
            guard.beat(Beat::Off, Timestamp::now()).expect("alive");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    guard.dismiss();
    assert!(child.wait().expect("ended").success());
}

fn a_dead_or_stuck_guard_is_noticed() {
    for (with, stuck) in [(Signal::KILL, false), (Signal::STOP, true)] {
        let (mut guard, mut child) =
            start_guard(guard_command(), &Wiring::default()).expect("starts");
        guard.beat(Beat::On, Timestamp::now()).expect("alive");
        signal(guard.id(), with);
        let start = Instant::now();
        let error = loop {
            if let Err(error) = guard.beat(Beat::On, Timestamp::now()) {
                break error;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "never noticed");
            std::thread::sleep(Duration::from_millis(5));
        };
        match error {
            GuardError::Silent => assert!(stuck),
            GuardError::Dead => assert!(!stuck),
            other => panic!("{other}"),
        }
        // Nobody has waited for it.
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
}

fn a_guard_that_does_not_come_up_is_an_error() {
    let error = start_guard(nobody_command(), &Wiring::default()).expect_err("no guard");
    assert!(matches!(error, GuardError::Dead), "{error}");
}

fn a_guard_that_is_not_there_is_an_error() {
    let error = start_guard(Command::new("/nonexistent"), &Wiring::default());
    assert!(matches!(error, Err(GuardError::Spawn(_))));
}

fn a_guard_started_by_hand_says_so() {
    // The program itself: what a guard has to say must reach its log.
    let mut child = Command::new(common::program())
        .arg("guard")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let said = last_words(&mut child);
    assert!(said.contains("started by hand?"), "{said}");
    assert!(!child.wait().expect("ended").success());
}

fn main() -> std::process::ExitCode {
    roles::asked();
    common::harness::run(crate::tests![
        a_killed_process_leaves_its_relay_to_the_guard,
        a_panic_in_any_thread_of_ours_ends_the_process,
        a_process_that_hangs_with_the_relay_on_is_killed,
        a_process_that_is_silent_with_the_relay_off_is_left_alone,
        the_guard_is_deaf_to_what_ends_the_process_it_watches,
        a_dead_or_stuck_guard_is_noticed,
        a_guard_that_does_not_come_up_is_an_error,
        a_guard_that_is_not_there_is_an_error,
        a_guard_started_by_hand_says_so,
    ])
}
