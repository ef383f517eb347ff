//! The data of a server that was stopped: proven to be whole, copied beside it, exchanged, kept.
//!
//! Always true: nothing is moved before the copy of it is compared and stands in the journal; what was exchanged is kept, whoever
//! wrote it.
//!
//! Does not: put data back after a failure (`back` does).

use anyhow::Result;

use super::failure::{At as _, Stop, failed};
use super::{DATABASE, Swap, WAL};
use crate::deployment::Deployment;
use crate::snapshot;
use crate::upgrade::rehearsal::elapsed_ms;

impl Swap<'_> {
    /// Another engine version may read a database only after a clean end of this one (S05).
    pub(super) fn stopped_cleanly(&self) -> Result<(), Stop> {
        let seen = self
            .engine
            .inspect(&self.transaction.container)
            .at("stop")?;
        let host = self.deployment.host;
        let wal = host
            .size(&self.deployment.settings.state_dir.join(WAL))
            .at("stop")?;
        if seen.runs || seen.exit_code != 0 || wal.unwrap_or_default() > 0 {
            let why = format!(
                "it ended with {} and a write-ahead log of {} bytes",
                seen.exit_code,
                wal.unwrap_or_default()
            );
            return Err(failed("stop", "stop-unclean", why));
        }
        Ok(())
    }

    /// The stopped file, copied beside it.
    pub(super) fn restore_point(&mut self) -> Result<(), Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let begun = host.instant();
        let directory = self.transaction.restore_point_dir(settings);
        if let Some(parent) = directory.parent() {
            host.make_dir(parent).at("restore-point")?;
        }
        host.make_dir_as(&directory, 0o700, None)
            .at("restore-point")?;
        let (from, to) = (self.database(), directory.join(DATABASE));
        let owner = host.owner_and_mode(&from).at("restore-point")?;
        let owner = owner.map(|(owner, _)| owner);
        host.copy(&from, &to, 0o600, owner).at("restore-point")?;
        let sha256 = host.sha256(&to).at("restore-point")?;
        if host.sha256(&from).at("restore-point")? != sha256 {
            return Err(failed(
                "restore-point",
                "copy-differs",
                "the copy is not the original",
            ));
        }
        self.transaction.restore_point_ms = Some(elapsed_ms(begun));
        self.transaction.restore_point = Some(sha256);
        self.write().at("restore-point")?;
        self.done("copy the stopped database");
        Ok(())
    }

    /// The data of an older snapshot, in place of what was copied beside it.
    pub(super) fn exchange_data(&mut self) -> Result<(), Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let Some(id) = self.transaction.data.clone() else {
            return Ok(());
        };
        let step = "exchange-data";
        let from = snapshot::directory(settings).join(&id).join(DATABASE);
        let to = self.database();
        let owner = host.owner_and_mode(&to).at(step)?;
        host.remove_file(&settings.state_dir.join(WAL)).at(step)?;
        host.copy(&from, &to, 0o600, owner.map(|(owner, _)| owner))
            .at(step)?;
        if host.sha256(&from).at(step)? != host.sha256(&to).at(step)? {
            return Err(failed(step, "copy-differs", "the copy is not the snapshot"));
        }
        self.done(format!("put the data of {id} in place"));
        Ok(())
    }

    /// What was exchanged stays; everything else that was copied goes. May be repeated.
    pub(super) fn let_go_of_the_copy(&self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let directory = self.transaction.restore_point_dir(settings);
        let copy = directory.join(DATABASE);
        if self.transaction.data.is_some() && host.size(&copy)?.is_some() {
            let kept = self.transaction.replaced_dir(settings);
            if let Some(parent) = kept.parent() {
                host.make_dir(parent)?;
            }
            host.make_dir_as(&kept, 0o700, None)?;
            host.move_file(&copy, &kept.join(DATABASE))?;
        }
        host.remove_flat_dir(&directory)?;
        Ok(())
    }
}
