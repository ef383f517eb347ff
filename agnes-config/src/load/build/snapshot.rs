//! `[snapshot]`.
//!
//! Always true: as its parent.
//!
//! Does not: read anything.

use super::Builder;
use crate::env_keys as keys;
use crate::settings::{Remote, Snapshot};
use crate::values::{self, snapshot};

impl Builder {
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let count = |text: &str| values::count(text, 0, 10_000);
        Snapshot {
            keep_last: self.take(&keys::SNAPSHOT_KEEP_LAST, count).unwrap_or(7),
            keep_days: self.take(&keys::SNAPSHOT_KEEP_DAYS, count).unwrap_or(30),
            push_to: self.take(&keys::SNAPSHOT_PUSH_TO, |text| text.parse::<Remote>()),
            age_recipients: self
                .take(&keys::SNAPSHOT_AGE_RECIPIENT, snapshot::recipients)
                .unwrap_or_default(),
        }
    }
}
