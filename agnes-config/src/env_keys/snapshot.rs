//! The rows of `[snapshot]`.
//!
//! Always true: as its parent.
//!
//! Does not: hold a row that the server reads.

use super::{Key, Kind, OPS};

/// `snapshot.keep_last`
pub static SNAPSHOT_KEEP_LAST: Key = Key::new(
    Kind::Count,
    OPS,
    "At least so many proven snapshots are kept, however old; the newest proven one always is.",
)
.toml("snapshot.keep_last")
.default("7");
/// `snapshot.keep_days`
pub static SNAPSHOT_KEEP_DAYS: Key = Key::new(
    Kind::Count,
    OPS,
    "Proven snapshots that are younger than this many days are kept.",
)
.toml("snapshot.keep_days")
.default("30");
/// `snapshot.push_to`
pub static SNAPSHOT_PUSH_TO: Key = Key::new(
    Kind::Remote,
    OPS,
    "Where `snapshot create` pushes what it made, under the same retention. Not set: nowhere.",
)
.toml("snapshot.push_to")
.example("gs://example-backups/agnes");
/// `snapshot.age_recipient`
pub static SNAPSHOT_AGE_RECIPIENT: Key = Key::new(
    Kind::Recipients,
    OPS,
    "Whom secrets in a snapshot are encrypted to with age. Not set: no secret is in a snapshot.",
)
.toml("snapshot.age_recipient")
.alias("snapshot.age_recipients")
.example("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p");
