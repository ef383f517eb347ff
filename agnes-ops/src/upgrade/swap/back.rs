//! The way back: the old version is put where it was, with its data, whatever the swap had done.
//!
//! Always true: nothing goes back that was acknowledged; what fails here leaves the journal open, and the next run goes on here.
//!
//! Does not: judge why.

use anyhow::Result;
use serde_json::json;

use super::failure::Failed;
use super::{DATABASE, SERVICE, Swap, WAL};
use crate::deployment::Deployment;
use crate::served::NoAnswer;
use crate::upgrade::ledger::Ledger;
use crate::upgrade::transaction::Phase;
use crate::upgrade::{applied, drift, host_files};

impl Swap<'_> {
    /// The way back, whatever was done.
    ///
    /// # Errors
    /// When the way back fails too; the journal stays open.
    pub fn undo(&mut self, failure: &Failed) -> Result<()> {
        let reached = self.transaction.phase;
        if reached != Phase::Undoing {
            self.transaction.why = Some(format!("{}: {}", failure.step, failure.why));
            self.transaction.bad = failure.bad;
            if reached == Phase::Released {
                // what was written since is acknowledged
                self.transaction.restore_point = None;
            }
        }
        if reached >= Phase::Stopping {
            self.enter(Phase::Undoing)?;
            self.back()?;
            self.done(format!("put {} back", self.transaction.from.short()));
        }
        self.end_of_undo()
    }

    fn back(&mut self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let from = self.transaction.from.clone();
        self.pin(&from)?;
        self.host_files_back()?;
        self.docker
            .stop(SERVICE)
            .map_err(|why| anyhow::anyhow!(why))?;
        if let Some(sha256) = self.transaction.restore_point.clone() {
            let directory = self.transaction.restore_point_dir(settings);
            let kept = directory.join(DATABASE);
            if host.size(&kept)?.is_some() {
                anyhow::ensure!(
                    host.sha256(&kept)? == sha256,
                    "{}: is not what was copied; nothing was put back",
                    kept.display()
                );
                let aside = directory.join("failed.duckdb");
                if host.size(&aside)?.is_none() && host.size(&self.database())?.is_some() {
                    host.move_file(&self.database(), &aside)?;
                }
                host.remove_file(&settings.state_dir.join(WAL))?;
                host.move_file(&kept, &self.database())?;
            }
        }
        self.docker
            .start(SERVICE)
            .map_err(|why| anyhow::anyhow!(why))?;
        if self.transaction.rendered {
            drift::bring_up(self.deployment, &self.engine, &self.docker, &self.socket)
                .map_err(|why| anyhow::anyhow!(why))?;
        }
        let first = self
            .gate(&from, None)
            .first()
            .map_err(|why| anyhow::anyhow!(why))?;
        self.gate(&from, None)
            .stays(&first)
            .map_err(|why| anyhow::anyhow!(why))?;
        Ok(())
    }

    /// The generation before, and the stack's files as its program renders them.
    fn host_files_back(&self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let Some(files) = &self.transaction.host_files else {
            return Ok(());
        };
        host_files::flip(host, &settings.dir, files.from.as_deref())?;
        if !self.transaction.rendered {
            return Ok(());
        }
        match (&files.from, self.render) {
            (Some(from), _) => {
                host_files::render(host, &settings.dir, from)
                    .map_err(|why| anyhow::anyhow!(why))?;
            }
            (None, Some(render)) => {
                if let Some(refusal) = render()?.refusal {
                    anyhow::bail!("render compose: {}", refusal.message);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn end_of_undo(&mut self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        if self.transaction.held_at_ms.is_some() {
            let released = self.let_writes_go_on();
            released.map_err(|why| anyhow::anyhow!("release writes: {why}"))?;
        }
        // a server that was not stopped takes no jobs yet
        match self.socket.post("/v1/resume", &json!({})) {
            // one that is not there takes them when it starts
            Ok(_) | Err(NoAnswer::Nobody) => {}
            // one that answered nobody before is not made to by us
            Err(_) if self.transaction.sick => {}
            Err(why) => anyhow::bail!("let jobs run again: {why}"),
        }
        host.remove_tree(&self.transaction.scratch(settings))?;
        match self.transaction.rendered {
            true => applied::all(self.deployment, &self.engine, self.lookup)?,
            false => applied::swapped(self.deployment, &self.transaction.from.image_id)?,
        }
        if self.transaction.bad
            && !self.transaction.back
            && let Some(digest) = self.transaction.to.digest.clone()
        {
            let mut ledger = Ledger::read(host, settings)?;
            let bad = self.bad(digest, self.transaction.why.as_deref().unwrap_or_default())?;
            ledger.add(host, settings, bad)?;
        }
        let outcome = match self.transaction.rehearsal {
            true => "unchanged",
            false => "rolled-back",
        };
        self.proof
            .write(host, settings, &self.transaction, outcome)?;
        host.remove_flat_dir(&self.transaction.restore_point_dir(settings))?;
        self.journal.close(host)?;
        Ok(())
    }
}
