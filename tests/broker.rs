//! The broker and the guards that it starts. They run as the same processes as under `latchkey run`, and are confined in the same
//! way; this test takes the place of the door's process. The output driver is `log`; the kernel's lines are tested in a virtual
//! machine.
#![expect(unsafe_code, reason = "traces a process")]

mod common;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use latchkey::clock::Timestamp;
use latchkey::output::guard::{self, Heartbeat};
use latchkey::output::{Guard, GuardError};
use latchkey::passing::{pair, receive, send};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A broker, and this end of its sockets.
struct Broker {
    process: Child,
    control: OwnedFd,
    cameras: OwnedFd,
}

impl Broker {
    fn start(camera: Value) -> Self {
        let (control, theirs) = pair().expect("sockets");
        let (cameras, their_cameras) = pair().expect("sockets");
        let this = guard::this_process().expect("a pidfd");
        let wiring = json!({"driver": "log", "relay": {"line": 17, "active": "high"}, "leds": {}});
        let settings = json!({"wiring": wiring, "camera": camera});
        send(&control, &settings, &[this.as_fd(), their_cameras.as_fd()]).expect("room");
        let process = Command::new(common::program())
            .arg0("latchkey-broker")
            .arg("broker")
            .stdin(Stdio::from(theirs))
            .spawn()
            .expect("starts");
        Self {
            process,
            control,
            cameras,
        }
    }

    fn request(&self, what: &Value) {
        send(&self.control, what, &[]).expect("room");
    }

    /// A new guard, which is ready.
    fn guard(&self) -> Guard {
        self.request(&json!("Guard"));
        let (answer, mut fds): (Value, _) = receive(&self.control, true).expect("an answer");
        let id = answer["Guard"]["Ok"].as_u64().expect("a guard");
        let id = u32::try_from(id).expect("a process number");
        let mut guard = Guard::new(fds.pop().expect("its socket"), id, Timestamp::now());
        while !guard.is_ready() {
            guard.read_answers(Timestamp::now()).expect("it starts");
            std::thread::sleep(Duration::from_millis(1));
        }
        guard
    }

    /// Closes the sockets, which ends the broker.
    fn close(self) {
        let Self {
            mut process,
            control,
            cameras,
        } = self;
        drop((control, cameras));
        assert!(process.wait().expect("ended").success());
    }
}

fn pid(guard: &Guard) -> Pid {
    Pid::from_raw(guard.id().try_into().expect("small")).expect("not zero")
}

/// Whether the process exists, even if it has ended and is not reaped yet.
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
    let broker = Broker::start(json!("None"));
    let (mut first, mut second) = (broker.guard(), broker.guard());
    let stuck = pid(&first);
    // While this process traces the guard, only this process notices the guard's end. To its parent the guard seems to exist,
    // whatever signal it gets.
    // SAFETY: traces a process that belongs to this test.
    let traced = unsafe { libc::ptrace(libc::PTRACE_SEIZE, stuck.as_raw_nonzero().get(), 0, 0) };
    assert_eq!(traced, 0, "{}", std::io::Error::last_os_error());
    kill_process(stuck, Signal::STOP).expect("there");
    let stopped = Instant::now();
    let lost = loop {
        // This is as often as the door thread sends heartbeats while the relay is on.
        if let Err(why) = first.send_heartbeat(Heartbeat::On, Timestamp::now()) {
            break why;
        }
        second
            .send_heartbeat(Heartbeat::Spare, Timestamp::now())
            .expect("well");
        std::thread::sleep(guard::HEARTBEAT_INTERVAL / 2);
    };
    println!(
        "stopped to found: {:.0} ms",
        stopped.elapsed().as_secs_f64() * 1e3
    );
    assert_eq!(lost, GuardError::Silent);
    // The second guard takes over.
    let pressed = Instant::now();
    second
        .send_heartbeat(Heartbeat::On, Timestamp::now())
        .expect("well");
    until("an answer", || {
        second.read_answers(Timestamp::now()).expect("well");
        second.has_answered()
    });
    println!(
        "second guard answers after {:.1} ms",
        pressed.elapsed().as_secs_f64() * 1e3
    );
    // Nothing waits for the end of the first guard.
    broker.request(&json!({"End": first.id()}));
    let asked = Instant::now();
    let third = broker.guard();
    println!(
        "another guard after {:.0} ms",
        asked.elapsed().as_secs_f64() * 1e3
    );
    assert!(is_there(stuck), "still there, as far as the broker can see");
    third.dismiss();
    second.dismiss();
    broker.close();
}

#[test]
fn a_guard_that_is_ended_is_reaped() {
    let broker = Broker::start(json!("None"));
    let guard = broker.guard();
    kill_process(pid(&guard), Signal::STOP).expect("there");
    broker.request(&json!({"End": guard.id()}));
    until("reaped", || !is_there(pid(&guard)));
    broker.close();
}

#[test]
fn guards_outlive_the_broker_and_end_when_they_are_dismissed() {
    let mut broker = Broker::start(json!("None"));
    let mut guard = broker.guard();
    broker.process.kill().expect("killed");
    broker.process.wait().expect("ended");
    guard
        .send_heartbeat(Heartbeat::On, Timestamp::now())
        .expect("well");
    until("an answer", || {
        guard.read_answers(Timestamp::now()).expect("well");
        guard.has_answered()
    });
    guard.dismiss();
    until("the end", || {
        guard.read_answers(Timestamp::now()) == Err(GuardError::Dead)
    });
    // The door's process learns of the broker's end from its socket.
    let gone = receive::<Value>(&broker.control, true).expect_err("no broker");
    assert_eq!(gone.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_broker_opens_the_configured_camera_and_nothing_else() {
    // The device is not a camera, but it is the configured one.
    let broker = Broker::start(json!({"Node": "/dev/null"}));
    let open = |path: &str| {
        send(&broker.cameras, &json!({"Open": path}), &[]).expect("room");
        let (answer, fds): (Value, _) = receive(&broker.cameras, true).expect("an answer");
        assert!(fds.is_empty());
        answer["Opened"]["Err"].as_i64()
    };
    assert_eq!(open("/dev/null"), Some(libc::ENOTTY.into()));
    for other in ["/dev/zero", "/dev/video0", "/etc/passwd", "/proc/self/mem"] {
        assert_eq!(open(other), Some(libc::EPERM.into()), "{other}");
    }
    send(&broker.cameras, &json!("List"), &[]).expect("room");
    let (answer, _): (Value, _) = receive(&broker.cameras, true).expect("an answer");
    assert!(answer["Nodes"].is_array());
    broker.close();
}

#[test]
fn a_broker_started_by_hand_reports_it_and_fails() {
    let done = Command::new(common::program())
        .arg("broker")
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(log.contains("started by hand?"), "{log}");
    assert!(!done.status.success());
}
