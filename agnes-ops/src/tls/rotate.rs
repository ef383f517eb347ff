//! `tls rotate`: observe, plan, install as one generation, reload, prove, commit, or put the old pair back and prove that.
//!
//! Always true: a generation is journalled before it is made and until it is proven, so a killed run is finished or
//! undone by the next; the pair before it stays on disk.
//!
//! Does not: decide (that is `plan`).

mod swap;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::generations::{Disk, Layout, Pair, Store};
use super::key::PrivateKey;
use super::plan::{Install, KeyRef, Plan, Situation, plan, resolve};
use super::reload::{Convergence, observe};
use super::source::{Memory, Sources};
use super::{report, request};
use crate::deployment::Deployment;
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};

use swap::{Open, Swap};

/// How `rotate` was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Accept a chain that was issued and expires before the installed one.
    pub allow_older: bool,
    /// Make key, request and bridge also when no chain is published anywhere (`up`).
    pub ensure: bool,
    /// When what is served is proven.
    pub proof: ProofTime,
}

/// When the proof is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProofTime {
    /// By the rotation, which undoes what it cannot prove.
    #[default]
    Now,
    /// By the caller, who is about to start the server; nobody is asked to reload.
    AfterStart,
}

/// One run of `tls rotate`.
pub(super) struct Rotation<'a> {
    pub(super) deployment: Deployment<'a>,
    pub(super) store: Store,
    journal: Journal,
    pub(super) memory: Memory,
    proof: ProofTime,
    steps: Steps,
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
        proof: options.proof,
        steps: Steps::begin(deployment.host.instant()),
        deployment,
    };
    let mut report = rotation.run(options)?;
    report.memory = Some(serde_json::to_value(&rotation.memory)?);
    report.steps.extend(rotation.steps.into_vec());
    Ok(report)
}

impl Rotation<'_> {
    fn run(&mut self, options: Options) -> Result<Report> {
        let host = self.deployment.host;
        if !options.dry_run
            && let Some(undone) = self.recover()?
        {
            return self.conclude(undone, &Sources::not_asked(), Ok(()));
        }
        let mut disk = self.store.observe(host)?;
        if !options.dry_run {
            self.store.sweep(host, &disk);
            // what half a pair stood in the way of is put right then
            while self.take_over(&disk)? {
                disk = self.store.observe(host)?;
            }
        }
        let settings = self.deployment.settings;
        let idle = settings.tls.fullchain_url.is_none() && !options.ensure;
        let mut sources = Sources::ask(self.deployment, &self.memory, &disk, idle);
        let identity = super::identity(self.deployment.settings);
        let situation = Situation {
            allow_older: options.allow_older,
            ensure: options.ensure,
            ..sources.situation(self.deployment, &identity, &disk)
        };
        let decided = plan(&situation);
        if options.dry_run {
            return Ok(self.describe(&disk, &sources, &decided));
        }
        self.apply(&situation, &sources, &decided)
    }

    /// Takes over what is not laid out as ours. `true`: something was written.
    fn take_over(&mut self, disk: &Disk) -> Result<bool> {
        let host = self.deployment.host;
        match (disk.layout, disk.current) {
            (Layout::RegularFiles, _) => {
                let said = take_over_said(disk, self.store.adopt(host, disk)?);
                self.step(said);
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
            self.step(format!("make an {} key, pending/{number}.pem", key.kind));
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
            to: situation.disk.next_generation(),
            settles,
        };
        let swap = self.install(&open, key.pem(), chain.as_bytes())?;
        if matches!((&swap, install), (Swap::Committed(_), Install::Chain(..))) {
            self.memory.remember(&sources.etag, &chain);
        }
        let mut verdict = decided.verdict.clone();
        if let Err(refusal) = &mut verdict {
            let made = match install {
                Install::Bridge(_) => "a 30-day bridge certificate was installed meanwhile",
                Install::Chain(..) => "the broken pair was replaced by the one kept before it",
            };
            refusal.message = refusal.message.replace("what is installed stays", made);
        }
        self.conclude(swap, sources, verdict)
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
            Swap::Unserved(convergence) => {
                let certs = self.store.directory().display();
                let refusal = Refusal::new(
                    "reload-pending",
                    format!("the first key and certificate are installed, but not served: {}", convergence.clause()),
                )
                .hint(format!("point the proxy at {certs}/fullchain.pem and {certs}/privkey.pem, then agnes-ops tls reload"));
                let verdict = verdict.and(Err(refusal));
                self.finish(Outcome::Changed, Some(convergence), sources, verdict)
            }
            Swap::RolledBack { failed, back } => {
                let refusal = Refusal::new(
                    "reload-not-proven",
                    format!("the new certificate was not served ({}); the old pair is back: {}", failed.clause(), back.seen),
                )
                .hint("correct [[tls.reload]] or TLS_SERVED_ADDRESS; the same certificate is tried again at the next run");
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
            let half = self.store.is_half(host).unwrap_or(false);
            let number = (!half).then(|| disk.next_generation());
            lines.insert(0, take_over_said(disk, number));
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
        report.steps = lines.into_iter().map(Step::planned).collect();
        if let Err(refusal) = &decided.verdict {
            report.exit = Exit::Failed;
            report.refusal = Some(refusal.clone());
        }
        report
    }

    fn step(&mut self, name: impl Into<String>) {
        self.steps.done(name, self.deployment.host.instant());
    }
}

/// What taking over what was found is called; `number`: of the generation that it becomes.
fn take_over_said(disk: &Disk, number: Option<u64>) -> String {
    let broken = disk.pair.as_ref().and_then(Pair::broken);
    match (number, broken) {
        (None, _) => "set half a pair aside as pending/adopted-*: it cannot be served".to_owned(),
        (Some(number), None) => format!("adopt the files found as generation {number}"),
        (Some(number), Some(why)) => {
            format!(
                "keep the files found as generation {number}, though they cannot be served: {why}"
            )
        }
    }
}

/// The pending copy of a key that a generation already holds.
fn pending_twin(disk: &Disk, key: &PrivateKey) -> Option<u64> {
    disk.pending
        .iter()
        .find(|(_, pending)| pending.spki == key.spki)
        .map(|(number, _)| *number)
}
