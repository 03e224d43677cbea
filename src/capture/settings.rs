//! What an owner may configure about the camera, and what is wrong with it.

use std::path::PathBuf;

use serde::Deserialize;

use super::DeviceIdentity;
use crate::doorstep::{Script, ScriptError};
use crate::frame::{Image, PixelFormat};

/// The camera's part of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraSettings {
    /// `auto` for the first usable camera, and for no other camera after that; a device node (`/dev/video0`,
    /// `/dev/v4l/by-id/…`); `pictures:DIR` for a folder of pictures or `doorstep:SEED` for synthetic visitors (see
    /// [`Script`]) instead of a camera.
    pub source: String,
    /// The only device that is opened as a camera; any device if absent. It has no effect on pictures and the doorstep.
    pub device: Option<DeviceIdentity>,
    /// The pixel format. If absent, it is chosen; for pictures and the doorstep it is YUYV.
    pub format: Option<PixelFormat>,
    /// The wanted number of pixels per line. The nearest size that the camera offers is used. With pictures, 0 by 0 means
    /// that each has its own size.
    pub width: u32,
    /// The wanted number of lines.
    pub height: u32,
    /// The lowest number of frames per second that the camera should reach. Up to 30 are requested, or this number if it is
    /// higher. Pictures are shown at exactly this rate.
    pub fps: u32,
    /// The number of buffers from which frames are lent. One or two of them are out; the driver fills the rest.
    pub buffers: u32,
    /// The milliseconds without a good frame after which the camera counts as lost.
    pub stall_ms: u64,
    /// The number of frames for which each picture is shown.
    pub picture_frames: u32,
    /// Whether to start over after the last picture.
    pub picture_loop: bool,
}

impl Default for CameraSettings {
    fn default() -> Self {
        Self {
            source: "auto".to_owned(),
            device: None,
            format: None,
            width: 640,
            height: 480,
            fps: 15,
            buffers: 5,
            stall_ms: 2000,
            picture_frames: 15,
            picture_loop: true,
        }
    }
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The first usable camera.
    Auto,
    /// This device node and no other.
    Device(PathBuf),
    /// This picture, or those in this folder.
    Pictures(PathBuf),
    /// The synthetic doorstep.
    Doorstep(Script),
}

/// An invalid setting, with key, value and fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {fix}")]
pub struct SettingsError {
    /// The key, without its table.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it must be.
    pub fix: String,
}

impl CameraSettings {
    /// Checks that every setting is possible. Only the camera itself knows whether it supports them.
    ///
    /// # Errors
    /// The first [`SettingsError`].
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |key, value: &dyn std::fmt::Display, fix: &str| SettingsError {
            key,
            value: value.to_string(),
            fix: fix.to_owned(),
        };
        if let Some(Err(error)) = self.script() {
            let fix = format!("{error}");
            return Err(wrong("source", &format_args!("{:?}", self.source), &fix));
        }
        let pictures = self.source.starts_with("pictures:");
        let camera = !pictures && self.script().is_none();
        let path = self
            .source
            .strip_prefix("pictures:")
            .unwrap_or(&self.source);
        if path.is_empty() {
            return Err(wrong(
                "source",
                &format_args!("{:?}", self.source),
                "must be auto, a device node such as /dev/video0, pictures:DIR, or doorstep:SEED",
            ));
        }
        if camera && self.source != "auto" && !self.source.starts_with('/') {
            return Err(wrong(
                "source",
                &format_args!("{:?}", self.source),
                "must be auto, a device node from / on, such as /dev/video0, pictures:DIR, or doorstep:SEED",
            ));
        }
        if let Some(Err((key, value, fix))) = self.device.as_ref().map(DeviceIdentity::validate) {
            return Err(wrong(key, &value, fix));
        }
        let native = pictures && self.width == 0 && self.height == 0;
        for (key, side) in [("width", self.width), ("height", self.height)] {
            if !native && !(16..=Image::MAX_SIDE).contains(&side) {
                return Err(wrong(key, &side, "must be 16 to 16384"));
            }
        }
        if !(1..=240).contains(&self.fps) {
            return Err(wrong("fps", &self.fps, "must be 1 to 240"));
        }
        // 3: one in the slot, one that is read, one for the driver. 32: V4L2's own VIDEO_MAX_FRAME.
        if !(3..=32).contains(&self.buffers) {
            return Err(wrong("buffers", &self.buffers, "must be 3 to 32"));
        }
        if !(100..=60_000).contains(&self.stall_ms) {
            return Err(wrong("stall_ms", &self.stall_ms, "must be 100 to 60000"));
        }
        if self.picture_frames == 0 {
            return Err(wrong("picture_frames", &0, "must be at least 1"));
        }
        Ok(())
    }

    /// [`CameraSettings::source`], parsed.
    #[must_use]
    pub fn parsed_source(&self) -> Source {
        if let Some(path) = self.source.strip_prefix("pictures:") {
            Source::Pictures(path.into())
        } else if let Some(Ok(script)) = self.script() {
            Source::Doorstep(script)
        } else if self.source == "auto" {
            Source::Auto
        } else {
            Source::Device(self.source.as_str().into())
        }
    }
}

