//! The network, for the clock's sake: a process of its own beside the job, there only if the owner asks for it.
//!
//! It unpacks what a network takes from the card's first partition into memory, loads the drivers, and keeps going
//! `wpa_supplicant` for a wireless one, busybox's `udhcpc` for an address (IPv4), and the `clock`. The first process starts
//! it anew at a bounded rate, and nothing else depends on it. Nothing here listens: there is no service.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};

use super::console::Console;
use super::job::{Ended, Restarts};
use super::{clock, kernel};
use crate::config::{Config, Overrides, Wifi};
use crate::journal;

/// How the process is called.
pub const NAME: &str = "/network";
/// What it keeps, in memory, for root only.
const FOLDER: &str = "/run/network";
/// On the card's first partition: programs, drivers, and what the wireless chips run.
const ARCHIVE: &str = "network.tar.xz";
/// Comes with it: what to do with an address (see scripts/card/lease).
const LEASE: &str = "/usr/share/latchkey/lease";
/// Where that says which address there is.
const ADDRESS: &str = "/run/network/address";
/// How often everything is looked at.
const TICK: Duration = Duration::from_secs(1);

/// The first process's side.
pub struct Network {
    command: Command,
    child: Option<Child>,
    started: Instant,
    next: Instant,
    restarts: Restarts,
}

impl Network {
    /// From what lies on the partition `boot`, as the file `config` says.
    pub fn new(boot: &Path, config: &Path) -> Self {
        let mut command = Command::new(super::PROGRAM);
        command
            .arg0(NAME)
            .args([boot, config])
            .env_clear()
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            command,
            child: None,
            started: Instant::now(),
            next: Instant::now(),
            restarts: Restarts::default(),
        }
    }

    /// Starts it if it does not run and it is time to.
    pub fn keep(&mut self) {
        if self.child.is_some() || Instant::now() < self.next {
            return;
        }
        self.started = Instant::now();
        match self.command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => self.wait_after(&error.to_string()),
        }
    }

    /// The process `pid` has ended: perhaps it was this one.
    pub fn note_end(&mut self, pid: u32) {
        if self.child.as_ref().is_some_and(|child| child.id() == pid) {
            self.child = None;
            // Its own children.
            let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            self.wait_after("ended");
        }
    }

    fn wait_after(&mut self, why: &str) {
        let delay = self.restarts.after(Ended::Refused, self.started.elapsed());
        self.next = Instant::now() + delay;
        log::warn!("network_ended why={why:?} next_in_ms={}", delay.as_millis());
    }
}

/// The process itself: its words are the partition and the configuration.
#[must_use]
pub fn main() -> ExitCode {
    journal::start_direct(Box::new(Console::open()));
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(boot), Some(config)) = (words.next(), words.next()) else {
        eprintln!("latchkey: {NAME} is started by the first process of a card; nothing was done");
        return ExitCode::from(2);
    };
    // The door comes first, also where memory ends.
    let _ = setpriority_process(None, 10);
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    let Err(error) = run(&boot, &config);
    log::error!("network_failed why={:?}", error.to_string());
    ExitCode::from(3)
}

