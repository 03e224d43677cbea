//! Reports which cameras there are, what each offers, which format would be used, and what is wrong.

use std::path::PathBuf;

use super::super::choose::Interval;
use super::super::{CameraFault, CameraSettings, Choice, DeviceIdentity, IntervalRange, SizeRange};
use super::node::Node;
use super::{CameraNodes, Device, OwnNodes, fourcc_text, preference};
use crate::frame::PixelFormat;

/// A video device node.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// The node.
    pub path: PathBuf,
    /// The driver's name for the device; empty if the device could not be queried.
    pub card: String,
    /// The driver.
    pub driver: String,
    /// Where the device is plugged in.
    pub bus: String,
    /// The device's identity, as `camera.device` pins it.
    pub device: DeviceIdentity,
    /// `V4L2_CAP_*` of the node.
    pub capabilities: u32,
    /// The formats that the device offers, in the driver's order.
    pub formats: Vec<FormatReport>,
    /// The settings that would be requested, or why the device would not be used.
    pub pick: Result<Choice, CameraFault>,
}

/// A pixel format that a device offers.
#[derive(Clone, Debug)]
pub struct FormatReport {
    /// Four-character code.
    pub fourcc: String,
    /// The driver's name for it.
    pub description: String,
    /// Whether the sampler reads it.
    pub known: bool,
    /// Whether software produces this format from another one.
    pub emulated: bool,
    /// Sizes; empty if the driver does not report them.
    pub sizes: Vec<SizeReport>,
}

/// A size, or a range of sizes, of a format.
#[derive(Clone, Debug)]
pub struct SizeReport {
    /// The size or sizes.
    pub size: SizeRange,
    /// The lowest and highest number of frames per second at the size nearest to the wanted one, if the driver reports them.
    pub fps: Vec<(f32, f32)>,
}

/// Reports all video device nodes, in the order of their numbers, for these `settings`. It streams from none of them and
/// does not change their formats.
#[must_use]
pub fn probe(settings: &CameraSettings) -> Vec<DeviceReport> {
    OwnNodes
        .list()
        .into_iter()
        .map(|path| report(path, settings))
        .collect()
}

fn report(path: PathBuf, settings: &CameraSettings) -> DeviceReport {
    let (device, _) = OwnNodes.identify(&path);
    let mut report = DeviceReport {
        path,
        device,
        card: String::new(),
        driver: String::new(),
        bus: String::new(),
        capabilities: 0,
        formats: Vec::new(),
        pick: Err(CameraFault::Gone),
    };
    // Queried separately, so that the report also has a name if the node is refused.
    if let Ok(Ok(capability)) = OwnNodes
        .open(&report.path)
        .map(|node| Node::new(node).capability())
    {
        report.card = capability.card;
        report.driver = capability.driver;
        report.bus = capability.bus;
        report.capabilities = capability.flags;
    }
    report.pick = Device::open(&mut OwnNodes, &report.path).and_then(|device| {
        let pinned = settings.device.as_ref();
        if let Some(expected) = pinned.filter(|pinned| !pinned.is(&report.device)) {
            return Err(CameraFault::NotPinned {
                expected: Box::new(expected.clone()),
                seen: Box::new(report.device.clone()),
            });
        }
        report.formats = formats(&device.node, settings);
        let choice = device.choose(&preference(settings))?;
        device.node.reset_format()?;
        Ok(choice)
    });
    report
}

fn formats(node: &Node, settings: &CameraSettings) -> Vec<FormatReport> {
    let fps = |range: &IntervalRange| {
        let fps = |interval: Interval| interval.fps();
        Some((fps(range.longest)?, fps(range.shortest)?))
    };
    node.formats()
        .into_iter()
        .map(|format| FormatReport {
            fourcc: fourcc_text(format.fourcc),
            description: format.description,
            known: PixelFormat::from_fourcc(format.fourcc).is_some(),
            emulated: format.emulated,
            sizes: node
                .sizes(format.fourcc)
                .into_iter()
                .map(|size| {
                    let (width, height) = size.nearest(settings.width, settings.height);
                    let intervals = node.intervals(format.fourcc, width, height);
                    SizeReport {
                        size,
                        fps: intervals.iter().filter_map(fps).collect(),
                    }
                })
                .collect(),
        })
        .collect()
}
