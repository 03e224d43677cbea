//! What is left to a process that has confined itself: this test program starts itself again and tries.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use latchkey::config::{Config, Overrides};
use latchkey::confine::confine;

const FOLDER: &str = "LATCHKEY_TEST_FOLDER";

/// What was tried, and whether it went well, a line each.
fn tried(folder: &Path) -> Vec<String> {
    let program = Command::new("/proc/self/exe")
        .args(["--exact", "role", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .output()
        .expect("the test can start itself");
    let said = String::from_utf8_lossy(&program.stdout).into_owned();
    assert!(program.status.success(), "{said}");
    let lines = said.lines().filter_map(|l| l.split_once("tried "));
    lines.map(|(_, what)| what.to_owned()).collect()
}

#[test]
fn role() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let asked = Overrides {
        gallery: Some(folder.join("home/gallery")),
        ..Overrides::default()
    };
    let config = Config::load(&asked).expect("all by default");
    let confined = confine(&config);
    println!("\ntried files={} calls={}", confined.files, confined.calls);
    let say =
        |what: &str, went: bool| println!("tried {what}: {}", if went { "yes" } else { "no" });
    say(
        "read the gallery",
        File::open(folder.join("home/gallery")).is_ok(),
    );
    say(
        "write the gallery",
        File::options()
            .write(true)
            .open(folder.join("home/gallery"))
            .is_ok(),
    );
    say(
        "read elsewhere",
        File::open(folder.join("elsewhere")).is_ok(),
    );
    say("read passwd", File::open("/etc/passwd").is_ok());
    say(
        "write anywhere",
        File::create(folder.join("home/new")).is_ok(),
    );
    say("read a device", File::open("/dev/zero").is_ok());
    say("read the kernel's tables", File::open("/sys/class").is_ok());
    say(
        "run a shell",
        Command::new("/bin/sh")
            .args(["-c", "true"])
            .status()
            .is_ok(),
    );
    say(
        "run itself",
        Command::new("/proc/self/exe")
            .arg("--list")
            .output()
            .is_ok_and(|o| o.status.success()),
    );
    say(
        "listen to the network",
        TcpListener::bind("127.0.0.1:0").is_ok(),
    );
    say("send into it", UdpSocket::bind("127.0.0.1:0").is_ok());
    say("speak to a neighbour", UnixDatagram::unbound().is_ok());
    // A thread of later is no way out.
    let thread = std::thread::spawn(|| File::open("/etc/passwd").is_ok());
    say(
        "read passwd from a thread",
        thread.join().expect("no panic"),
    );
    let other = rustix::process::kill_process(
        rustix::process::getppid().expect("a parent"),
        rustix::process::Signal::CONT,
    );
    say("signal another process", other.is_ok());
}

#[test]
fn a_confined_process_keeps_its_devices_and_its_gallery_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("home")).expect("made");
    for file in ["home/gallery", "elsewhere"] {
        std::fs::write(folder.path().join(file), "text").expect("written");
    }
    let said = tried(folder.path());
    let (layers, tries) = said.split_first().expect("it said something");
    let expected = [
        "read the gallery: yes",
        "write the gallery: no",
        "read elsewhere: no",
        "read passwd: no",
        "write anywhere: no",
        "read a device: yes",
        "read the kernel's tables: yes",
        "run a shell: no",
        "run itself: yes",
        "listen to the network: no",
        "send into it: no",
        "speak to a neighbour: yes",
        "read passwd from a thread: no",
        "signal another process: no",
    ];
    if layers.contains("files=none") || layers.contains("calls=false") {
        // Emulated kernels know neither.
        println!("skipped confine: this kernel has {layers}");
        return;
    }
    if layers.contains("files=partial") {
        // Signals are the newest of its rules.
        assert_eq!(tries[..tries.len() - 1], expected[..expected.len() - 1]);
        return;
    }
    assert_eq!(tries, expected);
}
