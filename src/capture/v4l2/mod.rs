//! V4L2 cameras: finding a camera, streaming from it, and finding it again after it was lost.
//!
//! The cameras are used through single-planar capture with mapped buffers, which USB cameras and most others offer. Exposure
//! and focus are not controlled and stay as the driver has set them.

mod buffers;
mod node;
mod probe;
mod stream;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use v4l::v4l_sys as c;

use super::frame_sender::FrameSender;
use super::identity::SYSFS;
use super::{
    CameraFault, CameraSettings, Candidate, Choice, DeviceIdentity, FormatPreference, SizeRange,
    Source, choose,
};
use crate::frame::PixelFormat;
use node::{Capability, Node};
use stream::Stream;

pub use node::CALLS;
pub use probe::{DeviceReport, FormatReport, SizeReport, probe};

/// The time until the first retry. It is doubled for every further retry, up to the longest time.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// Streams from the camera that `source` names until the source must stop.
pub(super) fn run(
    settings: &CameraSettings,
    source: &Source,
    cameras: &mut dyn CameraNodes,
    mut sender: FrameSender,
) {
    let mut retry = FIRST_RETRY;
    // The device that was started last but delivered no frame. All other devices are tried before it.
    let mut silent: Option<PathBuf> = None;
    // The camera that delivered the first frame. When it is unplugged, a door must not change over to another camera,
    // because that one shows another place.
    let mut chosen: Option<CameraIdentity> = None;
    // The last device that was refused because it is not the pinned one.
    let mut refused: Option<CameraFault> = None;
    while !sender.stopped() {
        let found = find(
            settings,
            source,
            cameras,
            silent.as_deref(),
            chosen.as_ref(),
            &sender,
        );
        let (fault, path) = match found {
            Ok((stream, identity, path)) => {
                let before = sender.frames();
                let Err(fault) = stream.run(&mut sender) else {
                    return;
                };
                sender.count_retired();
                if sender.frames() > before {
                    (retry, silent, refused) = (FIRST_RETRY, None, None);
                    chosen = (*source == Source::Auto).then_some(identity);
                } else {
                    silent = Some(path.clone());
                }
                (fault, path)
            }
            Err(failed) => failed,
        };
        if let CameraFault::NotPinned { expected, seen } = &fault
            && refused.as_ref() != Some(&fault)
        {
            log::warn!(
                "camera_refused path={} expected={} seen={}",
                crate::journal::value(&path.to_string_lossy()),
                crate::journal::value(&expected.to_string()),
                crate::journal::value(&seen.to_string())
            );
            refused = Some(fault.clone());
        }
        sender.state.down(fault, &path);
        sender.wait(retry);
        retry = (2 * retry).min(LONGEST_RETRY);
    }
}

/// What distinguishes one camera from another: what the kernel reports about its device, its name, and its bus.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CameraIdentity {
    device: DeviceIdentity,
    card: String,
    bus: String,
}

