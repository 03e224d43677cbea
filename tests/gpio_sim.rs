//! Tests of the outputs with the kernel's drivers: the lines of its GPIO simulator, and the edges that its trace recorded.
//!
//! The tests need root, the module gpio-sim, configfs and tracefs, and are ignored elsewhere. They run one
//! after the other (`--ignored --test-threads=1`) in a virtual machine.

mod common;
mod roles;

use std::fs;
use std::io::BufReader;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use latchkey::clock::Timestamp;
use latchkey::output::{self, Leds, OutputError, Wiring};
use roles::{role_command, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

const CONFIG: &str = "/sys/kernel/config/gpio-sim";
const TRACE: &str = "/sys/kernel/tracing";

/// A simulated chip of 32 lines. The kernel uses line 4 itself.
struct Sim {
    config: PathBuf,
}

impl Sim {
    fn new(name: &str, label: &str) -> Self {
        let config = Path::new(CONFIG).join(name);
        let bank = config.join("bank0");
        fs::create_dir_all(bank.join("line4/hog")).expect("gpio-sim is loaded and this is root");
        let set = |key: &str, value: &str| fs::write(bank.join(key), value).expect(key);
        set("num_lines", "32");
        set("label", label);
        set("line4/hog/name", "reserved");
        set("line4/hog/direction", "output-low");
        let sim = Self { config };
        sim.plug(true);
        sim
    }

    fn plug(&self, live: bool) {
        fs::write(self.config.join("live"), if live { "1" } else { "0" }).expect("live");
    }

    fn chip(&self) -> String {
        let name = fs::read_to_string(self.config.join("bank0/chip_name")).expect("chip_name");
        name.trim().to_owned()
    }

    fn attribute(&self, line: u32, what: &str) -> PathBuf {
        let device = fs::read_to_string(self.config.join("dev_name")).expect("dev_name");
        Path::new("/sys/devices/platform")
            .join(device.trim())
            .join(self.chip())
            .join(format!("sim_gpio{line}"))
            .join(what)
    }

    /// The level of a line, driven or pulled.
    fn level(&self, line: u32) -> u8 {
        let value = fs::read_to_string(self.attribute(line, "value")).expect("value");
        value.trim().parse().expect("0 or 1")
    }

    fn pull(&self, line: u32, up: bool) {
        let pull = if up { "pull-up" } else { "pull-down" };
        fs::write(self.attribute(line, "pull"), pull).expect("pull");
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.plug(false);
        let bank = self.config.join("bank0");
        for dir in [
            bank.join("line4/hog"),
            bank.join("line4"),
            bank,
            self.config.clone(),
        ] {
            let _ = fs::remove_dir(dir);
        }
    }
}

fn wiring(toml: &str) -> Wiring {
    toml::from_str(&format!("driver = 'gpiochip'\n{toml}")).expect("valid TOML")
}

fn error(toml: &str) -> (OutputError, String) {
    let error = output::open(&wiring(toml)).err().expect("an error");
    let message = error.to_string();
    println!("  {message}");
    (error, message)
}

fn readable(fd: BorrowedFd<'_>, ms: u64) -> bool {
    let timeout = Timespec::try_from(Duration::from_millis(ms)).expect("short");
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).expect("poll") > 0
}

const WIRED: &str = "chip = 'door'\nrelay = { line = 17 }\n[leds]\n\
    status = { line = 18 }\ngranted = { line = 19, active = 'low' }";

fn lines_are_off_from_open_to_drop_unless_set() {
    let sim = Sim::new("lines", "door");
    sim.pull(17, true); // as if the relay had been left on
    sim.pull(19, false);
    let levels = || [17, 18, 19].map(|line| sim.level(line));
    let mut out = output::open(&wiring(WIRED)).expect("free lines");
    assert_eq!(levels(), [0, 0, 1], "line 19 is active low");
    let (on, leds) = (true, |status, granted| Leds {
        status,
        granted,
        refused: true,
    });
    out.set_relay(on).expect("obeys");
    assert_eq!(levels(), [1, 0, 1]);
    out.set_leds(leds(true, true)).expect("obeys");
    assert_eq!(levels(), [1, 1, 0]);
    out.set_leds(leds(false, true)).expect("obeys");
    assert_eq!(levels(), [1, 0, 0]);
    out.set_relay(false).expect("obeys");
    assert_eq!(levels(), [0, 0, 0]);
    out.set_relay(true).expect("obeys");
    sim.pull(17, false);
    sim.pull(19, true);
    drop(out);
    assert_eq!(levels(), [0, 0, 1]);
    assert!(
        !output::open(&wiring(WIRED))
            .expect("free again")
            .button_pressed()
            .expect("none")
    );
}

