//! Before an upgrade: is there room for its copies, and are the tools new enough?
//!
//! Always true: nothing is written; what is missing is named with how much of it.
//!
//! Does not: know how large an image is before it is pulled.

use agnes_config::ServedAddress;

use crate::deployment::Deployment;
use crate::disk;
use crate::engine::Engine;
use crate::served::ControlSocket;

use super::containers::Docker;

/// The engine that Compose's pins and our API calls were tried with.
const ENGINE: (u32, u32) = (20, 10);
/// The first Compose that reads `!reset`.
const COMPOSE: (u32, u32) = (2, 24);
/// Snapshot, rehearsal with its own copy before a migration, restore point, and the copy that the new version makes.
const COPIES: u64 = 5;
/// Left free besides, in bytes.
const SPARE: u64 = 256 << 20;
/// Files that all of it makes, amply.
const FILES: u64 = 200;

/// What is missing.
#[derive(Debug)]
pub struct Missing {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Bytes of the file systems that an upgrade writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// For all copies of the database.
    pub needed_bytes: u64,
    /// On the fuller one.
    pub free_bytes: u64,
}

/// Looks.
///
/// # Errors
/// When a file system does not answer.
pub fn room(deployment: Deployment<'_>) -> anyhow::Result<Disk> {
    let Deployment { host, settings, .. } = deployment;
    let size = host.size(&settings.state_dir.join("system.duckdb"))?;
    let state = host.room(&settings.state_dir)?.bytes;
    let data = host.room(&settings.data_dir)?.bytes;
    Ok(Disk {
        needed_bytes: needed(size.unwrap_or_default()),
        free_bytes: state.min(data),
    })
}

/// For a database of this size.
fn needed(size: u64) -> u64 {
    size.saturating_mul(COPIES).saturating_add(SPARE)
}

/// The data is on the disk that it should be on (B02).
fn state_disk(deployment: Deployment<'_>) -> Result<(), Missing> {
    match disk::look(deployment.host, deployment.settings) {
        disk::State::NotDeclared | disk::State::Proven => Ok(()),
        disk::State::NotProven(message) => Err(Missing {
            reason: "state-disk",
            message,
        }),
    }
}

/// Checks.
///
/// # Errors
/// [`Missing`].
pub fn check(
    deployment: Deployment<'_>,
    engine: &Engine,
    docker: &Docker<'_>,
) -> Result<(), Missing> {
    let missing = |reason, message: String| Missing { reason, message };
    state_disk(deployment)?;
    tools(engine, docker)?;
    docker
        .accepts()
        .map_err(|why| missing("compose-refuses", why))?;
    in_their_place(deployment)
}

/// Whether the engine and Compose are new enough.
///
/// # Errors
/// [`Missing`].
pub fn tools(engine: &Engine, docker: &Docker<'_>) -> Result<(), Missing> {
    let missing = |reason, message: String| Missing { reason, message };
    let host_error = |message: String| missing("host-error", message);
    let found = engine
        .version()
        .map_err(|why| host_error(format!("{why:#}")))?;
    if version(&found).is_none_or(|found| found < ENGINE) {
        return Err(missing(
            "engine-too-old",
            format!("the Docker engine is {found} (expected 20.10 or newer)"),
        ));
    }
    let found = docker.compose_version().map_err(host_error)?;
    if version(&found).is_none_or(|found| found < COMPOSE) {
        return Err(missing(
            "compose-too-old",
            format!("Docker Compose is {found} (expected 2.24 or newer)"),
        ));
    }
    Ok(())
}

/// Probes have an address, the database is on this host, and its copies have room.
fn in_their_place(deployment: Deployment<'_>) -> Result<(), Missing> {
    let missing = |reason, message: String| Missing { reason, message };
    let host_error = |message: String| missing("host-error", message);
    let settings = deployment.settings;
    if settings.tls.served_address == ServedAddress::Off && !settings.upgrade.gate.probes.is_empty()
    {
        let message = "upgrade.gate.probes are asked at TLS_SERVED_ADDRESS, which is none";
        return Err(missing("probes-nowhere", message.to_owned()));
    }
    let path = settings.state_dir.join("system.duckdb");
    let size = deployment.host.size(&path);
    let size = size.map_err(|why| host_error(format!("{}: {why}", path.display())))?;
    let Some(size) = size else {
        let socket = ControlSocket::of(settings);
        let message = format!(
            "{}: the database is not on this host (the socket would be {})",
            path.display(),
            socket.path().display()
        );
        return Err(missing("data-elsewhere", message));
    };
    for directory in [&settings.state_dir, &settings.data_dir] {
        let room = deployment.host.room(directory);
        let room = room.map_err(|why| host_error(format!("{}: {why}", directory.display())))?;
        let needed = needed(size);
        if room.bytes < needed || room.inodes < FILES {
            let message = format!(
                "{}: {} MiB and {} files are free; the copies of the database need {} MiB and {FILES} files",
                directory.display(),
                room.bytes >> 20,
                room.inodes,
                needed >> 20
            );
            return Err(missing("no-room", message));
        }
    }
    Ok(())
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-', '+']);
    let number = |part: Option<&str>| part?.parse().ok();
    Some((number(parts.next())?, number(parts.next())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("20.10.24+dfsg1").is_some_and(|found| found >= ENGINE));
        assert!(version("26.1.5").is_some_and(|found| found >= ENGINE));
        assert!(version("19.03.15").is_some_and(|found| found < ENGINE));
        assert!(version("2.9.0").is_some_and(|found| found < COMPOSE));
        assert!(version("2.26.1-4").is_some_and(|found| found >= COMPOSE));
        assert_eq!(version("dev"), None);
    }
}
