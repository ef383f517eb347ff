//! `adopt`: a host that shell scripts looked after becomes one of ours, and can be given back.
//!
//! Always true: what is taken over is written down before it is touched; the scripts' cron lines and timers go off when ours run, and not before;
//! their files stay; what a person changes meanwhile stays through both.
//!
//! Does not: change the stack's own Compose files, or restart anything.

mod cron;
mod pair;
mod timers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::pair::Back;
use crate::deployment::Deployment;
use crate::env_file::{EnvFile, Lookup};
use crate::host::Entry;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};
use crate::{state_file, systemd};

/// What was taken over, in the deployment's directory.
const RECORD: &str = ".adopted.json";
/// How long systemd may take.
const ACT: Duration = Duration::from_secs(60);
/// What says that a directory is a deployment's.
const DEPLOYMENT: [&str; 7] = [
    ".env",
    "agnes.toml",
    "agnes.toml.d",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yml",
    "compose.yaml",
];

/// A command of this program, run as it would run by itself, its record included.
pub type Command<'a> = &'a dyn Fn() -> Result<Report>;

/// Who looks after the host from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This program.
    Ours,
    /// Its scripts, again.
    Theirs,
}

/// How it runs.
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
    /// `secrets ensure`: what `.env` has is kept.
    pub secrets: Command<'a>,
    /// `tls rotate`: regular files at the documented paths become a generation.
    pub certificates: Command<'a>,
    /// `units install`.
    pub install_units: Command<'a>,
    /// `units remove`.
    pub remove_units: Command<'a>,
}

/// What was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Lines of cron that are off, by file.
    cron: BTreeMap<PathBuf, Vec<String>>,
    /// Timers that are off.
    timers: Vec<String>,
    /// Those of them that ran and were not enabled.
    only_started: Vec<String>,
    /// Those of them that are files elsewhere, by name: systemd forgets the link of one that is disabled.
    linked: BTreeMap<String, PathBuf>,
    /// How the documented paths of the pair were.
    pair: BTreeMap<String, pair::Was>,
    /// `COMPOSE_FILE` in `.env`; `None`: there was none.
    compose_file: Option<String>,
}

struct Work<'a> {
    deployment: Deployment<'a>,
    options: &'a Options<'a>,
    /// The deployment's directory, as its scripts may name it.
    dirs: Vec<String>,
    steps: Steps,
    planned: Vec<String>,
}

/// Takes the host over.
///
/// # Errors
/// What the host refuses; what was done before it stays, and the next run goes on.
pub fn adopt(deployment: Deployment<'_>, options: &Options<'_>) -> Result<Report> {
    if let Some(refused) = without_systemd() {
        return Ok(refused);
    }
    let dir = &deployment.settings.dir;
    if !DEPLOYMENT.iter().any(|name| dir.join(name).exists()) {
        let message = format!(
            "{}: has neither a .env nor an agnes.toml nor Compose files, and so is no deployment; nothing was touched",
            dir.display()
        );
        return Ok(Report::refused(
            Exit::Failed,
            Refusal::new("no-deployment", message),
        ));
    }
    let mut work = Work::new(deployment, options);
    let found = work.survey()?;
    let kept = work.kept()?;
    // what an earlier run switched off is off already, and still theirs
    let mut record = kept.clone().unwrap_or_else(|| found.clone());
    for (path, lines) in &found.cron {
        unite(record.cron.entry(path.clone()).or_default(), lines);
    }
    unite(&mut record.timers, &found.timers);
    for (timer, file) in &found.linked {
        let known = record.linked.entry(timer.clone());
        known.or_insert_with(|| file.clone());
    }
    // one that a killed run has disabled and not told of is known from before
    if let Some(kept) = &kept {
        let known = |timer: &&String| !kept.timers.contains(timer);
        let new: Vec<String> = found.only_started.iter().filter(known).cloned().collect();
        unite(&mut record.only_started, &new);
    }
    if kept.as_ref() != Some(&record) {
        let path = work.record_path();
        work.step(format!("write {}", path.display()), |deployment| {
            state_file::write_secret(deployment.host, &path, &record)
        })?;
    }
    for (name, command) in [
        ("secrets", options.secrets),
        ("certificates", options.certificates),
        ("units", options.install_units),
    ] {
        if let Some(refused) = work.command(name, command)? {
            return Ok(refused);
        }
    }
    // ours run: now theirs need not
    let dirs = work.dirs.clone();
    for (path, lines) in &found.cron {
        work.cron(path, lines, |text| cron::off(text, &dirs))?;
    }
    for timer in &found.timers {
        // one that was stopped and is still enabled is found again by the next run; the other way round it would run on
        let verbs: &[&str] = match timers::is_enabled(deployment.host, timer)? {
            true => &["stop", "disable"],
            false => &["stop"],
        };
        work.timer(timer, verbs)?;
    }
    Ok(work.report("is looked after by agnes-ops", &record))
}