fn a_relay_that_is_active_low_is_off_while_high() {
    let sim = Sim::new("low", "door");
    let mut out = output::open(&wiring(
        "chip = 'door'\nrelay = { line = 5, active = 'low' }",
    ))
    .expect("free");
    assert_eq!(sim.level(5), 1);
    out.set_relay(true).expect("obeys");
    assert_eq!(sim.level(5), 0);
}

fn chips_are_found_by_label_name_and_path() {
    let sim = Sim::new("one", "door");
    let name = sim.chip();
    let path = format!("/dev/{name}");
    for chip in ["door", &name, &path] {
        output::open(&wiring(&format!("chip = '{chip}'\nrelay.line = 3"))).expect(chip);
    }
    let (_, message) = error("chip = 'gate'\nrelay.line = 3");
    // The machine may have chips of its own.
    let listed = format!("{name} (door)");
    assert!(
        message.contains("; there are ") && message.contains(&listed),
        "the message lists the chips"
    );
    for chip in ["gpiochip99", "/dev/gpiochip99"] {
        let (e, _) = error(&format!("chip = '{chip}'\nrelay.line = 3"));
        assert!(matches!(e, OutputError::NoChip { .. }));
    }
    let (e, _) = error("chip = '/dev/null'\nrelay.line = 3");
    assert!(matches!(e, OutputError::Chip { .. }));
    let other = Sim::new("two", "door");
    let (e, message) = error("chip = 'door'\nrelay.line = 3");
    assert!(matches!(e, OutputError::Ambiguous { .. }));
    assert!(message.contains(&path) && message.contains(&other.chip()));
    drop(other);
    drop(sim);
    let (_, message) = error("chip = 'door'\nrelay.line = 3");
    assert!(message.contains("there are ") && !message.contains("(door)"));
}

fn unavailable_lines_are_named_with_their_holder() {
    let sim = Sim::new("busy", "door");
    let chip = sim.chip();
    let held = output::open(&wiring("chip = 'door'\nrelay.line = 17")).expect("free");
    let (e, message) = error("chip = 'door'\nrelay.line = 17");
    assert!(matches!(e, OutputError::Busy { .. }));
    let start = format!("relay.line = 17: held by \"latchkey\" on {chip}; ");
    assert!(message.starts_with(&start), "{message}");
    let (_, message) = error("chip = 'door'\nleds.refused.line = 4");
    assert!(
        message.starts_with("leds.refused.line = 4: held by \"reserved\""),
        "{message}"
    );
    let (_, message) = error("chip = 'door'\nbutton.line = 17");
    assert!(
        message.starts_with("button.line = 17: held by \"latchkey\""),
        "{message}"
    );
    let (_, message) = error("chip = 'door'\nrelay.line = 32");
    assert_eq!(
        message,
        format!("relay.line = 32: {chip} has 32 lines (0-31)")
    );
    // A waiting process gets the line once it is free.
    let start = Timestamp::now();
    let waiting = std::thread::spawn(|| {
        let wiring = wiring("chip = 'door'\nrelay.line = 17");
        output::open_patiently(&wiring, Duration::from_secs(20)).expect("free in time");
        Timestamp::now()
    });
    std::thread::sleep(Duration::from_millis(200));
    drop(held);
    let waited = waiting.join().expect("no panic").since(start);
    assert!(waited >= Duration::from_millis(200));
}

