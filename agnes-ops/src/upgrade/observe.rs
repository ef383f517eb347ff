//! What runs and what is wanted, looked at.
//!
//! Always true: reads only; the registry is asked once, and not at all for what a digest pins; each failure keeps its own reason.
//!
//! Does not: decide.

use agnes_config::{Settings, Wanted};
use anyhow::Result;

use super::containers::kept_tag;
use super::plan::{App, Seen};
use super::{SERVICE, Surroundings, hold};
use crate::deployment::Deployment;
use crate::engine::{Engine, Inspected};
use crate::fetch::{Failure, Reason};
use crate::image::{Digest, Reference, Repository, Version};

/// Looks.
///
/// # Errors
/// `to` is a person's choice. When the engine does not answer, or a file of ours cannot be understood. What the registry says is part of what was seen.
pub fn look(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    to: Option<&Wanted>,
) -> Result<Seen> {
    let Deployment { host, settings, .. } = deployment;
    let engine = Engine::of(surroundings.docker_host)?;
    let containers = engine.containers(&settings.dir)?;
    let app = containers.iter().find(|one| one.service == SERVICE);
    let inspected = match app {
        Some(app) => Some(engine.inspect(&app.id)?),
        None => None,
    };
    let of_app = inspected.as_ref().and_then(Inspected::reference);
    let reference = wanted(settings, to, of_app)?;
    let running = match &inspected {
        Some(app) => running(&engine, app, Some(&reference.repository))?,
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
            Some(app) if app.is_kept_up() => App::Runs,
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

/// Which digest is wanted, as the registry says; `None`: what runs was built here, and is in no registry.
///
/// # Errors
/// As [`look`].
pub fn wanted_now(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<Option<Result<Digest, Failure>>> {
    let seen = look(deployment, surroundings, None)?;
    Ok((!seen.running.is_empty()).then_some(seen.wanted))
}

/// The digests that a container runs: those by which its repository (or `repository`) knows its image, and the one that it was
/// told. The engine forgets the first when the last tag goes; a container that was put back by a tag of ours is told the second.
///
/// # Errors
/// When the engine does not answer.
pub fn running(
    engine: &Engine,
    app: &Inspected,
    repository: Option<&Repository>,
) -> Result<Vec<Digest>> {
    let reference = app.reference();
    let repository = repository.or(reference.as_ref().map(|known| &known.repository));
    let mut found = match repository {
        Some(repository) => engine.digests(&app.image_id, repository)?,
        None => Vec::new(),
    };
    let told = match reference.as_ref().map(|known| &known.version) {
        Some(Version::Digest(digest)) => Some(digest.clone()),
        _ if app.image == kept_tag(&app.image_id) => app
            .variable("AGNES_IMAGE_DIGEST")
            .and_then(|digest| digest.parse().ok()),
        _ => None,
    };
    found.extend(told);
    found.dedup();
    Ok(found)
}

/// The reference that is followed: what the settings say, else what the service was started with.
fn wanted(
    settings: &Settings,
    to: Option<&Wanted>,
    of_app: Option<Reference>,
) -> Result<Reference> {
    let wrong = |why: String| anyhow::anyhow!("upgrade.image: {why}");
    let repository: Repository = match (&settings.upgrade.image, &of_app) {
        (Some(image), _) => image.parse().map_err(wrong)?,
        (None, Some(app)) => app.repository.clone(),
        (None, None) => settings.stack.image.parse().map_err(wrong)?,
    };
    let version = match (to.or(settings.upgrade.wanted.as_ref()), of_app) {
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
