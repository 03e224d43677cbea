//! The consequences of attempts by strangers, and of things before the door, one by one.

use super::*;

#[test]
fn too_few_looks_to_refuse_are_logged_and_count_if_they_could_open() {
    let mut door = door(|_| {});
    let s = stranger();
    let events = show(&mut door, 0, 100, &[&[(1, s)], &[(1, s)], &[(2, s)], &[]]);
    assert_eq!(events, []);
    let gone = door.tick(ms(2101));
    let undecided = |track, strange, at| Event::Undecided {
        track,
        presentation: track,
        strange,
        known: 0,
        score: 0.2,
        captured: ms(at),
    };
    assert_eq!(gone.as_slice(), [undecided(1, 2, 100)]);
    assert_eq!(
        door.tick(ms(2201)).as_slice(),
        [],
        "one look has no log line"
    );
    // Forty people with four looks each, one person per second.
    let mut all = Vec::new();
    for k in 0..40 {
        let face: &[_] = &[(10 + k, s)];
        let from = 10_000 + 1000 * u64::from(k);
        all.extend(show(&mut door, from, 100, &[face; 4]));
    }
    let logged = |e: &&Event| matches!(e, Event::Undecided { .. });
    assert!(all.iter().filter(logged).count() >= 8);
    assert!(all.contains(&Event::Strict));
    assert_eq!(locked_out(&all), 1, "{all:?}");
    // With two looks each, these people could not be let in, so they lock no one out.
    let mut door = self::door(|_| {});
    for k in 0..40 {
        let face: &[_] = &[(10 + k, s)];
        show(&mut door, 10_000 + 1000 * u64::from(k), 100, &[face; 2]);
    }
    let b: &[_] = &[(99, likely(BOB))];
    assert_eq!(granted(&show(&mut door, 50_000, 100, &[b; 3])), [BOB]);
}

#[test]
fn each_face_that_slides_through_one_track_is_an_attempt() {
    let mut door = door(|_| {});
    let mut all = Vec::new();
    for k in 0..12 {
        let face = Sighting {
            presentation: 100 + k,
            ..sighting(1, stranger())
        };
        all.extend(show_one(&mut door, 1300 * u64::from(k), 100, &[face; 13]));
    }
    assert!((8..=10).contains(&refused(&all)), "{all:?}");
    assert_eq!(locked_out(&all), 1);
}

#[test]
fn ten_attempts_lock_and_only_the_button_opens() {
    let mut door = door(|_| {});
    let strangers = |from: u32| -> Vec<_> { (from..from + 5).map(|t| (t, stranger())).collect() };
    let events = show(&mut door, 0, 100, &[&strangers(1)[..]; 5]);
    assert_eq!(refused(&events), 5);
    assert!(events.contains(&Event::Strict));
    let events = show(&mut door, 500, 100, &[&strangers(11)[..]; 5]);
    let until = ms(30_700);
    assert_eq!(events, [Event::LockedOut { until }], "at their last looks");
    assert_eq!(door.indication(), Indication::LockedOut);

    let a: &[_] = &[(99, known(ANN))];
    let events = show(&mut door, 1000, 100, &[a; 290]);
    assert_eq!(granted(&events), []);
    assert!(!door.relay());
    let by = OpenedBy::Button;
    assert_eq!(door.button(ms(30_650)).as_slice(), [Event::Opened { by }]);
    assert!(door.relay());

    // The end of the lock-out is noticed late: frames from before it was noticed are void.
    let last = door.observe(ms(30_750), &frame(ms(30_699), a));
    assert_eq!(last.as_slice(), [Event::LockoutEnded]);
    // The bar is strict now.
    assert_eq!(granted(&show(&mut door, 30_800, 100, &[a; 4])), []);
    assert_eq!(granted(&show(&mut door, 31_200, 100, &[a])), [ANN]);
}

#[test]
fn five_passers_by_a_minute_never_lock_the_door() {
    let mut door = door(|_| {});
    let mut all = Vec::new();
    for k in 0..60 {
        let face: &[_] = &[(1 + k, stranger())];
        let from = 12_000 * u64::from(k);
        all.extend(show(&mut door, from, 100, &[face; 8]));
    }
    assert_eq!(refused(&all), 60);
    assert!(all.contains(&Event::Strict));
    assert_eq!(locked_out(&all), 0);
    let a: &[_] = &[(99, known(ANN))];
    assert_eq!(granted(&show(&mut door, 720_000, 100, &[a; 5])), [ANN]);
    // The quiet lasts longer than the time that forgets half of the attempts that make the bar strict.
    let quiet = door.tick(ms(720_000 + 10 * 60_000));
    assert!(quiet.as_slice().contains(&Event::StrictEnded));
    let b: &[_] = &[(98, likely(BOB))];
    assert_eq!(granted(&show(&mut door, 1_400_000, 100, &[b; 3])), [BOB]);
}

