//! The rows of `[upgrade]`.
//!
//! Always true: as its parent.
//!
//! Does not: hold a row that the server reads.

use super::{Key, Kind, OPS};

/// `upgrade.mode`
pub static UPGRADE_MODE: Key = Key::new(Kind::UpgradeMode, OPS, "Who begins an upgrade: `auto` (every tick of the timer may), `manual` (a person, with `upgrade --to`) or `off`.")
    .toml("upgrade.mode")
    .default("auto");
/// `upgrade.window`
pub static UPGRADE_WINDOW: Key = Key::new(
    Kind::Window,
    OPS,
    "When a tick may begin an upgrade. Not set: at any time.",
)
.toml("upgrade.window")
.example("Mon..Fri 02:00-05:00");
/// `upgrade.timezone`
pub static UPGRADE_TIMEZONE: Key = Key::new(Kind::Timezone, OPS, "The time zone of the window.")
    .toml("upgrade.timezone")
    .default("UTC")
    .example("Europe/Berlin");
/// `upgrade.gate.timeout`
pub static UPGRADE_GATE_TIMEOUT: Key = Key::new(
    Kind::Duration,
    OPS,
    "How long a new version has to pass its gate, before the old one is put back.",
)
.toml("upgrade.gate.timeout")
.default("120s");
/// `upgrade.gate.stable_for`
pub static UPGRADE_GATE_STABLE_FOR: Key = Key::new(
    Kind::Duration,
    OPS,
    "How long a new version has to serve without a restart or a failed probe.",
)
.toml("upgrade.gate.stable_for")
.default("10s");
/// `upgrade.gate.probes`
pub static UPGRADE_GATE_PROBES: Key = Key::new(
    Kind::Probes,
    OPS,
    "Further paths that a new version has to answer with 2xx at `TLS_SERVED_ADDRESS`. Not set: none.",
)
.toml("upgrade.gate.probes")
.example("/api/health,/api/docs");
/// `upgrade.defer_max`
pub static UPGRADE_DEFER_MAX: Key = Key::new(
    Kind::Duration,
    OPS,
    "How long jobs that run may put an upgrade off.",
)
.toml("upgrade.defer_max")
.default("6h");
/// `upgrade.keep_images`
pub static UPGRADE_KEEP_IMAGES: Key = Key::new(
    Kind::Count,
    OPS,
    "How many images are kept for a way back, the running one among them; at least 2.",
)
.toml("upgrade.keep_images")
.default("3");
/// `upgrade.min_interval`
pub static UPGRADE_MIN_INTERVAL: Key = Key::new(
    Kind::Duration,
    OPS,
    "Ticks that come sooner after the last one do nothing; `0s`: each works.",
)
.toml("upgrade.min_interval")
.default("60s");
/// `upgrade.image`
pub static UPGRADE_IMAGE: Key = Key::new(
    Kind::Image,
    OPS,
    "The image that upgrades follow. Not set: `AGNES_IMAGE`, else that of the service `app`.",
)
.toml("upgrade.image")
.example("registry.example.com/team/agnes");
/// `upgrade.tag`
pub static UPGRADE_TAG: Key = Key::new(
    Kind::Tag,
    OPS,
    "Its tag. Not set: `AGNES_TAG`, else that of the service `app`.",
)
.toml("upgrade.tag")
.example("stable");
/// `upgrade.digest`
pub static UPGRADE_DIGEST: Key = Key::new(
    Kind::Digest,
    OPS,
    "The one version that is wanted, whatever tags point to.",
)
.toml("upgrade.digest")
.example("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
