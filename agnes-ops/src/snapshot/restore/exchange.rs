//! The live files, exchanged for the restored ones and back: renames within one file system.
//!
//! Always true: the data that was there is in one of two places and whole, after a kill at any rename too; nothing is overwritten,
//! nothing deleted; the way back may be begun anywhere and repeated.
//!
//! Does not: stop or start a server.

use std::path::Path;

use agnes_config::Settings;
use anyhow::{Context as _, Result};

use super::transaction::Transaction;
use crate::database::FILE;
use crate::host::Host;

/// Everything that the engine and the server keep beside the database under its name; the lock is no data.
fn beside(host: &Host, directory: &Path) -> Result<Vec<String>> {
    let names = host.list(directory);
    let names = names.with_context(|| format!("{}: list", directory.display()))?;
    let is_data = |name: &String| {
        name.strip_prefix(FILE)
            .is_some_and(|rest| rest.starts_with('.') && rest != ".lock")
    };
    Ok(names.into_iter().filter(is_data).collect())
}

/// Moves every file but the database itself.
fn move_beside(host: &Host, from: &Path, to: &Path) -> Result<()> {
    for name in beside(host, from)? {
        host.move_file(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Puts the live data aside and the restored database in its place.
///
/// # Errors
/// What the file system says; [`back`] leads back from anywhere.
pub fn exchange(host: &Host, settings: &Settings, transaction: &Transaction) -> Result<()> {
    let (live, aside) = (&settings.state_dir, transaction.replaced(settings));
    let restored = transaction.room_path(settings).join(FILE);
    if host.size(&live.join(FILE)).context(FILE)?.is_some() {
        host.move_file(&live.join(FILE), &aside.join(FILE))?;
    }
    move_beside(host, live, &aside)?;
    host.move_file(&restored, &live.join(FILE))?;
    Ok(())
}

/// Puts the data that was there back; the restored one goes to where it came from.
///
/// # Errors
/// What the file system says; it may be repeated.
pub fn back(host: &Host, settings: &Settings, transaction: &Transaction) -> Result<()> {
    let (live, aside) = (&settings.state_dir, transaction.replaced(settings));
    let room = transaction.room_path(settings);
    let there = |path: &Path| {
        let size = host.size(&path.join(FILE));
        size.map(|size| size.is_some()).context(FILE)
    };
    // the restored one is in its room or in place, never in both
    if !there(&room)? && there(live)? {
        move_beside(host, live, &room)?;
        host.move_file(&live.join(FILE), &room.join(FILE))?;
    }
    move_beside(host, &aside, live)?;
    if there(&aside)? {
        host.move_file(&aside.join(FILE), &live.join(FILE))?;
    }
    Ok(())
}
