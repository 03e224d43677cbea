//! `latchkey doorstep review`: compares the log of `run --source doorstep:SCRIPT` with who really came.
//!
//! It judges by the log alone: a visit is right if the door opened in it for a resident who came, and stayed shut if no
//! resident came. If a lock-out kept a resident out, the visit counts as locked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{GenericImage, Rgb, RgbImage};
use jiff::Timestamp;

use super::photos::save;
use super::{Exit, Failure, Of, Overrides};
use crate::capture::convert::from_rgb;
use crate::cli::identify::name;
use crate::cli::{Loaded, draw};
use crate::doorstep::{HEIGHT, Play, SceneRenderer, Visit, WIDTH, picture};
use crate::frame::{Image, PixelFormat};
use crate::people::{Gallery, Identifier};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    of: Of,
    /// The log that `run` wrote
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Picture of some visits to write, as PNG or JPEG: what was seen when the door decided, and what the relay did
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// The most mistakes that are printed one by one.
const MOST_PRINTED: usize = 20;

/// The door's events in the log, in milliseconds since the camera came up.
#[derive(Default)]
struct Logged {
    /// When it opened and by whom.
    opened: Vec<(u64, String)>,
    closed: Vec<u64>,
    /// When a person was granted or refused.
    decided: Vec<u64>,
    refused: Vec<u64>,
    /// From when until when the door was locked out.
    locked: Vec<(u64, u64)>,
    /// Whether the play ran to its end.
    ended: bool,
}

/// Ends with [`Exit::No`] if the door was wrong about a visit.
pub fn run(asked: &Overrides, arguments: &Arguments) -> Result<Exit, Failure> {
    let log = &arguments.log;
    let unreadable = |why: &dyn std::fmt::Display| Failure {
        exit: Exit::Usage,
        text: format!("{}: {why}", log.display()),
    };
    let text = std::fs::read_to_string(log)
        .map_err(|e| Failure::of(&e, format!("{}: {e}", log.display())))?;
    let logged = Logged::read(&text);
    if !logged.ended {
        return Err(unreadable(
            &"does not have the end of a play: give the whole log of `latchkey run --source doorstep:SCRIPT`",
        ));
    }
    let play = arguments.of.play();
    let judged: Vec<Judged> = (0..play.visits().len())
        .map(|k| Judged::of(&play, k, &logged))
        .collect();
    // Before the first visit.
    let first = play.visits().first().map_or(u64::MAX, |v| millis(v.from));
    let early = logged.opened.iter().filter(|(at, _)| *at < first).count();
    let wrong = play.visits().iter().zip(&judged).filter(|(_, j)| j.wrong);
    for (visit, judged) in wrong.take(MOST_PRINTED) {
        println!(
            "wrong: at {:.1} s: {}",
            visit.from,
            judged.line(&play, visit)
        );
    }
    if early > 0 {
        println!("wrong: opened {early} times before anybody came");
    }
    let count = |is: fn(&Judged) -> bool| judged.iter().filter(|j| is(j)).count();
    let wrong = count(|j| j.wrong) + early;
    if let Some(file) = &arguments.picture {
        sheet(asked, play, &judged, &logged, file)?;
    }
    println!(
        "visits={} opened={} refused={} locked={} wrong={wrong}",
        judged.len(),
        count(|j| !j.opened_by.is_empty()),
        count(|j| j.opened_by.is_empty() && j.refused),
        count(|j| j.locked)
    );
    Ok(if wrong == 0 { Exit::Done } else { Exit::No })
}