#[test]
fn the_strict_bar_requires_more_and_more_certain_looks() {
    let strict = || {
        let mut door = door(|_| {});
        let strangers: Vec<_> = (1..=5).map(|t| (t, stranger())).collect();
        let events = show(&mut door, 0, 100, &[&strangers[..]; 5]);
        assert!(events.contains(&Event::Strict));
        door
    };
    let (a, b) = ((50, known(ANN)), (51, likely(BOB)));
    assert_eq!(granted(&show(&mut strict(), 600, 100, &[&[b][..]; 50])), []);
    assert_eq!(granted(&show(&mut strict(), 600, 100, &[&[a][..]; 4])), []);
    assert_eq!(
        granted(&show(&mut strict(), 600, 100, &[&[a][..]; 5])),
        [ANN]
    );
    let s = (50, stranger());
    let mixed: &[&[_]] = &[&[a], &[s], &[a], &[a], &[s], &[a], &[a]];
    assert_eq!(granted(&show(&mut strict(), 600, 100, mixed)), [ANN]);
    let scattered: &[&[_]] = &[&[a], &[s], &[a], &[s], &[a], &[s], &[a], &[s], &[a]];
    assert_eq!(granted(&show(&mut strict(), 600, 100, scattered)), []);
}

#[test]
fn lockouts_grow_and_shrink_again() {
    let mut door = door(|_| {});
    let (mut now, mut looks, mut lengths) = (0, 0, Vec::new());
    while lengths.len() < 6 {
        let group = looks / 3;
        let strangers: Vec<_> = (0..7).map(|t| (1 + 7 * group + t, stranger())).collect();
        looks += 1;
        now += 100;
        let seen = frame(ms(now), &strangers);
        for event in &door.observe(ms(now), &seen) {
            if let Event::LockedOut { until } = event {
                lengths.push(until.since(ms(now)).as_secs());
                now = until.as_nanos() / 1_000_000;
            }
        }
    }
    assert_eq!(lengths, [30, 60, 120, 240, 240, 240]);
    door.tick(ms(now));
    now += 20 * 60_000;
    let events = door.tick(ms(now));
    assert!(events.as_slice().contains(&Event::StrictEnded));
    let mut lengths = Vec::new();
    for k in 0..60 {
        let group = 9000 + 7 * (k / 3);
        let strangers: Vec<_> = (0..7).map(|t| (group + t, stranger())).collect();
        let at = ms(now + 100 * u64::from(k));
        for event in &door.observe(at, &frame(at, &strangers)) {
            if let Event::LockedOut { until } = event {
                lengths.push(until.since(at).as_secs());
            }
        }
    }
    assert_eq!(lengths, [30]);
}

#[test]
fn looks_at_one_person_never_help_another() {
    let mut door = door(|_| {});
    let a = |presentation| Sighting {
        presentation,
        ..sighting(1, known(ANN))
    };
    // Many identities in one track, each with one vote less than is required.
    let faces: Vec<_> = (1..30).flat_map(|p| [a(p), a(p)]).collect();
    assert_eq!(granted(&show_one(&mut door, 0, 100, &faces)), []);
    // One identity that is reported in another track after every two frames.
    let mut door = self::door(|_| {});
    let hops: Vec<_> = (1..30)
        .flat_map(|track| [Sighting { track, ..a(7) }; 2])
        .collect();
    assert_eq!(granted(&show_one(&mut door, 0, 100, &hops)), []);
}

#[test]
fn a_face_that_does_not_move_costs_nothing_until_it_has_gone() {
    let still = |track| Sighting {
        motion: Motion::Still,
        ..sighting(track, stranger())
    };
    let show_all = |door: &mut Door, from: u64, frames: u64, motion| {
        let mut events = Vec::new();
        for k in 0..frames {
            let mut seen = Observation::new(ms(from + 100 * k));
            for track in 1..8 {
                seen.push(Sighting {
                    motion,
                    ..still(track)
                });
            }
            let at = ms(from + 100 * k);
            events.extend_from_slice(door.observe(at, &seen).as_slice());
        }
        events
    };
    // Seven things that stay cause two log lines each.
    let mut things = door(|_| {});
    let events = show_all(&mut things, 0, 200, Motion::Still);
    assert_eq!((events.len(), refused(&events)), (7, 7));
    let events = show_all(&mut things, 20_000, 3000, Motion::Fixture);
    assert_eq!(events.len(), 7, "{events:?}");
    assert!(things.tick(ms(400_000)).is_empty());
    // Seven photos that are held still and taken away are refused, and charged.
    let mut photos = door(|_| {});
    let events = show_all(&mut photos, 0, 50, Motion::Still);
    assert_eq!((events.len(), refused(&events)), (7, 7));
    assert!(photos.tick(ms(8000)).is_empty());
    let next = show_one(&mut photos, 9000, 100, &[sighting(20, likely(BOB)); 5]);
    assert!(next.contains(&Event::Strict));
    assert_eq!(granted(&next), []);
    // A thing is never let in, whatever it looks like.
    let fixed = Sighting {
        motion: Motion::Fixture,
        ..sighting(1, known(ANN))
    };
    assert_eq!(
        granted(&show_one(&mut door(|_| {}), 0, 100, &[fixed; 50])),
        []
    );
    // A person who stands still is let in.
    let ann = Sighting {
        motion: Motion::Still,
        ..sighting(1, known(ANN))
    };
    assert_eq!(
        granted(&show_one(&mut door(|_| {}), 0, 100, &[ann; 3])),
        [ANN]
    );
}

