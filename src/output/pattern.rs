//! What the LEDs show. A pure function: it turns an indication, and the time since that indication began, into which LEDs are
//! on.
//!
//! | indication | LED | shape, ms |
//! |---|---|---|
//! | ready | status | a flash of 50 every 2000 |
//! | face seen | status | on, winking: 450 on, 50 off |
//! | granted | granted | on |
//! | refused | refused | three blinks, 200 on, 200 off, then dark |
//! | locked out | refused | 500 on, 500 off |
//! | fault | refused | fast: 100 on, 100 off |
//! | notice | refused | two flashes of 50, 150 apart, every 2000 |
//!
//! Every indication has its own shape, so one LED is enough to distinguish them. If the LED of an indication is not wired, the
//! first wired LED shows it, in the order status, refused, granted.

use std::fmt;
use std::time::Duration;

use super::wiring::Wired;
use crate::clock::Timestamp;
use crate::door::Indication;

/// Which LEDs are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Leds {
    /// Any colour: shows that the door works or sees a face.
    pub status: bool,
    /// Green.
    pub granted: bool,
    /// Red.
    pub refused: bool,
}

impl fmt::Display for Leds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on| if on { "on" } else { "off" };
        let (status, granted, refused) = (self.status, self.granted, self.refused);
        write!(
            f,
            "leds status {} granted {} refused {}",
            word(status),
            word(granted),
            word(refused)
        )
    }
}

/// How an LED behaves: alternating times on and off, in ms, beginning with on.
struct Shape {
    turns: &'static [u64],
    /// The shape begins again after the last turn. Otherwise it stays as it is after the last turn.
    repeats: bool,
}

const fn shape(indication: Indication) -> Shape {
    let (turns, repeats): (&[u64], bool) = match indication {
        Indication::Ready => (&[50, 1950], true),
        Indication::FaceSeen => (&[450, 50], true),
        Indication::Granted => (&[], false),
        Indication::Refused => (&[200, 200, 200, 200, 200], false),
        Indication::LockedOut => (&[500, 500], true),
        Indication::Fault => (&[100, 100], true),
        Indication::Notice => (&[50, 150, 50, 1750], true),
    };
    Shape { turns, repeats }
}

/// Whether a shape is on `elapsed` after its beginning, and when it next changes, as a time since the beginning. None: never.
fn at(shape: &Shape, elapsed: Duration) -> (bool, Option<Duration>) {
    let total: u128 = shape
        .turns
        .iter()
        .map(|&ms| u128::from(ms) * 1_000_000)
        .sum();
    let elapsed = elapsed.as_nanos();
    let begun = match total {
        0 => 0,
        _ if shape.repeats => elapsed - elapsed % total,
        _ => 0,
    };
    let mut end = begun;
    let mut on = true;
    for &ms in shape.turns {
        end += u128::from(ms) * 1_000_000;
        if elapsed < end {
            // Only an elapsed time near the end of 584 years does not fit, so there is nothing to wait for.
            return (on, u64::try_from(end).ok().map(Duration::from_nanos));
        }
        on = !on;
    }
    (on, None)
}

/// Which of the LEDs that are wired are on, `elapsed` after the indication began.
#[must_use]
pub fn pattern(indication: Indication, elapsed: Duration, wired: Wired) -> Leds {
    let (on, _) = at(&shape(indication), elapsed);
    let mut leds = Leds::default();
    if !on {
        return leds;
    }
    let wanted = match indication {
        Indication::Ready | Indication::FaceSeen => wired.status,
        Indication::Granted => wired.granted,
        Indication::Refused | Indication::LockedOut | Indication::Fault | Indication::Notice => {
            wired.refused
        }
    };
    match indication {
        Indication::Granted if wanted => leds.granted = true,
        Indication::Refused | Indication::LockedOut | Indication::Fault | Indication::Notice
            if wanted =>
        {
            leds.refused = true;
        }
        _ if wired.status => leds.status = true,
        _ if wired.refused => leds.refused = true,
        _ => leds.granted = wired.granted,
    }
    leds
}

/// When [`pattern`] next changes, as a time since the beginning of the indication. None if it does not change.
#[must_use]
pub fn next_change(indication: Indication, elapsed: Duration) -> Option<Duration> {
    at(&shape(indication), elapsed).1
}

