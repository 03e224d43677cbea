//! Mistakes in TOML, as one line of text with the number of the line. What the keys mean does not matter here.

/// The mistake in `text` and the line that it is on, as one line of text.
#[must_use]
pub fn toml_error(text: &str, error: &::toml::de::Error) -> String {
    let mut what = error.message().replace('\n', " ");
    if text.contains(['“', '”', '„', '«', '»']) {
        what += "; quotes must be straight (\"), as an editor of plain text types them";
    }
    let what = match (what.find(" string \""), what.rfind("\", expected ")) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{} a string{}", &what[..begin], &what[end + 1..])
        }
        _ => what,
    };
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let here = text.lines().nth(line - 1).unwrap_or_default().trim();
            // If there may be passwords in the text, the message contains no value of any key: a missing quote makes one key
            // look like another.
            let lower = text.to_lowercase();
            let secret = ["network", "wifi", "pass", "psk", "system", "console"];
            let here = match here.split_once('=') {
                _ if !secret.iter().any(|word| lower.contains(word)) => here,
                Some((key, _)) => key.trim(),
                None if here.starts_with('[') => here,
                None => "",
            };
            format!("line {line} ({here}): {what}")
        }
        None => what,
    }
}
