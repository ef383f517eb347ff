//! The rehearsal: the new version migrates and reads a copy of the data, in a container of its own without network.
//!
//! Always true: the copy is a snapshot's, never a file that a server has open; what is left of it is removed, whatever came of it;
//! the version that serves notices nothing.
//!
//! Does not: judge how the new version serves (the gate does).

use std::path::Path;

use anyhow::Result;

use super::transaction::Transaction;
use crate::database::{FILE, IMAGE_USER, Migrated, Program, Reader};
use crate::deployment::Deployment;

/// Rehearses with the database in `snapshot`; `Err`: why the version will not do.
///
/// # Errors
/// When the host refuses something, which is no fault of the version's.
pub fn rehearse(
    deployment: Deployment<'_>,
    transaction: &Transaction,
    snapshot: &Path,
) -> Result<Result<Migrated, String>> {
    let Deployment { host, settings, .. } = deployment;
    let scratch = transaction.scratch(settings);
    let owner = settings.server_owner.or(Some(IMAGE_USER));
    if let Some(parent) = scratch.parent() {
        host.make_dir(parent)?;
    }
    host.make_dir_as(&scratch, 0o700, owner)?;
    let copied = host.copy(snapshot, &scratch.join(FILE), 0o600, owner);
    let program = Program::Image(transaction.to.image.clone());
    let reader = Reader {
        host,
        program: &program,
        owner,
    };
    let rehearsed = copied.map(|()| {
        let on_a_copy = |why: String| format!("on a copy: {why}");
        let migrated = reader.migrate(&scratch).map_err(on_a_copy)?;
        reader.check(&scratch).map_err(on_a_copy)?;
        Ok(migrated)
    });
    // also after a failure: a copy of the data must not lie about
    host.remove_tree(&scratch)?;
    Ok(rehearsed?)
}