impl CameraSettings {
    /// The script to play, if the source is a doorstep.
    fn script(&self) -> Option<Result<Script, ScriptError>> {
        self.source.strip_prefix("doorstep:").map(str::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut CameraSettings)) -> String {
        let mut settings = CameraSettings::default();
        change(&mut settings);
        settings
            .validate()
            .map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn wrong_settings_are_named_with_their_fix() {
        assert_eq!(fault(|_| ()), "");
        assert_eq!(fault(|s| s.fps = 0), "fps = 0: must be 1 to 240");
        assert_eq!(fault(|s| s.buffers = 2), "buffers = 2: must be 3 to 32");
        assert!(
            fault(|s| s.source = "video0".into()).starts_with("source = \"video0\": must be auto")
        );
        assert!(fault(|s| s.source = "pictures:".into()).starts_with("source = \"pictures:\""));
        assert!(fault(|s| s.source = String::new()).starts_with("source = \"\""));
        assert_eq!(
            fault(|s| s.source = "doorstep:x".into()),
            "source = \"doorstep:x\": \"x\": the seed must be a whole number from 0 on"
        );
        assert_eq!(fault(|s| s.source = "doorstep:7,visits=3".into()), "");
        assert_eq!(fault(|s| s.width = 0), "width = 0: must be 16 to 16384");
        assert_eq!(
            fault(|s| s.stall_ms = 10),
            "stall_ms = 10: must be 100 to 60000"
        );
    }

    #[test]
    fn own_size_is_for_pictures_only() {
        let native = |s: &mut CameraSettings| (s.width, s.height) = (0, 0);
        assert_ne!(fault(native), "");
        assert_eq!(
            fault(|s| {
                native(s);
                s.source = "pictures:/tmp".into();
            }),
            ""
        );
    }

    #[test]
    fn sources() {
        let source = |s: &str| {
            CameraSettings {
                source: s.to_owned(),
                ..CameraSettings::default()
            }
            .parsed_source()
        };
        assert_eq!(source("auto"), Source::Auto);
        assert_eq!(source("/dev/video7"), Source::Device("/dev/video7".into()));
        assert_eq!(source("pictures:a b"), Source::Pictures("a b".into()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = "source = \"auto\"\nwidht = 320\n";
        let error = toml::from_str::<CameraSettings>(text)
            .unwrap_err()
            .to_string();
        assert!(error.contains("widht"), "{error}");
        let pinned = "device = { usb = 'x' }";
        let settings: CameraSettings = toml::from_str(pinned).unwrap();
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.starts_with("device.usb = \"x\": must be"), "{error}");
        let settings: CameraSettings = toml::from_str("format = \"nv12\"").unwrap();
        assert_eq!(settings.format, Some(PixelFormat::Nv12));
        assert_eq!(settings.buffers, 5);
    }
}
