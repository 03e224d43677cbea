//! Tests of the gallery file: which data survives, and which files are refused.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn direction(seed: u16) -> Embedding {
    let value = |i: u16| f32::from(i.wrapping_mul(2477).wrapping_add(seed) % 997) - 498.0;
    Embedding::normalised((0..256).map(value)).unwrap()
}

fn with_two(path: &Path) {
    Gallery::update(path, |g| {
        g.add("Ada", &[direction(1), direction(2)], &[], "aa", path)?;
        g.add("Grace", &[direction(3)], &[], "aa", path)
    })
    .unwrap();
}

#[test]
fn a_written_gallery_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    assert_eq!(Gallery::load(&path).unwrap(), Gallery::default());
    with_two(&path);
    let gallery = Gallery::load(&path).unwrap();
    let people: Vec<_> = gallery
        .people()
        .iter()
        .map(|p| (&*p.name, p.templates.len()))
        .collect();
    assert_eq!(people, [("Ada", 2), ("Grace", 1)]);
    assert_eq!(gallery.people()[0].templates[1], direction(2).values());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing left beside it"
    );
}

#[test]
fn a_gallery_too_large_to_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    let before = std::fs::read(&path).unwrap();
    let long = Embedding::normalised((1..=Embedding::MAX as u16).map(f32::from)).unwrap();
    let templates = vec![long; (MAX_BYTES as usize) / (4 * Embedding::MAX) + 1];
    let result = Gallery::update(&path, |g| {
        *g = Gallery::default();
        g.add("Ada", &templates, &[], "aa", &path)
    });
    assert!(
        matches!(result, Err(GalleryError::Full { .. })),
        "{result:?}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn owner_and_mode_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    let state = || {
        let m = std::fs::metadata(&path).unwrap();
        (m.uid(), m.gid(), m.mode() & 0o777)
    };
    with_two(&path);
    assert_eq!(state().2, 0o600, "only the owner may read templates");
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    // Only root can give a file to another user.
    let _ = std::os::unix::fs::chown(&path, Some(4711), Some(4712));
    let before = state();
    Gallery::update(&path, |g| g.remove("Ada", &path)).unwrap();
    assert_eq!(state(), before);
}

