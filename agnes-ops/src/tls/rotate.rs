//! `tls rotate`: observe, plan, install as one generation, reload, prove, commit, or put the old pair back and prove that.
//!
//! Always true: a generation is journalled before it is made and until it is proven, so a killed run is finished or
//! undone by the next; the pair before it stays on disk.
//!
//! Does not: decide (that is `plan`).

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::generations::{Disk, Layout, Pair, Store};
use super::key::PrivateKey;
use super::plan::{ChainSource, Install, KeyRef, KeySource, Plan, Situation, plan, resolve};
use super::reload::{Convergence, converge, name, observe};
use super::source::{Memory, Sources};
use super::{Deployment, report, request};
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step};

/// How `rotate` was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Accept a chain that was issued and expires before the installed one.
    pub allow_older: bool,
    /// Make key, request and bridge also when no chain is published anywhere (`up`).
    pub ensure: bool,
}

/// A generation that is being installed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    /// What was current before; `None`: nothing.
    from: Option<u64>,
    /// What shall be.
    to: u64,
    /// The pending key it settles.
    #[serde(default)]
    settles: Option<u64>,
}

/// One run of `tls rotate`.
pub(super) struct Rotation<'a> {
    pub(super) deployment: Deployment<'a>,
    pub(super) store: Store,
    journal: Journal,
    pub(super) memory: Memory,
    steps: Vec<Step>,
}

/// What became of the generation that was to be installed.
enum Swap {
    Committed(Convergence),
    RolledBack {
        failed: Convergence,
        back: Convergence,
    },
    Degraded {
        failed: Convergence,
        back: Convergence,
    },
}

/// Runs it. `memory` is what the last run left.
///
/// # Errors
/// Anything that is neither the source's nor the proxy's fault: disks, permissions, a foreign file in the way.
pub fn rotate(
    deployment: Deployment<'_>,
    options: Options,
    memory: Option<&serde_json::Value>,
) -> Result<Report> {
    let settings = deployment.settings;
    let mut rotation = Rotation {
        store: Store::new(&settings.state_dir, settings.tls.file_owner),
        journal: Journal::new(&settings.state_dir, "tls-rotate"),
        memory: Memory::from_json(memory),
        steps: Vec::new(),
        deployment,
    };
    let mut report = rotation.run(options)?;
    report.steps = rotation.steps;
    report.memory = Some(serde_json::to_value(&rotation.memory)?);
    Ok(report)
}

