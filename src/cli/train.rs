//! `latchkey train`: learns everybody from a folder of photos, says what is wrong with them, and measures how well it
//! will know them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::folder::{self, Named, bar, each};
use super::{Exit, Failure, Loaded, print_json, unchanged};
use crate::capture::Photo;
use crate::config::Overrides;
use crate::face::{Embedding, Face, FaceError, Reader};
use crate::frame::Sampler;
use crate::learn::{
    Calibration, Change, Changes, FaceCut, built_in, calibrate, measure, proven_far, wilson,
};
use crate::people::{
    DUPLICATE, Enrolment, Gallery, GalleryError, Operating, Person, Refusal, Rule, directions,
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with one folder of photos a person; `unknown` for strangers and things, and, if you like, `validation` and
    /// `test` with folders of the same names
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Views of each photo to learn from besides, as other light and other cameras would have shown it. Of no use where
    /// the photos are good: the embedder has learnt to see through most of that
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    views: u32,
    /// Leave a change out of the views; may be given more than once
    #[arg(long, value_name = "CHANGE")]
    without: Vec<Change>,
    /// Share of strangers' faces that may be taken for somebody
    #[arg(long, value_name = "RATE", default_value_t = 0.001, value_parser = rate)]
    far: f64,
    /// What the views follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Say what is wrong with the photos and how well it would do, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate < 1.0 => Ok(rate),
        _ => Err("say a share between 0 and 1, such as 0.001 for one in a thousand".to_owned()),
    }
}

/// Folders in the data that are no person's.
const SPECIAL: [&str; 3] = ["unknown", "validation", "test"];
/// Fewer strangers than this leave out much of what nobody looks like.
const FEW_STRANGERS: usize = 50;
/// Fewer photos of a person than this are few.
const FEW_PHOTOS: usize = 10;
/// Turned by less than this to both sides, all photos are from the front (see `Quality::yaw`).
const FRONTAL: f32 = 0.15;
/// Light that differs by less than this, in steps of 256, is the same in all photos.
const SAME_LIGHT: f32 = 25.0;
/// Parts into which photos are divided to try the rest on each.
const PARTS: usize = 5;

/// What was read of one photo.
struct Shown {
    faces: Vec<Face>,
    views: Vec<Embedding>,
    /// Mean tone of the cut-out face, 0 to 255.
    light: f32,
}

/// A photo that counts.
struct Example {
    photo: PathBuf,
    embedding: Embedding,
    views: Vec<Embedding>,
    yaw: f32,
    light: f32,
}

/// Somebody to be learnt.
struct Learner {
    name: String,
    given: usize,
    examples: Vec<Example>,
}