impl Logged {
    fn read(log: &str) -> Self {
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

/// How the door did in one visit.
struct Judged {
    /// By whom it was opened, each time.
    opened_by: Vec<String>,
    refused: bool,
    /// A resident came and a lock-out kept the door shut.
    locked: bool,
    wrong: bool,
}

impl Judged {
    fn of(play: &Play, k: usize, logged: &Logged) -> Self {
        let visit = &play.visits()[k];
        // What the door does after a person has left still belongs to that person's visit.
        let next = play
            .visits()
            .get(k + 1)
            .map_or(u64::MAX, |v| millis(v.from));
        let within = |at: &u64| (millis(visit.from)..next).contains(at);
        let opened = logged.opened.iter().filter(|(at, _)| within(at));
        let opened_by: Vec<String> = opened.map(|(_, by)| by.clone()).collect();
        let welcome: Vec<String> = visit
            .who
            .iter()
            .filter(|who| play.lives_here(**who))
            .map(|who| play.name(*who))
            .collect();
        let (from, until) = (millis(visit.from), millis(visit.until));
        let in_force = |(begun, over): &(u64, u64)| *begun < until && *over > from;
        let locked =
            opened_by.is_empty() && !welcome.is_empty() && logged.locked.iter().any(in_force);
        let wrong = (opened_by.is_empty() != welcome.is_empty() && !locked)
            || opened_by.iter().any(|by| !welcome.contains(by));
        Self {
            opened_by,
            refused: logged.refused.iter().any(within),
            locked,
            wrong,
        }
    }

    fn line(&self, play: &Play, visit: &Visit) -> String {
        let did = match (self.opened_by.as_slice(), self.refused) {
            ([], true) => "refused".to_owned(),
            ([], false) => "stayed shut".to_owned(),
            (by, _) => format!("opened by {}", by.join(", ")),
        };
        format!("{}: {did}", names(play, visit))
    }
}

fn names(play: &Play, visit: &Visit) -> String {
    let names: Vec<String> = visit.who.iter().map(|w| play.name(*w)).collect();
    names.join(", ")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a play's time, from 0 on"
)]
fn millis(seconds: f32) -> u64 {
    (1000.0 * seconds).round() as u64
}

const COLUMNS: u32 = 4;
const ROWS: u32 = 3;
/// Pixels of a frame to one of the sheet.
const SCALE: u32 = 2;
const TILE: (u32, u32) = (WIDTH as u32 / SCALE, HEIGHT as u32 / SCALE);
/// Below a tile: a line of text, and the relay's trace.
const STRIP: u32 = 44;
const GAP: u32 = 6;
const PAPER: Rgb<u8> = Rgb([24, 26, 30]);
const TEXT: Rgb<u8> = Rgb([210, 214, 220]);
const LINE: Rgb<u8> = Rgb([90, 96, 106]);
const RELAY: Rgb<u8> = Rgb([255, 170, 40]);

/// Visits from all of the play: what the program sees in the frame on which the door decided, and what the relay did.
fn sheet(
    asked: &Overrides,
    play: Play,
    judged: &[Judged],
    logged: &Logged,
    file: &Path,
) -> Result<(), Failure> {
    let loaded = Loaded::at_the_door(asked)?;
    let gallery = Gallery::load(&loaded.config.gallery)?;
    let mut reader = loaded.reader(loaded.gated())?;
    gallery.suits(reader.embedder_sha256(), &loaded.config.gallery)?;
    let known = gallery.enrolled(reader.embedder_sha256());
    let identifier = Identifier::new(known, loaded.rule, loaded.bank()?.as_ref());
    let format = loaded.config.camera.format.unwrap_or(PixelFormat::Yuyv);

    let (across, down) = (TILE.0 + GAP, TILE.1 + STRIP + GAP);
    let mut sheet = RgbImage::from_pixel(GAP + COLUMNS * across, GAP + ROWS * down, PAPER);
    let mut stage = SceneRenderer::new(play);
    let (mut canvas, mut bytes) = (picture(), Vec::new());
    for (place, k) in chosen(stage.play(), (COLUMNS * ROWS) as usize)
        .into_iter()
        .enumerate()
    {
        let visit = stage.play().visits()[k].clone();
        let (from, until) = (millis(visit.from), millis(visit.until));
        let decided = logged.decided.iter().find(|at| (from..until).contains(at));
        let moment = *decided.unwrap_or(&u64::midpoint(from, until));
        stage.draw(Duration::from_millis(moment).as_secs_f32(), &mut canvas);
        let layout = from_rgb(&canvas, WIDTH as u32, HEIGHT as u32, format, &mut bytes)?;
        let faces = reader.read(&Image::new(layout, &bytes)?)?;
        let triangle = image::imageops::FilterType::Triangle;
        let mut tile = image::imageops::resize(&canvas, TILE.0, TILE.1, triangle);
        for face in faces {
            let n = name(face, &identifier, &gallery);
            draw::face(&mut tile, face, SCALE as f32, n.colour(), &n.label(), 1);
        }
        let (left, top) = (
            GAP + place as u32 % COLUMNS * across,
            GAP + place as u32 / COLUMNS * down,
        );
        // The sheet has room for all.
        let _ = sheet.copy_from(&tile, left, top);
        let strip = (i64::from(left), i64::from(top + TILE.1));
        let text = format!(
            "{:.1} s {}",
            moment as f32 / 1000.0,
            judged[k].line(stage.play(), &visit)
        );
        draw::write(&mut sheet, strip.0, strip.1 + 4, 1, &text, TEXT);
        let end = from + millis(stage.play().script().every);
        trace(&mut sheet, strip, (from, end), moment, logged);
    }
    save(&sheet, file)
}

/// What the relay did from one time to another; a mark where the picture above was taken.
fn trace(
    sheet: &mut RgbImage,
    (left, top): (i64, i64),
    (from, end): (u64, u64),
    moment: u64,
    logged: &Logged,
) {
    let (wide, on, off) = (i64::from(TILE.0), top + 18, top + 38);
    let x = |at: u64| {
        let part = at.clamp(from, end) - from;
        left + i64::try_from(part * u64::from(TILE.0) / (end - from).max(1)).unwrap_or(0)
    };
    draw::fill(sheet, left, off, left + wide, off + 1, LINE);
    draw::fill(sheet, x(moment), on - 2, x(moment) + 1, off + 3, LINE);
    for (opened, _) in &logged.opened {
        let closed = logged.closed.iter().find(|at| *at >= opened).copied();
        let (a, b) = (x(*opened), x(closed.unwrap_or(end)));
        if b > a {
            draw::fill(sheet, a, on, b, on + 2, RELAY);
            draw::fill(sheet, a, off - 1, left, off + 1, RELAY);
            for edge in [a, b] {
                draw::fill(sheet, edge - 1, on, edge + 1, off + 1, RELAY);
            }
        }
    }
    draw::write(sheet, left + wide - 40, off - 8, 1, "relay", LINE);
}

/// `count` visits, spread over the play: in turn a resident, a stranger and two people together, where there are such visits.
fn chosen(play: &Play, count: usize) -> Vec<usize> {
    let visits = play.visits();
    let count = count.min(visits.len());
    (0..count)
        .map(|place| {
            let part = place * visits.len() / count..(place + 1) * visits.len() / count;
            let wanted = |k: &usize| {
                let who = &visits[*k].who;
                match place % 3 {
                    0 => who.len() == 1 && play.lives_here(who[0]),
                    1 => who.len() == 1 && !play.lives_here(who[0]),
                    _ => who.len() > 1,
                }
            };
            part.clone().find(wanted).unwrap_or(part.start)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doorstep::Script;

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

    #[test]
    fn only_a_resident_who_came_may_open_the_door() {
        let play = Play::new(
            &"3,visits=60,residents=2,strangers=5"
                .parse::<Script>()
                .unwrap(),
        );
        let kind = |wanted: &dyn Fn(&[usize]) -> bool| {
            play.visits().iter().position(|v| wanted(&v.who)).unwrap()
        };
        let alone = kind(&|who| who == [0]);
        let stranger = kind(&|who| who.len() == 1 && !play.lives_here(who[0]));
        let wrong = |k: usize, by: &[&str]| {
            let at = millis(play.visits()[k].from) + 800;
            let opened = by.iter().map(|by| (at, (*by).to_owned())).collect();
            Judged::of(
                &play,
                k,
                &Logged {
                    opened,
                    ..Logged::default()
                },
            )
            .wrong
        };
        assert!(!wrong(alone, &["Ada"]));
        assert!(wrong(alone, &[]));
        assert!(wrong(alone, &["Ben"]));
        assert!(wrong(alone, &["Ada", "Ben"]));
        assert!(wrong(alone, &["button"]));
        assert!(!wrong(stranger, &[]));
        assert!(wrong(stranger, &["Ada"]));

        // A lock-out excuses a door that stays shut while it is in force, and no other.
        let during = |from: f32, until: f32, by: &[&str]| {
            let visit = &play.visits()[alone];
            let at = |seconds: f32| millis(visit.from + seconds);
            let logged = Logged {
                opened: by.iter().map(|by| (at(0.8), (*by).to_owned())).collect(),
                locked: vec![(at(from), at(until))],
                ..Logged::default()
            };
            let judged = Judged::of(&play, alone, &logged);
            (judged.locked, judged.wrong)
        };
        assert_eq!(during(-1.0, 1.0, &[]), (true, false));
        assert_eq!(during(-2.0, -1.0, &[]), (false, true));
        assert_eq!(during(-1.0, 1.0, &["Ben"]), (false, true));
        assert_eq!(during(-1.0, 1.0, &["Ada"]), (false, false));
    }
}
