//! Processes for the tests of the outputs: the test program starts itself again, and its first arguments name the role of the
//! new process. Its main function calls [`play_requested_role`] first.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::BufRead;
use std::process::{Child, Command};
use std::time::Duration;

use latchkey::clock::Timestamp;
use latchkey::output::guard::{self, Heartbeat, run_guard};
use latchkey::output::{self, Guard, GuardError, Leds, Wiring};
use rustix::process::{Pid, Signal};

/// The first argument of a process that plays a role; the second is the role.
const ROLE: &str = "role";

/// The command that starts this program in a role: `guard`, `exit` (ends at once), or one of [`role_command`].
fn this_program(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args([ROLE, role]);
    // Writing the backtrace of a development build takes longer than the guard waits.
    command.env("RUST_BACKTRACE", "0");
    command
}

/// The command that starts this program as a guard.
pub fn guard_command() -> Command {
    this_program("guard")
}

/// The command that starts this program as a process that ends at once.
pub fn exiting_command() -> Command {
    this_program("exit")
}

/// Starts `command` as the guard of this process, and waits until it is ready.
pub fn start_guard(command: Command, wiring: &Wiring) -> Result<(Guard, Child), GuardError> {
    let this = guard::this_process().expect("a pidfd");
    let (child, socket) = guard::launch(command, wiring, std::os::fd::AsFd::as_fd(&this))?;
    let mut guard = Guard::new(socket, child.id(), Timestamp::now());
    while !guard.is_ready() {
        guard.read_answers(Timestamp::now())?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((guard, child))
}

/// The command that starts this program as a process that turns the relay on under a guard, and then follows `behaviour`:
/// `beat`, `hang`, `stop` (the same as `beat`; the test stops it), `panic` or `off`.
pub fn role_command(behaviour: &str, wiring: &Wiring) -> Command {
    let mut command = this_program(behaviour);
    command.arg(serde_json::to_string(wiring).expect("a wiring is JSON"));
    command
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a process number")).expect("not zero");
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// Reads up to the first line that begins with `start`, and returns the rest of that line.
pub fn read_until(out: &mut impl BufRead, start: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            out.read_line(&mut line).expect("readable") > 0,
            "ended before {start:?}"
        );
        if let Some(rest) = line.strip_prefix(start) {
            return rest.trim().to_owned();
        }
    }
}

/// Plays the role that the arguments name, and ends the process; returns if they name none.
pub fn play_requested_role() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [first, role, more @ ..] if first == ROLE => play(role, more.first()),
        _ => (),
    }
}

fn play(role: &str, wiring: Option<&String>) -> ! {
    if role == "exit" {
        std::process::exit(0);
    }
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .init();
    if role == "guard" {
        let ended_well = run_guard(|| latchkey::confine::guard().log("guard", log::Level::Debug))
            == std::process::ExitCode::SUCCESS;
        std::process::exit(i32::from(!ended_well));
    }
    latchkey::panics::abort(|| eprintln!("relay off first"));
    let wiring = wiring.expect("given with the role");
    let wiring: Wiring = serde_json::from_str(wiring).expect("a wiring");
    let mut outputs = output::open(&wiring).expect("the lines are free");
    let (mut guard, _child) = start_guard(guard_command(), &wiring).expect("the guard starts");
    guard
        .send_heartbeat(Heartbeat::On, Timestamp::now())
        .expect("room");
    // As in the door, the relay goes on only after the guard has answered.
    while !guard.has_answered() {
        guard
            .read_answers(Timestamp::now())
            .expect("the guard is alive");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut send = move |beat: Option<Heartbeat>| match beat {
        Some(beat) => guard
            .send_heartbeat(beat, Timestamp::now())
            .expect("the guard is alive"),
        None => guard.dismiss(),
    };
    outputs.set_relay(true).expect("the relay obeys");
    let granted = true;
    outputs
        .set_leds(Leds {
            granted,
            ..Leds::default()
        })
        .expect("the LEDs obey");
    println!("relay is on {}", std::process::id());
    let mut beat = |times: u32| {
        for _ in 0..times {
            std::thread::sleep(Duration::from_millis(100));
            send(Some(Heartbeat::On));
        }
    };
    match role {
        "panic" => {
            assert_eq!(
                latchkey::panics::contained(|| -> u8 { panic!("contained") }),
                None
            );
            let library_thread = std::thread::spawn(|| panic!("a library's thread"));
            assert!(library_thread.join().is_err());
            eprintln!("survived both");
            let ours = std::thread::Builder::new().name("ours".to_owned());
            let _ = ours.spawn(|| panic!("a thread that panics"));
            beat(600);
        }
        "hang" => {
            beat(5);
            println!("last beat at {}", Timestamp::now().as_nanos());
            std::thread::sleep(Duration::from_secs(60));
        }
        "off" => {
            beat(5);
            outputs.set_relay(false).expect("the relay obeys");
            send(Some(Heartbeat::Off));
            std::thread::sleep(Duration::from_millis(2500));
            println!("still alive");
            drop(outputs);
            send(None);
            std::process::exit(0);
        }
        _ => beat(600),
    }
    panic!("the test did not end this process");
}
