//! A restore's steps, each journalled before it, and the way back.
//!
//! Always true: as its parent; the way back may be repeated from anywhere, and ends at the same gate.
//!
//! Does not: talk to people.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::super::compare::differences;
use super::super::create::{self, Kept};
use super::super::manifest::Manifest;
use super::super::room::Room;
use super::super::{Surroundings, program, reader};
use super::configuration::Wanted;
use super::transaction::{Phase, Transaction};
use super::{Hands, configuration, exchange, source};
use crate::database::{FILE, Figures};
use crate::deployment::Deployment;
use crate::journal::Journal;
use crate::outcome::Steps;
use crate::served::{ControlSocket, NoAnswer};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a restore does not go on.
#[derive(Debug)]
pub struct Stopped {
    /// For programs.
    pub reason: &'static str,
    /// One clause.
    pub why: String,
}

impl Stopped {
    /// For this reason.
    pub fn new(reason: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { reason, why }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        let error: anyhow::Error = error.into();
        Self::new("host-error", format!("{error:#}"))
    }
}

/// One restore at work.
pub struct Restore<'a> {
    pub deployment: Deployment<'a>,
    pub surroundings: Surroundings<'a>,
    pub hands: Hands<'a>,
    pub wanted: Wanted,
    pub socket: ControlSocket,
    pub journal: Journal,
    pub steps: Steps,
    pub transaction: Transaction,
    /// Where what was there is kept: a snapshot's name, or a path.
    pub kept: Option<String>,
}