/// Ends with [`Exit::No`] if somebody has no photo that can be used; the others are learnt all the same.
pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let data = &arguments.data;
    let (named, mut wrong) = folder::people(data, &SPECIAL)?;
    if named.is_empty() {
        let but = wrong.first().map_or(String::new(), |w| format!(" ({w})"));
        return Err(Failure {
            exit: Exit::Usage,
            text: format!(
                "{}: nobody to learn{but}; make a folder of each person's name in it, with 20 to 30 photos of them",
                data.display()
            ),
        });
    }
    let loaded = Loaded::new(asked)?;
    let path = &loaded.config.gallery;
    let mut readers = folder::readers(&loaded, loaded.gated())?;
    let sha256 = readers[0].embedder_sha256().to_owned();
    // Told now rather than after all photos were read.
    let gallery = Gallery::load(path)?;
    gallery.suits(&sha256, path)?;

    let mut learners = learn_from(
        &mut readers,
        &named,
        arguments,
        loaded.rule.threshold,
        &mut wrong,
    )?;
    sort_out(&mut learners, &mut wrong);
    let strangers = strangers(&mut readers, &data.join("unknown"), &mut wrong)?;
    let mut nobody: Vec<Embedding> = strangers.iter().map(|(_, e)| *e).collect();
    if nobody.len() < FEW_STRANGERS {
        let bar = bar("strangers who never lived", 100);
        nobody.extend(built_in(&mut readers[0], || bar.inc(1))?);
        bar.finish_and_clear();
    }
    for text in &wrong {
        // Libraries put line breaks into their messages; ours are one line.
        eprintln!("latchkey: {}", text.replace('\n', " "));
    }
    let empty: Vec<String> = learners
        .iter()
        .filter(|l| l.examples.is_empty())
        .map(|l| l.name.clone())
        .collect();
    for learner in &learners {
        advise(learner);
    }
    learners.retain(|l| !l.examples.is_empty());
    if learners.is_empty() {
        eprintln!(
            "latchkey: no photo of anybody can be used; see the reason of each above; nothing was changed"
        );
        return Ok(Exit::No);
    }

    // Whoever is enrolled and not in the folder stays, and strangers are tried against them, too.
    let stay = |p: &&Person| learners.iter().all(|l| l.name != p.name);
    let household = Household {
        stay: gallery.people().iter().filter(stay).collect(),
        learners: &learners,
    };
    let fakes = &nobody[strangers.len()..];
    let (mut genuine, mut impostors) = cross_validate(&household, &strangers, fakes);
    let head = directions(&household.rows(|_| true), &slices(&nobody));
    let (known, unknown) = given(&mut readers, &data.join("validation"), &household, &head)?;
    genuine.extend(known);
    impostors.extend(unknown);
    let rule = loaded.rule;
    let calibration = if rule.fixed {
        measure(&impostors, arguments.far, rule.threshold)
    } else {
        calibrate(&impostors, arguments.far, rule.threshold)
    };
    let test = given(&mut readers, &data.join("test"), &household, &head)?;

    if !arguments.dry_run {
        Gallery::update(path, |g| -> Result<(), GalleryError> {
            for l in &learners {
                let photos: Vec<Embedding> = l.examples.iter().map(|e| e.embedding).collect();
                let views: Vec<Embedding> =
                    l.examples.iter().flat_map(|e| &e.views).copied().collect();
                g.clear(&l.name);
                g.add(&l.name, &photos, &views, &sha256, path)?;
            }
            g.set_strangers(&nobody);
            g.learn();
            let counted = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            g.set_operating(Operating {
                threshold: calibration.threshold,
                far: arguments.far,
                trials: counted(calibration.trials),
                accepted: counted(calibration.accepted),
            });
            Ok(())
        })
        .map_err(unchanged)?;
    }
    let summary = Summary {
        learners: &learners,
        empty: &empty,
        strangers: strangers.len(),
        calibration,
        far: arguments.far,
        genuine: &genuine,
        test: &test,
        seconds: begun.elapsed().as_secs_f32(),
        gallery: (!arguments.dry_run).then_some(path),
        rule,
    };
    if arguments.json {
        summary.print_json(&wrong);
    } else {
        summary.print();
    }
    Ok(if empty.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

/// Reads everybody's photos, and keeps those that can be used.
fn learn_from(
    readers: &mut [Reader],
    named: &[Named],
    arguments: &Arguments,
    threshold: f32,
    wrong: &mut Vec<String>,
) -> Result<Vec<Learner>, Failure> {
    let changes = Changes::without(&arguments.without);
    let all: Vec<&PathBuf> = named.iter().flat_map(|n| &n.photos).collect();
    let jobs: Vec<(usize, &PathBuf)> = all.into_iter().enumerate().collect();
    let shown = each(readers, "reading photos", &jobs, |reader, (k, photo)| {
        let seed = arguments.seed.wrapping_add(*k as u64);
        show(reader, photo, seed, arguments.views, changes)
    });
    let mut shown = shown.into_iter();
    let mut learners = Vec::new();
    for person in named {
        let mut enrolment = Enrolment::default();
        let mut examples = Vec::new();
        for photo in &person.photos {
            let Some(result) = shown.next() else { break };
            let refused = match result {
                Err(why) => why,
                Ok(Err(e)) => return Err(e.into()),
                Ok(Ok(shown)) => match (enrolment.add(&shown.faces), shown.faces.first()) {
                    (Ok(()), Some(face)) => {
                        if let Ok(embedding) = face.embedding {
                            examples.push(Example {
                                photo: photo.clone(),
                                embedding,
                                views: shown.views,
                                yaw: face.quality.yaw,
                                light: shown.light,
                            });
                        }
                        continue;
                    }
                    (Err(refusal), _) => refusal.to_string(),
                    (Ok(()), None) => Refusal::NoFace.to_string(),
                },
            };
            wrong.push(format!("{}: not used: {refused}", photo.display()));
        }
        let odd = enrolment.drop_odd(threshold);
        for (place, refusal) in odd.into_iter().rev() {
            let example = examples.remove(place);
            wrong.push(format!("{}: not used: {refusal}", example.photo.display()));
        }
        learners.push(Learner {
            name: person.name.clone(),
            given: person.photos.len(),
            examples,
        });
    }
    Ok(learners)
}

/// Photos that are in two people's folders, or look more like somebody else than like the rest of their folder, are
/// nobody's.
fn sort_out(learners: &mut [Learner], wrong: &mut Vec<String>) {
    let mut out: Vec<(usize, usize, String)> = Vec::new();
    for (i, learner) in learners.iter().enumerate() {
        for (k, example) in learner.examples.iter().enumerate() {
            let likeness = |of: &Learner, skip: Option<usize>| {
                let others = of
                    .examples
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| Some(*j) != skip);
                let cosines: Vec<f32> = others
                    .map(|(_, e)| e.embedding.cosine(example.embedding.values()))
                    .collect();
                let nearest = cosines.iter().copied().fold(-1.0, f32::max);
                let mean = cosines.iter().sum::<f32>() / cosines.len().max(1) as f32;
                (nearest, mean, cosines.len())
            };
            let (_, own, count) = likeness(learner, Some(k));
            for (_, other) in learners.iter().enumerate().filter(|(j, _)| *j != i) {
                let (nearest, mean, there) = likeness(other, None);
                if nearest > DUPLICATE {
                    out.push((
                        i,
                        k,
                        format!(
                            "the same picture is in {}'s folder: whose is it?",
                            other.name
                        ),
                    ));
                } else if count >= 2 && there >= 2 && mean > own {
                    let why = format!(
                        "is probably {}: cosine {mean:.2} to their photos, {own:.2} to {}'s",
                        other.name, learner.name
                    );
                    out.push((i, k, why));
                }
            }
        }
    }
    out.dedup_by_key(|(i, k, _)| (*i, *k));
    for (i, k, why) in out.into_iter().rev() {
        let example = learners[i].examples.remove(k);
        wrong.push(format!("{}: not used: {why}", example.photo.display()));
    }
}