/// Starts the device that `source` names, or the first device that can be started. `last` is tried after all others. If
/// `chosen` is given, only that camera is started.
fn find(
    settings: &CameraSettings,
    source: &Source,
    cameras: &mut dyn CameraNodes,
    last: Option<&Path>,
    chosen: Option<&CameraIdentity>,
    sender: &FrameSender,
) -> Result<(Stream, CameraIdentity, PathBuf), (CameraFault, PathBuf)> {
    let start = |cameras: &mut dyn CameraNodes, path: &Path| {
        let (device, identity) = open(cameras, path, settings)?;
        if chosen.is_some_and(|chosen| *chosen != identity) {
            return Err(CameraFault::Another(identity.card));
        }
        let choice = device.choose(&preference(settings))?;
        let stream = Stream::start(device, choice, path, &identity.device, settings, sender)?;
        Ok((stream, identity))
    };
    if let Source::Device(path) = source {
        return match start(cameras, path) {
            Ok((stream, identity)) => Ok((stream, identity, path.clone())),
            Err(fault) => Err((fault, path.clone())),
        };
    }
    let mut worst: Option<(CameraFault, PathBuf)> = None;
    let mut paths = cameras.list();
    paths.sort_by_key(|path| Some(path.as_path()) == last);
    for path in paths {
        match start(cameras, &path) {
            Ok((stream, identity)) => return Ok((stream, identity, path)),
            Err(fault) => {
                log::debug!("{}: {fault}", path.display());
                // The fault of a camera is more useful to know than that of a node that is no camera.
                let worst_is_camera = worst.as_ref().map(|(fault, _)| is_camera(fault));
                if worst_is_camera.is_none() || worst_is_camera == Some(false) && is_camera(&fault)
                {
                    worst = Some((fault, path));
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| (CameraFault::Absent, "auto".into())))
}

/// Opens the node at `path` if it belongs to the pinned device. Any other node is not even opened.
fn open(
    cameras: &mut dyn CameraNodes,
    path: &Path,
    settings: &CameraSettings,
) -> Result<(Device, CameraIdentity), CameraFault> {
    let (found, number) = cameras.identify(path);
    let pinned = settings.device.as_ref();
    if let Some(expected) = pinned.filter(|pinned| !pinned.is(&found)) {
        return Err(match path.exists() {
            true => CameraFault::NotPinned {
                expected: Box::new(expected.clone()),
                seen: Box::new(found),
            },
            false => CameraFault::Missing,
        });
    }
    let device = Device::open(cameras, path)?;
    // The node may belong to another device by this time.
    if pinned.is_some() && device.node.number() != number {
        return Err(CameraFault::Gone);
    }
    let identity = CameraIdentity {
        device: found,
        card: device.capability.card.clone(),
        bus: device.capability.bus.clone(),
    };
    Ok((device, identity))
}

/// Whether a node with this fault may be a camera.
const fn is_camera(fault: &CameraFault) -> bool {
    !matches!(fault, CameraFault::NotACamera(_) | CameraFault::Missing)
}

const fn preference(settings: &CameraSettings) -> FormatPreference {
    FormatPreference {
        format: settings.format,
        width: settings.width,
        height: settings.height,
        fps: settings.fps,
    }
}

/// Knows and opens the nodes of cameras.
pub trait CameraNodes: Send {
    /// All video device nodes, in the order of their numbers.
    fn list(&mut self) -> Vec<PathBuf>;

    /// The device behind a node, which is not opened, and the device's number if the node is a device.
    fn identify(&mut self, path: &Path) -> (DeviceIdentity, Option<u64>);

    /// Opens a node for reading and writing, so that no call on it blocks.
    ///
    /// # Errors
    /// The system's error.
    fn open(&mut self, path: &Path) -> std::io::Result<OwnedFd>;
}

/// This process opens the nodes itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnNodes;

impl CameraNodes for OwnNodes {
    fn list(&mut self) -> Vec<PathBuf> {
        let number = |path: &Path| -> Option<u32> {
            path.file_name()?
                .to_str()?
                .strip_prefix("video")?
                .parse()
                .ok()
        };
        let mut nodes: Vec<(u32, PathBuf)> = std::fs::read_dir("/dev")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter_map(|path| number(&path).map(|n| (n, path)))
            .collect();
        nodes.sort();
        nodes.into_iter().map(|(_, path)| path).collect()
    }

    fn identify(&mut self, path: &Path) -> (DeviceIdentity, Option<u64>) {
        DeviceIdentity::of_node(path, Path::new(SYSFS))
    }

    fn open(&mut self, path: &Path) -> std::io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }
}

/// What a failed call means for the camera.
fn fault_of(call: &'static str, errno: Errno) -> CameraFault {
    match errno {
        Errno::NODEV | Errno::NXIO => CameraFault::Gone,
        Errno::BUSY => CameraFault::Busy,
        _ => CameraFault::Call { call, errno },
    }
}

/// An open device that captures.
struct Device {
    node: Node,
    capability: Capability,
}

impl Device {
    fn open(cameras: &mut dyn CameraNodes, path: &Path) -> Result<Self, CameraFault> {
        let node = cameras.open(path).map(Node::new).map_err(|error| {
            match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
                Errno::NOENT => CameraFault::Missing,
                Errno::ACCESS | Errno::PERM => CameraFault::Denied,
                // The broker checks the file that it has opened before it hands it over.
                Errno::NOTTY => CameraFault::NotACamera("no video device"),
                errno => fault_of("open", errno),
            }
        })?;
        let capability = node.capability().map_err(|failed| match failed.errno {
            Errno::NOTTY | Errno::INVAL => CameraFault::NotACamera("no video device"),
            _ => failed.into(),
        })?;
        captures(capability.flags)?;
        // This driver's nodes capture like a camera's, but only what another program feeds in.
        if capability.driver == "bcm2835-isp" {
            return Err(CameraFault::NotACamera(
                "the Raspberry Pi's image processor",
            ));
        }
        Ok(Self { node, capability })
    }

    /// Chooses a setting of the device from those that the sampler can read.
    fn choose(&self, preference: &FormatPreference) -> Result<Choice, CameraFault> {
        let formats = self.node.formats();
        let mut candidates = Vec::new();
        for description in &formats {
            let Some(format) = PixelFormat::from_fourcc(description.fourcc) else {
                continue;
            };
            let mut sizes = self.node.sizes(description.fourcc);
            if sizes.is_empty() {
                // The driver does not report sizes. Setting the format will show whether this size works.
                sizes.push(SizeRange::single(preference.width, preference.height));
            }
            for size in sizes {
                let (width, height) = size.nearest(preference.width, preference.height);
                candidates.push(Candidate {
                    format,
                    emulated: description.emulated,
                    width,
                    height,
                    intervals: self.node.intervals(description.fourcc, width, height),
                });
            }
        }
        choose(&candidates, preference).ok_or_else(|| {
            let list = |codes: &mut dyn Iterator<Item = [u8; 4]>| {
                codes.map(fourcc_text).collect::<Vec<_>>().join(" ")
            };
            CameraFault::NoFormat {
                wanted: preference.format.map_or_else(
                    || {
                        format!(
                            "any of {}",
                            list(&mut PixelFormat::ALL.iter().map(|f| f.fourcc()))
                        )
                    },
                    |f| f.to_string(),
                ),
                offered: match formats.len() {
                    0 => "nothing".to_owned(),
                    _ => list(&mut formats.iter().map(|f| f.fourcc)),
                },
            }
        })
    }
}