impl Restore<'_> {
    fn done(&mut self, step: impl Into<String>) {
        self.steps.done(step, self.deployment.host.instant());
    }

    fn enter(&mut self, phase: Phase) -> Result<()> {
        let next = Transaction {
            phase,
            ..self.transaction.clone()
        };
        self.journal.write(self.deployment.host, &next)?;
        self.transaction = next;
        Ok(())
    }

    /// Everything.
    ///
    /// # Errors
    /// [`Stopped`]; the caller undoes.
    pub fn forward(&mut self, manifest: &Manifest) -> Result<(), Stopped> {
        self.enter(Phase::Preparing)?;
        let schema = self.prove_a_copy(manifest)?;
        if self.transaction.ran {
            self.hold()?;
        }
        self.exchange()?;
        if self.transaction.ran {
            self.enter(Phase::Starting)?;
            self.hands.service.start()?;
            self.done("start the server");
            self.gate(Some(schema))
                .map_err(|why| Stopped::new("gate-failed", why))?;
            self.done("gate");
        }
        self.enter(Phase::Proven)?;
        self.tidy()
    }

    /// Opened, compared and migrated beside the live data; the schema that it has then.
    fn prove_a_copy(&mut self, manifest: &Manifest) -> Result<i64, Stopped> {
        let Deployment { host, settings, .. } = self.deployment;
        let program = program(self.deployment, self.surroundings)?;
        let reader = reader(self.deployment, &program)?;
        let room = Room::make(self.deployment, &self.transaction.room(), reader.owner)?;
        let copy = room.path.join(FILE);
        host.copy(
            &source(settings, &self.transaction.snapshot),
            &copy,
            0o600,
            reader.owner,
        )?;
        let unsound = |why: String| Stopped::new("copy-unsound", format!("the copy: {why}"));
        let found: Figures = reader.check(&room.path).map_err(unsound)?;
        if let Some((_, what)) = differences(manifest, &found).into_iter().next() {
            return Err(unsound(what));
        }
        let migrated = reader.migrate(&room.path).map_err(unsound)?;
        reader.check(&room.path).map_err(unsound)?;
        room.keep();
        self.done("prove a copy");
        Ok(migrated.to)
    }

    fn hold(&mut self) -> Result<(), Stopped> {
        self.enter(Phase::Holding)?;
        let hold = json!({
            "id": self.transaction.id,
            "by": format!("agnes-ops snapshot restore {}", self.transaction.snapshot),
        });
        match self.socket.post("/v1/writes/hold", &hold) {
            Ok(_) => self.done("hold writes"),
            // one that cannot even start takes no writes
            Err(NoAnswer::Nobody) => {}
            Err(why) => return Err(Stopped::new("hold-failed", format!("hold writes: {why}"))),
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<(), Stopped> {
        let Deployment { host, settings, .. } = self.deployment;
        let aside = self.transaction.replaced(settings);
        let program = program(self.deployment, self.surroundings)?;
        let owner = reader(self.deployment, &program)?.owner;
        self.enter(Phase::Exchanging)?;
        if self.transaction.ran {
            self.hands.service.stop()?;
            self.done("stop the server");
        }
        if let Some(parent) = aside.parent() {
            host.make_dir(parent)?;
        }
        host.make_dir_as(&aside, 0o700, owner)?;
        if !self.transaction.configuration.is_empty() {
            let (wanted, lookup) = (&self.wanted, self.hands.lookup);
            configuration::exchange(self.deployment, &self.transaction, wanted, lookup)?;
        }
        if self.transaction.secrets {
            (self.hands.settle)()?;
        }
        exchange::exchange(host, settings, &self.transaction)?;
        self.done("exchange the data");
        Ok(())
    }

    /// The server that was started is ready, reads and writes; with the schema that is wanted, where one is.
    fn gate(&self, schema: Option<i64>) -> Result<(), String> {
        let host = self.deployment.host;
        let patience = self.deployment.settings.upgrade.gate.timeout;
        let begun = host.instant();
        loop {
            let why = match self.look(schema) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            if begun.elapsed() >= patience {
                return Err(format!("after {} s: {why}", patience.as_secs()));
            }
            host.sleep(PAUSE);
        }
    }

    fn look(&self, schema: Option<i64>) -> Result<(), String> {
        let state = self
            .socket
            .get("/v1/state")
            .map_err(|why| why.to_string())?;
        if state.get("ready").and_then(Value::as_bool) != Some(true) {
            let reasons = state.get("reasons").cloned().unwrap_or_default();
            return Err(format!("the server is not ready: {reasons}"));
        }
        let found = state.get("schema").and_then(Value::as_i64);
        if schema.is_some() && found != schema {
            return Err(format!("the server has schema {found:?}, not {schema:?}"));
        }
        let canary = self.socket.post("/v1/canary", &json!({}));
        canary.map(drop).map_err(|why| format!("canary: {why}"))
    }

    fn release(&self) -> Result<()> {
        let id = json!({"id": self.transaction.id});
        match self.socket.post("/v1/writes/release", &id) {
            Ok(_) => Ok(()),
            Err(why) => Err(anyhow::anyhow!("release writes: {why}")),
        }
    }

    /// The end of a restore that is proven; may be repeated.
    ///
    /// # Errors
    /// When the host refuses; the next run goes on.
    pub fn tidy(&mut self) -> Result<(), Stopped> {
        let Deployment { host, settings, .. } = self.deployment;
        if self.transaction.ran {
            self.release()?;
            self.done("release writes");
        }
        self.keep()?;
        host.remove_tree(&self.transaction.room_path(settings))?;
        self.journal.close(host)?;
        Ok(())
    }

    /// What was there becomes a snapshot when it is sound; else it stays where it was put.
    fn keep(&mut self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let aside = self.transaction.replaced(settings);
        if host.size(&aside.join(FILE)).context(FILE)?.is_none() {
            // there was none, or it is kept already
            if self.transaction.configuration.is_empty() {
                host.remove_tree(&aside)?;
            }
            return Ok(());
        }
        let kept = create::keep(
            self.deployment,
            self.surroundings,
            &self.transaction.id,
            &aside,
        )?;
        self.kept = Some(match kept {
            Kept::Snapshot(id) => {
                // the configuration that was there stays where it was put
                if self.transaction.configuration.is_empty() {
                    host.remove_tree(&aside)?;
                }
                id
            }
            Kept::Unsound(why) => {
                tracing::warn!("{}: is kept as it is: {why}", aside.display());
                aside.display().to_string()
            }
        });
        self.done("keep what was there");
        Ok(())
    }

    /// The way back; whether anything had been touched.
    ///
    /// # Errors
    /// When it fails too; the journal stays open.
    pub fn undo(&mut self, why: &Stopped) -> Result<bool> {
        let Deployment { host, settings, .. } = self.deployment;
        let reached = self.transaction.phase;
        if reached != Phase::Undoing {
            self.transaction.why = Some(why.why.clone());
        }
        let touched = reached >= Phase::Exchanging;
        if touched {
            self.enter(Phase::Undoing)?;
            if self.transaction.ran {
                self.hands.service.stop()?;
            }
            exchange::back(host, settings, &self.transaction)?;
            configuration::back(self.deployment, &self.transaction)?;
            if self.transaction.secrets {
                (self.hands.settle)()?;
            }
            if self.transaction.ran {
                self.hands.service.start()?;
                self.gate(None).map_err(|why| anyhow::anyhow!(why))?;
            }
            self.done("put back what was there");
        }
        if reached >= Phase::Holding && self.transaction.ran {
            match self.socket.get("/v1/state") {
                // it holds nothing then
                Err(NoAnswer::Nobody) if !touched => {}
                _ => self.release()?,
            }
        }
        host.remove_tree(&self.transaction.room_path(settings))?;
        host.remove_tree(&self.transaction.replaced(settings))?;
        self.journal.close(host)?;
        Ok(touched)
    }
}