impl Rotation<'_> {
    fn run(&mut self, options: Options) -> Result<Report> {
        let host = self.deployment.host;
        if !options.dry_run
            && let Some(report) = self.recover()?
        {
            return Ok(report);
        }
        let mut disk = self.store.observe(host)?;
        if !options.dry_run {
            self.store.sweep(host, &disk)?;
            if self.take_over(&disk)? {
                disk = self.store.observe(host)?;
            }
        }
        let settings = self.deployment.settings;
        let idle = settings.tls.fullchain_url.is_none() && !options.ensure;
        let mut sources = Sources::ask(self.deployment, &self.memory, &disk, idle);
        let identity = self.deployment.identity();
        let situation = Situation {
            identity: &identity,
            key_type: settings.tls.key_type,
            now: host.now(),
            disk: &disk,
            key: std::mem::replace(&mut sources.key, KeySource::Host),
            chain: std::mem::replace(&mut sources.chain, ChainSource::Nowhere),
            allow_older: options.allow_older,
            ensure: options.ensure,
        };
        let decided = plan(&situation);
        if options.dry_run {
            return Ok(self.describe(&disk, &sources, &decided));
        }
        self.apply(&situation, &sources, &decided)
    }

    /// Finishes or undoes what a killed run had open. `Some`: it had to be undone, and that is this run's outcome.
    fn recover(&mut self) -> Result<Option<Report>> {
        let host = self.deployment.host;
        let Some(open) = self.journal.read::<Open>(host)? else {
            return Ok(None);
        };
        if self.store.current(host)? != Some(open.to) {
            // killed before the flip: nobody has seen the new generation
            self.store.remove(host, open.to)?;
            self.journal.close(host)?;
            self.step(format!(
                "remove generation {} of an interrupted run",
                open.to
            ));
            return Ok(None);
        }
        self.store.flip(host, open.to)?;
        self.step(format!(
            "finish generation {} of an interrupted run",
            open.to
        ));
        let swap = self.prove(&open)?;
        match swap {
            Swap::Committed(_) => Ok(None),
            swap => Ok(Some(self.conclude(swap, &Sources::not_asked(), Ok(()))?)),
        }
    }

    /// Takes over what is not laid out as ours. `true`: something was written.
    fn take_over(&mut self, disk: &Disk) -> Result<bool> {
        let host = self.deployment.host;
        match (disk.layout, disk.current) {
            (Layout::RegularFiles, _) => {
                let number = self.store.adopt(host, disk)?;
                self.step(format!("adopt the files found as generation {number}"));
                Ok(true)
            }
            (Layout::LinksMissing, Some(current)) => {
                self.store.flip(host, current)?;
                self.step("restore the documented links");
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn apply(
        &mut self,
        situation: &Situation<'_>,
        sources: &Sources,
        decided: &Plan,
    ) -> Result<Report> {
        let host = self.deployment.host;
        let mut made = None;
        if let Some(kind) = decided.new_key {
            let key = PrivateKey::generate(kind).map_err(anyhow::Error::msg)?;
            let number = self.store.add_pending(host, situation.disk, &key)?;
            self.step(format!("make a {} key, pending/{number}.pem", key.kind));
            made = Some((number, key));
        }
        let key_of = |key: KeyRef| {
            let found = match key {
                KeyRef::New(_) => made.as_ref().map(|(_, key)| key),
                other => resolve(situation, other),
            };
            found.context("the planned key is not there")
        };
        if let Some(key) = decided.request {
            let pem =
                request::request(situation.identity, key_of(key)?).map_err(anyhow::Error::msg)?;
            self.store.write_request(host, &pem)?;
            self.step("write cert.csr");
        }
        let Some(install) = &decided.install else {
            return self.keep(sources, decided);
        };
        let key = key_of(install.key())?;
        let (chain, settles) = match install {
            Install::Chain(chain, KeyRef::Pending(number)) => (chain.to_pem(), Some(*number)),
            Install::Chain(chain, _) => (chain.to_pem(), pending_twin(situation.disk, key)),
            Install::Bridge(_) => {
                let bridge = request::bridge(situation.identity, key, situation.now)
                    .map_err(anyhow::Error::msg)?;
                (super::chain::Chain::of(bridge).to_pem(), None)
            }
        };
        let open = Open {
            from: situation.disk.current,
            to: situation.disk.current.unwrap_or(0) + 1,
            settles,
        };
        let swap = self.install(&open, key.pem(), chain.as_bytes())?;
        if matches!((&swap, install), (Swap::Committed(_), Install::Chain(..))) {
            self.memory.remember(&sources.etag, &chain);
        }
        self.conclude(swap, sources, decided.verdict.clone())
    }

    /// Installs a generation, makes it current and proves it.
    fn install(&mut self, open: &Open, key: &[u8], chain: &[u8]) -> Result<Swap> {
        let host = self.deployment.host;
        self.journal.write(host, open)?;
        let made = self
            .store
            .write(host, open.to, key, chain)
            .and_then(|()| self.store.flip(host, open.to));
        if let Err(error) = made {
            // A full disk must leave the host as it was.
            self.back_to(open)?;
            return Err(error.context("the installed pair stays"));
        }
        self.step(format!("install generation {}", open.to));
        self.prove(open)
    }

    /// Proves the generation that was just made current: commits it, or goes back.
    fn prove(&mut self, open: &Open) -> Result<Swap> {
        let host = self.deployment.host;
        let expected = self.installed_leaf()?;
        let convergence = self.converge(&expected);
        if convergence.holds() {
            self.commit(open)?;
            return Ok(Swap::Committed(convergence));
        }
        self.back_to(open)?;
        let (back, proven) = match open.from {
            Some(_) => {
                let old = self.installed_leaf()?;
                let back = self.converge(&old);
                let proven = back.holds() || (back.proof == super::reload::Proof::NothingListens);
                (back, proven)
            }
            // There was nothing; what was served before had another source and was not touched.
            None => (observe(host, self.deployment.settings, ""), true),
        };
        self.step(match open.from {
            Some(from) => format!("go back to generation {from}"),
            None => format!("remove generation {}", open.to),
        });
        Ok(if proven {
            Swap::RolledBack {
                failed: convergence,
                back,
            }
        } else {
            Swap::Degraded {
                failed: convergence,
                back,
            }
        })
    }

    fn converge(&mut self, expected: &str) -> Convergence {
        let convergence = converge(
            self.deployment.host,
            self.deployment.settings,
            expected,
            self.memory.last_way.as_deref(),
        );
        if let Some(way) = &convergence.by {
            self.memory.last_way = self
                .deployment
                .settings
                .tls
                .reload
                .iter()
                .map(name)
                .find(|known| *known == format!("{} {}", way.kind, way.target));
        }
        convergence
    }

    fn commit(&mut self, open: &Open) -> Result<()> {
        let host = self.deployment.host;
        if let Some(number) = open.settles {
            self.store.settle_pending(host, number)?;
        }
        let disk = self.store.observe(host)?;
        for number in disk
            .generations
            .iter()
            .filter(|number| **number != open.to && Some(**number) != open.from)
        {
            self.store.remove(host, *number)?;
        }
        self.journal.close(host)
    }

    /// Puts the files back as they were before `open`.
    fn back_to(&self, open: &Open) -> Result<()> {
        let host = self.deployment.host;
        match open.from {
            Some(from) if self.store.current(host)? != Some(from) => self.store.flip(host, from)?,
            Some(_) => {}
            None => self.store.unlink(host)?,
        }
        self.store.remove(host, open.to)?;
        self.journal.close(host)
    }

    /// Nothing to install. What is served may still be something else (a reload that failed yesterday).
    fn keep(&mut self, sources: &Sources, decided: &Plan) -> Result<Report> {
        if decided.verdict.is_ok() && sources.etag.is_some() {
            let disk = self.store.observe(self.deployment.host)?;
            if let Some((_, chain)) = disk.pair.as_ref().and_then(Pair::sound) {
                self.memory.remember(&sources.etag, &chain.to_pem());
            }
        }
        let Ok(expected) = self.installed_leaf() else {
            return self.finish(Outcome::Unchanged, None, sources, decided.verdict.clone());
        };
        if self.deployment.settings.tls.served_address == agnes_config::ServedAddress::Off {
            let off = observe(self.deployment.host, self.deployment.settings, &expected);
            return self.finish(self.outcome(), Some(off), sources, decided.verdict.clone());
        }
        let convergence = self.converge(&expected);
        let mut verdict = decided.verdict.clone();
        let mut outcome = self.outcome();
        if convergence.by.is_some() {
            outcome = Outcome::Changed;
            self.step("reload what was still serving another certificate");
        } else if !convergence.holds() && verdict.is_ok() {
            verdict = Err(Refusal::new(
                "reload-pending",
                format!(
                    "the installed certificate is not served: {}; the files are as they were",
                    convergence.clause()
                ),
            ));
        }
        self.finish(outcome, Some(convergence), sources, verdict)
    }

    fn outcome(&self) -> Outcome {
        if self.steps.is_empty() {
            Outcome::Unchanged
        } else {
            Outcome::Changed
        }
    }

    fn conclude(
        &mut self,
        swap: Swap,
        sources: &Sources,
        verdict: Result<(), Refusal>,
    ) -> Result<Report> {
        match swap {
            Swap::Committed(convergence) => {
                self.finish(Outcome::Changed, Some(convergence), sources, verdict)
            }
            Swap::RolledBack { failed, back } => {
                let refusal = Refusal::new(
                    "reload-not-proven",
                    format!("the new certificate was not served ({}); the old pair is back: {}", failed.clause(), back.seen),
                )
                .hint("agnes-ops tls reload shows what each reload way does; the same certificate is tried again at the next run");
                let back = Convergence {
                    tried: failed.tried,
                    by: None,
                    took_ms: None,
                    ..back
                };
                self.finish(Outcome::RolledBack, Some(back), sources, Err(refusal))
            }
            Swap::Degraded { failed, back } => {
                let refusal = Refusal::new(
                    "way-back-not-proven",
                    format!(
                        "the new certificate was not served ({}); the old files are back, but not served: {}",
                        failed.clause(),
                        back.clause()
                    ),
                )
                .hint("restart the proxy by hand; the files on disk are a pair that works");
                self.finish(Outcome::Degraded, Some(back), sources, Err(refusal))
            }
        }
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        convergence: Option<Convergence>,
        sources: &Sources,
        verdict: Result<(), Refusal>,
    ) -> Result<Report> {
        let host = self.deployment.host;
        let now = host.now();
        self.memory.count(sources, now);
        let disk = self.store.observe(host)?;
        let exit = match (outcome, &verdict) {
            (Outcome::Degraded, _) => Exit::Degraded,
            (_, Err(_)) => Exit::Failed,
            _ => Exit::Ok,
        };
        let mut report = Report::ok(
            outcome,
            report::sentence(&disk, convergence.as_ref(), sources, now),
        );
        report.exit = exit;
        report.refusal = verdict.err();
        report.details = report::details(
            self.deployment,
            &self.store,
            &disk,
            convergence.as_ref(),
            now,
        );
        report
            .details
            .insert("fetch".into(), sources.to_json(&self.memory));
        Ok(report)
    }

    fn describe(&self, disk: &Disk, sources: &Sources, decided: &Plan) -> Report {
        let host = self.deployment.host;
        let mut lines = decided.lines();
        if disk.layout == Layout::RegularFiles {
            lines.insert(0, "adopt the files found as a generation".into());
        }
        let pair = disk.pair.as_ref().and_then(Pair::sound);
        let convergence =
            pair.map(|(_, chain)| observe(host, self.deployment.settings, &chain.leaf().sha256));
        if convergence.as_ref().is_some_and(|seen| !seen.holds()) || decided.install.is_some() {
            lines.push("reload, and prove the served leaf".into());
        }
        let text = if lines.is_empty() {
            "nothing to do".to_owned()
        } else {
            lines.join("\n")
        };
        let mut report = Report::ok(Outcome::Unchanged, text);
        report.details = report::details(
            self.deployment,
            &self.store,
            disk,
            convergence.as_ref(),
            host.now(),
        );
        report
            .details
            .insert("fetch".into(), sources.to_json(&self.memory));
        report.details.insert("plan".into(), json!(lines));
        if let Err(refusal) = &decided.verdict {
            report.exit = Exit::Failed;
            report.refusal = Some(refusal.clone());
        }
        report
    }

    fn installed_leaf(&self) -> Result<String> {
        let disk = self.store.observe(self.deployment.host)?;
        let pair = disk.pair.context("no certificate is installed")?;
        pair.chain
            .map(|chain| chain.leaf().sha256.clone())
            .map_err(anyhow::Error::msg)
    }

    fn step(&mut self, name: impl Into<String>) {
        self.steps.push(Step {
            name: name.into(),
            result: "done".into(),
            took_ms: 0,
        });
    }
}

/// The pending copy of a key that a generation already holds.
fn pending_twin(disk: &Disk, key: &PrivateKey) -> Option<u64> {
    disk.pending
        .iter()
        .find(|(_, pending)| pending.spki == key.spki)
        .map(|(number, _)| *number)
}
