//! The door thread's log lines: one line for each event of the decision, and the description of a camera. The lines of faults
//! are in [`fault`](super::fault).

use super::Controller;
use crate::capture::{CameraInfo, DeviceIdentity};
use crate::clock::Timestamp;
use crate::door::{Event, Events, OpenedBy};
use crate::journal;
use crate::people::PersonId;

impl Controller {
    /// Logs the events of the decision at `now`.
    pub(super) fn log_events(&self, now: Timestamp, events: &Events) {
        for event in events {
            match *event {
                Event::Granted {
                    person,
                    track,
                    score,
                    captured,
                    votes,
                } => {
                    let delay = now.since(captured).as_millis();
                    let person = self.name(person);
                    log::info!(
                        "granted person={person} track={track} score={score:.2} votes={votes} frame={captured} delay_ms={delay}"
                    );
                }
                Event::Refused {
                    track,
                    presentation,
                    score,
                    captured,
                } => {
                    log::info!(
                        "refused track={track} score={score:.2} frame={captured} presentation={presentation}"
                    );
                }
                Event::Undecided {
                    track,
                    presentation,
                    strange,
                    known,
                    score,
                    captured,
                } => {
                    log::info!(
                        "undecided track={track} score={score:.2} strange={strange} known={known} frame={captured} presentation={presentation}"
                    );
                }
                Event::Fixture {
                    track,
                    presentation,
                } => log::info!("fixture track={track} presentation={presentation}"),
                Event::Unsteady {
                    track,
                    presentation,
                } => log::warn!("unsteady track={track} presentation={presentation}"),
                Event::Strict => log::warn!("strict"),
                Event::StrictEnded => log::info!("strict_over"),
                Event::LockedOut { until } => {
                    log::warn!("locked_out seconds={}", until.since(now).as_secs());
                }
                Event::LockoutEnded => log::info!("lockout_over"),
                Event::Opened {
                    by: OpenedBy::Person(person),
                } => log::info!("opened by={}", self.name(person)),
                Event::Opened {
                    by: OpenedBy::Button,
                } => log::info!("opened by=button"),
                Event::Closed { held } => log::info!("closed held_ms={}", held.as_millis()),
                Event::ClockJumped => log::warn!("clock_jumped"),
            }
        }
    }

    /// The name of a person in the log.
    fn name(&self, person: PersonId) -> String {
        let name = self.names.iter().find(|(id, _)| *id == person);
        match name {
            Some((_, name)) if self.log_names => journal::value(name),
            _ => person.to_string(),
        }
    }
}

/// The description of a camera in the log.
pub(super) fn camera(camera: &CameraInfo) -> String {
    let layout = camera.layout;
    let fps = camera.fps.map_or("?".to_owned(), |fps| format!("{fps:.0}"));
    // A source without a device has no device field.
    let device = match camera.device == DeviceIdentity::default() {
        true => String::new(),
        false => format!(" device={}", journal::value(&camera.device.to_string())),
    };
    format!(
        "name={} path={} format={} size={}x{} fps={fps}{device}",
        journal::value(&camera.name),
        journal::value(&camera.path.to_string_lossy()),
        layout.format,
        layout.width,
        layout.height
    )
}
