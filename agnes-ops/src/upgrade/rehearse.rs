//! The rehearsal: the new version migrates and reads a copy of the data, in a container of its own without network.
//!
//! Always true: the copy is a snapshot's, never a file that a server has open; what is left of it is removed, whatever came of it;
//! the version that serves notices nothing.
//!
//! Does not: judge how the new version serves (the gate does).

use std::path::Path;

use agnes_config::FileOwner;
use anyhow::Result;
use serde_json::Value;

use super::containers::Docker;
use super::transaction::Transaction;
use crate::deployment::Deployment;

/// The user of the image.
const IMAGE_USER: FileOwner = FileOwner { uid: 999, gid: 999 };

/// What the new version would do to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsed {
    /// Schema before.
    pub from: i64,
    /// Schema after.
    pub to: i64,
}

/// Rehearses with the database in `snapshot`; `Err`: why the version will not do.
///
/// # Errors
/// When the host refuses something, which is no fault of the version's.
pub fn rehearse(
    deployment: Deployment<'_>,
    docker: &Docker<'_>,
    transaction: &Transaction,
    snapshot: &Path,
) -> Result<Result<Rehearsed, String>> {
    let Deployment { host, settings, .. } = deployment;
    let scratch = transaction.scratch(settings);
    let owner = settings.server_owner.or(Some(IMAGE_USER));
    if let Some(parent) = scratch.parent() {
        host.make_dir(parent)?;
    }
    host.make_dir_as(&scratch, 0o700, owner)?;
    let copied = host.copy(snapshot, &scratch.join("system.duckdb"), 0o600, owner);
    let rehearsed = copied.map(|()| run(docker, transaction, &scratch));
    // also after a failure: a copy of the data must not lie about
    host.remove_tree(&scratch)?;
    Ok(rehearsed?)
}

fn run(
    docker: &Docker<'_>,
    transaction: &Transaction,
    scratch: &Path,
) -> Result<Rehearsed, String> {
    let image = &transaction.to.image;
    let file = "/data/system.duckdb";
    let ran = docker.server(image, scratch, &["db", "migrate", "--json", file])?;
    let said: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_default();
    if ran.code != 0 {
        return Err(format!(
            "db migrate on a copy: exit {}: {}",
            ran.code,
            ran.last_line()
        ));
    }
    let schema = |key: &str| {
        said.pointer(&format!("/details/{key}"))
            .and_then(Value::as_i64)
            .ok_or_else(|| "db migrate on a copy: its answer names no schema".to_owned())
    };
    let rehearsed = Rehearsed {
        from: schema("from")?,
        to: schema("to")?,
    };
    let ran = docker.server(image, scratch, &["db", "check", "--json", file])?;
    if ran.code != 0 {
        return Err(format!(
            "db check on a copy: exit {}: {}",
            ran.code,
            ran.last_line()
        ));
    }
    Ok(rehearsed)
}
