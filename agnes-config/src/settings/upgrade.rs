//! `[upgrade]`.
//!
//! Always true: as its parent.
//!
//! Does not: know what runs.

use std::time::Duration;

use crate::window::{Window, Zone};

/// How upgrades are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// `mode` (default auto).
    pub mode: UpgradeMode,
    /// `window`; `None`: at any time.
    pub window: Option<Window>,
    /// `timezone` of the window (default UTC).
    pub zone: Zone,
    /// `gate`.
    pub gate: Gate,
    /// `defer_max` (default 6 h): how long running jobs may put an upgrade off.
    pub defer_max: Duration,
    /// `keep_images` (default 3, at least 2): how many images are kept, the running one among them.
    pub keep_images: u32,
    /// `min_interval` (default 60 s): ticks that come sooner do nothing; zero: each works.
    pub min_interval: Duration,
    /// `image`, else `AGNES_IMAGE`: registry and repository; `None`: what the service `app` runs.
    pub image: Option<String>,
    /// What of it is wanted; `None`: what the service `app` says.
    pub wanted: Option<Wanted>,
}

/// Which of an image's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `tag`, else `AGNES_TAG`: whatever it points to.
    Tag(String),
    /// `digest`: this one, for ever; `sha256:` and 64 hexadecimal digits.
    Digest(String),
}

/// Who begins an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeMode {
    /// `auto`: every tick may.
    Auto,
    /// `manual`: a person, with `upgrade --to`.
    Manual,
    /// `off`: nobody.
    Off,
}

impl UpgradeMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Manual, Self::Off];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Off => "off",
        }
    }
}

/// What a new version has to show before it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// `timeout` (default 120 s), from start to passed.
    pub timeout: Duration,
    /// `stable_for` (default 10 s): this long without a restart or a failed probe.
    pub stable_for: Duration,
    /// `probes`: paths on the server that have to answer 2xx besides its own probes.
    pub probes: Vec<String>,
}
