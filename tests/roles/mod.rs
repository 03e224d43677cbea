//! Processes for the tests of the outputs: the test program starts itself again, as its test `role`,
//! and an environment variable says what to be.
#![allow(dead_code, reason = "every test program uses some of it")]

use std::io::BufRead;
use std::process::{Child, Command};
use std::time::Duration;

use latchkey::clock::Timestamp;
use latchkey::output::guard::{self, Beat, run_guard};
use latchkey::output::{self, Guard, GuardError, Leds, Wiring};
use rustix::process::{Pid, Signal};

const ROLE: &str = "LATCHKEY_TEST_ROLE";
const WIRING: &str = "LATCHKEY_TEST_WIRING";

fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "role", "--nocapture", "--test-threads=1"]);
    command
}

/// This program as a guard.
pub fn guard_command() -> Command {
    let mut command = this_program();
    command.env(ROLE, "guard");
    command
}

/// Starts `command` as a guard of this process, and waits until it watches.
pub fn start_guard(command: Command, wiring: &Wiring) -> Result<(Guard, Child), GuardError> {
    let this = guard::this_process().expect("a pidfd");
    let (child, socket) = guard::launch(command, wiring, std::os::fd::AsFd::as_fd(&this))?;
    let mut guard = Guard::new(socket, child.id(), Timestamp::now());
    while !guard.is_ready() {
        guard.hear(Timestamp::now())?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((guard, child))
}

/// This program as one that turns the relay on under a guard, and then behaves as told: `beat`,
/// `hang`, `stop` (the same as `beat`, for the test to stop it), `panic` or `off`.
pub fn role_command(behaviour: &str, wiring: &Wiring) -> Command {
    let mut command = this_program();
    let wiring = serde_json::to_string(wiring).expect("a wiring is JSON");
    command.env(ROLE, behaviour).env(WIRING, wiring);
    command
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a process number")).expect("not zero");
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// Reads lines up to one that begins with `start`, and returns the rest of that one.
pub fn read_until(out: &mut impl BufRead, start: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            out.read_line(&mut line).expect("readable") > 0,
            "ended before {start:?}"
        );
        // The test harness may have begun the line.
        if let Some(at) = line.find(start) {
            return line[at + start.len()..].trim().to_owned();
        }
    }
}

/// Plays the role that the environment asks for, if any.
pub fn play() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .init();
    if role == "guard" {
        let ended_well = run_guard(latchkey::confine::guard) == std::process::ExitCode::SUCCESS;
        std::process::exit(i32::from(!ended_well));
    }
    latchkey::panics::abort(|| eprintln!("relay off first"));
    let wiring = std::env::var(WIRING).expect("given with the role");
    let wiring: Wiring = serde_json::from_str(&wiring).expect("a wiring");
    let mut outputs = output::open(&wiring).expect("the lines are free");
    let (mut guard, _child) = start_guard(guard_command(), &wiring).expect("the guard starts");
    let mut say = move |beat: Option<Beat>| match beat {
        Some(beat) => guard
            .beat(beat, Timestamp::now())
            .expect("the guard is alive"),
        None => guard.dismiss(),
    };
    say(Some(Beat::On));
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
            say(Some(Beat::On));
        }
    };
    match role.as_str() {
        "panic" => {
            assert_eq!(
                latchkey::panics::contained(|| -> u8 { panic!("contained") }),
                None
            );
            let librarys = std::thread::spawn(|| panic!("a library's thread"));
            assert!(librarys.join().is_err());
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
            say(Some(Beat::Off));
            std::thread::sleep(Duration::from_millis(2500));
            println!("still alive");
            drop(outputs);
            say(None);
            std::process::exit(0);
        }
        _ => beat(600),
    }
    panic!("nobody ended this process");
}
