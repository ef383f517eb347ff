//! The units that are shipped, and which of them a deployment wants.
//!
//! Always true: a function of the settings alone; what is shipped is inside this program, word for word as it stands in `systemd/`; what is not the
//! same on every host (directories) stands in a drop-in of ours.
//!
//! Does not: see the host.

use std::path::Path;

use agnes_config::{Remote, Runtime, Settings, UpgradeMode};

/// What the shipped units say.
const DIR: &str = "/opt/agnes";
const DATA_DIR: &str = "/data";
const STATE_DIR: &str = "/data/state";
/// The drop-in that says otherwise; people's own have other names.
pub const DROP_IN: &str = "10-agnes-host.conf";
/// Whom `agnesd.service` runs as.
pub const USER: &str = "agnes";
/// The server's unit.
pub const SERVER: &str = "agnesd.service";
/// That user, for systemd-sysusers.
pub const SYSUSERS: &str = include_str!("../../../systemd/agnes.sysusers");

macro_rules! shipped {
    ($($name:literal,)*) => {
        &[$(Unit { name: $name, text: include_str!(concat!("../../../systemd/", $name)) },)*]
    };
}

/// One unit as it is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its file name.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// All that are shipped, also those that a deployment does not want.
pub const ALL: &[Unit] = shipped![
    "agnes-alert@.service",
    "agnes-boot.service",
    "agnes-drill.service",
    "agnes-drill.timer",
    "agnes-secrets.service",
    "agnes-secrets.timer",
    "agnes-snapshot.service",
    "agnes-snapshot.timer",
    "agnes-tls-rotate.service",
    "agnes-tls-rotate.timer",
    "agnes-upgrade.service",
    "agnes-upgrade.timer",
    "agnes-watch.service",
    "agnes-watch.timer",
    "agnesd.service",
];

impl Unit {
    /// The target that starts it, from its `[Install]`.
    pub fn wanted_by(&self) -> Option<&'static str> {
        let mut lines = self.text.lines();
        lines.find_map(|line| line.strip_prefix("WantedBy="))
    }

    /// Whether it is a timer.
    pub fn is_timer(&self) -> bool {
        self.name.ends_with(".timer")
    }

    /// Whether this deployment wants it.
    pub fn is_wanted(&self, settings: &Settings) -> bool {
        match (self.stem(), settings.runtime) {
            // with mode `manual` the tick still puts drift right; `off` is off
            ("agnes-upgrade", Runtime::Compose) => settings.upgrade.mode != UpgradeMode::Off,
            ("agnes-upgrade", Runtime::Process) | ("agnesd", Runtime::Compose) => false,
            _ => true,
        }
    }

    fn stem(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(stem, _)| stem)
    }
}

/// What our drop-in of this unit says on this host; `None`: what is shipped fits.
///
/// # Errors
/// The path that cannot stand in a unit.
pub fn drop_in(unit: &Unit, settings: &Settings) -> Result<Option<String>, String> {
    if !unit.name.ends_with(".service") {
        return Ok(None);
    }
    let pushed_to = match &settings.snapshot.push_to {
        Some(Remote::Directory(path)) => Some(path.as_path()),
        _ => None,
    };
    let fits = settings.dir == Path::new(DIR)
        && settings.data_dir == Path::new(DATA_DIR)
        && settings.state_dir == Path::new(STATE_DIR)
        && pushed_to.is_none();
    if fits {
        return Ok(None);
    }
    let dir = plain(&settings.dir)?;
    let mut writable = vec![plain(&settings.data_dir)?, plain(&settings.state_dir)?];
    let mut lines = vec![
        format!("# Written by `agnes-ops units install` for {}.", unit.name),
        "[Service]".to_owned(),
        format!("Environment=AGNES_DIR={dir}"),
    ];
    if unit.name == SERVER {
        let state = plain(&settings.state_dir)?;
        let data = plain(&settings.data_dir)?;
        lines.splice(
            1..1,
            ["[Unit]".to_owned(), format!("RequiresMountsFor={data}")],
        );
        lines.extend([
            "LoadCredential=".to_owned(),
            format!("LoadCredential=secret:{state}/secrets/live"),
            format!("LoadCredential=env:{dir}/.env"),
        ]);
    } else {
        writable.push(dir);
        if let Some(path) = pushed_to {
            writable.push(plain(path)?);
        }
    }
    // a unit that is not sandboxed says nothing of paths
    if unit.text.contains("\nReadWritePaths=") {
        let writable: Vec<String> = writable.iter().map(|path| format!("-{path}")).collect();
        lines.push(format!("ReadWritePaths={}", writable.join(" ")));
    }
    Ok(Some(lines.join("\n") + "\n"))
}

/// Units give some characters a meaning of their own.
fn plain(path: &Path) -> Result<&str, String> {
    let text = path.to_str().unwrap_or_default();
    let sound = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if sound {
        return Ok(text);
    }
    Err(format!(
        "{} cannot stand in a unit: only letters, digits and / . _ - can",
        path.display()
    ))
}

#[cfg(test)]
mod tests;
