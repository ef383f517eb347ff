//! How long an upgrade has been waiting for what has to pass first, and whether it goes on waiting for a silent server.
//!
//! Always true: it counts for one digest; another one begins anew.
//!
//! Does not: wait for what it counts.

use std::path::PathBuf;
use std::time::Duration;

use agnes_config::Settings;
use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::host::Host;
use crate::image::Digest;

/// An engine starts a process that ends at once again within this time, or says `restarting`.
const WATCH: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

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

/// What is said when it has waited so many seconds.
pub fn too_long(secs: i64) -> String {
    format!("it has waited {secs} s, longer than upgrade.defer_max: a person is needed")
}

/// Whether a server that does not answer may be at work (U10), and has not been waited for longer than `defer_max`. One whose
/// process ends before it serves is not at work, and what waits may be its cure.
///
/// # Errors
/// When the engine does not answer, or the count cannot be kept.
pub fn for_silent(
    deployment: Deployment<'_>,
    engine: &Engine,
    container: &str,
    digest: Option<&Digest>,
) -> Result<bool> {
    let Deployment { host, settings, .. } = deployment;
    let overdue = overdue(host, settings, digest)?;
    Ok(overdue.is_none() && !ends_before_it_serves(host, engine, container)?)
}

/// Between two ends it runs: one look does not tell.
fn ends_before_it_serves(host: &Host, engine: &Engine, container: &str) -> Result<bool> {
    let first = engine.inspect(container)?;
    if first.restarts == 0 && !first.restarting {
        return Ok(false);
    }
    let begun = host.instant();
    let mut seen = first.clone();
    while !seen.restarting && seen.restarts == first.restarts {
        if begun.elapsed() >= WATCH {
            return Ok(false);
        }
        host.sleep(PAUSE);
        seen = engine.inspect(container)?;
    }
    Ok(true)
}

/// Nothing waits any more.
pub fn forget(host: &Host, settings: &Settings) {
    // what stays counts for a digest that is not wanted any more
    let _ = host.remove_file(&path(settings));
}