fn a_press_is_reported_once_and_bounces_never() {
    let sim = Sim::new("button", "door");
    sim.pull(27, true);
    let wiring = wiring("chip = 'door'\nbutton = { line = 27, pull = 'none', debounce_ms = 50 }");
    let mut out = output::open(&wiring).expect("free");
    let mut press = |levels: &[bool], gap| {
        for &level in levels {
            sim.pull(27, level);
            std::thread::sleep(Duration::from_millis(gap));
        }
        let event = readable(out.button_fd().expect("wired"), 500);
        (
            event,
            out.button_pressed().expect("there"),
            out.button_pressed().expect("there"),
        )
    };
    assert_eq!(press(&[], 0), (false, false, false));
    assert_eq!(
        press(&[false], 0),
        (true, true, false),
        "to ground: pressed"
    );
    assert_eq!(press(&[true], 0), (false, false, false), "let go");
    // Only the last level lasts as long as debouncing takes.
    assert_eq!(
        press(&[false, true, false, true, false, true], 2),
        (false, false, false)
    );
    assert_eq!(
        press(&[false, true, false, true, false], 2),
        (true, true, false)
    );
}

fn a_chip_that_goes_is_an_error_and_comes_back() {
    let sim = Sim::new("gone", "door");
    let wiring = wiring("chip = 'door'\nrelay.line = 17\nleds.status.line = 18\nbutton.line = 27");
    let mut out = output::open(&wiring).expect("free");
    out.set_relay(true).expect("obeys");
    sim.plug(false);
    assert!(
        readable(out.button_fd().expect("wired"), 1000),
        "polling wakes up"
    );
    let gone = |r: Result<bool, OutputError>| {
        let error = r.expect_err("gone");
        println!("  {error}");
        matches!(error, OutputError::Gone { .. })
    };
    assert!(gone(out.button_pressed()));
    assert!(gone(out.set_relay(false).map(|()| false)));
    let status = true;
    assert!(gone(
        out.set_leds(Leds {
            status,
            ..Leds::default()
        })
        .map(|()| false)
    ));
    let again = output::open(&wiring);
    assert!(matches!(again, Err(OutputError::NoChip { .. })));
    drop(out);
    sim.plug(true);
    let mut out = output::open(&wiring).expect("back");
    assert_eq!(sim.level(17), 0);
    out.set_relay(true).expect("obeys");
    assert_eq!(sim.level(17), 1);
}

/// The changes of lines while `f` ran, with the time and value of each, from the kernel's trace.
fn traced(f: impl FnOnce()) -> Vec<(f64, String)> {
    let set = |file: &str, value: &str| fs::write(Path::new(TRACE).join(file), value).expect(file);
    set("trace_clock", "mono");
    set("trace", "");
    set("events/gpio/enable", "1");
    f();
    set("events/gpio/enable", "0");
    let trace = fs::read_to_string(Path::new(TRACE).join("trace")).expect("trace");
    let lines = trace.lines().filter(|l| l.contains("gpio_value"));
    lines
        .map(|line| {
            let (before, what) = line.split_once(": gpio_value: ").expect("an event");
            let time = before.split_whitespace().last().expect("a time");
            (time.parse().expect("seconds"), what.trim().to_owned())
        })
        .collect()
}

fn seconds(t: Timestamp) -> f64 {
    t.as_nanos() as f64 / 1e9
}

/// With these outputs, the relay is on while the line is low, and the line is pulled low once the process drives it. After
/// the process has died the relay is still on, until the guard turns it off. The guard releases the line
/// with the other pull.
const LEFT_ON: &str = "chip = 'door'\nrelay = { line = 17, active = 'low' }";

/// The time at which the line was first driven off after a point in time. The process was killed, so only its guard
/// can have done that.
fn guard_acted(events: &[(f64, String)], after: f64) -> f64 {
    let off = events
        .iter()
        .find(|(t, what)| *t > after && what.ends_with("set 1"));
    off.unwrap_or_else(|| panic!("never driven off after {after}: {events:?}"))
        .0
}