/// Plays the patterns. It remembers when the indication began.
#[derive(Clone, Copy, Debug)]
pub struct Player {
    wired: Wired,
    indication: Indication,
    since: Timestamp,
}

impl Player {
    /// Starts with `indication` at `now`.
    #[must_use]
    pub const fn new(wired: Wired, indication: Indication, now: Timestamp) -> Self {
        Self {
            wired,
            indication,
            since: now,
        }
    }

    /// Which LEDs must be on now, and when to call this again.
    pub fn update(&mut self, now: Timestamp, indication: Indication) -> (Leds, Option<Timestamp>) {
        if indication != self.indication {
            (self.indication, self.since) = (indication, now);
        }
        let elapsed = now.since(self.since);
        let leds = pattern(indication, elapsed, self.wired);
        let next = next_change(indication, elapsed).map(|after| self.since.plus(after));
        (leds, next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDICATIONS: [Indication; 7] = [
        Indication::Ready,
        Indication::FaceSeen,
        Indication::Granted,
        Indication::Refused,
        Indication::LockedOut,
        Indication::Fault,
        Indication::Notice,
    ];

    fn wired(bits: u8) -> Wired {
        Wired {
            status: bits & 1 != 0,
            granted: bits & 2 != 0,
            refused: bits & 4 != 0,
        }
    }

    fn any_on(leds: Leds) -> bool {
        leds.status || leds.granted || leds.refused
    }

    /// The first four seconds of an indication, one character per 50 ms.
    fn seen(indication: Indication, wired: Wired) -> String {
        (0..80)
            .map(|i| {
                let leds = pattern(indication, Duration::from_millis(i * 50), wired);
                match (leds.status, leds.granted, leds.refused) {
                    (false, false, false) => '.',
                    (true, false, false) => 's',
                    (false, true, false) => 'g',
                    (false, false, true) => 'r',
                    _ => '?',
                }
            })
            .collect()
    }

    #[test]
    fn three_leds_follow_the_table() {
        let all = wired(7);
        let shown = |indication| seen(indication, all);
        assert_eq!(shown(Indication::Granted), "g".repeat(80));
        assert_eq!(shown(Indication::Fault), "rr..".repeat(20));
        let blink = "rrrr....";
        assert_eq!(
            shown(Indication::Refused),
            blink.repeat(3) + &".".repeat(56)
        );
        let flash = format!("s{}", ".".repeat(39));
        assert_eq!(shown(Indication::Ready), flash.repeat(2));
        assert_eq!(shown(Indication::FaceSeen), "sssssssss.".repeat(8));
        let notice = format!("r...r{}", ".".repeat(35));
        assert_eq!(shown(Indication::Notice), notice.repeat(2));
        let slow = "r".repeat(10) + &".".repeat(10);
        assert_eq!(shown(Indication::LockedOut), slow.repeat(4));
    }

    #[test]
    fn any_set_of_leds_distinguishes_all_indications() {
        for bits in 1..8 {
            let shown = INDICATIONS.map(|indication| seen(indication, wired(bits)));
            for i in 0..shown.len() {
                for j in 0..i {
                    assert_ne!(shown[i], shown[j], "LEDs {bits:03b}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn only_wired_leds_go_on_and_only_at_the_announced_times(
            indication in prop::sample::select(&INDICATIONS[..]),
            bits in 0_u8..8,
            elapsed in 0_u64..10_000_000_000,
            part in 0.0_f64..1.0,
        ) {
            let wired = wired(bits);
            let elapsed = Duration::from_nanos(elapsed);
            let leds = pattern(indication, elapsed, wired);
            prop_assert!(!leds.status || wired.status);
            prop_assert!(!leds.granted || wired.granted);
            prop_assert!(!leds.refused || wired.refused);
            match next_change(indication, elapsed) {
                Some(next) => {
                    prop_assert!(next > elapsed);
                    let between = elapsed + (next - elapsed).mul_f64(part * 0.999);
                    prop_assert_eq!(pattern(indication, between, wired), leds);
                    if bits != 0 {
                        prop_assert_ne!(any_on(pattern(indication, next, wired)), any_on(leds));
                    }
                }
                None => {
                    let later = elapsed + Duration::from_secs(3600).mul_f64(part);
                    prop_assert_eq!(pattern(indication, later, wired), leds);
                }
            }
        }
    }
}