/// Gives it back to its scripts.
///
/// # Errors
/// As [`adopt`].
pub fn give_back(deployment: Deployment<'_>, options: &Options<'_>) -> Result<Report> {
    if let Some(refused) = without_systemd() {
        return Ok(refused);
    }
    let mut work = Work::new(deployment, options);
    let Some(record) = work.kept()? else {
        let message = format!(
            "{}: there is none: this host was not adopted; nothing was touched",
            work.record_path().display()
        );
        return Ok(Report::refused(
            Exit::Failed,
            Refusal::new("not-adopted", message),
        ));
    };
    // theirs first, so that the host is never looked after by nobody
    let dirs = work.dirs.clone();
    for (path, lines) in &record.cron {
        let host = deployment.host;
        let text = host.read(path)?.unwrap_or_default();
        // another deployment's lines are not ours to give back
        let on = |text: &str| cron::on(text, &dirs, lines);
        if let Some(changed) = on(&String::from_utf8_lossy(&text)) {
            work.cron(path, &changed.lines, on)?;
        }
    }
    for timer in &record.timers {
        let file = record.linked.get(timer).filter(|file| file.is_file());
        if let (Some(file), false) = (file, timers::is_there(deployment.host, timer)?) {
            work.timer(&file.to_string_lossy(), &["link"])?;
        } else if !timers::is_there(deployment.host, timer)? {
            // a person has removed it since
            continue;
        }
        let verbs: &[&str] = match record.only_started.contains(timer) {
            true => &["start"],
            false => &["enable", "start"],
        };
        work.timer(timer, verbs)?;
    }
    if let Some(refused) = work.command("units", options.remove_units)? {
        return Ok(refused);
    }
    work.pair_as_it_was(&record.pair)?;
    work.compose_file(record.compose_file.as_deref())?;
    let path = work.record_path();
    work.step(format!("remove {}", path.display()), |deployment| {
        Ok(deployment.host.remove_file(&path)?)
    })?;
    Ok(work.report("is its scripts' again", &record))
}

/// Where nothing runs timers, whoever looks after the host stays.
fn without_systemd() -> Option<Report> {
    let message = "systemd does not run here, and neither would the timers; nothing was touched";
    (!systemd::is_running())
        .then(|| Report::refused(Exit::Failed, Refusal::new("no-systemd", message)))
}

/// What a command did, or would, as one line.
fn told(report: &Report) -> String {
    const MOST: usize = 4;
    let steps: Vec<&str> = report.steps.iter().map(|step| step.name.as_str()).collect();
    match steps.get(..MOST) {
        Some(first) if steps.len() > MOST => {
            format!("{}; and {} more", first.join("; "), steps.len() - MOST)
        }
        _ => steps.join("; "),
    }
}

/// As scripts may name it, however it was named to us.
fn spellings(dir: &Path) -> Vec<String> {
    let given: PathBuf = dir.components().collect();
    let mut all = vec![given.display().to_string()];
    if let Ok(real) = std::fs::canonicalize(dir) {
        unite(&mut all, &[real.display().to_string()]);
    }
    all
}

