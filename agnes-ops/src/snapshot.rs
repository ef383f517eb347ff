//! Snapshots: copies of the database and its configuration that are proven, kept for as long as was asked, and go back.
//!
//! ```text
//! create, export           by the server while it runs, else by its program
//! manifest, configuration  what a snapshot says of itself, and what lies beside the database
//! sealed                   secrets, encrypted to a recipient
//! verify, compare          whether it is what it says, by a copy that is opened and migrated
//! proven                   what was proven, kept outside of the snapshots
//! list, prune, retention   what is there, and what may go
//! drill                    how long a restore takes
//! restore                  the way back, with its own way back
//! push, pull               to and from a bucket or another disk
//! ```
//!
//! Always true: a snapshot appears under its name whole or not at all; only what was proven counts (S03); the newest proven one is
//! never deleted; nothing is put back that was not opened, counted and migrated beside the live data first (S09).
//!
//! Does not: know the engine, or schedule anything.

mod compare;
mod configuration;
mod create;
mod drill;
mod health;
mod list;
mod manifest;
mod proven;
mod prune;
mod pull;
mod push;
mod restore;
mod retention;
mod room;
mod sealed;
mod service;
mod verify;

use std::path::{Path, PathBuf};

use agnes_config::{FileOwner, Runtime, Settings};
use anyhow::{Context as _, Result};

use crate::database::{FILE, IMAGE_USER, Program, Reader};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::host::Host;

pub use create::{create, make};
pub use drill::drill;
pub use health::{Health, health};
pub use list::list;
pub use manifest::{Manifest, Reason};
pub use prune::prune;
pub use pull::pull;
pub use push::push;
pub use restore::{Hands, Options as RestoreOptions, Survey, finish_open, restore, survey};
pub use room::{ForTheNext, for_the_next};
pub use service::{Composed, Service};
pub use verify::{Which, verify};

/// The Compose service that owns the database.
const SERVICE: &str = "app";

/// What a snapshot needs besides the deployment.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The server's program on this host.
    pub program: &'a Path,
    /// `DOCKER_HOST`.
    pub docker_host: Option<&'a str>,
}

/// Where snapshots are: as the server has it.
pub fn directory(settings: &Settings) -> PathBuf {
    let base = match settings.data_dir.is_dir() {
        true => &settings.data_dir,
        false => &settings.state_dir,
    };
    base.join("snapshots")
}

/// Whether a text is named as a snapshot of ours.
pub fn is_id(text: &str) -> bool {
    manifest::made_at(text).is_some()
}

/// One snapshot's directory; a name that could lead elsewhere has none.
fn directory_of(settings: &Settings, id: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let sound = (1..=128).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(plain)
        && !UNFINISHED.iter().any(|suffix| id.ends_with(suffix));
    sound.then(|| directory(settings).join(id))
}

/// What names end with while they are being made or removed; `.part` is the server's.
const UNFINISHED: [&str; 4] = [MAKING, REMOVING, PULLING, ".part"];
const MAKING: &str = ".making";
const REMOVING: &str = ".removing";
const PULLING: &str = ".pulling";

/// The live database.
fn database(settings: &Settings) -> PathBuf {
    settings.state_dir.join(FILE)
}

/// Whose the database's files are.
fn owner(deployment: Deployment<'_>, program: &Program) -> Result<Option<FileOwner>> {
    let Deployment { host, settings, .. } = deployment;
    let path = database(settings);
    let found = host.owner_and_mode(&path);
    let found = found.with_context(|| format!("{}: look at", path.display()))?;
    let otherwise = match program {
        Program::Here(_) => settings.server_owner,
        Program::Image(_) => settings.server_owner.or(Some(IMAGE_USER)),
    };
    Ok(found.map(|(owner, _)| owner).or(otherwise))
}

/// The program that reads this deployment's database: of the image that owns it, where there are images.
///
/// # Errors
/// When there is none.
fn program(deployment: Deployment<'_>, surroundings: Surroundings<'_>) -> Result<Program> {
    let settings = deployment.settings;
    if settings.runtime == Runtime::Process {
        return Ok(Program::Here(surroundings.program.to_owned()));
    }
    let engine = Engine::of(surroundings.docker_host)?;
    let containers = engine.containers(&settings.dir)?;
    let app = containers.into_iter().find(|one| one.service == SERVICE);
    let image = match app {
        Some(app) => app.image_id,
        // nothing was started yet, or everything was taken down
        None => format!("{}:{}", settings.stack.image, settings.stack.tag),
    };
    Ok(Program::Image(image))
}

/// The reader of this deployment's database files.
fn reader<'a>(deployment: Deployment<'a>, program: &'a Program) -> Result<Reader<'a>> {
    Ok(Reader {
        host: deployment.host,
        program,
        owner: owner(deployment, program)?,
    })
}

/// The directory of one that is being made, and that of all of them: the server's own, who may not have made it yet.
fn make_directory(host: &Host, path: &Path, owner: Option<FileOwner>) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
        host.make_dir_as(parent, 0o700, owner)?;
    }
    host.make_dir_as(path, 0o700, owner)?;
    Ok(())
}

/// The snapshots that are there, the oldest first: names of directories that are finished.
///
/// # Errors
/// When they cannot be listed.
fn names(deployment: Deployment<'_>) -> Result<Vec<String>> {
    let Deployment { host, settings, .. } = deployment;
    let directory = directory(settings);
    let names = host.list(&directory);
    let names = names.with_context(|| format!("{}: list", directory.display()))?;
    let mut found = Vec::new();
    for name in names {
        let Some(path) = directory_of(settings, &name) else {
            continue;
        };
        if path.is_dir() {
            found.push(name);
        }
    }
    Ok(found)
}
