//! The broker and the guards that it starts, as the processes that `latchkey run` starts, confined as they are there; this test
//! is the door's process. Lines are those of the log: what the kernel's own lines do is tested in a virtual machine.
#![expect(unsafe_code, reason = "traces a process")]

mod common;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use latchkey::clock::Timestamp;
use latchkey::output::guard::{self, Beat};
use latchkey::output::{Guard, GuardError};
use latchkey::passing::{pair, receive, send};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A broker, and this end of its sockets.
struct Desk {
    broker: Child,
    control: OwnedFd,
    cameras: OwnedFd,
}

impl Desk {
    fn open(camera: Value) -> Self {
        let (control, theirs) = pair().expect("sockets");
        let (cameras, their_cameras) = pair().expect("sockets");
        let this = guard::this_process().expect("a pidfd");
        let wiring = json!({"driver": "log", "relay": {"line": 17, "active": "high"}, "leds": {}});
        let orders = json!({"wiring": wiring, "camera": camera});
        send(&control, &orders, &[this.as_fd(), their_cameras.as_fd()]).expect("room");
        let broker = Command::new(common::program())
            .arg0("latchkey-broker")
            .arg("broker")
            .stdin(Stdio::from(theirs))
            .spawn()
            .expect("starts");
        Self {
            broker,
            control,
            cameras,
        }
    }

    fn ask(&self, what: &Value) {
        send(&self.control, what, &[]).expect("room");
    }

    /// A guard that watches.
    fn guard(&self) -> Guard {
        self.ask(&json!("Guard"));
        let (answer, mut fds): (Value, _) = receive(&self.control, true).expect("an answer");
        let id = answer["Guard"]["Ok"].as_u64().expect("a guard");
        let id = u32::try_from(id).expect("a process number");
        let mut guard = Guard::new(fds.pop().expect("its socket"), id, Timestamp::now());
        while !guard.is_ready() {
            guard.hear(Timestamp::now()).expect("it starts");
            std::thread::sleep(Duration::from_millis(1));
        }
        guard
    }

    /// The broker ends with its sockets.
    fn close(self) {
        let Self {
            mut broker,
            control,
            cameras,
        } = self;
        drop((control, cameras));
        assert!(broker.wait().expect("ended").success());
    }
}

fn pid(guard: &Guard) -> Pid {
    Pid::from_raw(guard.id().try_into().expect("small")).expect("not zero")
}

/// Whether there is such a process, be it only to be reaped.
fn is_there(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_guard_that_is_stopped_and_traced_is_found_and_replaced_without_waiting_for_it() {
    let desk = Desk::open(json!("None"));
    let (mut charge, mut spare) = (desk.guard(), desk.guard());
    let stuck = pid(&charge);
    // Traced, its end is this process's to notice: to its parent it is there, whatever signal it gets.
    // SAFETY: traces a process that belongs to this test.
    let traced = unsafe { libc::ptrace(libc::PTRACE_SEIZE, stuck.as_raw_nonzero().get(), 0, 0) };
    assert_eq!(traced, 0, "{}", std::io::Error::last_os_error());
    kill_process(stuck, Signal::STOP).expect("there");
    let stopped = Instant::now();
    let lost = loop {
        // As often as the door thread does while the relay is on.
        if let Err(why) = charge.beat(Beat::On, Timestamp::now()) {
            break why;
        }
        spare.beat(Beat::Spare, Timestamp::now()).expect("well");
        std::thread::sleep(guard::BEAT / 2);
    };
    println!(
        "stopped to found: {:.0} ms",
        stopped.elapsed().as_secs_f64() * 1e3
    );
    assert_eq!(lost, GuardError::Silent);
    // The second one serves.
    let pressed = Instant::now();
    spare.beat(Beat::On, Timestamp::now()).expect("well");
    until("an answer", || {
        spare.hear(Timestamp::now()).expect("well");
        spare.knows()
    });
    println!(
        "second guard answers after {:.1} ms",
        pressed.elapsed().as_secs_f64() * 1e3
    );
    // Nobody waits for the end of the first.
    desk.ask(&json!({"End": charge.id()}));
    let asked = Instant::now();
    let third = desk.guard();
    println!(
        "another guard after {:.0} ms",
        asked.elapsed().as_secs_f64() * 1e3
    );
    assert!(
        is_there(stuck),
        "still there, as far as the broker can tell"
    );
    third.dismiss();
    spare.dismiss();
    desk.close();
}

#[test]
fn a_guard_that_is_ended_is_reaped() {
    let desk = Desk::open(json!("None"));
    let guard = desk.guard();
    kill_process(pid(&guard), Signal::STOP).expect("there");
    desk.ask(&json!({"End": guard.id()}));
    until("reaped", || !is_there(pid(&guard)));
    desk.close();
}

#[test]
fn guards_outlive_the_broker_and_end_when_they_are_dismissed() {
    let mut desk = Desk::open(json!("None"));
    let mut guard = desk.guard();
    desk.broker.kill().expect("killed");
    desk.broker.wait().expect("ended");
    guard.beat(Beat::On, Timestamp::now()).expect("well");
    until("an answer", || {
        guard.hear(Timestamp::now()).expect("well");
        guard.knows()
    });
    guard.dismiss();
    until("the end", || {
        guard.hear(Timestamp::now()) == Err(GuardError::Dead)
    });
    // The door's process hears of it by its socket.
    let gone = receive::<Value>(&desk.control, true).expect_err("nobody there");
    assert_eq!(gone.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_broker_opens_the_configured_camera_and_nothing_else() {
    // It is no camera, and it is the configured one.
    let desk = Desk::open(json!({"Node": "/dev/null"}));
    let open = |path: &str| {
        send(&desk.cameras, &json!({"Open": path}), &[]).expect("room");
        let (answer, fds): (Value, _) = receive(&desk.cameras, true).expect("an answer");
        assert!(fds.is_empty());
        answer["Opened"]["Err"].as_i64()
    };
    assert_eq!(open("/dev/null"), Some(libc::ENOTTY.into()));
    for other in ["/dev/zero", "/dev/video0", "/etc/passwd", "/proc/self/mem"] {
        assert_eq!(open(other), Some(libc::EPERM.into()), "{other}");
    }
    send(&desk.cameras, &json!("List"), &[]).expect("room");
    let (answer, _): (Value, _) = receive(&desk.cameras, true).expect("an answer");
    assert!(answer["Nodes"].is_array());
    desk.close();
}

#[test]
fn a_broker_started_by_hand_says_so() {
    let done = Command::new(common::program())
        .arg("broker")
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("started by hand?"), "{said}");
    assert!(!done.status.success());
}
