//! Messages of the other threads to the door's thread: changes of the camera and the gallery, and the progress of recognition.
//! Observations are not handled here: [the round](super::Controller::round) passes them to the decision.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use super::fault::Fault;
use super::{Controller, lines};
use crate::capture::CameraEvent;
use crate::clock::Timestamp;
use crate::door::Observation;
use crate::pipeline::Shared;
use crate::pipeline::gallery::Names;

/// A change of the gallery, from the main thread.
pub enum GalleryUpdate {
    /// The gallery is in force. These are its people.
    Names(Names),
    /// The gallery cannot be used, for this reason, so no one is known.
    Refused(String),
}

/// The door thread's receiving ends for messages of the other threads.
pub struct Inbox {
    pub shared: Arc<Shared>,
    pub observations: Receiver<Observation>,
    pub camera: Receiver<CameraEvent>,
    pub gallery: Receiver<GalleryUpdate>,
}

impl Controller {
    /// Handles the events of the camera and the gallery.
    pub(super) fn read_inbox(&mut self) {
        while let Ok(update) = self.inbox.gallery.try_recv() {
            match update {
                GalleryUpdate::Names(names) => self.names = names,
                GalleryUpdate::Refused(why) => self.fail(Fault::Gallery(why)),
            }
        }
        while let Ok(event) = self.inbox.camera.try_recv() {
            match event {
                CameraEvent::Up(camera) => {
                    self.camera_is_up();
                    log::info!("camera_up {}", lines::camera(&camera));
                }
                CameraEvent::Back { camera, away } => {
                    self.camera_is_up();
                    let away = away.as_millis();
                    log::info!("camera_back away_ms={away} {}", lines::camera(&camera));
                }
                CameraEvent::Down { why, path } => self.fail(Fault::Camera { why, path }),
                CameraEvent::Ended => {
                    self.source_ended = Some(Timestamp::now());
                }
            }
        }
    }

    /// Notes that the camera delivers.
    fn camera_is_up(&mut self) {
        (self.faults.camera, self.logged.camera) = (false, false);
        self.camera_since = Timestamp::now();
    }

    /// Checks whether recognition, or the source of its frames, has stopped without an error.
    pub(super) fn watch_recognition(&mut self, now: Timestamp) {
        let shared = &self.inbox.shared;
        let round = Timestamp::from_nanos(shared.recognition_round.load(Ordering::Acquire));
        let read = Timestamp::from_nanos(shared.frame_read.load(Ordering::Acquire));
        let expected = !self.faults.camera && self.source_ended.is_none();
        let stuck = now.since(round) > self.watchdog
            || expected && now.since(read.max(self.camera_since)) > self.read_timeout;
        if stuck && !self.faults.recognition {
            self.fail(Fault::Recognition);
        }
        self.faults.recognition = stuck;
    }
}