#[test]
fn a_file_cut_at_any_byte_or_with_any_bit_flipped_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        assert!(
            Gallery::decode(&path, &whole[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    for byte in 0..whole.len() {
        let mut bad = whole.clone();
        bad[byte] ^= 1 << (byte % 8);
        assert!(Gallery::decode(&path, &bad).is_err(), "bit of byte {byte}");
    }
    assert!(Gallery::decode(&path, &whole).is_ok());
}

#[test]
fn a_failed_change_leaves_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    let before = std::fs::read(&path).unwrap();
    let error = Gallery::update(&path, |g| {
        g.add("Eve", &[direction(9)], &[], "aa", &path)?;
        g.remove("Nobody", &path)
    });
    assert!(matches!(error, Err(GalleryError::Unknown { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_leftover_of_a_crashed_write_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("gallery.new")).unwrap();
    with_two(&path);
    assert_eq!(Gallery::load(&path).unwrap().people().len(), 2);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn forgotten_people_leave_no_template_and_numbers_are_not_reused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    Gallery::update(&path, |g| g.remove("Grace", &path)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let template: Vec<u8> = direction(3)
        .values()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert!(!bytes.windows(64).any(|w| w == &template[..64]));
    assert!(!bytes.windows(5).any(|w| w == b"Grace"));
    let id = Gallery::update(&path, |g| g.add("Eve", &[direction(9)], &[], "aa", &path)).unwrap();
    assert_eq!(id, PersonId(3));
}

#[test]
fn templates_of_another_embedder_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    let error = Gallery::update(&path, |g| g.add("Eve", &[direction(9)], &[], "bb", &path));
    assert!(matches!(error, Err(GalleryError::Embedder { .. })));
}

#[test]
fn a_name_means_one_person_however_it_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    let add = |name: &str, seed| {
        Gallery::update(&path, |g| g.add(name, &[direction(seed)], &[], "aa", &path))
    };
    let id = add("Ju\u{308}rgen", 1).unwrap();
    assert_eq!(add("JÜRGEN", 2).unwrap(), id);
    add("O’Brien", 3).unwrap();
    add("Ada", 4).unwrap();
    let forged = add("\u{410}da", 5).unwrap_err().to_string();
    assert!(forged.contains("looks like Ada"), "{forged}");
    for name in [
        "../etc",
        "a\nb",
        "Ada\u{202e}",
        "unknown",
        "button",
        "p1",
        "",
    ] {
        assert!(
            matches!(add(name, 5), Err(GalleryError::Name(_))),
            "{name:?}"
        );
    }
    let gallery = Gallery::load(&path).unwrap();
    let person = gallery.find("jürgen").unwrap();
    assert_eq!((&*person.name, person.templates.len()), ("Jürgen", 2));
    let remove = |name: &str| Gallery::update(&path, |g| g.remove(name, &path));
    let why = remove("Jurgen").unwrap_err().to_string();
    assert!(
        why.contains("nobody was forgotten; did you mean Jürgen?"),
        "{why}"
    );
    assert_eq!(remove("o'brien").unwrap().name, "O’Brien");
    assert_eq!(remove("ju\u{308}rgen").unwrap().id, id);
}

#[test]
fn a_gallery_of_the_first_version_is_read_and_gets_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    let templates = vec![
        direction(1).values().to_vec(),
        direction(2).values().to_vec(),
    ];
    let body = postcard::to_stdvec(&("aa", 5_u32, vec![(PersonId(4), "Ada", templates)])).unwrap();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(Sha256::digest(&body));
    bytes.extend(&body);
    std::fs::write(&path, bytes).unwrap();
    let gallery = Gallery::load(&path).unwrap();
    let ada = &gallery.people()[0];
    assert_eq!(
        (ada.id, &*ada.name, ada.templates.len()),
        (PersonId(4), "Ada", 2)
    );
    let cosine = |t: &Vec<f32>| direction(1).cosine(t).min(direction(2).cosine(t));
    assert!(cosine(&ada.direction) > 0.5, "between its templates");
    Gallery::update(&path, |g| g.add("Eve", &[direction(9)], &[], "aa", &path)).unwrap();
    assert_eq!(Gallery::load(&path).unwrap().people()[1].id, PersonId(5));
}

#[test]
fn a_changed_head_loses_its_measurements() {
    let mut gallery = Gallery::default();
    let path = Path::new("test");
    gallery
        .add("Ada", &[direction(1)], &[], "aa", path)
        .unwrap();
    let operating = Operating {
        threshold: 0.6,
        far: 0.001,
        trials: 3000,
        accepted: 0,
    };
    gallery.set_operating(operating);
    gallery
        .add("Eve", &[direction(9)], &[], "aa", path)
        .unwrap();
    let now = gallery.enrolled("aa").operating().unwrap();
    assert_eq!((now.threshold, now.trials), (0.6, 0));
}

fn patch() -> Patch {
    let layer = |n: u16| crate::nn::PatchedLayer {
        weights: (0..n).map(f32::from).collect(),
        bias: vec![0.5; 3],
        range: [-1.0, 2.0],
    };
    Patch([layer(4), layer(5), layer(6)])
}

fn fine_tuned(path: &Path, sha256: &str) {
    Gallery::update(path, |g| -> Result<(), GalleryError> {
        let seen = |seed| TunedPerson {
            templates: vec![direction(seed).values().to_vec()],
            direction: direction(seed).values().to_vec(),
        };
        g.set_tuned(Some(Tuned {
            set_sha256: "a".repeat(64),
            patch: patch(),
            embedder_sha256: sha256.to_owned(),
            people: vec![seen(11), seen(13)],
            operating: Operating {
                threshold: 0.6,
                far: 0.001,
                trials: 0,
                accepted: 0,
            },
        }));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_fine_tuned_network_is_used_until_the_people_change_and_then_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let first = |sha: &str| {
        let gallery = Gallery::load(&path).unwrap();
        let (_, direction, _) = gallery.enrolled(sha).people().next().unwrap();
        direction.to_vec()
    };
    with_two(&path);
    let own = first("aa");
    let [one, other] = ["1", "2"].map(|digit| digit.repeat(64));
    fine_tuned(&path, &one);
    assert_eq!(files(), 1, "the weights are in the gallery");
    assert_eq!(first(&one), direction(11).values());
    assert_eq!(first("aa"), own, "the set's own still knows them");
    let gallery = Gallery::load(&path).unwrap();
    assert_eq!(gallery.tuned().unwrap().patch, patch());
    assert!(gallery.suits(&one, &path).is_ok() && gallery.suits("aa", &path).is_ok());
    assert!(gallery.suits(&other, &path).is_err());
    let before = std::fs::metadata(&path).unwrap().len();
    Gallery::update(&path, |g| g.remove("Grace", &path)).unwrap();
    assert!(Gallery::load(&path).unwrap().tuned().is_none());
    assert!(std::fs::metadata(&path).unwrap().len() < before);
}

/// Rewrites the file at `path` as version 3 wrote it, with or without the name of a fine-tuned network.
fn as_of_the_third(path: &Path, tuned: bool) {
    let g = Gallery::load(path).unwrap();
    let strangers: Vec<Vec<f32>> = g.strangers.iter().flatten().cloned().collect();
    let seen: Vec<TunedPerson> = g
        .people
        .iter()
        .map(|p| TunedPerson {
            templates: p.templates.clone(),
            direction: p.direction.clone(),
        })
        .collect();
    let operating = Operating {
        threshold: 0.6,
        far: 0.001,
        trials: 0,
        accepted: 0,
    };
    let tuned = tuned.then(|| ("1".repeat(64), seen, operating));
    let body = (
        &g.embedder_sha256,
        g.next,
        &g.people,
        strangers,
        g.operating,
        tuned,
    );
    let body = postcard::to_stdvec(&body).unwrap();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(Sha256::digest(&body));
    bytes.extend(&body);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_gallery_of_the_third_version_is_read_and_its_network_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    with_two(&path);
    Gallery::update(&path, |g| -> Result<(), GalleryError> {
        g.set_strangers(&[vec![direction(7)], vec![direction(8)]]);
        Ok(())
    })
    .unwrap();
    let now = Gallery::load(&path).unwrap();
    as_of_the_third(&path, false);
    assert_eq!(Gallery::load(&path).unwrap(), now);
    as_of_the_third(&path, true);
    let gallery = Gallery::load(&path).unwrap();
    assert!(gallery.was_tuned_earlier() && gallery.tuned().is_none());
    assert_eq!(gallery.people(), now.people());
    // The network's files, including half-written ones, are deleted with the next change.
    for file in ["gallery.tuned-123.tflite", "gallery.tuned-123.tflite.new"] {
        std::fs::write(folder.path().join(file), b"a network").unwrap();
    }
    Gallery::update(&path, |g| g.add("Cleo", &[direction(5)], &[], "aa", &path)).unwrap();
    assert_eq!(files(), 1);
    assert!(!Gallery::load(&path).unwrap().was_tuned_earlier());
}

#[test]
fn a_gallery_of_the_second_version_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    let now = Gallery::load(&path).unwrap();
    // The same as the third, but without the mark that nothing is fine-tuned.
    as_of_the_third(&path, false);
    let bytes = std::fs::read(&path).unwrap();
    let body = &bytes[HEADER..bytes.len() - 1];
    let mut old = MAGIC.to_vec();
    old.extend_from_slice(&2_u32.to_le_bytes());
    old.extend_from_slice(&(body.len() as u64).to_le_bytes());
    old.extend_from_slice(&Sha256::digest(body));
    old.extend_from_slice(body);
    std::fs::write(&path, old).unwrap();
    assert_eq!(Gallery::load(&path).unwrap(), now);
}

#[test]
fn a_gallery_is_empty_and_not_damaged_after_the_last_person() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery");
    with_two(&path);
    Gallery::update(&path, |g| -> Result<(), GalleryError> {
        g.set_strangers(&[vec![direction(7)], vec![direction(8)]]);
        Ok(())
    })
    .unwrap();
    for name in ["Ada", "Grace"] {
        Gallery::update(&path, |g| g.remove(name, &path)).unwrap();
    }
    let gallery = Gallery::load(&path).unwrap();
    assert!(gallery.people().is_empty());
    assert_eq!(gallery.strangers().len(), 2);
    // The gallery may start again with another embedder, for which the old embedder's strangers have no meaning.
    let short = Embedding::normalised([1.0, 0.0]).unwrap();
    Gallery::update(&path, |g| g.add("Cleo", &[short], &[], "bb", &path)).unwrap();
    assert!(Gallery::load(&path).unwrap().strangers().is_empty());
}