#[test]
fn a_stranger_who_stays_is_charged_again_and_must_meet_the_strict_bar() {
    let mut door = door(|_| {});
    let stays = [sighting(1, stranger()); 3000];
    let events = show_one(&mut door, 0, 100, &stays);
    assert_eq!((refused(&events), locked_out(&events)), (1, 0));
    assert!(events.contains(&Event::Strict), "in five minutes");
    let mut door = self::door(|_| {});
    show_one(&mut door, 0, 100, &stays[..400]);
    let late = [sighting(1, likely(BOB)); 20];
    assert_eq!(granted(&show_one(&mut door, 40_000, 100, &late)), []);
    let other = [sighting(2, likely(BOB)); 3];
    assert_eq!(granted(&show_one(&mut door, 42_000, 100, &other)), [BOB]);
}

#[test]
fn the_attempts_charged_to_a_resident_are_refunded() {
    let mut door = door(|_| {});
    let s = stranger();
    for k in 0..40 {
        let (a, track) = (known(ANN), 10 + k);
        let frames: Vec<&[_]> = vec![&[]; 30];
        let from = 10_000 * u64::from(k);
        let seen = [s, s, a, a, a, a, a].map(|v| [(track, v)]);
        let seen: Vec<&[_]> = seen.iter().map(|f| &f[..]).collect();
        let events = show(&mut door, from, 100, &seen);
        assert_eq!(granted(&events), [ANN], "visit {k}");
        assert!(!events.contains(&Event::Strict));
        show(&mut door, from + 1000, 100, &frames);
    }
    let mut never = self::door(|p| p.lockout_after = 0);
    for k in 0..500 {
        let events = show(&mut never, 100 * k, 10, &[&[(1 + k as u32, s)][..]; 5]);
        assert_eq!(locked_out(&events), 0);
        assert!(!events.contains(&Event::Strict));
    }
}

#[test]
fn a_frame_that_locks_does_not_open() {
    let mut door = door(|p| p.lockout_after = 1);
    let (a, s, t) = ((1, known(ANN)), (2, stranger()), (3, stranger()));
    let frames: &[&[_]] = &[&[s, t], &[s, t], &[a], &[a], &[s, t, a]];
    let events = show(&mut door, 0, 100, frames);
    assert!(matches!(
        events[..],
        [Event::Strict, Event::LockedOut { .. }]
    ));
    assert!(!door.relay());
}

/// A face that has not moved and was lost is found again as the same presentation: a person who was let in may come back.
#[test]
fn a_person_who_was_let_in_returns_to_the_same_place_at_the_usual_bar() {
    let still = Sighting {
        motion: Motion::Still,
        ..sighting(1, likely(ANN))
    };
    let mut door = door(|_| {});
    for visit in 0..3 {
        let events = show_one(&mut door, visit * 20_000, 100, &[still; 5]);
        assert_eq!(granted(&events), [ANN], "visit {visit}");
    }
    // A person who was not let in has had a chance already.
    let mut door = self::door(|_| {});
    let unknown = Sighting {
        verdict: stranger(),
        ..still
    };
    show_one(&mut door, 0, 100, &[unknown; 5]);
    let events = show_one(&mut door, 20_000, 100, &[still; 10]);
    assert_eq!(granted(&events), []);
}

/// Whenever the usual bar applies, faces are held still and taken away together. Faces that the door cannot charge in time
/// count afterwards.
#[test]
fn faces_held_still_together_are_no_more_than_the_policy_allows() {
    for many in [1, 5, 8] {
        let mut door = door(|_| {});
        let (mut now, mut number, mut strict, mut tries) = (0, 0, false, 0);
        while now < 3_600_000 {
            let shown = !strict && door.indication() != Indication::LockedOut;
            for look in 0..12 {
                let mut seen = Observation::new(ms(now));
                if shown && look < 8 {
                    for k in 0..many {
                        seen.push(Sighting {
                            motion: Motion::Still,
                            ..sighting(1 + number + k, stranger())
                        });
                    }
                }
                for event in &door.observe(ms(now), &seen) {
                    match event {
                        Event::Strict => strict = true,
                        Event::StrictEnded => strict = false,
                        _ => {}
                    }
                }
                now += 500;
            }
            tries += if shown { many } else { 0 };
            number += many;
        }
        assert!(tries <= 5 + 60 + 2 * MAX_FACES as u32, "{many}: {tries}");
    }
}
