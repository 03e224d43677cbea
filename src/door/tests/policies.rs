//! Guarantees of the policy about attempts, for any sequence of strangers, things, passers-by and residents: limits for
//! attackers, and a time by which residents get in.

use proptest::prelude::*;

use super::properties::policy;
use super::*;

proptest! {
    /// In whatever way strangers come, no more of them meet the usual bar in an hour than the policy allows: A, one more for
    /// each W, and those that have not gone yet when the bar becomes strict.
    #[test]
    fn attempts_at_the_usual_bar_are_no_more_than_the_policy_allows(
        seed in any::<u64>(),
        step in prop_oneof![50_u64..500, 500_u64..4000],
        faces in 1_u32..=8,
        looks in 1_u64..8,
        pause in prop_oneof![Just(0_u64), 0_u64..30_000, 0_u64..90_000],
        still in any::<bool>(),
        one_place in any::<bool>(),
    ) {
        let policy = Policy::default();
        let mut door = Door::new(policy.clone()).expect("in range");
        let mut chance = crate::chance::Chance::new(seed);
        let (mut now, mut number, mut strict) = (1_000_000, 0, false);
        let mut tries = Vec::new();
        let mut frames = 0;
        while frames < 6000 && tries.len() < 400 {
            let count = 1 + chance.one_of(faces as usize) as u32;
            for look in 1..=looks {
                let mut seen = Observation::new(ms(now));
                for k in 0..count {
                    seen.push(Sighting {
                        track: if one_place { k } else { number + k },
                        presentation: 1 + number + k,
                        motion: if still { Motion::Still } else { Motion::Moved },
                        verdict: stranger(),
                    });
                }
                for event in &door.observe(ms(now), &seen) {
                    match event {
                        Event::Strict => strict = true,
                        Event::StrictEnded => strict = false,
                        _ => {}
                    }
                }
                let open = door.indication() != Indication::LockedOut && !strict;
                // Before the door knows that the camera is slow, looks that are too far apart never add up.
                let add_up = 2 * step <= policy.vote_window_ms || frames > 5;
                if open && add_up && look == u64::from(policy.votes) {
                    tries.extend((0..count).map(|_| now));
                }
                now += step;
                frames += 1;
            }
            number += count;
            now += (pause as f32 * chance.unit()) as u64;
        }
        let allowed = |time: u64| {
            let regular = u64::from(policy.lockout_after) + time / policy.lockout_window_ms;
            regular as usize + 2 * MAX_FACES + 4
        };
        for from in 0..tries.len() {
            for time in [60_000, 600_000, 3_600_000] {
                let within = tries[from..].iter().filter(|t| **t < tries[from] + time);
                let count = within.count();
                prop_assert!(count <= allowed(time), "{count} in {time} ms");
            }
        }
    }

    /// Whatever else is before the camera, a person who stands there and is recognised with certainty is let in by the end of
    /// the longest lock-out.
    #[test]
    fn nothing_keeps_a_resident_out_for_longer_than_the_longest_lockout(
        seed in any::<u64>(),
        step in prop_oneof![100_u64..500, 500_u64..2000],
        before in 0_u64..100_000,
    ) {
        let policy = Policy::default();
        let mut door = Door::new(policy.clone()).expect("in range");
        let mut chance = crate::chance::Chance::new(seed);
        let (mut now, mut number) = (1_000_000, 100);
        let comes = now + before;
        let mut come = None;
        loop {
            let mut seen = Observation::new(ms(now));
            for track in 0..7_u32 {
                if chance.happens(0.2) {
                    continue;
                }
                number += u32::from(chance.happens(0.4));
                seen.push(Sighting {
                    track: if chance.happens(0.5) { track } else { number },
                    presentation: if chance.happens(0.5) { number } else { 1 + track },
                    motion: *[Motion::Still, Motion::Moved, Motion::Fixture].get(chance.one_of(3)).unwrap(),
                    verdict: if chance.happens(0.8) { stranger() } else { Verdict::Unclear },
                });
            }
            if now >= comes {
                come = come.or(Some(now));
                seen.push(Sighting {
                    presentation: 99,
                    ..sighting(99, known(ANN))
                });
            }
            let events = door.observe(ms(now), &seen);
            if granted(events.as_slice()) == [ANN] {
                break;
            }
            let waited = now - come.unwrap_or(now);
            let looks = u64::from(policy.votes) + 2;
            // The sum of the rest of a pause between two lock-outs, the longest lock-out, and the looks.
            let pause = (policy.vote_window_ms).max(20 * step);
            let most = 8 * policy.lockout_ms + pause + (looks + 1) * step;
            prop_assert!(waited <= most, "{waited} ms");
            now += step;
        }
    }

    /// People who pass by, no more than A in W, never lock the door, and a resident is let in at once.
    #[test]
    fn passers_by_never_lock_the_door(
        seed in any::<u64>(),
        step in prop_oneof![60_u64..400, 400_u64..1500],
        many in 1_u64..200,
        burst in 1_u32..=5,
    ) {
        let policy = Policy::default();
        let mut door = Door::new(policy.clone()).expect("in range");
        let mut chance = crate::chance::Chance::new(seed);
        let each = policy.lockout_window_ms / u64::from(policy.lockout_after);
        let mut now = 1_000_000;
        for k in 0..many {
            let from = now;
            let looks = 1 + chance.one_of(20) as u64;
            for _ in 0..looks {
                let mut seen = Observation::new(ms(now));
                for face in 0..burst {
                    let id = 1000 + k as u32 * 5 + face;
                    seen.push(sighting(id, stranger()));
                }
                let events = door.observe(ms(now), &seen);
                prop_assert!(locked_out(events.as_slice()) == 0);
                now += step;
            }
            now = now.max(from + each * u64::from(burst));
        }
        let ann: Vec<_> = (0..5).map(|_| sighting(9, known(ANN))).collect();
        prop_assert_eq!(granted(&show_one(&mut door, now, step, &ann)), [ANN]);
    }

    /// Things and parts of faces change nothing for any person, however many there are.
    #[test]
    fn things_change_nothing(seed in any::<u64>(), step in 50_u64..1000) {
        let mut door = Door::new(Policy::default()).expect("in range");
        let mut chance = crate::chance::Chance::new(seed);
        let mut now = 1_000_000;
        let mut begun = [0_u64; 7];
        for _ in 0..1000 {
            let mut seen = Observation::new(ms(now));
            for track in 0..7_u32 {
                let begun = &mut begun[track as usize];
                *begun = if *begun == 0 { now } else { *begun };
                let motion = if now > *begun + 20_000 { Motion::Fixture } else { Motion::Still };
                // A part of a face is never recognised as a person.
                let part = track > 4;
                seen.push(Sighting {
                    track,
                    presentation: if part { 0 } else { 1 + track },
                    motion,
                    verdict: if part || chance.happens(0.1) { Verdict::Unclear } else { stranger() },
                });
            }
            for event in &door.observe(ms(now), &seen) {
                let lines = matches!(event, Event::Fixture { .. } | Event::Refused { .. });
                prop_assert!(lines, "{event:?}");
            }
            now += step;
        }
    }

    /// Fewer votes of one identity than required never add up to more, in whatever order and tracks they come.
    #[test]
    fn votes_of_different_identities_never_add_up(
        policy in policy(),
        seed in any::<u64>(),
        step in 1_u64..500,
    ) {
        let votes = policy.votes;
        prop_assume!(votes > 1);
        let mut door = Door::new(policy).expect("in range");
        let mut chance = crate::chance::Chance::new(seed);
        let mut now = 1_000_000;
        let (mut number, mut given) = (1, 0);
        for _ in 0..300 {
            if given == votes - 1 || chance.happens(0.3) {
                (number, given) = (number + 1, 0);
            }
            given += 1;
            let face = Sighting {
                presentation: number,
                ..sighting(chance.one_of(2) as u32, known(ANN))
            };
            let mut seen = Observation::new(ms(now));
            seen.push(face);
            door.observe(ms(now), &seen);
            prop_assert!(!door.relay());
            now += step;
        }
    }
}
