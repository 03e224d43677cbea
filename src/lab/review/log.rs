//! Reads the door's events from the log of `run --source doorstep:SCRIPT`. Whether they are right is not judged here.

use jiff::Timestamp;

/// The door's events in the log, in milliseconds since the camera came up.
#[derive(Default)]
pub struct Logged {
    /// The times when the door opened, and by whom.
    pub opened: Vec<(u64, String)>,
    pub closed: Vec<u64>,
    /// The times when a person was granted or refused.
    pub decided: Vec<u64>,
    pub refused: Vec<u64>,
    /// The times when each lock-out of the door began and ended.
    pub locked: Vec<(u64, u64)>,
    /// Whether the play ran to its end.
    pub ended: bool,
}

impl Logged {
    pub fn read(log: &str) -> Self {
        let mut logged = Self::default();
        let mut begun = None;
        for line in log.lines() {
            let mut words = line.split_whitespace();
            let Some(Ok(time)) = words.next().map(str::parse::<Timestamp>) else {
                continue;
            };
            let (event, values) = (words.nth(1).unwrap_or_default(), words);
            let value = |key: &str| {
                let mut values = values.clone();
                values.find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
            };
            if event == "camera_up" {
                begun = Some(time);
            }
            let Some(begun) = begun else { continue };
            let at = u64::try_from((time - begun).get_milliseconds()).unwrap_or(0)
                + 1000 * u64::try_from((time - begun).get_seconds()).unwrap_or(0);
            match event {
                "granted" => logged.decided.push(at),
                "refused" => {
                    logged.decided.push(at);
                    logged.refused.push(at);
                }
                "opened" => {
                    let by = value("by").unwrap_or_default();
                    logged.opened.push((at, by.to_owned()));
                }
                "closed" => logged.closed.push(at),
                "locked_out" => logged.locked.push((at, u64::MAX)),
                "lockout_over" => {
                    if let Some((_, until)) = logged.locked.last_mut() {
                        *until = at;
                    }
                }
                "stopping" => logged.ended = value("source") == Some("ended"),
                _ => {}
            }
        }
        logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: Created a delegate.
2026-11-25T10:00:00.500Z INFO  camera_up name=doorstep
2026-11-25T10:00:04.000Z INFO  granted person=Ada track=1
2026-11-25T10:00:04.000Z INFO  opened by=Ada
2026-11-25T10:00:05.000Z INFO  closed held_ms=1000
2026-11-25T10:01:10.250Z INFO  refused track=2
2026-11-25T10:01:12.000Z INFO  locked_out seconds=30
2026-11-25T10:01:20.000Z INFO  stopping source=ended
";

    #[test]
    fn the_log_is_read_in_the_plays_time() {
        let logged = Logged::read(LOG);
        assert_eq!(logged.opened, [(3500, "Ada".to_owned())]);
        assert_eq!(logged.closed, [4500]);
        assert_eq!(logged.refused, [69750]);
        assert_eq!(logged.locked, [(71500, u64::MAX)]);
        assert!(logged.ended);
        assert!(!Logged::read(LOG.split_once("stopping").unwrap().0).ended);
    }
}