fn run(boot: &Path, config: &Path) -> io::Result<std::convert::Infallible> {
    let asked = Overrides {
        config: Some(config.to_owned()),
        ..Overrides::default()
    };
    let config = Config::load(&asked).map_err(io::Error::other)?;
    let (system, network) = config.card.read().map_err(io::Error::other)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(FOLDER)?;
    let _ = fs::remove_file(ADDRESS);
    unpack(boot)?;
    // Addresses come from DHCP alone.
    for of in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{of}/disable_ipv6"), "1");
    }
    let drivers = kernel::modules(Path::new("/modules/network"));
    log::info!(
        "network drivers={} refused={}",
        drivers.loaded,
        drivers.refused
    );
    let clock = system.time_server.map(|server| {
        let address = Path::new(ADDRESS);
        std::thread::spawn(move || clock::keep(&server, &|| address.exists()))
    });
    let wifi = network.wifi;
    let supplicant_file = Path::new(FOLDER).join("wifi.conf");
    if let Some(wifi) = &wifi {
        write_secret(&supplicant_file, &supplicant_settings(wifi))?;
    }
    let mut supplicant = Program::new("wpa_supplicant");
    let mut dhcp = Program::new("udhcpc");
    let (mut interface, mut address) = (None, String::new());
    loop {
        let found = find_interface(wifi.is_some());
        if found != interface {
            supplicant.stop();
            dhcp.stop();
            let _ = fs::remove_file(ADDRESS);
            log::info!("network interface={}", found.as_deref().unwrap_or("gone"));
            interface = found;
        }
        if let Some(interface) = &interface {
            if wifi.is_some() {
                supplicant.keep(|| {
                    let mut command = Command::new("/usr/sbin/wpa_supplicant");
                    // By that name its output has lines.
                    command.args(["-D", "nl80211", "-f", "/proc/self/fd/1", "-i", interface]);
                    command
                        .arg("-c")
                        .arg(&supplicant_file)
                        .stdout(Stdio::piped());
                    command
                });
                if let Some(said) = supplicant.output() {
                    std::thread::spawn(move || tell(said));
                }
            }
            let lent = dhcp.keep(|| {
                let mut command = Command::new("/bin/busybox");
                command.args(["udhcpc", "-f", "-i", interface, "-s", LEASE]);
                command.stdout(Stdio::null());
                command
            });
            if !lent {
                // An address is lent to whoever runs.
                let _ = fs::remove_file(ADDRESS);
            }
        }
        let now = fs::read_to_string(ADDRESS).unwrap_or_default();
        if now != address {
            address = now;
            let address = address.trim();
            log::info!("network address={}", journal::value(address));
        }
        if clock.as_ref().is_some_and(|clock| clock.is_finished()) {
            return Err(io::Error::other("the clock's thread has ended"));
        }
        std::thread::sleep(TICK);
    }
}

/// Everything into memory, once.
fn unpack(boot: &Path) -> io::Result<()> {
    let done = Path::new(FOLDER).join("unpacked");
    if done.exists() {
        return Ok(());
    }
    let at = Path::new(FOLDER).join("boot");
    fs::create_dir_all(&at)?;
    // Of one that was killed.
    let _ = unmount(&at, UnmountFlags::empty());
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(boot, &at, "vfat", flags, c"")?;
    let status = Command::new("/bin/busybox")
        .args(["tar", "-C", "/", "-xJf"])
        .arg(at.join(ARCHIVE))
        .status();
    unmount(&at, UnmountFlags::empty())?;
    match status?.success() {
        true => fs::write(done, b""),
        false => Err(io::Error::other(format!(
            "{ARCHIVE} cannot be unpacked; write the image anew, which keeps the people"
        ))),
    }
}

/// The first one, by name, of that kind.
fn find_interface(wireless: bool) -> Option<String> {
    let all = fs::read_dir("/sys/class/net").ok()?.flatten();
    let ours = all.filter(|entry| {
        let path = entry.path();
        path.join("device").exists() && path.join("phy80211").exists() == wireless
    });
    ours.map(|entry| entry.file_name().to_string_lossy().into_owned())
        .min()
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// `wpa_supplicant`'s configuration: the name in hexadecimal digits, as it may have any bytes.
fn supplicant_settings(wifi: &Wifi) -> String {
    let country = wifi.country.as_ref();
    let country = country.map_or(String::new(), |country| format!("country={country}\n"));
    let name: String = wifi.name.bytes().map(|b| format!("{b:02x}")).collect();
    let password = &wifi.password;
    format!(
        "{country}network={{\n\tssid={name}\n\tscan_ssid=1\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tpsk=\"{password}\"\n}}\n"
    )
}

/// Tells what becomes of joining a wireless network.
fn tell(said: ChildStdout) {
    let mut last = "";
    for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
        let state = wifi_state(last, &String::from_utf8_lossy(&line));
        if state != last {
            log::info!("wifi state={state}");
            last = state;
        }
    }
}

