//! A server that does not answer while its container runs.
//!
//! Always true: it may be at work (U10), so it is waited for, up to `upgrade.defer_max`, or until a person goes back; one that the engine
//! starts again and again is not. Then it is stopped without having been asked. Its own version folds in what it left of its log before
//! another one reads the data (S05); the new version starts held, by the file that a server looks for.
//!
//! Does not: judge what is wrong with it.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::failure::{At as _, Stop, failed};
use super::{Swap, WAL};
use crate::deployment::Deployment;
use crate::host::Entry;
use crate::served::NoAnswer;
use crate::upgrade::waiting;

impl Swap<'_> {
    /// Waits, or does without it.
    pub(super) fn unreachable(&mut self, why: &NoAnswer) -> Result<(), Stop> {
        let said = format!("{}: {why}", self.socket.path().display());
        let transaction = &self.transaction;
        let (container, digest) = (&transaction.container, transaction.to.digest.as_ref());
        let waits = waiting::for_silent(self.deployment, &self.engine, container, digest);
        if waits.at("drain")? && !transaction.back {
            return Err(Stop::Deferred("server-unreachable", said));
        }
        tracing::warn!("{said}: it is stopped without having been asked");
        self.transaction.sick = true;
        self.write().at("journal")?;
        self.done("give up on the server");
        Ok(())
    }

    /// Everything that is done before the stop when the server answers.
    pub(super) fn after_a_sick_server(&mut self) -> Result<(), Stop> {
        let seen = self.engine.inspect(&self.transaction.container);
        if seen.at("stop")?.runs {
            return Err(failed("stop", "stop-failed", "its process runs on"));
        }
        self.done(format!("stop {}", self.transaction.from.short()));
        // by the program of the container that was stopped, which replays its own log
        self.copy_and_try()?;
        let host = self.deployment.host;
        let log = host.size(&self.deployment.settings.state_dir.join(WAL));
        if let Some(bytes @ 1..) = log.at("stop")? {
            let why = format!("a write-ahead log of {bytes} bytes is left");
            return Err(failed("stop", "stop-unclean", why));
        }
        self.hold_by_file().at("hold")?;
        self.done("hold writes");
        Ok(())
    }

    /// The server that starts next finds it, and holds.
    fn hold_by_file(&self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let Some(run) = self.socket.path().parent() else {
            anyhow::bail!("the control socket has no directory");
        };
        // the server's own user could have put a link there
        let is_directory = matches!(host.entry(run)?, Entry::Directory);
        anyhow::ensure!(is_directory, "{}: is no directory", run.display());
        let path: PathBuf = run.join("hold.json");
        let hold = json!({
            "id": self.transaction.id,
            "since": host.now().format(&Rfc3339)?,
            "by": "agnes-ops upgrade",
        });
        let owner = host.owner_and_mode(run)?.map(|(owner, _)| owner);
        let owner = owner.or(settings.server_owner);
        host.install(&path, &serde_json::to_vec(&hold)?, 0o600, owner)?;
        Ok(())
    }
}
