//! The network, for the clock only: a separate process, which runs only if the owner asks for it.
//!
//! It unpacks programs and drivers from the card's first partition into memory, loads the drivers, and keeps three programs
//! running: `wpa_supplicant` for a wireless network, busybox's `udhcpc` for an address (IPv4), and `sntp`. The first process
//! starts this process again at a bounded rate, and nothing else depends on it. Nothing here listens: there is no service.
//!
//! Before it reads anything that comes over a network, it changes to a separate user that may configure the network and set the
//! clock, and no more. It cannot see the data of people.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{Gid, Pid, Signal, Uid, kill_process_group, setpriority_process};
use rustix::thread::{self, CapabilitySet, CapabilitySets, UnshareFlags};

use super::console::Console;
use super::restarting_process::{RestartDelay, RestartingProcess};
use super::{kernel, sntp};
use crate::config::{Config, Overrides, Wifi};
use crate::journal;

/// The name of the process.
pub const NAME: &str = "/network";
/// The user that this process and everything that it starts run as. Nothing else runs as this user.
const USER: u32 = 1001;
/// The rights of that user: interfaces and routes, raw packets, the port of DHCP, the clock.
const RIGHTS: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_TIME);
/// The folder for this process's files, in memory and for that user only.
const FOLDER: &str = "/run/network";
/// The mark that everything is unpacked, and where the card's first partition is mounted. Both belong to root, because that
/// user must not influence what is unpacked.
const UNPACKED: &str = "/run/network.unpacked";
const BOOT: &str = "/run/network.boot";
/// The archive on the card's first partition: programs, drivers, and the firmware of wireless chips.
const ARCHIVE: &str = "network.tar.xz";
/// A script in the archive that handles an address from `udhcpc` (see scripts/card/lease).
const LEASE: &str = "/usr/share/latchkey/lease";
/// Where that script writes the address and the name servers.
const ADDRESS: &str = "/run/network/address";
const NAME_SERVERS: &str = "/etc/resolv.conf";
/// How often everything is checked.
const TICK: Duration = Duration::from_secs(1);

/// The first process's side of the network.
pub struct Network {
    command: Command,
    process: RestartingProcess,
}

impl Network {
    /// A network that uses the archive on the partition `boot` and the configuration `config`.
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
            process: RestartingProcess::new(),
        }
    }

    /// Starts the network's process if it does not run and is due.
    pub fn ensure_running(&mut self) {
        if let Some(delay) = self.process.ensure_running(|| self.command.spawn()) {
            log_restart(&delay);
        }
    }

    /// Handles the end of the process `pid`, which may be the network's.
    pub fn handle_exit(&mut self, pid: u32) {
        if let Some(delay) = self.process.handle_exit(pid) {
            // The children of the network's process must end, too.
            let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            log_restart(&delay);
        }
    }
}

fn log_restart(delay: &RestartDelay) {
    log::warn!(
        "network_ended why={:?} next_in_ms={}",
        delay.why,
        delay.next_in.as_millis()
    );
}

/// The network's process itself. Its arguments are the partition and the configuration.
#[must_use]
pub fn main() -> ExitCode {
    journal::start_direct(Box::new(Console::open()));
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(boot), Some(config)) = (arguments.next(), arguments.next()) else {
        eprintln!("latchkey: {NAME} is started by the first process of a card; nothing was done");
        return ExitCode::from(2);
    };
    // The door takes precedence, also when memory runs out.
    let _ = setpriority_process(None, 10);
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    let Err(error) = run(&boot, &config);
    log::error!("network_failed why={:?}", error.to_string());
    ExitCode::from(3)
}

