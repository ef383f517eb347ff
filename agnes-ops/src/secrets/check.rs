//! `secrets check`: what is wrong with the secrets, without changing or printing any.
//!
//! Always true: a finding names the secret, the evidence and one next step; what was not looked at is said.
//!
//! Does not: ask a source.

use agnes_config::{Secret, Settings};
use anyhow::Result;
use serde_json::{Value, json};

use super::catalogue::{Managed, catalogue};
use super::env_file::EnvFile;
use super::generations::{Current, Generations, Kept};
use super::list::Age;
use super::live::Live;
use super::rotate::token::key_id;
use super::side_cars::{self, Containers};
use super::{Lookup, plan, rotate};
use crate::deployment::Deployment;
use crate::host::Host;
use crate::outcome::{Exit, Outcome, Report};
use crate::served::{ControlSocket, NoAnswer};

/// One thing that is wrong.
struct Finding {
    id: &'static str,
    name: String,
    evidence: String,
    next: String,
}

/// What was looked at.
struct Look<'a> {
    host: &'a Host,
    settings: &'a Settings,
    generations: Generations,
    env_file: EnvFile,
    findings: Vec<Finding>,
}

/// Checks.
///
/// # Errors
/// When something cannot be looked at.
pub fn check(deployment: Deployment<'_>, lookup: Lookup<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let mut look = Look {
        host,
        settings,
        generations: Generations::new(&settings.state_dir),
        env_file: EnvFile::read(host, &settings.dir, lookup)?,
        findings: Vec::new(),
    };
    let mut all = Vec::new();
    for managed in catalogue(settings, &look.env_file) {
        let kept = look.generations.read(host, &managed.name)?;
        all.push((managed, kept));
    }
    for (managed, kept) in &all {
        look.value(managed, kept);
        look.copies(managed, kept)?;
        look.age(managed, kept)?;
    }
    look.shared(&all);
    look.rotations()?;
    look.readable(&all)?;
    let mut unchecked = look.running(&all);
    unchecked.extend(look.side_cars(&all));
    Ok(report(look.findings, unchecked))
}

