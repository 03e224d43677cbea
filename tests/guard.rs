//! Tests of the guard with real processes: one that drives the relay (by the driver `log`), its guard, and
//! this test, which kills, stops and hangs the others. `gpio_sim.rs` does the same with a line of the kernel.

mod common;
mod roles;

use std::io::{BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use latchkey::clock::Timestamp;
use latchkey::output::guard::Heartbeat;
use latchkey::output::{GuardError, Wiring};
use roles::{exiting_command, guard_command, role_command, signal, start_guard};
use rustix::process::Signal;

/// Starts a process that turns the relay on, and waits until it has printed that the relay is on.
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

/// The text that the processes logged. Returns once the last process has ended.
fn log_until_end(child: &mut Child) -> String {
    let mut log = String::new();
    let mut err = child.stderr.take().expect("piped");
    err.read_to_string(&mut log).expect("readable");
    log
}

fn the_guard_turns_off_the_relay_of_a_killed_process() {
    for kill in [Signal::KILL, Signal::ABORT, Signal::TERM, Signal::INT] {
        let (mut child, _out) = relay_on("beat");
        signal(child.id(), kill);
        let log = log_until_end(&mut child);
        assert!(log.contains("guard: latchkey died; relay off"), "{log}");
        child.wait().expect("ended");
    }
}

fn a_panic_in_any_thread_of_ours_ends_the_process() {
    let (mut child, _out) = relay_on("panic");
    let log = log_until_end(&mut child);
    assert!(log.contains("survived both"), "{log}");
    // The relay is turned off before the message is printed. A panic that is contained does not change the relay.
    let (before, after) = log.split_once("a thread that panics").expect(&log);
    assert_eq!(before.matches("relay off first").count(), 1, "{log}");
    assert!(!after.contains("relay off first"), "{log}");
    assert!(log.contains("guard: latchkey died; relay off"), "{log}");
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
        let log = log_until_end(&mut child);
        assert!(
            log.contains("guard: latchkey hung with the relay on"),
            "{log}"
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
    assert!(
        !log_until_end(&mut child).contains("guard:"),
        "an orderly end"
    );
}

fn the_guard_ignores_signals_that_end_the_process_it_watches() {
    let (mut guard, mut child) = start_guard(guard_command(), &Wiring::default()).expect("starts");
    for ignored in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        signal(guard.id(), ignored);
        for _ in 0..20 {
            guard
                .send_heartbeat(Heartbeat::Off, Timestamp::now())
                .expect("alive");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    guard.dismiss();
    assert!(child.wait().expect("ended").success());
}

fn a_dead_or_stuck_guard_is_noticed() {
    for (signal_sent, stuck) in [(Signal::KILL, false), (Signal::STOP, true)] {
        let (mut guard, mut child) =
            start_guard(guard_command(), &Wiring::default()).expect("starts");
        guard
            .send_heartbeat(Heartbeat::On, Timestamp::now())
            .expect("alive");
        signal(guard.id(), signal_sent);
        let start = Instant::now();
        let error = loop {
            if let Err(error) = guard.send_heartbeat(Heartbeat::On, Timestamp::now()) {
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
        // The guard has not been reaped yet.
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
}

fn a_guard_that_does_not_start_is_an_error() {
    let error = start_guard(exiting_command(), &Wiring::default()).expect_err("no guard");
    assert!(matches!(error, GuardError::Dead), "{error}");
}

fn a_guard_that_is_not_there_is_an_error() {
    let error = start_guard(Command::new("/nonexistent"), &Wiring::default());
    assert!(matches!(error, Err(GuardError::Spawn(_))));
}

fn a_guard_started_by_hand_reports_it_and_fails() {
    // This starts the program itself, because the guard's message must reach the program's log.
    let mut child = Command::new(common::program())
        .arg("guard")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let log = log_until_end(&mut child);
    assert!(log.contains("started by hand?"), "{log}");
    assert!(!child.wait().expect("ended").success());
}

fn main() -> std::process::ExitCode {
    roles::play_requested_role();
    common::harness::run(crate::tests![
        the_guard_turns_off_the_relay_of_a_killed_process,
        a_panic_in_any_thread_of_ours_ends_the_process,
        a_process_that_hangs_with_the_relay_on_is_killed,
        a_process_that_is_silent_with_the_relay_off_is_left_alone,
        the_guard_ignores_signals_that_end_the_process_it_watches,
        a_dead_or_stuck_guard_is_noticed,
        a_guard_that_does_not_start_is_an_error,
        a_guard_that_is_not_there_is_an_error,
        a_guard_started_by_hand_reports_it_and_fails,
    ])
}
