//! The time of day from a server (SNTP): asked for at once, then twice an hour. The clock is set whenever it is wrong. An
//! answer is not signed: only a possible time is accepted, and nothing that opens the door depends on it.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rsntp::{Config, SntpClient};

use super::kernel;

/// The pause after a request that was answered.
const EVERY: Duration = Duration::from_secs(1800);
/// The pause after a request that was not answered: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after its build this program may still run: a later time is taken for wrong.
const LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// A smaller error of the clock is left as it is.
const OFF: Duration = Duration::from_millis(100);

/// Keeps the clock right for ever, whenever there is a network.
pub fn keep(server: &str, network: &dyn Fn() -> bool) {
    let client = SntpClient::with_config(Config::default().timeout(PATIENCE));
    let mut again = AGAIN.0;
    loop {
        while !network() {
            std::thread::sleep(Duration::from_secs(1));
        }
        let wait = match ask(&client, server) {
            Ok(()) => {
                again = AGAIN.0;
                EVERY
            }
            Err(error) => {
                let wait = again;
                again = (again * 2).min(AGAIN.1);
                log::warn!(
                    "time_unknown server={server} why={:?} next_in_s={}",
                    error.to_string(),
                    wait.as_secs()
                );
                wait
            }
        };
        std::thread::sleep(wait);
    }
}

fn ask(client: &SntpClient, server: &str) -> io::Result<()> {
    let answer = client.synchronize(server).map_err(io::Error::other)?;
    let offset = answer.clock_offset();
    let by = offset.abs_as_std_duration().map_err(io::Error::other)?;
    let made = Path::new("/proc/self/exe").metadata()?.modified()?;
    let time = moved(SystemTime::now(), by, offset.signum() < 0, made)?;
    if by >= OFF {
        kernel::step_clock(time)?;
        log::info!("clock_set by_s={:.3} server={server}", offset.as_secs_f64());
    }
    Ok(())
}

/// Whether `time` is possible for a program that was built at `made`.
pub fn can_be(time: SystemTime, made: SystemTime) -> bool {
    time.duration_since(made).is_ok_and(|age| age <= LIFE)
}

/// `now` moved by `by`, `back` or forward, if that is a possible time.
fn moved(now: SystemTime, by: Duration, back: bool, made: SystemTime) -> io::Result<SystemTime> {
    let time = match back {
        true => now.checked_sub(by),
        false => now.checked_add(by),
    };
    time.filter(|time| can_be(*time, made)).ok_or_else(|| {
        io::Error::other(
            "its time cannot be: it is from before this program was made, or 20 years later",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_clock_moves_both_ways_but_not_before_the_build() {
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let now = made + Duration::from_secs(100);
        let second = Duration::from_secs(1);
        assert_eq!(moved(now, second, false, made).unwrap(), now + second);
        assert_eq!(moved(now, second, true, made).unwrap(), now - second);
        assert!(moved(now, 101 * second, true, made).is_err());
        assert!(moved(now, LIFE, false, made).is_err());
        assert!(moved(now, Duration::MAX, false, made).is_err());
    }

    #[test]
    fn a_malformed_answer_is_an_error() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let answers: [&[u8]; 4] = [b"", b"x", &[0; 48], &[0xff; 1000]];
        let asked = std::thread::spawn(move || {
            for answer in answers {
                let (_, from) = server.recv_from(&mut [0; 64]).unwrap();
                server.send_to(answer, from).unwrap();
            }
        });
        let client = SntpClient::with_config(Config::default().timeout(PATIENCE));
        for _ in answers {
            ask(&client, &address).unwrap_err();
        }
        asked.join().unwrap();
    }
}
