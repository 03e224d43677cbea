//! Settings that only the system on a card uses: login, clock, network. Checked here; `card` acts on them.

use serde::Deserialize;

use super::ConfigError;
use super::read::{check, secret_table};

/// The tables `system` and `network`, as written.
#[derive(Clone, Default)]
pub struct CardTables {
    pub(super) file: String,
    pub(super) system: toml::Table,
    pub(super) network: toml::Table,
}

impl std::fmt::Debug for CardTables {
    /// Not shown, because the tables contain passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardTables").finish_non_exhaustive()
    }
}

impl CardTables {
    /// The checked settings of the tables.
    ///
    /// # Errors
    /// An unknown key or an invalid value, with file, key and fix; never with the value of a password.
    pub fn read(&self) -> Result<(SystemSettings, NetworkSettings), ConfigError> {
        let network: NetworkSettings = secret_table(&self.file, "network", self.network.clone())?;
        check(&self.file, "network", network.validate())?;
        let system: SystemSettings = secret_table(&self.file, "system", self.system.clone())?;
        check(&self.file, "system", system.validate(&network))?;
        Ok((system, network))
    }
}

/// Login and clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SystemSettings {
    /// Hash (crypt(5), SHA-512 or SHA-256: `openssl passwd -6`) of the password for a login as root on the serial console.
    /// Without a hash there is no login.
    pub console: Option<String>,
    /// The clock of a board without a battery is set to this time if the clock is behind it.
    pub time: Option<jiff::Timestamp>,
    /// The server for the time (SNTP): a name or an address, with `:port` if it is not 123.
    pub time_server: Option<String>,
}

/// The network: none unless it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// Whether to use a wired network.
    pub ethernet: bool,
    /// The wireless network to use.
    pub wifi: Option<Wifi>,
}

/// A wireless network with a password (WPA2).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with name and password")]
pub struct Wifi {
    /// The network's name (SSID).
    pub name: String,
    /// The network's password, in the clear.
    pub password: String,
    /// The country whose radio rules apply, as two letters. Without it the world's rules apply, which leave some channels out.
    pub country: Option<String>,
}

impl std::fmt::Debug for Wifi {
    /// The password must not appear in any log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wifi")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl NetworkSettings {
    /// Whether a network is configured.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.ethernet || self.wifi.is_some()
    }

    /// Checks the values. The error has the key and the fix.
    pub(super) fn validate(&self) -> Result<(), String> {
        let Some(wifi) = &self.wifi else {
            return Ok(());
        };
        if self.ethernet {
            return Err("ethernet: is by wire and wifi is without; keep one of them".to_owned());
        }
        if !(1..=32).contains(&wifi.name.len()) || wifi.name.chars().any(char::is_control) {
            return Err("wifi.name: must be the network's name, of 1 to 32 bytes".to_owned());
        }
        let password = wifi.password.as_bytes();
        if !(8..=63).contains(&password.len())
            || !password.iter().all(|b| (b' '..=b'~').contains(b))
        {
            return Err(
                "wifi.password: must be the network's password: 8 to 63 characters of ASCII"
                    .to_owned(),
            );
        }
        match &wifi.country {
            Some(country)
                if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) =>
            {
                Err(format!(
                    "wifi.country = {country:?}: must be two capital letters, as \"NL\""
                ))
            }
            _ => Ok(()),
        }
    }
}