/// Faces and views of one photo; the outer error says why it is no photo.
fn show(
    reader: &mut Reader,
    photo: &Path,
    seed: u64,
    views: u32,
    changes: Changes,
) -> Result<Result<Shown, FaceError>, String> {
    let photo = Photo::open(photo).map_err(|e| e.to_string())?;
    let mut read = || {
        let image = photo.image();
        let faces = reader.read_photo(&image)?.to_vec();
        let mut shown = Shown {
            faces,
            views: Vec::new(),
            light: 0.0,
        };
        let Some(face) = shown.faces.first().filter(|f| f.embedding.is_ok()) else {
            return Ok(shown);
        };
        let mut sampler = Sampler::new(image.layout().width, 256);
        let Some(cut) = FaceCut::new(&image, &face.landmarks, &mut sampler)? else {
            return Ok(shown);
        };
        shown.light = cut.light();
        for number in 0..views {
            let view = cut.view(seed, number, changes, &mut sampler)?;
            if let Ok(image) = view.image() {
                shown
                    .views
                    .extend(reader.read_at(&image, view.landmarks())?);
            }
        }
        Ok(shown)
    };
    Ok(read())
}

/// The largest face of each photo of strangers and things; a thing has none.
fn strangers(
    readers: &mut [Reader],
    folder: &Path,
    wrong: &mut Vec<String>,
) -> Result<Vec<(PathBuf, Embedding)>, Failure> {
    let photos = folder::photos_below(folder);
    if photos.is_empty() {
        return Ok(Vec::new());
    }
    let read = each(readers, "reading strangers", &photos, |reader, photo| {
        largest(reader, photo)
    });
    let mut strangers: Vec<(PathBuf, Embedding)> = Vec::new();
    for (photo, face) in photos.iter().zip(read) {
        match face {
            Err(why) => wrong.push(format!("{}: not used: {why}", photo.display())),
            Ok(face) => {
                if let Some(embedding) = face? {
                    let again = strangers
                        .iter()
                        .any(|(_, e)| e.cosine(embedding.values()) > DUPLICATE);
                    if again {
                        wrong.push(format!(
                            "{}: not used: the same picture as one before",
                            photo.display()
                        ));
                    } else {
                        strangers.push((photo.clone(), embedding));
                    }
                }
            }
        }
    }
    Ok(strangers)
}