fn the_guard_drives_the_line_of_a_killed_process_off() {
    let sim = Sim::new("killed", "door");
    let mut killed_at = 0.0;
    let events = traced(|| {
        let mut child = role_command("beat", &wiring(LEFT_ON))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        roles::read_until(&mut out, "relay is on");
        assert_eq!(sim.level(17), 0, "on");
        sim.pull(17, false);
        killed_at = seconds(Timestamp::now());
        signal(child.id(), Signal::KILL);
        let mut log = String::new();
        let mut err = child.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut err, &mut log).expect("readable");
        assert!(log.contains("guard: latchkey died; relay off"), "{log}");
        child.wait().expect("ended");
    });
    let off = guard_acted(&events, killed_at);
    assert_eq!(sim.level(17), 1, "off, though no process drives it");
    println!(
        "  SIGKILL to line off: {:.1} ms",
        (off - killed_at) * 1000.0
    );
}

fn the_guard_kills_a_process_that_hangs_with_the_relay_on() {
    let sim = Sim::new("hung", "door");
    let mut last_beat = 0.0;
    let events = traced(|| {
        let mut child = role_command("hang", &wiring(LEFT_ON))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let nanos = roles::read_until(&mut out, "last beat at");
        sim.pull(17, false);
        last_beat = nanos.parse::<f64>().expect("nanoseconds") / 1e9;
        let mut log = String::new();
        let mut err = child.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut err, &mut log).expect("readable");
        assert!(
            log.contains("hung with the relay on and was killed"),
            "{log}"
        );
        let status = child.wait().expect("ended");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    });
    let off = guard_acted(&events, last_beat);
    assert_eq!(sim.level(17), 1, "off, though no process drives it");
    println!(
        "  last heartbeat to line off: {:.1} ms",
        (off - last_beat) * 1000.0
    );
}

/// The guard of a process. The guard is a child of that process.
fn guard_of(parent: u32) -> u32 {
    let parent = format!("PPid:\t{parent}\n");
    let processes = fs::read_dir("/proc").expect("/proc");
    let mut numbers = processes.filter_map(|p| p.ok()?.file_name().to_str()?.parse().ok());
    let status = |p: &u32| fs::read_to_string(format!("/proc/{p}/status")).unwrap_or_default();
    numbers
        .find(|p| status(p).contains(&parent))
        .expect("it has a guard")
}

fn the_guard_leaves_the_line_to_a_successor() {
    let _sim = Sim::new("successor", "door");
    let mut child = role_command("beat", &wiring(LEFT_ON))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    roles::read_until(&mut out, "relay is on");
    // The successor is faster than the guard, which is stopped. The kernel continues the stopped processes of a group
    // when the last parent outside the group dies, so another child of this test stays in the guard's group.
    let guard = guard_of(child.id());
    let group = i32::try_from(guard).expect("a process number");
    let mut holder = Command::new("sleep")
        .arg("600")
        .process_group(group)
        .spawn()
        .expect("starts");
    signal(guard, Signal::STOP);
    signal(child.id(), Signal::KILL);
    child.wait().expect("ended");
    // Opened in the same way as in the program, because the kernel frees the lines of a dead process a moment after its end.
    let successor =
        output::open_patiently(&wiring(LEFT_ON), Duration::from_secs(2)).expect("free lines");
    signal(guard, Signal::CONT);
    // The file ends when the guard ends.
    let mut log = String::new();
    let mut err = child.stderr.take().expect("piped");
    std::io::Read::read_to_string(&mut err, &mut log).expect("readable");
    assert!(log.contains("guard: latchkey died; relay off"), "{log}");
    drop(successor);
    holder.kill().expect("a child of this test");
    holder.wait().expect("ended");
}

/// All these tests need gpio-sim.
fn main() -> std::process::ExitCode {
    roles::play_requested_role();
    let trials = crate::tests![
        lines_are_off_from_open_to_drop_unless_set,
        a_relay_that_is_active_low_is_off_while_high,
        chips_are_found_by_label_name_and_path,
        unavailable_lines_are_named_with_their_holder,
        a_press_is_reported_once_and_bounces_never,
        a_chip_that_goes_is_an_error_and_comes_back,
        the_guard_drives_the_line_of_a_killed_process_off,
        the_guard_kills_a_process_that_hangs_with_the_relay_on,
        the_guard_leaves_the_line_to_a_successor,
    ];
    common::harness::run(
        trials
            .into_iter()
            .map(|t| t.with_ignored_flag(true))
            .collect(),
    )
}
