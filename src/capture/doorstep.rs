//! The doorstep as a camera: [`crate::doorstep`] is played at the camera's rate. If the clock is halted, it is played as
//! fast as the door can follow.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use super::buffer_pool::BufferPool;
use super::convert::from_rgb;
use super::frame_sender::FrameSender;
use super::{CameraEvent, CameraInfo, CameraSettings, CaptureError, RunningSource};
use crate::clock::{self, Timestamp};
use crate::doorstep::{HEIGHT, Play, SceneRenderer, Script, WIDTH, picture};
use crate::frame::{PixelFormat, Slot};
use crate::wakeup::WakingSender;

/// Starts the play. As [`super::start`], for a doorstep only.
///
/// # Errors
/// [`CaptureError`] if the system is out of descriptors or threads.
pub fn start(
    settings: &CameraSettings,
    script: Script,
    slot: Arc<Slot>,
    consumer: Thread,
    events: WakingSender<CameraEvent>,
) -> Result<RunningSource, CaptureError> {
    let settings = settings.clone();
    RunningSource::spawn("doorstep", slot, consumer, events, move |mut sender| {
        run(&settings, &script, &mut sender);
        if sender.stopped() {
            sender.discard_unread();
        }
    })
}

fn run(settings: &CameraSettings, script: &Script, sender: &mut FrameSender) {
    let mut renderer = SceneRenderer::new(Play::new(script));
    let mut pool = BufferPool::new(settings.buffers, sender);
    let format = settings.format.unwrap_or(PixelFormat::Yuyv);
    let period = Duration::from_secs(1) / settings.fps.max(1);
    let (mut canvas, mut bytes) = (picture(), Vec::new());
    let begun = Timestamp::now();
    let mut next = begun;
    loop {
        // What is visible at this time.
        let at = next.since(begun).as_secs_f32();
        if at > renderer.play().end() {
            break;
        }
        renderer.draw(at, &mut canvas);
        let layout = match from_rgb(&canvas, WIDTH as u32, HEIGHT as u32, format, &mut bytes) {
            Ok(layout) => layout,
            Err(error) => {
                log::error!("doorstep_frame why={:?}", error.to_string());
                break;
            }
        };
        if clock::halted() {
            // No frame is late here, because time passes only after everything that follows from the last frame is done.
            while !sender.stopped() && !clock::settle(sender.frames(), Duration::from_millis(50)) {}
            clock::pass(next.since(Timestamp::now()));
        } else {
            sender.wait(next.since(Timestamp::now()));
        }
        if sender.stopped() {
            return;
        }
        pool.send(layout, &bytes, sender, |layout| CameraInfo {
            name: "doorstep".to_owned(),
            path: PathBuf::from(format!("doorstep:{script}")),
            device: super::DeviceIdentity::default(),
            layout,
            fps: Some(settings.fps as f32),
            buffers: settings.buffers,
        });
        // A camera's clock does not wait for the drawing, and does not hurry to catch up.
        next = next.plus(period);
        if !clock::halted() {
            next = next.max(Timestamp::now());
        }
    }
    sender.state.ended();
    while clock::halted() && !sender.stopped() {
        sender.wakeup.wait(period);
        clock::pass(period);
    }
}
