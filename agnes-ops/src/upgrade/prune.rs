//! Images that are no longer needed for a way back.
//!
//! Always true: never in a run that changed something (U03): the run after it, which finds nothing to do; what runs and the versions
//! before it, `keep_images` in all, stay.
//!
//! Does not: touch images that no upgrade of this deployment brought.

use std::path::PathBuf;

use agnes_config::Settings;
use anyhow::Result;

use super::containers::Docker;
use super::{history, host_files};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::host::Host;

fn due(settings: &Settings) -> PathBuf {
    settings.state_dir.join("ops/upgrade-prune-due")
}

/// The next run that changes nothing looks.
///
/// # Errors
/// When that cannot be noted.
pub fn later(host: &Host, settings: &Settings) -> Result<()> {
    host.install(&due(settings), b"", 0o644, None)?;
    Ok(())
}

/// Removes what is over, if a run before this one changed something; how many images.
///
/// # Errors
/// When the history cannot be read.
pub fn prune(deployment: Deployment<'_>, engine: &Engine) -> Result<usize> {
    let Deployment { host, settings, .. } = deployment;
    if host.size(&due(settings))?.is_none() {
        return Ok(0);
    }
    let docker = Docker::new(host, &settings.dir);
    let keep = usize::try_from(settings.upgrade.keep_images)?;
    let mut removed = 0;
    let releases = history::releases(host, settings)?;
    let digests = releases.iter().take(keep);
    let kept: Vec<String> = digests
        .filter_map(|release| Some(release.digest.as_ref()?.short().to_owned()))
        .collect();
    host_files::let_go(host, &settings.dir, &kept)?;
    for release in releases.iter().skip(keep) {
        match docker.let_go(engine, release) {
            Ok(true) => removed += 1,
            Ok(false) => {}
            // one that is in use after all: a later run may have more luck
            Err(why) => tracing::warn!("{}: not removed: {why}", release.image),
        }
    }
    host.remove_file(&due(settings))?;
    Ok(removed)
}
