//! The doorstep as a camera: [`crate::doorstep`] played at the camera's rate, or as fast as the door can follow where
//! the clock is halted.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use super::convert::from_rgb;
use super::link::Outlet;
use super::projector::Projector;
use super::{CameraEvent, CameraInfo, CameraSettings, CaptureError, Running};
use crate::bell::Caller;
use crate::clock::{self, Timestamp};
use crate::doorstep::{HEIGHT, Play, Script, Stage, WIDTH, picture};
use crate::frame::{PixelFormat, Slot};

/// Starts the play. As [`super::start`], for a doorstep only.
///
/// # Errors
/// [`CaptureError`] if the system is out of descriptors or threads.
pub fn start(
    settings: &CameraSettings,
    script: Script,
    slot: Arc<Slot>,
    consumer: Thread,
    events: Caller<CameraEvent>,
) -> Result<Running, CaptureError> {
    let settings = settings.clone();
    Running::spawn("doorstep", slot, consumer, events, move |mut outlet| {
        run(&settings, &script, &mut outlet);
        if outlet.stopped() {
            outlet.clear();
        }
    })
}

fn run(settings: &CameraSettings, script: &Script, outlet: &mut Outlet) {
    let mut stage = Stage::new(Play::new(script));
    let mut projector = Projector::new(settings.buffers, outlet);
    let format = settings.format.unwrap_or(PixelFormat::Yuyv);
    let period = Duration::from_secs(1) / settings.fps.max(1);
    let (mut canvas, mut bytes) = (picture(), Vec::new());
    let begun = Timestamp::now();
    let mut next = begun;
    loop {
        // What is visible at that time.
        let at = next.since(begun).as_secs_f32();
        if at > stage.play().end() {
            break;
        }
        stage.draw(at, &mut canvas);
        let layout = match from_rgb(&canvas, WIDTH as u32, HEIGHT as u32, format, &mut bytes) {
            Ok(layout) => layout,
            Err(error) => {
                log::error!("doorstep_frame why={:?}", error.to_string());
                break;
            }
        };
        if clock::halted() {
            // No frame is late here: time passes once everything that follows from the last frame is done.
            while !outlet.stopped() && !clock::settle(outlet.frames(), Duration::from_millis(50)) {}
            clock::pass(next.since(Timestamp::now()));
        } else {
            outlet.pause(next.since(Timestamp::now()));
        }
        if outlet.stopped() {
            return;
        }
        projector.show(layout, &bytes, outlet, |layout| CameraInfo {
            name: "doorstep".to_owned(),
            path: PathBuf::from(format!("doorstep:{script}")),
            device: super::Identity::default(),
            layout,
            fps: Some(settings.fps as f32),
            buffers: settings.buffers,
        });
        // A camera's clock does not wait for the painter, and does not hurry to catch up.
        next = next.plus(period);
        if !clock::halted() {
            next = next.max(Timestamp::now());
        }
    }
    outlet.link.ended();
    while clock::halted() && !outlet.stopped() {
        outlet.bell.wait(period);
        clock::pass(period);
    }
}
