//! The rows of `[host]`.
//!
//! Always true: as its parent.
//!
//! Does not: hold a row that the server reads.

use super::{Key, Kind, OPS};

/// `host.data_device`
pub static DATA_DEVICE: Key = Key::new(
    Kind::Path,
    OPS,
    "The block device that `DATA_DIR` and `STATE_DIR` have to be on: `boot` mounts it, and no command that changes anything runs without it. Not set: that is not looked at.",
)
.toml("host.data_device")
.example("/dev/disk/by-id/google-data");
/// `host.format_blank`
pub static FORMAT_BLANK: Key = Key::new(
    Kind::Truth,
    OPS,
    "Whether `boot` may make a file system on `host.data_device` when it has proven that the device is blank.",
)
.toml("host.format_blank")
.default("false");
/// `host.install_docker`
pub static INSTALL_DOCKER: Key = Key::new(
    Kind::Truth,
    OPS,
    "Whether `boot` may install Docker from the distribution's own packages (Ubuntu 24.04) when it is missing.",
)
.toml("host.install_docker")
.default("false");