fn largest(
    reader: &mut Reader,
    photo: &Path,
) -> Result<Result<Option<Embedding>, FaceError>, String> {
    let photo = Photo::open(photo).map_err(|e| e.to_string())?;
    let faces = reader.read_photo(&photo.image());
    Ok(faces.map(|faces| faces.first().and_then(|f| f.embedding.ok())))
}

/// What would have made these photos better.
fn advise(learner: &Learner) {
    let (name, n) = (&learner.name, learner.examples.len());
    if n == 0 {
        eprintln!(
            "latchkey: {name}: none of {} photos can be used",
            learner.given
        );
        return;
    }
    if n < FEW_PHOTOS {
        eprintln!("latchkey: {name}: {n} photos are few: 20 to 30 are best");
    }
    let spread = |of: fn(&Example) -> f32| {
        let values = learner.examples.iter().map(of);
        values.fold((f32::MAX, f32::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    let (left, right) = spread(|e| e.yaw);
    if n > 1 && left > -FRONTAL && right < FRONTAL {
        eprintln!("latchkey: {name}: all from the front: add photos from either side");
    }
    let (dark, bright) = spread(|e| e.light);
    if n > 1 && bright - dark < SAME_LIGHT {
        eprintln!("latchkey: {name}: all in the same light: add photos by day and in the evening");
    }
}

fn slices(embeddings: &[Embedding]) -> Vec<&[f32]> {
    embeddings.iter().map(Embedding::values).collect()
}

/// Everybody whom the head is to know: those who are learnt and, after them, those who stay as they were.
struct Household<'a> {
    learners: &'a [Learner],
    stay: Vec<&'a Person>,
}

impl<'a> Household<'a> {
    /// What the head learns from: of the learners the photos that `keep` names by their places, and their views.
    fn rows(&self, keep: impl Fn(usize) -> bool) -> Vec<Vec<&'a [f32]>> {
        let of = |l: &'a Learner| {
            let kept = l.examples.iter().enumerate().filter(|(k, _)| keep(*k));
            kept.flat_map(|(_, e)| [&e.embedding].into_iter().chain(&e.views))
                .map(Embedding::values)
                .collect()
        };
        let stay = self.stay.iter().map(|p| p.embeddings());
        self.learners.iter().map(of).chain(stay).collect()
    }

    /// Whose place in the rows is whose.
    fn place(&self, name: &str) -> Option<usize> {
        let learners = self.learners.iter().map(|l| &l.name);
        let mut names = learners.chain(self.stay.iter().map(|p| &p.name));
        names.position(|n| n == name)
    }
}

