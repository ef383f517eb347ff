//! `[upgrade]`.
//!
//! Always true: as its parent.
//!
//! Does not: read anything.

use std::time::Duration;

use super::Builder;
use crate::env_keys as keys;
use crate::settings::{Gate, Upgrade, UpgradeMode, Wanted};
use crate::values::{self, stack, upgrade};
use crate::window::{Window, Zone};

impl Builder {
    pub(super) fn upgrade(&mut self) -> Upgrade {
        let parse = |text: &str| text.parse::<Window>().map_err(|why| why.to_string());
        let window = self.take(&keys::UPGRADE_WINDOW, parse);
        let parse = |text: &str| text.parse::<Zone>().map_err(|why| why.to_string());
        let zone = self.take(&keys::UPGRADE_TIMEZONE, parse);
        if window.is_none() && self.is_set(&keys::UPGRADE_TIMEZONE) && zone.is_some() {
            self.warn(
                &keys::UPGRADE_TIMEZONE,
                "has no effect without upgrade.window",
            );
        }
        let (image, wanted) = self.wanted();
        let gate = Gate {
            timeout: self
                .take(&keys::UPGRADE_GATE_TIMEOUT, values::deadline)
                .unwrap_or(Duration::from_secs(120)),
            stable_for: self
                .take(&keys::UPGRADE_GATE_STABLE_FOR, values::duration)
                .unwrap_or(Duration::from_secs(10)),
            probes: self
                .take(&keys::UPGRADE_GATE_PROBES, upgrade::probes)
                .unwrap_or_default(),
        };
        if gate.stable_for >= gate.timeout {
            let message = "is not shorter than upgrade.gate.timeout, so no version could pass";
            self.fault(&keys::UPGRADE_GATE_STABLE_FOR, message);
        }
        Upgrade {
            mode: self
                .take(&keys::UPGRADE_MODE, upgrade::mode)
                .unwrap_or(UpgradeMode::Auto),
            window,
            zone: zone.unwrap_or_else(Zone::utc),
            gate,
            defer_max: self
                .take(&keys::UPGRADE_DEFER_MAX, values::duration)
                .unwrap_or(Duration::from_secs(6 * 60 * 60)),
            keep_images: self
                .take(&keys::UPGRADE_KEEP_IMAGES, |text| {
                    values::count(text, 2, 100)
                })
                .unwrap_or(3),
            min_interval: self
                .take(&keys::UPGRADE_MIN_INTERVAL, values::duration)
                .unwrap_or(Duration::from_secs(60)),
            image,
            wanted,
        }
    }

    /// The image, and which of its versions; what `[upgrade]` says comes before what Compose is told.
    fn wanted(&mut self) -> (Option<String>, Option<Wanted>) {
        let image = self.take(&keys::UPGRADE_IMAGE, stack::image);
        let tag = self.take(&keys::UPGRADE_TAG, stack::tag);
        let digest = self.take(&keys::UPGRADE_DIGEST, values::network::digest);
        if self.is_set(&keys::UPGRADE_TAG) && self.is_set(&keys::UPGRADE_DIGEST) {
            let message = "is given beside upgrade.tag (expected one of them)";
            self.fault(&keys::UPGRADE_DIGEST, message);
        }
        // wrong ones are reported by the stack
        let of_compose = |key: &'static keys::Key| {
            let raw = self.raws.get(key.name())?;
            Some(raw.text.clone())
        };
        let image = image.or_else(|| of_compose(&keys::IMAGE));
        let tag = tag.or_else(|| of_compose(&keys::TAG));
        let wanted = match digest {
            Some(digest) => Some(Wanted::Digest(digest)),
            None => tag.map(Wanted::Tag),
        };
        (image, wanted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests write files themselves")]

    use crate::{Loaded, UpgradeMode, Wanted};

    fn load(toml: &str, pairs: &[(&str, &str)]) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("agnes.toml"), toml).unwrap();
        let variables = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        crate::load(dir.path(), variables, &[])
    }

    #[test]
    fn what_is_wanted_comes_from_the_table_else_from_compose_s_variables() {
        let tag = |text: &str| Some(Wanted::Tag(text.to_owned()));
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (toml, pairs, image, wanted) in [
            ("", vec![], None, None),
            (
                "",
                vec![("AGNES_IMAGE", "a/b"), ("AGNES_TAG", "x")],
                Some("a/b"),
                tag("x"),
            ),
            (
                "[upgrade]\nimage = \"c\"\ntag = \"y\"\n",
                vec![("AGNES_IMAGE", "a/b"), ("AGNES_TAG", "x")],
                Some("c"),
                tag("y"),
            ),
            (
                &format!("[upgrade]\ndigest = \"{digest}\"\n"),
                vec![("AGNES_TAG", "x")],
                None,
                Some(Wanted::Digest(digest.clone())),
            ),
        ] {
            let loaded = load(toml, &pairs);
            assert_eq!(loaded.problems, [], "{toml}");
            let upgrade = loaded.settings.unwrap().upgrade;
            assert_eq!(upgrade.image.as_deref(), image, "{toml}");
            assert_eq!(upgrade.wanted, wanted, "{toml}");
        }
    }

    #[test]
    fn what_would_turn_upgrades_off_by_mistake_is_a_problem() {
        for (toml, wrong) in [
            ("mode = \"of\"", "is no mode"),
            ("window = \"Mo 02:00-05:00\"", "no day of the week"),
            ("timezone = \"Mars/Olympus\"", "no time zone"),
            ("digest = \"sha256:12\"", "digest"),
            (
                "tag = \"x\"\ndigest = \"sha256:SAME\"",
                "expected one of them",
            ),
            ("keep_images = 1", "is less than 2"),
            (
                "gate = { timeout = \"5s\", stable_for = \"5s\" }",
                "not shorter",
            ),
            (
                "gate = { probes = [\"https://example.com\"] }",
                "no path on the server",
            ),
            (
                "min_intervall = \"0s\"",
                "did you mean upgrade.min_interval",
            ),
        ] {
            let toml = toml.replace("SAME", &"ab".repeat(32));
            let problems = load(&format!("[upgrade]\n{toml}\n"), &[]).problems;
            assert!(
                problems.iter().any(|one| one.to_string().contains(wrong)),
                "{toml}: {problems:?}"
            );
        }
        let loaded = load("[upgrade]\nmode = \"manual\"\nmin_interval = \"0s\"\n", &[]);
        assert_eq!(loaded.settings.unwrap().upgrade.mode, UpgradeMode::Manual);
    }
}
