//! What runs and what is wanted, looked at.
//!
//! Always true: reads only; the registry is asked once, and not at all for what a digest pins; each failure keeps its own reason.
//!
//! Does not: decide.

use agnes_config::{Settings, Wanted};
use anyhow::Result;

use super::plan::{App, Seen};
use super::{SERVICE, Surroundings, hold};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::fetch::{Failure, Reason};
use crate::image::{Digest, Reference, Repository, Version};

/// Looks.
///
/// # Errors
/// When the engine does not answer, or a file of ours cannot be understood. What the registry says is part of what was seen.
pub fn look(deployment: Deployment<'_>, surroundings: &Surroundings<'_>) -> Result<Seen> {
    let Deployment { host, settings, .. } = deployment;
    let engine = Engine::of(surroundings.docker_host)?;
    let containers = engine.containers(&settings.dir)?;
    let app = containers.iter().find(|one| one.service == SERVICE);
    let of_app = match app {
        Some(app) => engine.image_of(app)?,
        None => None,
    };
    let reference = wanted(settings, of_app)?;
    let running = match app {
        Some(app) => engine.digests(&app.image_id, &reference.repository)?,
        None => Vec::new(),
    };
    let now = host.now().unix_timestamp();
    let upgrade = &settings.upgrade;
    let opens = upgrade.window.as_ref().map(|window| {
        let next = window.next_open(now, &upgrade.zone);
        (window.is_open(now, &upgrade.zone), next)
    });
    Ok(Seen {
        mode: upgrade.mode,
        app: match app {
            None => App::Absent,
            Some(app) if app.runs() => App::Runs,
            Some(app) => App::Stopped(app.state.clone()),
        },
        stopped: containers
            .iter()
            .filter(|one| one.service != SERVICE && !one.runs())
            .map(|one| (one.service.clone(), one.state.clone()))
            .collect(),
        wanted: digest(deployment, surroundings, &reference),
        reference,
        running,
        hold: hold::in_force(host, settings)?,
        window_opens: match opens {
            Some((false, next)) => Some(next),
            _ => None,
        },
    })
}

/// The reference that is followed: what the settings say, else what the service was started with.
fn wanted(settings: &Settings, of_app: Option<Reference>) -> Result<Reference> {
    let wrong = |why: String| anyhow::anyhow!("upgrade.image: {why}");
    let repository: Repository = match (&settings.upgrade.image, &of_app) {
        (Some(image), _) => image.parse().map_err(wrong)?,
        (None, Some(app)) => app.repository.clone(),
        (None, None) => settings.stack.image.parse().map_err(wrong)?,
    };
    let version = match (&settings.upgrade.wanted, of_app) {
        (Some(Wanted::Tag(tag)), _) => Version::Tag(tag.clone()),
        (Some(Wanted::Digest(digest)), _) => Version::Digest(digest.parse().map_err(wrong)?),
        (None, Some(app)) => app.version,
        (None, None) => Version::Tag(settings.stack.tag.clone()),
    };
    Ok(Reference {
        repository,
        version,
    })
}

fn digest(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    reference: &Reference,
) -> Result<Digest, Failure> {
    if let Version::Digest(digest) = &reference.version {
        return Ok(digest.clone());
    }
    let registry = reference.repository.registry();
    let login = surroundings
        .docker_home
        .login(deployment.host, registry)
        .map_err(|why| Failure {
            reason: Reason::Forbidden,
            url: reference.to_string(),
            message: format!("{why:#}"),
            hint: None,
        })?;
    deployment.fetcher.digest(reference, login.as_ref())
}
