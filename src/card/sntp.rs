//! The time of day from a server (SNTP): requested at once, then twice an hour. The clock is set whenever it is wrong. An
//! answer is not signed, so only a possible time is accepted, and nothing that opens the door depends on it.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rsntp::{Config, SntpClient};

use super::kernel;

/// The pause after a request that was answered.
const INTERVAL: Duration = Duration::from_secs(1800);
/// The pause after a request that was not answered: the first pause, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long after its build this program may still run. A later time is regarded as wrong.
const LONGEST_USE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// A smaller error of the clock is left as it is.
const TOLERANCE: Duration = Duration::from_millis(100);

/// Keeps the clock right whenever there is a network. Never ends.
pub fn run(server: &str, network: &dyn Fn() -> bool) {
    let client = SntpClient::with_config(Config::default().timeout(TIMEOUT));
    let mut retry = RETRY.0;
    loop {
        while !network() {
            std::thread::sleep(Duration::from_secs(1));
        }
        let wait = match synchronise(&client, server) {
            Ok(()) => {
                retry = RETRY.0;
                INTERVAL
            }
            Err(error) => {
                let wait = retry;
                retry = (retry * 2).min(RETRY.1);
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

fn synchronise(client: &SntpClient, server: &str) -> io::Result<()> {
    let answer = client.synchronize(server).map_err(io::Error::other)?;
    let offset = answer.clock_offset();
    let by = offset.abs_as_std_duration().map_err(io::Error::other)?;
    let built = Path::new("/proc/self/exe").metadata()?.modified()?;
    let time = moved(SystemTime::now(), by, offset.signum() < 0, built)?;
    if by >= TOLERANCE {
        kernel::step_clock(time)?;
        log::info!("clock_set by_s={:.3} server={server}", offset.as_secs_f64());
    }
    Ok(())
}

/// Whether `time` is possible for a program that was built at `built`.
pub fn is_plausible(time: SystemTime, built: SystemTime) -> bool {
    time.duration_since(built)
        .is_ok_and(|age| age <= LONGEST_USE)
}

/// The time that is `by` before (`back`) or after `now`, if that is a possible time.
fn moved(now: SystemTime, by: Duration, back: bool, built: SystemTime) -> io::Result<SystemTime> {
    let time = match back {
        true => now.checked_sub(by),
        false => now.checked_add(by),
    };
    time.filter(|time| is_plausible(*time, built))
        .ok_or_else(|| {
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
        assert!(moved(now, LONGEST_USE, false, made).is_err());
        assert!(moved(now, Duration::MAX, false, made).is_err());
    }

    #[test]
    fn a_malformed_answer_is_an_error() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let answers: [&[u8]; 4] = [b"", b"x", &[0; 48], &[0xff; 1000]];
        let serving = std::thread::spawn(move || {
            for answer in answers {
                let (_, from) = server.recv_from(&mut [0; 64]).unwrap();
                server.send_to(answer, from).unwrap();
            }
        });
        let client = SntpClient::with_config(Config::default().timeout(TIMEOUT));
        for _ in answers {
            synchronise(&client, &address).unwrap_err();
        }
        serving.join().unwrap();
    }
}