fn unite(known: &mut Vec<String>, found: &[String]) {
    for one in found {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

impl<'a> Work<'a> {
    fn new(deployment: Deployment<'a>, options: &'a Options<'a>) -> Self {
        Self {
            deployment,
            options,
            dirs: spellings(&deployment.settings.dir),
            steps: Steps::begin(deployment.host.instant()),
            planned: Vec::new(),
        }
    }

    fn record_path(&self) -> PathBuf {
        self.deployment.settings.dir.join(RECORD)
    }

    fn kept(&self) -> Result<Option<Record>> {
        state_file::read(self.deployment.host, &self.record_path())
    }

    /// What the scripts have here, as it is now.
    fn survey(&self) -> Result<Record> {
        let Deployment { host, settings, .. } = self.deployment;
        let dirs = &self.dirs;
        let mut record = Record::default();
        for path in self.cron_files()? {
            let bytes = host
                .read(&path)
                .with_context(|| format!("{}: read", path.display()))?;
            let bytes = bytes.unwrap_or_default();
            let off = cron::off(&String::from_utf8_lossy(&bytes), dirs);
            if let Some(off) = off {
                // a file that is no text is nobody's to change by halves
                std::str::from_utf8(&bytes).with_context(|| {
                    format!("{}: is no UTF-8 text; nothing was touched", path.display())
                })?;
                record.cron.insert(path, off.lines);
            }
        }
        record.timers = timers::on(host, dirs)?;
        for timer in &record.timers {
            if !timers::is_enabled(host, timer)? {
                record.only_started.push(timer.clone());
            }
            if let Some(file) = timers::linked(host, timer)? {
                record.linked.insert(timer.clone(), file);
            }
        }
        record.pair = pair::found(host, &settings.state_dir.join("certs"))?;
        let env_file = EnvFile::read(host, &settings.dir, self.options.lookup)?;
        record.compose_file = env_file.text("COMPOSE_FILE").map(str::to_owned);
        Ok(record)
    }

    fn cron_files(&self) -> Result<Vec<PathBuf>> {
        let host = self.deployment.host;
        let mut files = Vec::new();
        for place in cron::PLACES.map(Path::new) {
            match host
                .entry(place)
                .with_context(|| format!("{}: look at", place.display()))?
            {
                Entry::Directory => {
                    for name in host.list(place)? {
                        files.push(place.join(name));
                    }
                }
                _ => files.push(place.to_owned()),
            }
        }
        // cron follows a link, and so is its file changed
        let mut real: Vec<PathBuf> = files
            .iter()
            .filter_map(|path| std::fs::canonicalize(path).ok())
            .filter(|path| path.is_file())
            .collect();
        real.sort();
        real.dedup();
        Ok(real)
    }

    fn step(&mut self, name: String, act: impl FnOnce(Deployment<'_>) -> Result<()>) -> Result<()> {
        if !self.options.dry_run {
            act(self.deployment).with_context(|| name.clone())?;
            self.steps
                .done(name.clone(), self.deployment.host.instant());
        }
        self.planned.push(name);
        Ok(())
    }

    /// `Some`: it did not get there.
    fn command(&mut self, name: &str, command: Command<'_>) -> Result<Option<Report>> {
        let report = command()?;
        if let Some(mut refusal) = report.refusal {
            refusal.message = format!(
                "{name}: {}; the host's scripts still run, and the next run goes on",
                refusal.message
            );
            return Ok(Some(Report::refused(report.exit, refusal)));
        }
        let would =
            self.options.dry_run && report.steps.iter().any(|step| step.result == "planned");
        if report.outcome == Outcome::Changed || would {
            self.step(format!("{name}: {}", told(&report)), |_| Ok(()))?;
        }
        Ok(None)
    }

    fn cron(
        &mut self,
        path: &Path,
        lines: &[String],
        change: impl Fn(&str) -> Option<cron::Changed>,
    ) -> Result<()> {
        for line in lines {
            let scripts = cron::named(line, &self.dirs);
            self.planned
                .push(format!("{}: {}", path.display(), scripts.join(" ")));
        }
        if self.options.dry_run {
            return Ok(());
        }
        let host = self.deployment.host;
        let bytes = host.read(path)?.unwrap_or_default();
        let text =
            String::from_utf8(bytes).with_context(|| format!("{}: is no text", path.display()))?;
        if let Some(changed) = change(&text) {
            let found = host.owner_and_mode(path)?;
            let (owner, mode) = found.map_or((None, 0o600), |(owner, mode)| (Some(owner), mode));
            host.install(path, changed.text.as_bytes(), mode, owner)?;
            self.steps
                .done(format!("change {}", path.display()), host.instant());
        }
        Ok(())
    }

    /// One of theirs is switched on or off.
    fn timer(&mut self, timer: &str, verbs: &[&str]) -> Result<()> {
        self.step(format!("{} {timer}", verbs.join(" and ")), |deployment| {
            for verb in verbs {
                systemd::act(deployment.host, verb, &[timer], ACT).map_err(anyhow::Error::msg)?;
            }
            Ok(())
        })
    }

    /// The documented paths are of the kind that they were, which scripts can write over.
    fn pair_as_it_was(&mut self, was: &BTreeMap<String, pair::Was>) -> Result<()> {
        let certs = self.deployment.settings.state_dir.join("certs");
        for name in pair::NAMES {
            let path = certs.join(name);
            let shown = path.display();
            match pair::back(self.deployment.host, &certs, was, name)? {
                Back::Stays => {}
                Back::Remove => self.step(format!("remove {shown}"), |deployment| {
                    Ok(deployment.host.remove_file(&path)?)
                })?,
                Back::Link(target) => {
                    let said = format!("link {shown} to {}", target.display());
                    self.step(said, |deployment| {
                        Ok(deployment.host.link(&target, &path)?)
                    })?;
                }
                Back::File { from, owner, mode } => {
                    self.step(format!("make {shown} a file"), |deployment| {
                        let host = deployment.host;
                        let bytes = host.read(&from)?.map(zeroize::Zeroizing::new);
                        let bytes =
                            bytes.with_context(|| format!("{}: is not there", from.display()))?;
                        let of_bytes = host.owner_and_mode(&from)?.map(|(owner, _)| owner);
                        Ok(host.install(&path, &bytes, mode, owner.or(of_bytes))?)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// As it was: an upgrade has added its pin.
    fn compose_file(&mut self, before: Option<&str>) -> Result<()> {
        let Deployment { host, settings, .. } = self.deployment;
        let env_file = EnvFile::read(host, &settings.dir, self.options.lookup)?;
        if env_file.text("COMPOSE_FILE") == before {
            return Ok(());
        }
        let value = before.unwrap_or_default().to_owned();
        self.step("put COMPOSE_FILE in .env back".to_owned(), |deployment| {
            env_file.write(deployment.host, &[("COMPOSE_FILE", &value)])?;
            Ok(())
        })
    }

    fn report(self, ends: &str, record: &Record) -> Report {
        let dry_run = self.options.dry_run;
        let outcome = match self.planned.is_empty() || dry_run {
            true => Outcome::Unchanged,
            false => Outcome::Changed,
        };
        let verb = if dry_run { "would: " } else { "" };
        let mut lines: Vec<String> = self
            .planned
            .iter()
            .map(|what| format!("{verb}{what}"))
            .collect();
        if !dry_run {
            lines.push(format!("{} {ends}", self.deployment.settings.dir.display()));
        }
        // a line may hold a password
        let cron: BTreeMap<_, Vec<&str>> = record
            .cron
            .iter()
            .map(|(path, lines)| {
                let named = lines.iter().flat_map(|line| cron::named(line, &self.dirs));
                (path, named.collect())
            })
            .collect();
        let mut report = Report::ok(outcome, lines.join("\n"))
            .detail("cron", json!(cron))
            .detail("timers", json!(record.timers))
            .detail("pair", json!(record.pair));
        report.steps = match dry_run {
            true => self.planned.iter().map(Step::planned).collect(),
            false => self.steps.into_vec(),
        };
        report
    }
}