/// How an enrolled person's face did: cosine to their own direction and to the nearest of the others.
type Genuine = (f32, f32);

fn score(head: &[Vec<f32>], who: usize, face: &Embedding) -> Genuine {
    let others = head.iter().enumerate().filter(|(i, _)| *i != who);
    let other = others.map(|(_, d)| face.cosine(d)).fold(-1.0, f32::max);
    (face.cosine(&head[who]), other)
}

fn nearest(head: &[Vec<f32>], face: &Embedding) -> f32 {
    head.iter().map(|d| face.cosine(d)).fold(-1.0, f32::max)
}

/// Scores of photos and of strangers by heads that learnt from none of them: photos in turns of [`PARTS`], strangers in
/// halves.
fn cross_validate(
    household: &Household<'_>,
    strangers: &[(PathBuf, Embedding)],
    fakes: &[Embedding],
) -> (Vec<Genuine>, Vec<f32>) {
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    let everybody: Vec<&[f32]> = strangers
        .iter()
        .map(|(_, e)| e)
        .chain(fakes)
        .map(Embedding::values)
        .collect();
    for part in 0..PARTS {
        let rows = household.rows(|k| k % PARTS != part);
        if rows.iter().any(Vec::is_empty) {
            // Somebody has a single photo: nothing can be tried on them.
            continue;
        }
        let head = directions(&rows, &everybody);
        for (who, learner) in household.learners.iter().enumerate() {
            let tried = learner.examples.iter().skip(part).step_by(PARTS);
            genuine.extend(tried.map(|e| score(&head, who, &e.embedding)));
        }
    }
    for half in 0..2 {
        let learnt = strangers.iter().skip(1 - half).step_by(2).map(|(_, e)| e);
        let learnt: Vec<&[f32]> = learnt.chain(fakes).map(Embedding::values).collect();
        let head = directions(&household.rows(|_| true), &learnt);
        let tried = strangers.iter().skip(half).step_by(2);
        impostors.extend(tried.map(|(_, e)| nearest(&head, e)));
    }
    (genuine, impostors)
}

/// Scores of the photos in `folder`: of people whom the head knows, and of all others.
fn given(
    readers: &mut [Reader],
    folder: &Path,
    household: &Household<'_>,
    head: &[Vec<f32>],
) -> Result<(Vec<Genuine>, Vec<f32>), Failure> {
    let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
    if !folder.is_dir() {
        return Ok((genuine, impostors));
    }
    let (people, _) = folder::people(folder, &["unknown"])?;
    let unknown = Named {
        name: String::new(),
        photos: folder::photos_below(&folder.join("unknown")),
    };
    for person in people.iter().chain([&unknown]) {
        let who = household.place(&person.name);
        let read = each(readers, "trying photos", &person.photos, |reader, photo| {
            largest(reader, photo)
        });
        for face in read.into_iter().filter_map(Result::ok) {
            match (who, face?) {
                (Some(who), Some(face)) => genuine.push(score(head, who, &face)),
                // Not found, not let in.
                (Some(_), None) => genuine.push((-1.0, -1.0)),
                (None, Some(face)) => impostors.push(nearest(head, &face)),
                (None, None) => {}
            }
        }
    }
    Ok((genuine, impostors))
}

struct Summary<'a> {
    learners: &'a [Learner],
    empty: &'a [String],
    strangers: usize,
    calibration: Calibration,
    far: f64,
    genuine: &'a [Genuine],
    test: &'a (Vec<Genuine>, Vec<f32>),
    seconds: f32,
    gallery: Option<&'a PathBuf>,
    rule: Rule,
}

/// Counts of what the door would have said of faces of the enrolled.
struct Recognised {
    right: usize,
    wrong: usize,
    of: usize,
}