/// A four-character code as readable text. The highest bit marks big-endian pixels.
fn fourcc_text(mut code: [u8; 4]) -> String {
    let big_endian = code[3] & 0x80 != 0;
    code[3] &= 0x7f;
    let text = code.escape_ascii().to_string();
    format!("{}{}", text.trim_end(), if big_endian { "-BE" } else { "" })
}

/// Whether a node with these `V4L2_CAP_*` captures pictures in a way that is supported.
fn captures(flags: u32) -> Result<(), CameraFault> {
    let has = |flag| flags & flag != 0;
    if has(c::V4L2_CAP_VIDEO_M2M | c::V4L2_CAP_VIDEO_M2M_MPLANE) {
        Err(CameraFault::NotACamera("a codec or scaler"))
    } else if has(c::V4L2_CAP_VIDEO_CAPTURE) {
        if has(c::V4L2_CAP_STREAMING) {
            Ok(())
        } else {
            Err(CameraFault::NoStreaming)
        }
    } else if has(c::V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
        if has(c::V4L2_CAP_VIDEO_OUTPUT_MPLANE) {
            // Older drivers mark a codec this way.
            Err(CameraFault::NotACamera("a codec or scaler"))
        } else {
            Err(CameraFault::Multiplanar)
        }
    } else if has(c::V4L2_CAP_META_CAPTURE | c::V4L2_CAP_META_OUTPUT) {
        Err(CameraFault::NotACamera("a source of metadata"))
    } else if has(c::V4L2_CAP_VIDEO_OUTPUT | c::V4L2_CAP_VIDEO_OUTPUT_MPLANE) {
        Err(CameraFault::NotACamera("an output"))
    } else {
        Err(CameraFault::NotACamera("a tuner or another instrument"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_planar_streaming_capture_is_taken() {
        const CAPTURE: u32 = c::V4L2_CAP_VIDEO_CAPTURE;
        const STREAMING: u32 = c::V4L2_CAP_STREAMING;
        assert_eq!(captures(CAPTURE | STREAMING), Ok(()));
        assert_eq!(
            captures(CAPTURE | c::V4L2_CAP_READWRITE),
            Err(CameraFault::NoStreaming)
        );
        let mplane = c::V4L2_CAP_VIDEO_CAPTURE_MPLANE | STREAMING;
        assert_eq!(captures(mplane), Err(CameraFault::Multiplanar));
        for (flags, what) in [
            (c::V4L2_CAP_VIDEO_M2M_MPLANE, "a codec or scaler"),
            (
                mplane | c::V4L2_CAP_VIDEO_OUTPUT_MPLANE,
                "a codec or scaler",
            ),
            (c::V4L2_CAP_VIDEO_OUTPUT, "an output"),
            (c::V4L2_CAP_META_CAPTURE, "a source of metadata"),
            (c::V4L2_CAP_TUNER, "a tuner or another instrument"),
        ] {
            assert_eq!(
                captures(flags | STREAMING),
                Err(CameraFault::NotACamera(what))
            );
        }
    }

    #[test]
    fn fourcc_codes_become_readable_text() {
        assert_eq!(fourcc_text(*b"YUYV"), "YUYV");
        assert_eq!(fourcc_text(*b"Y10 "), "Y10");
        assert_eq!(fourcc_text([b'Y', b'1', b'6', b' ' | 0x80]), "Y16-BE");
        assert_eq!(fourcc_text([b'p', 0, b'A', b'A']), "p\\x00AA");
    }

    #[test]
    fn a_device_that_is_not_the_pinned_one_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("video0");
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        let pinned = CameraSettings {
            device: Some(DeviceIdentity {
                port: Some("1-1.3".to_owned()),
                ..DeviceIdentity::default()
            }),
            ..CameraSettings::default()
        };
        // Opening a FIFO for writing without blocking succeeds only while something has it open for reading, so this shows
        // whether the node is open.
        let is_open = || {
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
            rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).is_ok()
        };
        for path in [&fifo, Path::new("/dev/null")] {
            let fault = open(&mut OwnNodes, path, &pinned).err();
            assert!(
                matches!(fault, Some(CameraFault::NotPinned { .. })),
                "{fault:?}"
            );
            assert!(!is_open());
            // Without a pin the node is opened, and turns out to be no camera.
            let fault = open(&mut OwnNodes, path, &CameraSettings::default()).err();
            assert_eq!(fault, Some(CameraFault::NotACamera("no video device")));
        }
        let none = open(&mut OwnNodes, &folder.path().join("none"), &pinned).err();
        assert_eq!(none, Some(CameraFault::Missing));
    }

    #[test]
    fn opening_what_is_no_camera() {
        let fault = |path: &str| Device::open(&mut OwnNodes, Path::new(path)).err();
        assert_eq!(fault("/dev/video-none"), Some(CameraFault::Missing));
        assert_eq!(
            fault("/dev/null"),
            Some(CameraFault::NotACamera("no video device"))
        );
    }
}
