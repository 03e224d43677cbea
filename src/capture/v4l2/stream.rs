//! One stream of one device, from opening the device to releasing everything that belongs to it.
//!
//! While it runs it allocates nothing, takes no lock and copies no pixel. Any fault ends it; the caller
//! decides whether to try again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use v4l::v4l_sys as c;

use super::super::frame_sender::FrameSender;
use super::super::{
    CameraFault, CameraInfo, CameraSettings, Choice, Counters, DeviceIdentity, Interval,
    LONGEST_ROUND,
};
use super::buffers::Buffers;
use super::node::{DequeuedBuffer, FailedCall, Node, PixFormat};
use super::{Device, fault_of, fourcc_text};
use crate::clock::Timestamp;
use crate::frame::{Image, ImageError, Layout, Lease, PixelFormat, Pool, Range};

/// The first frame may take longer than the others, because sensors start up and USB cameras negotiate.
const FIRST_FRAME: Duration = Duration::from_secs(5);

/// `VIDEO_MAX_FRAME`: the most buffers a queue has.
const MOST_BUFFERS: usize = 32;

/// Fewer buffers are not enough: one is in the slot, one is read, and one belongs to the driver.
const FEWEST_BUFFERS: u32 = 3;

/// A stream that has been started.
pub(super) struct Stream {
    node: Node,
    pool: Arc<Buffers>,
    returned: Receiver<u32>,
    layout: Layout,
    /// The buffers that are lent, by index.
    lent: [bool; MOST_BUFFERS],
    /// The number of buffers that the driver has.
    queued: u32,
    /// The camera's description. It is reported with the first frame and then removed.
    info: Option<CameraInfo>,
    stall: Duration,
    started: Timestamp,
    /// The time of the last good frame, or the last time at which the driver could begin to fill a buffer.
    last_good: Timestamp,
    /// Damaged frames since the last good one.
    damaged: u64,
}

