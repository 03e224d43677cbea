//! Which camera a node belongs to, from what the kernel reports about the device behind it, and whether it is the camera
//! that the owner pinned. The node is not opened.
//!
//! A USB device itself reports its ids and its serial number, and another device can report the same ones. The port is where
//! the device is plugged in, which no device can choose. None of this proves that the pictures show this place.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{major, minor};
use serde::{Deserialize, Serialize};

/// Where the kernel describes devices.
pub const SYSFS: &str = "/sys";
/// Longer than any serial number. There is a limit because a device may send any bytes.
const LONGEST: usize = 126;

/// A camera, as the configuration pins it or as it is found. An absent field matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceIdentity {
    /// The USB ids of maker and product, four lower-case hexadecimal digits each: `046d:0825`.
    pub usb: Option<String>,
    /// The serial number, as a USB device reports it.
    pub serial: Option<String>,
    /// Where the device is plugged in: the kernel's name of the USB port (`1-1.3`: bus 1, port 1 of it, port 3 of the hub
    /// there), or of the device if it is not on USB.
    pub port: Option<String>,
}

impl DeviceIdentity {
    /// The identity of the device behind the node at `path`; empty if the node is no device. The node is not opened. The
    /// second value is the device's number, which is later compared with that of the open node.
    #[must_use]
    pub fn of_node(path: &Path, sysfs: &Path) -> (Self, Option<u64>) {
        let node = std::fs::metadata(path).ok();
        let number = node
            .filter(|n| n.file_type().is_char_device())
            .map(|n| n.rdev());
        let identity = number.map(|number| Self::of_number(number, sysfs));
        (identity.unwrap_or_default(), number)
    }

    /// The identity of the character device with this number.
    fn of_number(number: u64, sysfs: &Path) -> Self {
        let entry = format!("dev/char/{}:{}", major(number), minor(number));
        let Ok(device) = sysfs.join(entry).canonicalize() else {
            return Self::default();
        };
        let text = |folder: &Path, file: &str| {
            let bytes = std::fs::read(folder.join(file)).ok()?;
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            let text: String = text.chars().take(LONGEST).collect();
            (!text.is_empty()).then_some(text)
        };
        let name = |folder: &Path| Some(folder.file_name()?.to_string_lossy().into_owned());
        let usb = device.ancestors().find(|a| a.join("idVendor").exists());
        if let Some(usb) = usb {
            let ids = text(usb, "idVendor").zip(text(usb, "idProduct"));
            return Self {
                usb: ids.map(|(maker, product)| format!("{maker}:{product}").to_lowercase()),
                serial: text(usb, "serial"),
                port: name(usb),
            };
        }
        // `.../NAME/video4linux/video0`
        let parent = device.ancestors().nth(2);
        Self {
            port: parent.and_then(name),
            ..Self::default()
        }
    }

    /// Whether `found` is the camera that this one pins.
    #[must_use]
    pub fn is(&self, found: &Self) -> bool {
        let fits =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let usb = self.usb.as_ref().map(|usb| usb.to_lowercase());
        fits(&usb, &found.usb) && fits(&self.serial, &found.serial) && fits(&self.port, &found.port)
    }

    /// Checks the values. The error contains the key, the value and what the value must be.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String, &'static str)> {
        let is_ids = |usb: &str| {
            let four = |id: &str| id.len() == 4 && id.bytes().all(|b| b.is_ascii_hexdigit());
            usb.split_once(':')
                .is_some_and(|(maker, product)| four(maker) && four(product))
        };
        match self {
            Self { usb: Some(usb), .. } if !is_ids(usb) => Err((
                "device.usb",
                format!("{usb:?}"),
                "must be the USB ids of maker and product, such as \"046d:0825\"; `latchkey probe` prints them",
            )),
            Self {
                usb: None,
                serial: None,
                port: None,
            } => Err((
                "device",
                "{}".to_owned(),
                "must have usb, serial or port; `latchkey probe` prints the line",
            )),
            Self {
                serial: Some(text), ..
            }
            | Self {
                port: Some(text), ..
            } if text.is_empty() => Err((
                "device",
                "\"\"".to_owned(),
                "serial and port must be as `latchkey probe` prints them, or left out",
            )),
            _ => Ok(()),
        }
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("usb", &self.usb),
            ("serial", &self.serial),
            ("port", &self.port),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}

