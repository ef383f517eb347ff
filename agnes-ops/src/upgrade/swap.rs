//! The swap: one version for another, each step journalled before it, with its undo.
//!
//! Always true: until the old version is stopped it serves as ever; writes are held from before the stop until the version that
//! serves has proven itself, so that no acknowledged write is lost by a way back (U16); the way back ends at the same gate.
//!
//! Does not: decide whether to upgrade, go back (`back` does).

mod back;
mod data;
mod failure;
mod sick;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use self::failure::{At as _, failed, version_failed};
pub use self::failure::{Failed, Stop};
use super::containers::{Docker, kept_tag};
use super::gate::{Before, Gate, Passed};
use super::history::Proof;
use super::ledger::{Bad, Ledger};
use super::transaction::{Phase, Release, Transaction};
use super::{SERVICE, applied, drift, host_files, pin, preflight, prune, rehearse};
use crate::database::FILE as DATABASE;
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::env_file::Lookup;
use crate::image::Digest;
use crate::journal::Journal;
use crate::outcome::{Report, Steps};
use crate::served::ControlSocket;
use crate::snapshot::{self, Reason};

/// What the engine keeps beside it.
const WAL: &str = "system.duckdb.wal";

/// One swap at work.
pub struct Swap<'a> {
    pub deployment: Deployment<'a>,
    pub lookup: Lookup<'a>,
    pub snapshots: snapshot::Surroundings<'a>,
    /// `render compose`, where the stack's files are ours.
    pub render: Option<&'a dyn Fn() -> Result<Report>>,
    pub engine: Engine,
    pub docker: Docker<'a>,
    pub socket: ControlSocket,
    pub journal: Journal,
    pub steps: Steps,
    pub transaction: Transaction,
    /// How things were; `None` when another run began this swap.
    pub before: Option<Before>,
    /// What is told at the end.
    pub proof: Proof,
}