impl Stream {
    /// Sets `device` up for `choice` and starts it. After an error nothing stays open.
    pub fn start(
        device: Device,
        choice: Choice,
        path: &Path,
        identity: &DeviceIdentity,
        settings: &CameraSettings,
        sender: &FrameSender,
    ) -> Result<Self, CameraFault> {
        let Device { node, capability } = device;
        let fourcc = choice.format.fourcc();
        let format = node.set_format(fourcc, choice.width, choice.height)?;
        let layout = layout_of(&format).ok_or_else(|| CameraFault::NoFormat {
            wanted: choice.format.to_string(),
            offered: fourcc_text(format.fourcc),
        })?;
        match Image::new(layout, &[]) {
            // There are no bytes yet, so this checks only that a picture can have this layout.
            Ok(_) | Err(ImageError::Short { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(interval) = choice.interval
            && let Err(failed) = node.set_interval(interval)
        {
            if failed.errno == Errno::NODEV {
                return Err(failed.into());
            }
            log::debug!("{}: keeps its frame rate: {}", path.display(), failed.errno);
        }
        let granted = node.request_buffers(settings.buffers)?;
        let (pool, returned) = Buffers::map(&node, granted, &sender.wakeup, &sender.counters)?;
        if granted < FEWEST_BUFFERS
            || granted as usize > MOST_BUFFERS
            || pool.bytes_each() < layout.bytes()
        {
            return Err(CameraFault::Buffers {
                granted,
                bytes: pool.bytes_each(),
                need: layout.bytes(),
            });
        }
        for index in 0..granted {
            node.queue(index)?;
        }
        let started = Timestamp::now();
        node.stream_on()?;
        let info = CameraInfo {
            name: capability.card,
            path: path.to_owned(),
            device: identity.clone(),
            layout,
            fps: node.interval().and_then(Interval::fps),
            buffers: granted,
        };
        Ok(Self {
            node,
            pool: Arc::new(pool),
            returned,
            layout,
            lent: [false; MOST_BUFFERS],
            queued: granted,
            info: Some(info),
            stall: Duration::from_millis(settings.stall_ms),
            started,
            last_good: started,
            damaged: 0,
        })
    }

    /// Delivers frames until the source is stopped or a fault occurs. Then releases everything.
    pub fn run(mut self, sender: &mut FrameSender) -> Result<(), CameraFault> {
        let result = self.deliver(sender);
        sender.discard_unread();
        // Errors are ignored because the device may be gone. After its buffers are released, it can be opened again even
        // while leases of this stream are out. The memory of the leases stays until they are dropped.
        let Self { node, pool, .. } = self;
        let _ = node.stream_off();
        drop(pool);
        let _ = node.request_buffers(0);
        result
    }

    /// Whether a frame has come.
    pub const fn announced(&self) -> bool {
        self.info.is_none()
    }

    fn deliver(&mut self, sender: &mut FrameSender) -> Result<(), CameraFault> {
        while !sender.stopped() {
            self.requeue()?;
            let limit = if self.announced() {
                self.stall
            } else {
                self.stall.max(FIRST_FRAME)
            };
            let waited = Timestamp::now().since(self.last_good);
            // While every buffer is lent, the camera cannot deliver.
            if waited >= limit && self.queued > 0 {
                let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                return Err(match self.damaged {
                    0 => CameraFault::Stalled(ms),
                    _ => CameraFault::Damaged(ms),
                });
            }
            let timeout = poll_timeout(limit, waited);
            let mut fds = [
                PollFd::from_borrowed_fd(self.node.fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(sender.wakeup.fd(), PollFlags::IN),
            ];
            match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    return Err(CameraFault::Call {
                        call: "poll",
                        errno,
                    });
                }
            }
            let (device, wakeup) = (fds[0].revents(), fds[1].revents());
            if !wakeup.is_empty() {
                sender.wakeup.clear();
                self.requeue()?;
            }
            if !device.is_empty() {
                let taken = self.take(sender)?;
                if taken == 0
                    && device.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
                {
                    // This is an error that dequeuing a frame does not report.
                    return Err(if device.contains(PollFlags::HUP) {
                        CameraFault::Gone
                    } else {
                        CameraFault::Call {
                            call: "poll",
                            errno: Errno::IO,
                        }
                    });
                }
            }
        }
        Ok(())
    }

    /// Gives all returned buffers to the driver.
    fn requeue(&mut self) -> Result<(), CameraFault> {
        while let Ok(index) = self.returned.try_recv() {
            if self.queued == 0 {
                self.last_good = Timestamp::now();
            }
            self.node.queue(index)?;
            self.lent[index as usize] = false;
            self.queued += 1;
        }
        Ok(())
    }

    /// Takes all filled buffers and delivers the good ones; the newest stays in the slot. Returns their
    /// number.
    fn take(&mut self, sender: &mut FrameSender) -> Result<u32, CameraFault> {
        let (mut taken, mut good) = (0, false);
        // The number is limited because damaged frames are queued again at once, so the loop might never end.
        while taken < MOST_BUFFERS as u32
            && let Some(filled) = self.node.dequeue()?
        {
            taken += 1;
            good |= self.lend(filled, sender)?;
        }
        if good {
            sender.wake_consumer();
        }
        Ok(taken)
    }

    /// Delivers a filled buffer. Returns whether the frame was good.
    fn lend(
        &mut self,
        filled: DequeuedBuffer,
        sender: &mut FrameSender,
    ) -> Result<bool, CameraFault> {
        let DequeuedBuffer { index, used, .. } = filled;
        match self.lent.get_mut(index as usize) {
            Some(lent) if !*lent && self.queued > 0 => *lent = true,
            // If one buffer were lent twice, the end of one lease would give it back to the driver, which would then write to it
            // while the other lease still reads it.
            _ => return Err(CameraFault::StrayBuffer(index)),
        }
        self.queued -= 1;
        if filled.error || used < self.layout.bytes().max(1) {
            Counters::count(&sender.counters.errors);
            self.damaged += 1;
            self.node.queue(index)?;
            self.lent[index as usize] = false;
            self.queued += 1;
            return Ok(false);
        }
        let now = Timestamp::now();
        (self.last_good, self.damaged) = (now, 0);
        if let Some(info) = self.info.take() {
            sender.state.up(info);
        }
        // Some drivers report a wrong time. But a frame was captured after its stream was started, and before the present.
        let plausible = |t: &Timestamp| (self.started..=now).contains(t);
        let captured = filled.captured.filter(plausible).unwrap_or(now);
        let pool = Arc::clone(&self.pool) as Arc<dyn Pool>;
        sender.put(Lease::new(
            pool,
            index,
            used,
            self.layout,
            captured,
            filled.sequence,
        ));
        Ok(true)
    }
}

impl From<FailedCall> for CameraFault {
    fn from(failed: FailedCall) -> Self {
        fault_of(failed.call, failed.errno)
    }
}

/// The layout of the frames; `None` if the sampler does not read this format.
fn layout_of(format: &PixFormat) -> Option<Layout> {
    let pixels = PixelFormat::from_fourcc(format.fourcc)?;
    let packed = Layout {
        range: range_of(format, pixels),
        ..Layout::packed(pixels, format.width, format.height)
    };
    Some(match (pixels, format.stride) {
        // Some drivers do not set the stride, and MJPEG has none.
        (PixelFormat::Mjpeg, _) | (_, 0) => packed,
        (_, stride) => Layout { stride, ..packed },
    })
}

/// V4L2's rule (`V4L2_MAP_QUANTIZATION_DEFAULT`): unless the driver sets it, RGB and the colour space
/// JPEG are full range and everything else is limited. GREY is an exception: those are mostly infrared
/// cameras, which deliver what the sensor counts.
fn range_of(format: &PixFormat, pixels: PixelFormat) -> Range {
    use PixelFormat::{Bgr3, Grey, Mjpeg, Nv12, Rgb3, Yu12, Yuyv};
    let jpeg = format.colorspace == c::v4l2_colorspace_V4L2_COLORSPACE_JPEG;
    match (pixels, format.quantization) {
        (Mjpeg | Rgb3 | Bgr3, _) => Range::Full,
        (_, c::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE) => Range::Full,
        (_, c::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE) => Range::Limited,
        (Grey, _) => Range::Full,
        (Nv12 | Yu12 | Yuyv, _) if jpeg => Range::Full,
        (Nv12 | Yu12 | Yuyv, _) => Range::Limited,
    }
}

/// How long to wait for a frame if the camera has been silent for `waited` of `limit`. When the limit has been reached,
/// every buffer is lent, and a buffer that is returned wakes the source.
fn poll_timeout(limit: Duration, waited: Duration) -> Duration {
    match limit.saturating_sub(waited) {
        Duration::ZERO => LONGEST_ROUND,
        left => left.min(LONGEST_ROUND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_camera_setting_does_not_make_the_source_look_stuck() {
        let s = Duration::from_secs;
        assert_eq!(poll_timeout(s(60), s(0)), LONGEST_ROUND);
        assert_eq!(poll_timeout(s(60), s(58)), s(2));
        assert_eq!(poll_timeout(s(2), s(0)), s(2));
        assert_eq!(poll_timeout(s(2), s(3)), LONGEST_ROUND, "no busy waiting");
    }

    fn format(fourcc: &[u8; 4], stride: u32) -> PixFormat {
        PixFormat {
            fourcc: *fourcc,
            width: 640,
            height: 480,
            stride,
            colorspace: 8,
            quantization: 0,
        }
    }

    #[test]
    fn layouts_follow_the_drivers_format() {
        let stride = |f: &[u8; 4], s| layout_of(&format(f, s)).map(|l| l.stride);
        assert_eq!(stride(b"YUYV", 1344), Some(1344));
        assert_eq!(stride(b"YUYV", 0), Some(1280));
        assert_eq!(stride(b"NV12", 640), Some(640));
        // Some drivers give MJPEG a stride, which has no meaning.
        assert_eq!(stride(b"MJPG", 1280), Some(0));
        assert_eq!(stride(b"pBAA", 800), None);
    }

    #[test]
    fn ranges_follow_the_kernels_rule() {
        let range = |fourcc: &[u8; 4], colorspace, quantization| {
            let f = PixFormat {
                colorspace,
                quantization,
                ..format(fourcc, 0)
            };
            range_of(&f, PixelFormat::from_fourcc(*fourcc).expect("known"))
        };
        assert_eq!(range(b"YUYV", 8, 0), Range::Limited);
        assert_eq!(range(b"YUYV", 8, 1), Range::Full);
        assert_eq!(range(b"YUYV", 7, 0), Range::Full);
        assert_eq!(range(b"RGB3", 8, 0), Range::Full);
        assert_eq!(range(b"NV12", 7, 2), Range::Limited);
        assert_eq!(range(b"MJPG", 8, 2), Range::Full);
        assert_eq!(range(b"GREY", 8, 0), Range::Full);
        assert_eq!(range(b"GREY", 8, 2), Range::Limited);
    }
}