/// Formats the identity as in the configuration: `{ usb = '046d:0825', port = '1-1.3' }`. The values are in single quotes
/// because the log puts the text into double quotes.
impl fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| match text.contains('\'') || text.contains(char::is_control) {
            true => toml::Value::from(text).to_string(),
            false => format!("'{text}'"),
        };
        let parts = self
            .parts()
            .map(|(key, value)| format!("{key} = {}", quoted(value)));
        let parts: Vec<String> = parts.collect();
        match &parts[..] {
            [] => f.write_str("{}"),
            parts => write!(f, "{{ {} }}", parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A USB camera with a microphone behind a hub, and a camera that is not on USB, as sysfs shows them.
    fn sysfs() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let usb = "devices/platform/soc/3f980000.usb/usb1/1-1/1-1.3";
        let of = |place: &str, number: &str| {
            std::fs::create_dir_all(root.path().join(place)).unwrap();
            std::fs::create_dir_all(root.path().join("dev/char")).unwrap();
            let link = root.path().join("dev/char").join(number);
            std::os::unix::fs::symlink(root.path().join(place), link).unwrap();
        };
        of(&format!("{usb}/1-1.3:1.0/video4linux/video0"), "81:0");
        of("devices/platform/vivid.0/video4linux/video1", "81:1");
        for (file, text) in [
            ("idVendor", "046D\n"),
            ("idProduct", "0825\n"),
            ("serial", "A1B2\"C3\n"),
        ] {
            std::fs::write(root.path().join(usb).join(file), text).unwrap();
        }
        // The hub also has ids.
        std::fs::write(
            root.path().join(usb).parent().unwrap().join("idVendor"),
            "0424\n",
        )
        .unwrap();
        root
    }

    fn number(minor: u32) -> u64 {
        rustix::fs::makedev(81, minor)
    }

    #[test]
    fn a_camera_is_known_by_ids_serial_and_port() {
        let root = sysfs();
        let usb = DeviceIdentity::of_number(number(0), root.path());
        assert_eq!(
            usb.to_string(),
            r#"{ usb = '046d:0825', serial = 'A1B2"C3', port = '1-1.3' }"#
        );
        let other = DeviceIdentity::of_number(number(1), root.path());
        assert_eq!(other.to_string(), "{ port = 'vivid.0' }");
        assert_eq!(
            DeviceIdentity::of_number(number(2), root.path()),
            DeviceIdentity::default()
        );
        // The printed text can be pasted into the configuration.
        let line = format!("device = {usb}");
        let read: toml::Table = toml::from_str(&line).unwrap();
        let pinned: DeviceIdentity = read["device"].clone().try_into().unwrap();
        assert!(pinned.is(&usb) && !pinned.is(&other) && pinned.validate().is_ok());
    }

    #[test]
    fn pinned_fields_must_match_and_the_rest_may_be_anything() {
        let found = DeviceIdentity {
            usb: Some("046d:0825".to_owned()),
            serial: None,
            port: Some("1-1.3".to_owned()),
        };
        let pinned = |text: &str| toml::from_str::<DeviceIdentity>(text).unwrap();
        for text in [
            "usb = '046d:0825'",
            "usb = '046D:0825'",
            "port = '1-1.3'",
            "usb = '046d:0825'\nport = '1-1.3'",
        ] {
            assert!(pinned(text).is(&found), "{text}");
        }
        // The same camera at another port, another camera at this port, and a camera that has lost its serial number.
        for text in [
            "usb = '046d:0825'\nport = '1-1.2'",
            "usb = '046d:0826'\nport = '1-1.3'",
            "serial = 'A1'",
            "port = '1-1'",
        ] {
            assert!(!pinned(text).is(&found), "{text}");
        }
        assert!(
            !pinned("port = '1-1.3'").is(&DeviceIdentity::default()),
            "nothing is known of it"
        );
    }

    #[test]
    fn an_invalid_pin_is_reported_with_what_it_must_be() {
        let wrong = |text: &str| {
            toml::from_str::<DeviceIdentity>(text)
                .unwrap()
                .validate()
                .unwrap_err()
        };
        assert_eq!(wrong("usb = '46d:825'").0, "device.usb");
        assert_eq!(wrong("usb = 'Logitech'").0, "device.usb");
        assert_eq!(wrong("").0, "device");
        assert_eq!(wrong("port = ''").0, "device");
        assert!(toml::from_str::<DeviceIdentity>("prot = '1-1'").is_err());
    }
}