fn run(boot: &Path, config: &Path) -> io::Result<std::convert::Infallible> {
    let overrides = Overrides {
        config: Some(config.to_owned()),
        ..Overrides::default()
    };
    let config = Config::load(&overrides).map_err(io::Error::other)?;
    let (system, network) = config.card.read().map_err(io::Error::other)?;
    let failed = |what: &'static str| {
        move |error| {
            io::Error::other(format!(
                "{what}: {error}; there is no network without that: write the image again, which keeps the people"
            ))
        }
    };
    hide_people().map_err(failed("the data of people cannot be hidden from it"))?;
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
    become_user().map_err(failed("it cannot become a user of its own"))?;
    let _ = fs::remove_file(ADDRESS);
    let clock = system.time_server.map(|server| {
        let address = Path::new(ADDRESS);
        std::thread::spawn(move || sntp::run(&server, &|| address.exists()))
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
        let found = find_interface(Path::new("/sys/class/net"), wifi.is_some());
        if found != interface {
            supplicant.process.stop();
            dhcp.process.stop();
            let _ = fs::remove_file(ADDRESS);
            let name = found.as_ref().map_or("gone", |(name, _)| name);
            log::info!("network interface={name}");
            interface = found;
        }
        if let Some((interface, _)) = &interface {
            if wifi.is_some() {
                supplicant.ensure_running(|| {
                    let mut command = Command::new("/usr/sbin/wpa_supplicant");
                    // wpa_supplicant writes line by line only to a file that is given with -f.
                    command.args(["-D", "nl80211", "-f", "/proc/self/fd/1", "-i", interface]);
                    command
                        .arg("-c")
                        .arg(&supplicant_file)
                        .stdout(Stdio::piped());
                    command
                });
                if let Some(output) = supplicant.process.output() {
                    std::thread::spawn(move || log_states(output));
                }
            }
            let runs = dhcp.ensure_running(|| {
                let mut command = Command::new("/bin/busybox");
                command.args(["udhcpc", "-f", "-i", interface, "-s", LEASE]);
                command.stdout(Stdio::null());
                command
            });
            if !runs {
                // An address is leased only while the client runs.
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

/// Unmounts the data partition for this process, because only the first process and the job may use that partition.
fn hide_people() -> io::Result<()> {
    #[expect(unsafe_code, reason = "rustix marks the call so for other flags")]
    // SAFETY: the table of open files, which other threads might use, stays shared.
    unsafe {
        thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    // Without this, the first process would lose the partition, too.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    Ok(unmount(super::DATA, UnmountFlags::DETACH)?)
}

/// Changes from root to [`USER`] with [`RIGHTS`], which its children inherit. This changes the calling thread only, so it must
/// run before there are other threads.
fn become_user() -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(FOLDER)?;
    chown(FOLDER, Some(USER), Some(USER))?;
    let mut options = OpenOptions::new();
    let servers = options.append(true).create(true).open(NAME_SERVERS)?;
    fchown(&servers, Some(USER), Some(USER))?;

    let each = (0..64).map(|n| CapabilitySet::from_bits_retain(1 << n));
    // The first error means that the kernel knows no further rights.
    for right in each.take_while(|right| thread::capability_is_in_bounding_set(*right).is_ok()) {
        if !RIGHTS.contains(right) {
            thread::remove_capability_from_bounding_set(right)?;
        }
    }
    thread::set_no_new_privs(true)?;
    // The rights are kept across the change of the user, which drops them otherwise.
    thread::set_keep_capabilities(true)?;
    let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(group, group, group)?;
    thread::set_thread_res_uid(user, user, user)?;
    let sets = CapabilitySets {
        effective: RIGHTS,
        permitted: RIGHTS,
        inheritable: RIGHTS,
    };
    thread::set_capabilities(None, sets)?;
    for right in RIGHTS.iter() {
        thread::configure_capability_in_ambient_set(right, true)?;
    }
    Ok(())
}

/// Unpacks the archive into memory, once.
fn unpack(boot: &Path) -> io::Result<()> {
    if Path::new(UNPACKED).exists() {
        return Ok(());
    }
    fs::create_dir_all(BOOT)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(boot, BOOT, "vfat", flags, c"")?;
    let status = Command::new("/bin/busybox")
        .args(["tar", "-C", "/", "-xJf"])
        .arg(Path::new(BOOT).join(ARCHIVE))
        .status();
    unmount(BOOT, UnmountFlags::empty())?;
    match status?.success() {
        true => fs::write(UNPACKED, b""),
        false => Err(io::Error::other(format!(
            "{ARCHIVE} cannot be unpacked; write the image again, which keeps the people"
        ))),
    }
}

/// The first interface of that kind, by name, in the folder `all`, and its number, which changes when the interface is plugged
/// in again.
fn find_interface(all: &Path, wireless: bool) -> Option<(String, String)> {
    let ours = fs::read_dir(all).ok()?.flatten().filter(|entry| {
        let path = entry.path();
        path.join("device").exists() && path.join("phy80211").exists() == wireless
    });
    let first = ours.min_by_key(fs::DirEntry::file_name)?;
    let number = fs::read_to_string(first.path().join("ifindex")).ok()?;
    Some((first.file_name().to_string_lossy().into_owned(), number))
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

/// `wpa_supplicant`'s configuration: WPA2 and nothing older. The network's name is in hexadecimal digits, because it may have
/// any bytes.
fn supplicant_settings(wifi: &Wifi) -> String {
    let country = wifi.country.as_ref();
    let country = country.map_or(String::new(), |country| format!("country={country}\n"));
    let name: String = wifi.name.bytes().map(|b| format!("{b:02x}")).collect();
    let password = &wifi.password;
    format!(
        "{country}network={{\n\tssid={name}\n\tscan_ssid=1\n\tproto=RSN\n\tpairwise=CCMP\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tpsk=\"{password}\"\n}}\n"
    )
}

/// Logs how joining a wireless network goes.
fn log_states(output: ChildStdout) {
    let mut last = "";
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let state = wifi_state(last, &String::from_utf8_lossy(&line));
        if state != last {
            log::info!("wifi state={state}");
            last = state;
        }
    }
}

/// The state that follows `last` after a line of `wpa_supplicant`.
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

/// A program that is started again whenever it ends.
struct Program {
    name: &'static str,
    process: RestartingProcess,
}

impl Program {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            process: RestartingProcess::new(),
        }
    }

    /// Starts the program if it does not run and is due. Returns whether it runs.
    fn ensure_running(&mut self, command: impl FnOnce() -> Command) -> bool {
        let start = || command().stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let ended = self.process.has_ended();
        if let Some(delay) = ended.or_else(|| self.process.ensure_running(start)) {
            log::warn!(
                "network_program_ended name={} why={:?} next_in_ms={}",
                self.name,
                delay.why,
                delay.next_in.as_millis()
            );
        }
        self.process.is_running()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::*;

    #[test]
    fn any_name_and_password_reach_the_supplicant_unchanged() {
        let wifi = Wifi {
            name: "our \"home\"\\".to_owned(),
            password: "pass\"}\\word#".to_owned(),
            country: Some("NL".to_owned()),
        };
        let text = supplicant_settings(&wifi);
        assert!(text.starts_with("country=NL\nnetwork={\n"), "{text}");
        assert!(text.contains("\n\tssid=6f75722022686f6d65225c\n"), "{text}");
        assert!(text.contains("\n\tproto=RSN\n\tpairwise=CCMP\n"), "{text}");
        assert!(text.contains("\n\tpsk=\"pass\"}\\word#\"\n}\n"), "{text}");
    }

    #[test]
    fn an_adapter_that_is_plugged_in_again_is_a_different_one() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str, number: &str, has: &[&str]| {
            let path = folder.path().join(name);
            for has in has {
                fs::create_dir_all(path.join(has)).unwrap();
            }
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("ifindex"), number).unwrap();
        };
        add("lo", "1", &[]);
        assert_eq!(find_interface(folder.path(), false), None);
        add("wlan0", "2", &["device", "phy80211"]);
        add("eth1", "3", &["device"]);
        add("eth0", "4", &["device"]);
        let first = find_interface(folder.path(), false);
        assert_eq!(first, Some(("eth0".to_owned(), "4".to_owned())));
        add("eth0", "5", &["device"]);
        assert_ne!(find_interface(folder.path(), false), first);
        let wireless = find_interface(folder.path(), true);
        assert_eq!(wireless, Some(("wlan0".to_owned(), "2".to_owned())));
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
    fn a_wrong_password_is_reported_as_one() {
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
    fn a_program_that_ends_at_once_is_started_after_longer_and_longer_pauses() {
        let mut program = Program::new("true");
        let mut starts = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            program.ensure_running(|| {
                starts += 1;
                Command::new("true")
            });
            std::thread::sleep(Duration::from_millis(5));
        }
        // Starts come after 0.25, 0.5 and 1 s.
        assert!((2..=4).contains(&starts), "{starts}");
    }
}
