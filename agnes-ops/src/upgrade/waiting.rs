//! How long an upgrade has been waiting for what has to pass first.
//!
//! Always true: it counts for one digest; another one begins anew.
//!
//! Does not: wait.

use std::path::PathBuf;

use agnes_config::Settings;
use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::image::Digest;

#[derive(Serialize, Deserialize)]
struct Waiting {
    digest: Option<Digest>,
    /// Seconds since 1970.
    since: i64,
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/upgrade-waits.json")
}

/// Counts on; the seconds when they are more than `defer_max`.
///
/// # Errors
/// When it cannot be kept.
pub fn overdue(host: &Host, settings: &Settings, digest: Option<&Digest>) -> Result<Option<i64>> {
    let path = path(settings);
    let now = host.now().unix_timestamp();
    let kept: Option<Waiting> = host
        .read(&path)?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let same = kept.filter(|kept| kept.digest.as_ref() == digest && kept.since <= now);
    let since = match same {
        Some(kept) => kept.since,
        None => {
            let waiting = Waiting {
                digest: digest.cloned(),
                since: now,
            };
            host.install(&path, &serde_json::to_vec(&waiting)?, 0o644, None)?;
            now
        }
    };
    let waited = now - since;
    let most = settings.upgrade.defer_max.as_secs();
    Ok((waited.unsigned_abs() > most).then_some(waited))
}

/// Nothing waits any more.
pub fn forget(host: &Host, settings: &Settings) {
    // what stays counts for a digest that is not wanted any more
    let _ = host.remove_file(&path(settings));
}
