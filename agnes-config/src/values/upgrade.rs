//! Values of `[upgrade]`.
//!
//! Always true: as its parent.
//!
//! Does not: compare values with each other.

use super::{Parsed, quoted, words};
use crate::settings::UpgradeMode;

pub(crate) fn mode(text: &str) -> Parsed<UpgradeMode> {
    let known = UpgradeMode::ALL
        .into_iter()
        .find(|mode| mode.as_str() == text);
    known.ok_or_else(|| format!("{} is no mode", quoted(text)))
}

/// Paths on the server.
pub(crate) fn probes(text: &str) -> Parsed<Vec<String>> {
    words(text)
        .map(|word| {
            let plain = word.starts_with('/')
                && !word.starts_with("//")
                && word
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&b));
            plain
                .then(|| word.to_owned())
                .ok_or_else(|| format!("{} is no path on the server", quoted(word)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_one_of_three_and_a_probe_a_path() {
        assert_eq!(mode("manual"), Ok(UpgradeMode::Manual));
        // B09: a typo must not turn upgrades off
        for wrong in ["of", "OFF", "false", "", "Auto"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
        let paths = ["/api/health", "/x?y=1"].map(str::to_owned).to_vec();
        assert_eq!(probes("/api/health, /x?y=1"), Ok(paths));
        for wrong in ["api", "https://example.com/x", "//example.com/x", "/a#b"] {
            assert!(probes(wrong).is_err(), "{wrong}");
        }
    }
}