/// What a line of `wpa_supplicant` makes of the state `last`.
fn wifi_state<'a>(last: &'a str, line: &str) -> &'a str {
    let has = |word: &str| line.contains(word);
    if has("CTRL-EVENT-CONNECTED") {
        "joined"
    } else if has("CTRL-EVENT-NETWORK-NOT-FOUND") {
        "not_found"
    } else if has("WRONG_KEY") || has("pre-shared key may be incorrect") {
        "wrong_password"
    } else if has("CTRL-EVENT-DISCONNECTED") && last == "joined" {
        "lost"
    } else {
        last
    }
}

/// A program that is to run for good: started anew, later and later if it keeps ending.
struct Program {
    name: &'static str,
    child: Option<Child>,
    started: Instant,
    next: Instant,
    restarts: Restarts,
}

impl Program {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            child: None,
            started: Instant::now(),
            next: Instant::now(),
            restarts: Restarts::default(),
        }
    }

    /// Starts it if it does not run and it is time to. Whether it runs.
    fn keep(&mut self, command: impl FnOnce() -> Command) -> bool {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => return true,
                Ok(Some(status)) => self.wait_after(&status.to_string()),
                Err(error) => self.wait_after(&error.to_string()),
            }
            return false;
        }
        if Instant::now() < self.next {
            return false;
        }
        self.started = Instant::now();
        let spawned = command().stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        match spawned {
            Ok(child) => self.child = Some(child),
            Err(error) => self.wait_after(&error.to_string()),
        }
        self.child.is_some()
    }

    /// What it says, once for each start.
    fn output(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.stdout.take()
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn wait_after(&mut self, why: &str) {
        self.child = None;
        let delay = self.restarts.after(Ended::Refused, self.started.elapsed());
        self.next = Instant::now() + delay;
        log::warn!(
            "network_program_ended name={} why={why:?} next_in_ms={}",
            self.name,
            delay.as_millis()
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn any_name_and_password_reach_the_supplicant_whole() {
        let wifi = Wifi {
            name: "our \"home\"\\".to_owned(),
            password: "pass\"}\\word#".to_owned(),
            country: Some("NL".to_owned()),
        };
        let text = supplicant_settings(&wifi);
        assert!(text.starts_with("country=NL\nnetwork={\n"), "{text}");
        assert!(text.contains("\n\tssid=6f75722022686f6d65225c\n"), "{text}");
        assert!(text.contains("\n\tpsk=\"pass\"}\\word#\"\n}\n"), "{text}");
    }

    #[test]
    fn a_secret_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wifi.conf");
        fs::write(&path, "everybody's").unwrap();
        write_secret(&path, "secret").unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
    }

    #[test]
    fn a_wrong_password_is_told_as_one() {
        let lines = [
            (
                "wlan0: Trying to associate with 02:00 (SSID='x' freq=2412 MHz)",
                "",
            ),
            (
                "wlan0: WPA: 4-Way Handshake failed - pre-shared key may be incorrect",
                "wrong_password",
            ),
            (
                "wlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 auth_failures=1 reason=WRONG_KEY",
                "wrong_password",
            ),
            (
                "wlan0: CTRL-EVENT-DISCONNECTED bssid=02:00 reason=15",
                "wrong_password",
            ),
            (
                "wlan0: CTRL-EVENT-CONNECTED - Connection to 02:00 completed",
                "joined",
            ),
            (
                "wlan0: CTRL-EVENT-DISCONNECTED bssid=02:00 reason=4",
                "lost",
            ),
            ("wlan0: CTRL-EVENT-NETWORK-NOT-FOUND", "not_found"),
        ];
        let mut state = "";
        for (line, expected) in lines {
            state = wifi_state(state, line);
            assert_eq!(state, expected, "{line}");
        }
    }

    #[test]
    fn a_program_that_ends_at_once_is_started_ever_more_rarely() {
        let mut program = Program::new("true");
        let mut starts = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            program.keep(|| {
                starts += 1;
                Command::new("true")
            });
            std::thread::sleep(Duration::from_millis(5));
        }
        // After 0.25, 0.5 and 1 s.
        assert!((2..=4).contains(&starts), "{starts}");
    }
}
