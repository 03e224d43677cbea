//! Unknown keys: finds which key was meant, or in which table the key belongs.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::{LogSettings, NetworkSettings, OwnerFile, RecognitionSettings, SystemSettings, Wifi};
use crate::capture::{CameraSettings, DeviceIdentity};
use crate::door::Policy;
use crate::face::Gate;
use crate::nn::EngineSettings;
use crate::output::Wiring;
use crate::text::nearest;

/// Every table of the configuration with its keys, as the types that are deserialized have them.
pub fn tables() -> [(&'static str, &'static [&'static str]); 12] {
    [
        ("", of::<OwnerFile>()),
        ("camera", of::<CameraSettings>()),
        ("camera.device", of::<DeviceIdentity>()),
        ("engine", of::<EngineSettings>()),
        ("output", of::<Wiring>()),
        ("recognition", of::<RecognitionSettings>()),
        ("recognition.gate", of::<Gate>()),
        ("door", of::<Policy>()),
        ("log", of::<LogSettings>()),
        ("system", of::<SystemSettings>()),
        ("network", of::<NetworkSettings>()),
        ("network.wifi", of::<Wifi>()),
    ]
}

/// The keys from which `T` is read.
fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    // `deserialize` always fails here: `Asked` returns an error as soon as it has recorded the keys.
    let _ = T::deserialize(Asked(&mut keys));
    keys
}

/// Records the keys that a type asks for, and provides no values.
struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("has no keys"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

/// `why`. If it is about an unknown key, the key that was probably meant is added.
pub fn explain(why: &str) -> String {
    let Some((_, rest)) = why.split_once("unknown field `") else {
        return why.to_owned();
    };
    let Some((unknown, expected)) = rest.split_once('`') else {
        return why.to_owned();
    };
    // The keys that are allowed here are quoted in the same way.
    let here: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    if let Some(key) = nearest(unknown, here.iter().copied()) {
        return format!("{why}; did you mean `{key}`?");
    }
    let home = tables()
        .into_iter()
        .find(|(table, keys)| !table.is_empty() && keys.contains(&unknown));
    match home {
        Some((table, _)) => format!("{why}; `{unknown}` belongs in the table [{table}]"),
        None => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_keys() {
        for (table, keys) in tables() {
            assert!(!keys.is_empty(), "{table}");
        }
        assert!(of::<CameraSettings>().contains(&"source"));
    }

    #[test]
    fn an_unknown_key_leads_to_the_key_that_was_meant() {
        for (key, keys, meant) in [
            ("votse", "`votes`, `of`", "did you mean `votes`?"),
            ("Votes", "`votes`, `of`", "did you mean `votes`?"),
            ("hold-ms", "`votes`, `hold_ms`", "did you mean `hold_ms`?"),
            (
                "votes",
                "`board`, `door`",
                "`votes` belongs in the table [door]",
            ),
        ] {
            let why = explain(&format!(
                "line 3: unknown field `{key}`, expected one of {keys}"
            ));
            assert!(why.ends_with(meant), "{why}");
        }
        let other = "unknown field `xyzzy`, expected `a` or `b`";
        assert_eq!(explain(other), other);
    }
}
