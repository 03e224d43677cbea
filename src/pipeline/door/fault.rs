//! The faults that may occur while the door works, their log lines, and which parts are broken.
//! [`Controller::fail`](super::Controller::fail) handles each fault, and always begins by turning the relay off.

use std::path::PathBuf;

use crate::capture::CameraFault;
use crate::journal;
use crate::output::{GuardError, OutputError};

/// A part broke, or the loop ends. A new kind needs a row in the test of the faults' order, which does not compile without that
/// row.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The camera delivers nothing.
    Camera {
        /// The reason.
        why: CameraFault,
        /// The camera's node.
        path: PathBuf,
    },
    /// Recognition, or the source of its frames, has stopped without an error.
    Recognition,
    /// The relay's line does not obey.
    Relay(OutputError),
    /// An LED's line does not obey.
    Leds(OutputError),
    /// The button's line does not answer.
    Button(OutputError),
    /// The active guard is dead, silent, or reads nothing.
    Guard(GuardError),
    /// There is no guard, and none can be started.
    NoGuard(GuardError),
    /// The broker is gone, or accepts no more requests, so lost outputs and guards could not be replaced.
    Broker(String),
    /// The gallery cannot be used.
    Gallery(String),
    /// The clock went backwards.
    Clock,
    /// The process was asked to stop, or its source has ended.
    Stop,
}

impl Fault {
    /// Logs the fault's line, if no other code logs it.
    pub fn log(&self) {
        match self {
            Self::Camera { why, path } => {
                let path = journal::value(&path.to_string_lossy());
                log::warn!("camera_down path={path} why={:?}", why.to_string());
            }
            Self::Relay(why) | Self::Leds(why) | Self::Button(why) => {
                log::error!("outputs_lost why={:?}", why.to_string());
            }
            Self::Guard(why) => log::error!("guard_lost why={:?}", why.to_string()),
            Self::NoGuard(why) => log::error!("guard_not_started why={:?}", why.to_string()),
            Self::Broker(why) => log::error!("broker_lost why={why:?}"),
            Self::Gallery(why) => log::error!("gallery_refused why={why:?}"),
            // Recognition is logged with the round's faults, Clock as an event of the decision, and Stop where the reason is
            // known.
            Self::Recognition | Self::Clock | Self::Stop => {}
        }
    }
}

/// Which parts are broken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) camera: bool,
    pub(super) recognition: bool,
    pub(super) outputs: bool,
    pub(super) guard: bool,
}

impl Faults {
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    /// Logs faults that began or ended after `logged`, if they have no line of their own.
    pub(super) fn log(self, logged: Self) {
        for (what, now, logged) in [
            ("recognition_stuck", self.recognition, logged.recognition),
            ("outputs", self.outputs, logged.outputs),
            ("guard", self.guard, logged.guard),
        ] {
            match (logged, now) {
                (false, true) => log::error!("fault what={what}"),
                (true, false) => log::info!("fault_over what={what}"),
                _ => {}
            }
        }
    }
}
