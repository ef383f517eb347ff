//! The rehearsal: the new version migrates and reads a copy of the data, in a container of its own without network.
//!
//! Always true: the copy is a snapshot's, never a file that a server has open; what is left of it is removed, whatever came of it;
//! the version that serves notices nothing.
//!
//! Does not: judge how the new version serves (the gate does).

use std::path::Path;

use anyhow::Result;

use super::rehearsal::elapsed_ms;
use super::transaction::Transaction;
use crate::database::{FILE, IMAGE_USER, Migrated, Program, Reader};
use crate::deployment::Deployment;

/// What the new version did to a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsed {
    /// The schema before and after.
    pub migrated: Migrated,
    /// How long the copy took, in milliseconds.
    pub copied_ms: i64,
    /// How long opening and migrating it took, in milliseconds.
    pub migrated_ms: i64,
}

/// Rehearses with the database in `snapshot`; `Err`: why the version will not do.
///
/// # Errors
/// When the host refuses something, which is no fault of the version's.
pub fn rehearse(
    deployment: Deployment<'_>,
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
    let begun = host.instant();
    let copied = host.copy(snapshot, &scratch.join(FILE), 0o600, owner);
    let copied_ms = elapsed_ms(begun);
    let program = Program::Image(transaction.to.image.clone());
    let reader = Reader {
        host,
        program: &program,
        owner,
    };
    let rehearsed = copied.map(|()| {
        let on_a_copy = |why: String| format!("on a copy: {why}");
        let begun = host.instant();
        let migrated = reader.migrate(&scratch).map_err(on_a_copy)?;
        let migrated_ms = elapsed_ms(begun);
        reader.check(&scratch).map_err(on_a_copy)?;
        Ok(Rehearsed {
            migrated,
            copied_ms,
            migrated_ms,
        })
    });
    // also after a failure: a copy of the data must not lie about
    host.remove_tree(&scratch)?;
    Ok(rehearsed?)
}