impl SystemSettings {
    /// Checks the values. The error has the key and the fix.
    pub(super) fn validate(&self, network: &NetworkSettings) -> Result<(), String> {
        console(self.console.as_deref())?;
        let Some(server) = &self.time_server else {
            return Ok(());
        };
        let (name, port) = server.rsplit_once(':').unwrap_or((server, "123"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        if name.is_empty()
            || name.len() > 253
            || !name.chars().all(plain)
            || port.parse().is_ok_and(|p: u16| p == 0)
            || port.parse::<u16>().is_err()
        {
            return Err(format!(
                "time_server = {server:?}: must be a name as \"pool.ntp.org\", or an address"
            ));
        }
        if !network.is_wanted() {
            return Err("time_server: needs a network; configure one in [network]".to_owned());
        }
        Ok(())
    }
}

/// A password in the clear must not be accepted as a hash, nor must a hash that the card's login cannot verify: busybox
/// supports SHA-512 and SHA-256 of crypt(5), but not the hashes that `mkpasswd` and `passwd` make today (yescrypt).
fn console(hash: Option<&str>) -> Result<(), String> {
    let Some(hash) = hash else { return Ok(()) };
    let fix = "make one with `openssl passwd -6`";
    let mut parts = hash.split('$');
    let (before, kind) = (parts.next(), parts.next());
    let length = match (before, kind) {
        (Some(""), Some("6")) => 86,
        (Some(""), Some("5")) => 43,
        (Some(""), Some(kind @ ("1" | "2a" | "2b" | "2y" | "7" | "y" | "gy" | "sha1"))) => {
            return Err(format!(
                "console: is a hash of the kind ${kind}$, which the card's login does not take; {fix}"
            ));
        }
        _ => return Err(format!("console: is no hash of a password; {fix}")),
    };
    let mut rest: Vec<&str> = parts.collect();
    // The login would read fewer than 1000 rounds as 1000, and then no password fits.
    let rounds = rest.first().and_then(|part| part.strip_prefix("rounds="));
    let rounds_fit = rounds.is_none_or(|n| {
        !n.starts_with('0') && n.parse().is_ok_and(|n| (1000..=9_999_999).contains(&n))
    });
    if rounds.is_some() {
        rest.remove(0);
    }
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "./".contains(c))
    };
    match rest[..] {
        [salt, sum]
            if rounds_fit
                && (1..=16).contains(&salt.len())
                && sum.len() == length
                && plain(salt)
                && plain(sum) =>
        {
            Ok(())
        }
        _ => Err(format!("console: is no whole hash of a password; {fix}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of the password "secret", as `openssl passwd -6 -salt abcdefgh` makes it.
    const HASH: &str = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";

    #[test]
    fn the_console_takes_hashes_that_the_cards_login_can_verify() {
        assert_eq!(console(None), Ok(()));
        assert_eq!(console(Some(HASH)), Ok(()));
        let rounds = HASH.replacen("$6$", "$6$rounds=10000$", 1);
        assert_eq!(console(Some(&rounds)), Ok(()));
        let sha256 = "$5$abcdefghijkl$hLav21MFu2VxWwiUx8wX0pH3PgbxSuSHhObZUBCuZJ5";
        assert_eq!(console(Some(sha256)), Ok(()));
    }

    #[test]
    fn the_console_refuses_other_hashes_and_clear_text() {
        let of_another_kind = [
            "$y$j9T$abcdefghijkl$XFQnRmFDoRnfefa6tLCdzcaB9xoGhmmkRgfG1lm0pK1",
            "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
            "$2b$05$abcdefghijklmnopqrstuuGz3rEVMSvWmDcGPFEUe04rhn5ZpGCqC",
        ];
        for hash in of_another_kind {
            let why = console(Some(hash)).unwrap_err();
            assert!(why.contains("does not take; make one with"), "{why}");
        }
        let cut_off = &HASH[..HASH.len() - 1];
        let few_rounds = HASH.replacen("$6$", "$6$rounds=999$", 1);
        let no_salt = HASH.replacen("abcdefgh", "", 1);
        let colon = HASH.replacen("abcdefgh", "abc:efgh", 1);
        for hash in [cut_off, &few_rounds, &no_salt, &colon, "$6$", "$6$rounds="] {
            let why = console(Some(hash)).unwrap_err();
            assert!(why.contains("no whole hash"), "{hash}: {why}");
        }
        for text in ["", "$", "secret", "se$6$cret"] {
            let why = console(Some(text)).unwrap_err();
            assert!(why.contains("is no hash of a password"), "{text}: {why}");
        }
    }

    fn wifi(name: &str, password: &str, country: Option<&str>) -> NetworkSettings {
        let wifi = Wifi {
            name: name.to_owned(),
            password: password.to_owned(),
            country: country.map(str::to_owned),
        };
        NetworkSettings {
            ethernet: false,
            wifi: Some(wifi),
        }
    }

    #[test]
    fn impossible_networks_are_refused() {
        assert_eq!(NetworkSettings::default().validate(), Ok(()));
        assert!(!NetworkSettings::default().is_wanted());
        let good = wifi("our \"home\" ☕", "a \"word\" \\ of 8", Some("NL"));
        assert_eq!(good.validate(), Ok(()));
        assert!(good.is_wanted());
        for (bad, key) in [
            (wifi("", "password", None), "wifi.name"),
            (wifi(&"x".repeat(33), "password", None), "wifi.name"),
            (wifi("two\nlines", "password", None), "wifi.name"),
            (wifi("home", "hunter2", None), "wifi.password"),
            (wifi("home", &"x".repeat(64), None), "wifi.password"),
            (wifi("home", "pass\nword", None), "wifi.password"),
            (wifi("home", "password", Some("nl")), "wifi.country"),
        ] {
            let why = bad.validate().unwrap_err();
            assert!(why.starts_with(key), "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
        let both = NetworkSettings {
            ethernet: true,
            ..good
        };
        assert!(both.validate().unwrap_err().starts_with("ethernet"));
    }

    #[test]
    fn a_time_server_needs_a_name_and_a_network() {
        let asks = |server: &str| SystemSettings {
            time_server: Some(server.to_owned()),
            ..SystemSettings::default()
        };
        let wire = NetworkSettings {
            ethernet: true,
            ..NetworkSettings::default()
        };
        for good in ["pool.ntp.org", "10.0.2.2", "10.0.2.2:10123"] {
            assert_eq!(asks(good).validate(&wire), Ok(()));
            let why = asks(good)
                .validate(&NetworkSettings::default())
                .unwrap_err();
            assert!(why.contains("[network]"), "{why}");
        }
        for bad in [
            "",
            ":123",
            "a b",
            "pool.ntp.org:x",
            "pool.ntp.org:0",
            "pool.ntp.org:70000",
            "-\n",
        ] {
            let why = asks(bad).validate(&wire).unwrap_err();
            assert!(why.starts_with("time_server = "), "{bad:?}: {why}");
        }
    }

    #[test]
    fn a_debug_output_has_no_password() {
        let text = format!("{:?}", wifi("home", "hunter22", None));
        assert!(
            text.contains("home") && !text.contains("hunter22"),
            "{text}"
        );
    }
}