impl Look<'_> {
    fn finding(
        &mut self,
        id: &'static str,
        name: &str,
        evidence: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.findings.push(Finding {
            id,
            name: name.to_owned(),
            evidence: evidence.into(),
            next: next.into(),
        });
    }

    /// Is there one, and is it any good?
    fn value(&mut self, managed: &Managed, kept: &Kept) {
        let name = &managed.name;
        match &kept.current {
            Current::Absent if managed.required => {
                self.finding("secrets.missing", name, "there is none", ENSURE);
            }
            Current::Absent => {}
            Current::Damaged(why) => {
                let evidence = format!("{}: {why}", self.generations.of(name).display());
                self.finding("secrets.damaged", name, evidence, ENSURE);
            }
            Current::Sound { secret, .. } => self.weak(managed, secret.expose()),
        }
        // what stands in .env is what side-cars use
        let written = self.env_file.value(name).map(str::to_owned);
        if let Some(written) = written
            && kept.sound().is_none_or(|kept| kept.expose() != written)
        {
            self.weak(managed, &written);
        }
    }

    fn weak(&mut self, managed: &Managed, value: &str) {
        if let Some(why) = plan::unfit(managed, value) {
            let short = why.starts_with("has ");
            let id = if short {
                "secrets.short"
            } else {
                "secrets.placeholder"
            };
            self.finding(id, &managed.name, why, ENSURE);
        }
    }

    /// Do `.env` and the server's file say what counts?
    fn copies(&mut self, managed: &Managed, kept: &Kept) -> Result<()> {
        let Some(secret) = kept.sound() else {
            return Ok(());
        };
        let name = &managed.name;
        match self.env_file.value(name) {
            Some(value) if value == secret.expose() => {}
            Some(_) => self.finding(
                "secrets.env-differs",
                name,
                ".env has another value than the one that counts",
                ENSURE,
            ),
            None => self.finding("secrets.env-missing", name, ".env has no value", ENSURE),
        }
        self.live(name, name, secret)
    }

    /// Does the server find `secret` under this name?
    fn live(&mut self, name: &str, file: &str, secret: &Secret) -> Result<()> {
        let live = Live::new(&self.settings.state_dir, self.settings.server_owner);
        if !live.holds(self.host, file, secret)? {
            let evidence = format!(
                "{}: not the value that counts, or not its reader's alone",
                live.path(file).display()
            );
            self.finding("secrets.live-differs", name, evidence, ENSURE);
        }
        Ok(())
    }

    fn age(&mut self, managed: &Managed, kept: &Kept) -> Result<()> {
        if managed.source.is_some() || !managed.is_own() {
            return Ok(());
        }
        let age = Age::of(self.host, &self.generations, &managed.name, kept)?;
        let now = self.host.now().unix_timestamp();
        if let Some(age) = age
            && age.due_at() <= now
        {
            let days = (now - age.made_at) / (24 * 60 * 60);
            let evidence = format!("it is {days} days old; 90 is the quarter it is meant for");
            let next = format!("agnes-ops secrets rotate {}", short_name(&managed.name));
            self.finding("secrets.overdue", &managed.name, evidence, next);
        }
        Ok(())
    }

    /// One value under two names: whoever learns one has the other.
    fn shared(&mut self, all: &[(Managed, Kept)]) {
        for (at, (managed, kept)) in all.iter().enumerate() {
            let Some(secret) = kept.sound() else { continue };
            let earlier = all.iter().take(at).find(|(_, other)| {
                other
                    .sound()
                    .is_some_and(|other| other.expose() == secret.expose())
            });
            if let Some((earlier, _)) = earlier {
                let evidence = format!("has the same value as {}", earlier.name);
                let next = format!("agnes-ops secrets rotate {}", short_name(&managed.name));
                self.finding("secrets.shared", &managed.name, evidence, next);
            }
        }
    }

    /// Is a rotation half way?
    fn rotations(&mut self) -> Result<()> {
        for (kind, secret) in rotate::beside(self.host, self.settings)? {
            self.live(kind.name(), &kind.previous(), &secret)?;
        }
        let now = self.host.now().unix_timestamp();
        for open in rotate::open(self.host, self.settings)? {
            // one that waits for its time is where it should be
            if !open.half_way && now < open.retire_after {
                continue;
            }
            let evidence = format!("a rotation is open: {}", open.phase);
            self.finding(
                "secrets.rotation-open",
                open.kind.name(),
                evidence,
                format!("agnes-ops secrets rotate {}", open.kind.word()),
            );
        }
        Ok(())
    }

    /// Are there files that others may read?
    fn readable(&mut self, all: &[(Managed, Kept)]) -> Result<()> {
        if let Some(mode) = self.env_file.mode()
            && mode & 0o077 != 0
        {
            let evidence = format!(".env has mode {mode:04o} (expected 0600)");
            self.finding("secrets.readable", ".env", evidence, ENSURE);
        }
        for (managed, kept) in all {
            for (number, _) in &kept.values {
                let path = self.generations.path(&managed.name, *number);
                let found = self.host.owner_and_mode(&path)?;
                if let Some((_, mode)) = found
                    && mode & 0o077 != 0
                {
                    let evidence = format!("{} has mode {mode:04o}", path.display());
                    let next = format!("chmod 600 {}", path.display());
                    self.finding("secrets.readable", &managed.name, evidence, next);
                }
            }
        }
        Ok(())
    }

    /// Does the running server use what counts? Returns what could not be looked at.
    fn running(&mut self, all: &[(Managed, Kept)]) -> Vec<Value> {
        let socket = ControlSocket::of(self.settings);
        let state = match socket.get("/v1/state") {
            Ok(state) => state,
            Err(NoAnswer::Nobody) => {
                return vec![unchecked(&format!(
                    "{}: no server runs",
                    socket.path().display()
                ))];
            }
            Err(why) => return vec![unchecked(&why.to_string())],
        };
        let generations = state.pointer("/keys/generations");
        let Some(generations) = generations else {
            return vec![unchecked(
                "the running server does not say which keys it has",
            )];
        };
        for (managed, kept) in all {
            let (Some(secret), Some(listed)) =
                (kept.sound(), generations.get(short_name(&managed.name)))
            else {
                continue;
            };
            let in_use = listed.as_array().into_iter().flatten().any(|entry| {
                let text = |field| entry.get(field).and_then(Value::as_str);
                text("role") == Some("current") && text("id") == Some(key_id(secret).as_str())
            });
            if !in_use {
                self.finding(
                    "secrets.not-in-process",
                    &managed.name,
                    "the running server has another value",
                    "send SIGHUP to the server, or restart it",
                );
            }
        }
        Vec::new()
    }

    /// Do the containers beside the server have what counts? Returns what could not be looked at.
    fn side_cars(&mut self, all: &[(Managed, Kept)]) -> Option<Value> {
        let containers = match Containers::look(self.host, self.settings) {
            Ok(containers) => containers,
            Err(why) => return Some(unchecked(&format!("the containers of the project: {why}"))),
        };
        for (managed, kept) in all {
            let Some(secret) = kept.sound() else { continue };
            let found = containers.with(&managed.name, secret);
            for service in side_cars::not_moved(&found) {
                let evidence = format!("service {service} was started with another value");
                let next = side_cars::command(&[service]);
                self.finding("secrets.not-in-process", &managed.name, evidence, next);
            }
        }
        None
    }
}

const ENSURE: &str = "agnes-ops secrets ensure";

/// As `secrets rotate` calls it.
fn short_name(name: &str) -> &str {
    match name {
        "JWT_SECRET_KEY" => "jwt",
        "SESSION_SECRET" => "session",
        "SCHEDULER_API_TOKEN" => "scheduler",
        other => other,
    }
}

fn unchecked(why: &str) -> Value {
    json!({"id": "secrets.not-in-process", "why": why})
}

fn report(findings: Vec<Finding>, unchecked: Vec<Value>) -> Report {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            format!(
                "{}: {}: {}; next: {}",
                finding.id, finding.name, finding.evidence, finding.next
            )
        })
        .collect();
    let listed: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "id": finding.id,
                "name": finding.name,
                "evidence": finding.evidence,
                "next": finding.next,
            })
        })
        .collect();
    let mut text = match lines.len() {
        0 => "no finding".to_owned(),
        _ => lines.join("\n"),
    };
    for why in unchecked.iter().filter_map(|one| one.get("why")?.as_str()) {
        text.push_str(&format!("\nnot checked: {why}"));
    }
    let mut report = Report::ok(Outcome::Unchanged, text)
        .detail("findings", listed)
        .detail("unchecked", unchecked);
    if !findings.is_empty() {
        report.exit = Exit::Drift;
    }
    report
}