impl Summary<'_> {
    fn recognised(&self, genuine: &[Genuine]) -> Recognised {
        let least = self.calibration.threshold;
        let sure = |a: f32, b: f32| a >= least && a - b >= self.rule.margin;
        Recognised {
            right: genuine
                .iter()
                .filter(|(own, other)| sure(*own, *other))
                .count(),
            wrong: genuine
                .iter()
                .filter(|(own, other)| sure(*other, *own))
                .count(),
            of: genuine.len(),
        }
    }

    fn print(&self) {
        for l in self.learners {
            println!(
                "{}: {} of {} photos learnt",
                l.name,
                l.examples.len(),
                l.given
            );
        }
        let c = &self.calibration;
        let seen = self.recognised(self.genuine);
        if seen.of > 0 {
            let [low, high] = wilson(seen.of - seen.right, seen.of);
            println!(
                "tried on photos that it had not learnt: {} of {} recognised, {} taken for another; so it misses {:.1} % \
                 of looks (95 %: {:.1} to {:.1} %)",
                seen.right,
                seen.of,
                seen.wrong,
                100.0 * (seen.of - seen.right) as f64 / seen.of as f64,
                100.0 * low,
                100.0 * high
            );
        }
        let set = if self.rule.fixed {
            ", as the configuration says"
        } else {
            ""
        };
        println!(
            "a face is somebody from a cosine of {:.3} on{set}: {} of {} strangers' faces tried would be let in",
            c.threshold, c.accepted, c.trials
        );
        let asked = 100.0 * self.far;
        if c.shown {
            println!(
                "proven at 95 %: fewer than {:.2} % of strangers' faces are taken for somebody (asked for: {asked} %)",
                100.0 * c.proven
            );
        } else if c.trials == 0 {
            println!(
                "not proven: no photos of strangers were given; put photos of others into `unknown`, {} of them to show \
                 {asked} %",
                needed(self.far)
            );
        } else {
            println!(
                "proven at 95 %: fewer than {:.2} %; {asked} % cannot be shown with {} strangers' faces, it takes {}",
                100.0 * c.proven,
                c.trials,
                needed(self.far)
            );
        }
        let (genuine, impostors) = self.test;
        if !genuine.is_empty() || !impostors.is_empty() {
            let seen = self.recognised(genuine);
            let let_in = impostors.iter().filter(|s| **s >= c.threshold).count();
            println!(
                "test: {} of {} faces of the enrolled recognised, {} taken for another; {let_in} of {} strangers' faces \
                 let in",
                seen.right,
                seen.of,
                seen.wrong,
                impostors.len()
            );
        }
        match self.gallery {
            Some(path) => println!(
                "learnt in {:.1} s, in force: {}",
                self.seconds,
                path.display()
            ),
            None => println!("{:.1} s; nothing was changed", self.seconds),
        }
    }

    fn print_json(&self, wrong: &[String]) {
        let c = &self.calibration;
        let rates = |genuine: &[Genuine]| {
            let seen = self.recognised(genuine);
            json!({"faces": seen.of, "recognised": seen.right, "wrong_name": seen.wrong})
        };
        let people: Vec<_> = self
            .learners
            .iter()
            .map(|l| json!({"name": l.name, "photos": l.given, "used": l.examples.len()}))
            .collect();
        print_json(&json!({
            "people": people,
            "without_photos": self.empty,
            "strangers": self.strangers,
            "wrong": wrong,
            "threshold": c.threshold,
            "far": {"asked": self.far, "trials": c.trials, "accepted": c.accepted, "below_at_95": c.proven, "shown": c.shown},
            "cross_validation": rates(self.genuine),
            "test": {
                "enrolled": rates(&self.test.0),
                "strangers": self.test.1.len(),
                "let_in": self.test.1.iter().filter(|s| **s >= c.threshold).count(),
            },
            "seconds": self.seconds,
            "gallery": self.gallery,
        }));
    }
}

/// Strangers that show a FAR if none of them is let in.
fn needed(far: f64) -> usize {
    (1..)
        .map(|k| k * 50)
        .find(|n| proven_far(0, *n) <= far)
        .unwrap_or(usize::MAX)
}