impl Swap<'_> {
    fn done(&mut self, step: impl Into<String>) {
        self.steps.done(step, self.deployment.host.instant());
    }

    fn enter(&mut self, phase: Phase) -> Result<()> {
        self.transaction.phase = phase;
        self.write()
    }

    fn write(&self) -> Result<()> {
        self.journal.write(self.deployment.host, &self.transaction)
    }

    fn now_ms(&self) -> i64 {
        let nanos = self.deployment.host.now().unix_timestamp_nanos();
        i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
    }

    fn database(&self) -> PathBuf {
        self.deployment.settings.state_dir.join(DATABASE)
    }

    /// Everything up to the commit.
    ///
    /// # Errors
    /// [`Stop`]; the caller defers or undoes.
    pub fn forward(&mut self) -> Result<(), Stop> {
        self.prepare()?;
        self.swap()?;
        let first = self.first("gate")?;
        if !self.transaction.migrates {
            // the same data serves whichever version runs: nothing goes back any more
            self.release("release")?;
        }
        self.settle(&first)
    }

    fn prepare(&mut self) -> Result<(), Stop> {
        self.bring()?;
        self.drain()?;
        if self.transaction.sick {
            // nobody is there to copy the data: that is done when it is stopped
            return Ok(());
        }
        self.copy_and_try()
    }

    /// The data as a snapshot, and the new version tried on a copy of what it shall serve.
    fn copy_and_try(&mut self) -> Result<(), Stop> {
        let taken = self.snapshot(match self.transaction.back {
            true => "rollback",
            false => "upgrade",
        })?;
        let Some(id) = &self.transaction.data else {
            return self.try_on(&taken);
        };
        let older = snapshot::directory(self.deployment.settings).join(id);
        self.try_on(&older.join(DATABASE))?;
        // what is written on older data cannot stay when the way back is taken: nothing is, until the commit
        self.transaction.migrates = true;
        Ok(())
    }

    /// The new version is tried on a copy of the data, and nothing else is done; the snapshot's database.
    ///
    /// # Errors
    /// [`Stop`]; nothing has to be undone.
    pub fn rehearse(&mut self) -> Result<PathBuf, Stop> {
        self.bring()?;
        let snapshot = self.snapshot("rehearsal")?;
        self.try_on(&snapshot)?;
        Ok(snapshot)
    }

    /// The end of a rehearsal, whatever came of it.
    ///
    /// # Errors
    /// When the host refuses; the next run does it.
    pub fn end_of_rehearsal(&mut self, why: Option<String>) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        self.transaction.why = why;
        self.proof
            .write(host, settings, &self.transaction, "unchanged")?;
        self.journal.close(host)
    }

    /// Both images on this host, and kept.
    fn bring(&mut self) -> Result<(), Stop> {
        self.enter(Phase::Preparing).at("journal")?;
        preflight::check(self.deployment, &self.engine, &self.docker)
            .map_err(|why| failed("preflight", why.reason, why.message))?;
        let disk = match self.deployment.settings.machine.data_device {
            Some(_) => "state disk: proven",
            None => "state disk: skipped",
        };
        self.done(disk);
        self.done("preflight");
        let (old, new) = (self.transaction.from.clone(), self.transaction.to.clone());
        if !self.transaction.back {
            self.docker
                .pull(&new.image)
                .map_err(|why| failed("pull", "pull-failed", why))?;
            self.transaction.to.image_id = self.engine.image_id(&new.image).at("pull")?;
            self.done(format!("pull {}", new.short()));
        }
        for release in [&old, &self.transaction.to] {
            self.docker
                .keep(&self.engine, &release.image_id)
                .map_err(|why| failed("keep", "keep-failed", why))?;
        }
        self.transaction.to = self.named(&self.transaction.to);
        self.done("keep both images");
        self.stage_host_files()?;
        Ok(())
    }

    fn try_on(&mut self, snapshot: &Path) -> Result<(), Stop> {
        let rehearsed = rehearse::rehearse(self.deployment, &self.transaction, snapshot)
            .at("rehearse")?
            .map_err(|why| version_failed("rehearse", "rehearsal-failed", why))?;
        self.transaction.migrates = rehearsed.migrated.from != rehearsed.migrated.to;
        self.proof.rehearsed = Some(rehearsed);
        self.done("rehearse");
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Stop> {
        let drained = match self.socket.post("/v1/drain", &json!({})) {
            Ok(drained) => drained,
            Err(why) => return self.unreachable(&why),
        };
        let running = drained.get("jobs_running").and_then(Value::as_array);
        let names: Vec<&str> = running
            .into_iter()
            .flatten()
            .filter_map(|job| job.get("name")?.as_str())
            .collect();
        if !names.is_empty() {
            return Err(Stop::Deferred(
                "jobs-running",
                format!("jobs run: {}", names.join(", ")),
            ));
        }
        self.done("drain");
        Ok(())
    }

    fn snapshot(&mut self, reason: &'static str) -> Result<PathBuf, Stop> {
        let reason = Reason::of(reason);
        let made = snapshot::make(self.deployment, self.snapshots, &reason)
            .map_err(|why| failed("snapshot", "snapshot-failed", why.why))?;
        self.done(format!("snapshot {}", made.manifest.id));
        let database = made.path.join(DATABASE);
        self.proof.snapshot = Some(made.manifest);
        Ok(database)
    }

    fn hold(&mut self) -> Result<(), Stop> {
        self.transaction.held_at_ms = Some(self.now_ms());
        self.enter(Phase::Holding).at("journal")?;
        let hold = json!({"id": self.transaction.id, "by": "agnes-ops upgrade"});
        let held = self.socket.post("/v1/writes/hold", &hold);
        held.map_err(|why| failed("hold", "hold-failed", why.to_string()))?;
        self.proof.head_before = self.head().at("hold")?;
        self.done("hold writes");
        Ok(())
    }

    /// From the hold to the new version's start.
    fn swap(&mut self) -> Result<(), Stop> {
        if self.transaction.sick {
            // nobody can be told to hold; the stop is what ends writes
            self.transaction.held_at_ms = Some(self.now_ms());
        } else {
            self.hold()?;
        }
        self.enter(Phase::Stopping).at("journal")?;
        self.docker
            .stop(SERVICE)
            .map_err(|why| failed("stop", "stop-failed", why))?;
        if self.transaction.sick {
            self.after_a_sick_server()?;
        } else {
            self.stopped_cleanly()?;
            self.done(format!("stop {}", self.transaction.from.short()));
        }
        self.restore_point()?;
        self.exchange_data()?;

        self.enter(Phase::Starting).at("journal")?;
        self.flip_host_files()?;
        self.start(&self.transaction.to.clone(), "start")?;
        self.done(format!("start {}", self.transaction.to.short()));
        self.others()?;
        Ok(())
    }

    fn stage_host_files(&mut self) -> Result<(), Stop> {
        let staged = host_files::stage(self.deployment, &self.docker, &self.transaction.to);
        let staged = staged.map_err(|why| failed("host-files", "host-files-failed", why))?;
        if let Some(files) = &staged {
            self.steps.done(
                format!("stage host files {}", files.to),
                self.deployment.host.instant(),
            );
        }
        self.transaction.host_files = staged;
        self.write().at("journal")
    }

    fn flip_host_files(&mut self) -> Result<(), Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let Some(files) = self.transaction.host_files.clone() else {
            return Ok(());
        };
        // known before the first of them changes, so that the way back renders too
        self.transaction.rendered = self.render.is_some();
        self.write().at("journal")?;
        host_files::flip(host, &settings.dir, Some(&files.to)).at("host-files")?;
        if self.render.is_some() {
            let changed = host_files::render(host, &settings.dir, &files.to)
                .map_err(|why| version_failed("host-files", "host-files-refused", why))?;
            self.transaction.rendered = changed;
            self.write().at("journal")?;
        }
        self.done(format!("host files {}", files.to));
        Ok(())
    }

    /// The other services, where the stack's files are others now.
    fn others(&mut self) -> Result<(), Stop> {
        if self.transaction.rendered {
            drift::bring_up(self.deployment, &self.engine, &self.docker, &self.socket)
                .map_err(|why| version_failed("host-files", "start-failed", why))?;
            self.done("docker compose up");
        }
        Ok(())
    }

    fn head(&self) -> Result<Value> {
        let state = self.socket.get("/v1/state");
        let state = state.map_err(|why| anyhow::anyhow!("{why}"))?;
        Ok(state.get("audit_head").cloned().unwrap_or_default())
    }

    /// By its digest, or by our own tag where the engine has forgotten the digest: the last tag of a repository takes it along.
    fn named(&self, release: &Release) -> Release {
        let known = self.engine.image_id(&release.image);
        match known.is_ok_and(|id| id == release.image_id) {
            true => release.clone(),
            false => Release {
                image: kept_tag(&release.image_id),
                ..release.clone()
            },
        }
    }

    fn pin(&self, release: &Release) -> Result<()> {
        pin::write(self.deployment, self.lookup, &self.named(release))
    }

    fn start(&self, release: &Release, step: &'static str) -> Result<(), Stop> {
        self.pin(release).at(step)?;
        self.docker
            .start(SERVICE)
            .map_err(|why| version_failed(step, "start-failed", why))
    }

    fn gate<'b>(&'b self, release: &'b Release, not: Option<&'b str>) -> Gate<'b> {
        Gate {
            deployment: self.deployment,
            engine: &self.engine,
            socket: &self.socket,
            release,
            not,
            before: self.before.as_ref(),
        }
    }

    fn first(&mut self, step: &'static str) -> Result<Passed, Stop> {
        let old = self.transaction.container.clone();
        let passed = self.gate(&self.transaction.to, Some(&old)).first();
        passed.map_err(|why| version_failed(step, "gate-failed", why))
    }

    /// Writes go on.
    pub fn release(&mut self, step: &'static str) -> Result<(), Stop> {
        // before the call: a write that is acknowledged after it must never go back
        self.enter(Phase::Released).at("journal")?;
        self.let_writes_go_on()
            .map_err(|why| version_failed(step, "release-failed", why))?;
        self.done("release writes");
        Ok(())
    }

    fn let_writes_go_on(&mut self) -> Result<(), String> {
        let id = json!({"id": self.transaction.id});
        let released = self.socket.post("/v1/writes/release", &id);
        released.map_err(|why| why.to_string())?;
        if let Some(since) = self.transaction.held_at_ms {
            self.transaction.held_ms = Some(self.now_ms() - since);
        }
        Ok(())
    }

    /// From the first pass to what is committed.
    pub fn settle(&mut self, first: &Passed) -> Result<(), Stop> {
        let stays = self.gate(&self.transaction.to, None).stays(first);
        let passed = stays.map_err(|why| version_failed("gate", "gate-failed", why))?;
        self.proof.passed = Some(passed.to_json());
        self.done("gate");
        if self.transaction.phase != Phase::Released {
            self.release("release")?;
        }
        Ok(())
    }

    /// Looks again at a version that takes writes already.
    ///
    /// # Errors
    /// As [`Swap::forward`].
    pub fn go_on(&mut self) -> Result<(), Stop> {
        let first = self.gate(&self.transaction.to, None).first();
        let first = first.map_err(|why| version_failed("gate", "gate-failed", why))?;
        // whoever wrote the phase may not have come to the call
        self.let_writes_go_on()
            .map_err(|why| version_failed("release", "release-failed", why))?;
        self.settle(&first)
    }

    /// The end: the proof is kept, the copy of the old data is not.
    ///
    /// # Errors
    /// When the host refuses; the next run does it.
    pub fn commit(&mut self) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let mut ledger = Ledger::read(host, settings)?;
        if let Some(digest) = &self.transaction.to.digest {
            // a person may have chosen one that had failed
            ledger.forgive(host, settings, digest)?;
        }
        if let Some(digest) = self.transaction.from.digest.clone()
            && self.transaction.back
        {
            ledger.add(
                host,
                settings,
                self.bad(digest, "left by upgrade rollback")?,
            )?;
        }
        self.proof
            .write(host, settings, &self.transaction, "changed")?;
        match self.transaction.rendered {
            true => applied::all(self.deployment, &self.engine, self.lookup)?,
            false => applied::swapped(self.deployment, &self.transaction.to.image_id)?,
        }
        self.let_go_of_the_copy()?;
        prune::later(host, settings)?;
        self.journal.close(host)?;
        self.done("commit");
        if let Some(files) = &self.transaction.host_files {
            match host_files::units(host, &settings.dir, &files.to) {
                Ok(true) => self.done("units of this version"),
                Ok(false) => {}
                Err(why) => tracing::warn!("the units are still those of before: {why}"),
            }
        }
        Ok(())
    }

    fn bad(&self, digest: Digest, why: &str) -> Result<Bad> {
        Ok(Bad {
            digest,
            why: why.to_owned(),
            at: self
                .deployment
                .host
                .now()
                .replace_nanosecond(0)
                .context("the clock")?,
        })
    }
}
