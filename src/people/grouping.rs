//! Finds which unnamed faces show the same person: those that are alike, directly or through other faces.
//!
//! The groups are used to count strangers. Counting one person as two is the worse mistake: one trial then counts as two, and the
//! same person may be both among the strangers that are learnt from and among those that are tested on. Counting two people as
//! one only makes the number smaller. So even a low likeness makes two faces one person, and one such pair is enough to join two
//! groups.

/// Two faces of strangers count as one person if their cosine is at least this fraction of the set's own threshold (`threshold`
/// in its manifest).
///
/// Chosen on 200 pairs of the first half of LFW's fold 5, which the embedder of `models/judged.toml` has not seen: 95 of 100
/// pairs of one person are grouped together, and none of 100 pairs of different people. On 200 pairs of the second half: 94 of
/// 100, and none.
pub const GROUPING_FRACTION: f32 = 0.6;

/// If a group has at least this many faces, they come from looks of every kind, also from poor ones, which are like none of the
/// others.
const LARGE_GROUP: usize = 10;
/// A smaller group counts as further looks at such a person if the cosine is at least this fraction of the grouping threshold.
/// This errs toward too few people, for the reason given above.
const STRAY_FRACTION: f32 = 0.5;

/// The people shown by `faces`, each of length 1: for each person the places of their faces. The people are in the order of their
/// first face. Two faces with a cosine of at least `threshold` are one person. A person with fewer than ten faces is joined with
/// a person who has at least ten if their cosine is at least half of `threshold`.
#[must_use]
pub fn group_by_person(faces: &[&[f32]], threshold: f32) -> Vec<Vec<usize>> {
    let mut groups = groups(faces, threshold);
    join_strays(faces, threshold, &mut groups);
    let mut people: Vec<Vec<usize>> = Vec::new();
    let mut numbers = vec![0; faces.len()];
    for (place, group) in groups.into_iter().enumerate() {
        if group == place {
            numbers[place] = people.len();
            people.push(Vec::new());
        }
        people[numbers[group]].push(place);
    }
    people
}

/// Joins small groups to the large group that they are most like.
fn join_strays(faces: &[&[f32]], threshold: f32, groups: &mut [usize]) {
    let mut sizes = vec![0_usize; faces.len()];
    for group in groups.iter() {
        sizes[*group] += 1;
    }
    let of_size = |large: bool| {
        let groups = &*groups;
        let sizes = &sizes;
        (0..faces.len()).filter(move |face| (sizes[groups[*face]] >= LARGE_GROUP) == large)
    };
    // For each small group, by its number, the most similar face of a large group.
    let mut nearest: Vec<Option<(f32, usize)>> = vec![None; faces.len()];
    for face in of_size(false) {
        let alike = of_size(true).map(|other| (cosine(faces[face], faces[other]), other));
        let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
        let nearest = &mut nearest[groups[face]];
        if best.map(|b| b.0) > nearest.map(|n| n.0) {
            *nearest = best;
        }
    }
    for (small, found) in nearest.into_iter().enumerate() {
        let Some((_, face)) = found.filter(|(likeness, _)| *likeness >= STRAY_FRACTION * threshold)
        else {
            continue;
        };
        // The number of a group is its smallest place.
        let (large, number) = (groups[face], small.min(groups[face]));
        for group in groups.iter_mut() {
            if [small, large].contains(group) {
                *group = number;
            }
        }
    }
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// For each face the number of its group, which is the smallest place in the group.
pub fn groups(faces: &[&[f32]], threshold: f32) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..faces.len()).collect();
    fn root(parents: &mut [usize], mut place: usize) -> usize {
        while parents[place] != place {
            // Halves the path for the next search.
            parents[place] = parents[parents[place]];
            place = parents[place];
        }
        place
    }
    for (i, one) in faces.iter().enumerate() {
        for (j, other) in faces[..i].iter().enumerate() {
            if cosine(one, other) >= threshold {
                let (a, b) = (root(&mut parents, i), root(&mut parents, j));
                parents[a.max(b)] = a.min(b);
            }
        }
    }
    let all = 0..faces.len();
    all.map(|place| root(&mut parents, place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_of_one_man_is_one_person_while_his_head_turns() {
        let burst: Vec<[f32; 2]> = (0..120)
            .map(|i| {
                let turn = 0.02 * i as f32;
                [turn.cos(), turn.sin()]
            })
            .collect();
        let faces: Vec<&[f32]> = burst.iter().map(|f| &f[..]).collect();
        // The first and the last look away from each other.
        assert!(burst[0][0] * burst[119][0] + burst[0][1] * burst[119][1] < -0.7);
        assert_eq!(group_by_person(&faces, 0.4), [(0..120).collect::<Vec<_>>()]);
        assert!(group_by_person(&[], 0.4).is_empty());
    }

    #[test]
    fn poor_looks_at_a_person_of_many_faces_are_the_same_person() {
        let at = |degrees: f32| {
            let angle = degrees.to_radians();
            [angle.cos(), angle.sin()]
        };
        // A poor look at a man, twelve good looks at him, a poor look from his other side, and then another person.
        let mut faces = vec![at(-80.0)];
        faces.extend((0..12).map(|i| at(f32::from(i8::try_from(i).unwrap()))));
        faces.extend([at(91.0), at(180.0)]);
        let faces: Vec<&[f32]> = faces.iter().map(|f| &f[..]).collect();
        let man: Vec<usize> = (0..14).collect();
        assert_eq!(group_by_person(&faces, 0.3), [man, vec![14]]);
        // With few faces, poor looks are not joined.
        let few: Vec<&[f32]> = faces[..6].to_vec();
        assert_eq!(group_by_person(&few, 0.3).len(), 2);
    }

    proptest! {
        #[test]
        fn everyone_is_in_one_group_and_pairs_above_the_threshold_are_together(
            faces in proptest::collection::vec(proptest::array::uniform3(-1f32..1.0), 0..40),
            threshold in -1f32..1.0,
        ) {
            let faces: Vec<&[f32]> = faces.iter().map(|f| &f[..]).collect();
            let people = group_by_person(&faces, threshold);
            let mut all: Vec<usize> = people.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..faces.len()).collect::<Vec<_>>());
            prop_assert!(people.iter().is_sorted_by_key(|p| p[0]));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            for (i, one) in people.iter().enumerate() {
                for other in &people[..i] {
                    for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
                        prop_assert!(dot(faces[a], faces[b]) < threshold);
                    }
                }
            }
        }
    }
}
