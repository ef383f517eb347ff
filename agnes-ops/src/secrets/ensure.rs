//! `secrets ensure`: every secret is there, durable, and told to whoever reads it.
//!
//! Always true: all is decided before the first effect; the order is reference, generation, live file, `.env`, so that a
//! run that is cut off anywhere is finished by the next one.
//!
//! Does not: tell the running server (`secrets rotate` does).

use std::collections::BTreeMap;

use agnes_config::{Runtime, Secret, Settings, against_key};
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::Lookup;
use super::catalogue::{Managed, catalogue};
use super::env_file::EnvFile;
use super::generations::{Generations, Kept};
use super::live::Live;
use super::plan::{self, Action, Decision, Impossible, Seen};
use super::rotate;
use crate::deployment::Deployment;
use crate::fetch::Fetched;
use crate::host::Host;
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};

/// Bytes of a secret that is made here: 256 bits, 64 hexadecimal characters.
const MINTED: usize = 32;

/// How `ensure` runs.
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
    /// What the last run remembered.
    pub memory: Option<&'a Value>,
}

/// One secret on its way.
struct One {
    managed: Managed,
    kept: Kept,
    decision: Decision,
    /// What everybody will read; `None`: there is none.
    value: Option<Secret>,
}

/// Makes, keeps, fetches and tells.
///
/// # Errors
/// When the host refuses something; the next run goes on from there.
pub fn ensure(deployment: Deployment<'_>, options: &Options<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let env_file = EnvFile::read(host, &settings.dir, options.lookup)?;
    let generations = Generations::new(&settings.state_dir);
    let mut all = Vec::new();
    let mut damaged = Vec::new();
    let mut missing = Vec::new();
    let open = rotate::open(host, settings)?;
    for managed in catalogue(settings, &env_file) {
        let rotation = open.iter().find(|open| open.kind.name() == managed.name);
        // one that waits is whole here; its source may still have the old value
        if rotation.is_some_and(|open| open.half_way || managed.source.is_some()) {
            tracing::warn!(
                "{}: a rotation is open; `agnes-ops secrets rotate` finishes it, until then it is left alone",
                managed.name
            );
            continue;
        }
        let kept = generations.read(host, &managed.name)?;
        let fetched = fetch(deployment, &managed);
        let seen = Seen {
            managed: &managed,
            written: env_file.value(&managed.name),
            kept: &kept,
            fetched: fetched.as_ref().map(|f| f.as_ref().map_err(Clone::clone)),
        };
        match plan::decide(&seen) {
            Ok(decision) => {
                let value = value(&decision, &kept)?;
                all.push(One {
                    managed,
                    kept,
                    decision,
                    value,
                });
            }
            Err(Impossible::DurableCopyDamaged(why)) => damaged.push((managed.name, why)),
            Err(Impossible::Missing(why)) => missing.push((managed.name, why)),
        }
    }
    if !damaged.is_empty() {
        return Ok(refuse_damaged(&generations, &damaged));
    }
    let pairs = pairs(settings, &all);
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let writes = match env_file.would_change(&pairs) {
        Ok(writes) => writes,
        Err(error) => {
            let message = format!("{error:#}; nothing was touched");
            return Ok(Report::refused(
                Exit::Failed,
                Refusal::new("not-representable", message),
            ));
        }
    };
    let live = Live::new(&settings.state_dir, settings.server_owner);
    let steps = if options.dry_run {
        planned(host, &live, &all, &rotate::beside(host, settings)?, writes)?
    } else {
        apply(host, settings, &generations, &live, &mut all)?
            .then(|| env_file.write(host, &pairs))?
    };
    Ok(report(steps, options, &all, &missing))
}

/// What the source says; an empty answer is a failure, for it would blank what works.
fn fetch(deployment: Deployment<'_>, managed: &Managed) -> Option<Result<Secret, String>> {
    let source = managed.source.as_ref()?;
    let fetched = match deployment.fetcher.fetch(source, None) {
        Ok(Fetched::Body { bytes, .. }) => text(&bytes),
        Ok(Fetched::NotModified) => Err("answered without a body".to_owned()),
        Err(failure) => return Some(Err(failure.to_string())),
    };
    let fit = fetched.and_then(|secret| match plan::unfit(managed, secret.expose()) {
        None => Ok(secret),
        Some(why) => Err(format!("what it holds {why}")),
    });
    Some(fit.map_err(|why| format!("fetch {source}: {why}")))
}

/// The text of a fetched secret; the newline that editors put at its end is not part of it.
fn text(bytes: &[u8]) -> Result<Secret, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    match text.strip_suffix('\r').unwrap_or(text) {
        blank if blank.trim().is_empty() => Err("is empty".to_owned()),
        text => Ok(Secret::new(text)),
    }
}

/// The value that will count.
fn value(decision: &Decision, kept: &Kept) -> Result<Option<Secret>> {
    let numbered = |number: u64| {
        let found = kept.values.iter().find(|(known, _)| *known == number);
        found.map(|(_, secret)| secret.clone())
    };
    Ok(match &decision.action {
        Action::Keep(number) | Action::Finish(number) => numbered(*number),
        Action::Mint => Some(mint()?),
        Action::Adopt(secret) | Action::Take(secret) => Some(secret.clone()),
        Action::Nothing => None,
    })
}

/// A value of 256 bits from the system, 64 hexadecimal characters.
pub(super) fn mint() -> Result<Secret> {
    let mut bytes = Zeroizing::new([0u8; MINTED]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice())
        .ok()
        .context("no random bytes from the system; nothing was touched")?;
    let mut text = Zeroizing::new(String::with_capacity(2 * MINTED));
    for byte in bytes.iter() {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
    }
    let secret = Secret::new(&text);
    // what cannot be random must not become a key that is then kept for ever
    match against_key(secret.expose()) {
        None => Ok(secret),
        Some(why) => anyhow::bail!("a new secret {why}; nothing was touched"),
    }
}

/// What `.env` shall say. One process reads `.env` itself, and learns from it where the server's files are.
fn pairs(settings: &Settings, all: &[One]) -> Vec<(String, Zeroizing<String>)> {
    let live = Live::new(&settings.state_dir, settings.server_owner);
    let mut pairs = Vec::new();
    for one in all {
        let Some(value) = &one.value else { continue };
        let name = &one.managed.name;
        pairs.push((name.clone(), Zeroizing::new(value.expose().to_owned())));
        if settings.runtime == Runtime::Process && one.managed.is_own() {
            for name in [name.clone(), format!("{name}_PREVIOUS")] {
                let path = live.path(&name).display().to_string();
                pairs.push((format!("{name}_FILE"), Zeroizing::new(path)));
            }
        }
    }
    pairs
}

/// The effects before `.env`'s.
fn apply<'a>(
    host: &'a Host,
    settings: &Settings,
    generations: &Generations,
    live: &Live,
    all: &mut [One],
) -> Result<Applied<'a>> {
    let mut applied = Applied {
        host,
        steps: Steps::begin(host.instant()),
    };
    let names = all.iter().map(|one| generations.of(&one.managed.name));
    let places = [settings.dir.clone(), settings.dir.join("agnes.toml.d")];
    for directory in names.chain(places).chain([live.directory().to_owned()]) {
        // what a run that was killed left half made, secrets among it
        host.sweep(&directory)
            .with_context(|| format!("{}: tidy up", directory.display()))?;
    }
    for one in all.iter_mut() {
        let name = one.managed.name.clone();
        if one.managed.referenced {
            keep_reference(host, settings, &one.managed)?;
            applied.done(format!("keep the reference of {name}"));
        }
        let Some(secret) = one.value.clone() else {
            continue;
        };
        let number = match &one.decision.action {
            Action::Nothing => continue,
            // also mends a link that is missing
            Action::Keep(number) | Action::Finish(number) => {
                generations.make_current(host, &name, *number)?;
                if matches!(one.decision.action, Action::Finish(_)) {
                    applied.done(format!("make generation {number} of {name} current"));
                }
                *number
            }
            Action::Mint => {
                let number = generations.add(host, &name, &one.kept, &secret)?;
                applied.done(format!("mint {name}, generation {number}"));
                number
            }
            Action::Adopt(_) => {
                let number = generations.add(host, &name, &one.kept, &secret)?;
                applied.done(format!("adopt {name} from .env, generation {number}"));
                number
            }
            Action::Take(_) => {
                let number = generations.add(host, &name, &one.kept, &secret)?;
                applied.done(format!("take {name} from its source, generation {number}"));
                number
            }
        };
        one.kept.newest = one.kept.newest.max(number);
        if live.put(host, &name, &secret)? {
            applied.done(format!("write live/{name}"));
        }
    }
    for (kind, secret) in rotate::beside(host, settings)? {
        let previous = kind.previous();
        if live.put(host, &previous, &secret)? {
            applied.done(format!("write live/{previous}"));
        }
    }
    Ok(applied)
}

/// What was done.
struct Applied<'a> {
    host: &'a Host,
    steps: Steps,
}

impl Applied<'_> {
    fn done(&mut self, what: String) {
        self.steps.done(what, self.host.instant());
    }

    /// The last effect.
    fn then(mut self, write: impl FnOnce() -> Result<bool>) -> Result<Vec<Step>> {
        if write()? {
            self.done("write .env".to_owned());
        }
        Ok(self.steps.into_vec())
    }
}

/// A reference that stood in `.env` in the place of a value: from here on a drop-in says it.
fn keep_reference(host: &Host, settings: &Settings, managed: &Managed) -> Result<()> {
    let Some(source) = &managed.source else {
        return Ok(());
    };
    let directory = settings.dir.join("agnes.toml.d");
    host.make_dir(&directory)?;
    let text = format!(
        "# Stood in .env as {0}={source}; written by agnes-ops secrets ensure.\n[secrets.{0}]\nsource = \"{source}\"\n",
        managed.name
    );
    let name = format!("50-secret-{}.toml", managed.name.to_ascii_lowercase());
    host.install(&directory.join(name), text.as_bytes(), 0o644, None)?;
    Ok(())
}

/// As [`apply`], for `--dry-run`.
fn planned(
    host: &Host,
    live: &Live,
    all: &[One],
    beside: &[(rotate::Kind, Secret)],
    writes: bool,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for one in all {
        let name = &one.managed.name;
        match &one.decision.action {
            Action::Keep(_) | Action::Nothing => {}
            Action::Finish(number) => {
                steps.push(format!("make generation {number} of {name} current"));
            }
            Action::Mint => steps.push(format!("mint {name}")),
            Action::Adopt(_) => steps.push(format!("adopt {name} from .env")),
            Action::Take(_) => steps.push(format!("take {name} from its source")),
        }
        if let Some(secret) = &one.value
            && !live.holds(host, name, secret)?
        {
            steps.push(format!("write live/{name}"));
        }
    }
    for (kind, secret) in beside {
        let previous = kind.previous();
        if !live.holds(host, &previous, secret)? {
            steps.push(format!("write live/{previous}"));
        }
    }
    if writes {
        steps.push("write .env".to_owned());
    }
    Ok(steps.into_iter().map(Step::planned).collect())
}

fn refuse_damaged(generations: &Generations, damaged: &[(String, String)]) -> Report {
    let each: Vec<String> = damaged
        .iter()
        .map(|(name, why)| format!("{}: {why}", generations.of(name).display()))
        .collect();
    let message = format!(
        "the durable copy is damaged and .env has no value that works: {}; nothing was minted or written",
        each.join("; ")
    );
    let refusal = Refusal::new("durable-copy-damaged", message).hint(
        "put the right value into .env and run again, or remove that directory to have a new one made",
    );
    let names: Vec<&String> = damaged.iter().map(|(name, _)| name).collect();
    Report::refused(Exit::Failed, refusal).detail("damaged", json!(names))
}

fn report(
    steps: Vec<Step>,
    options: &Options<'_>,
    all: &[One],
    missing: &[(String, String)],
) -> Report {
    let failures = failures(options.memory, all, missing);
    let outcome = if steps.is_empty() || options.dry_run {
        Outcome::Unchanged
    } else {
        Outcome::Changed
    };
    let mut lines: Vec<String> = Vec::new();
    let listed: Vec<Value> = all.iter().map(|one| listed(one, &failures)).collect();
    for one in all {
        if let Some(note) = &one.decision.note {
            tracing::warn!("{}: {note}", one.managed.name);
            lines.push(format!("{}: {note}", one.managed.name));
        }
    }
    let verb = if options.dry_run { "would " } else { "" };
    let steps_text = steps.iter().map(|step| format!("{verb}{}", step.name));
    let mut text: Vec<String> = steps_text.collect();
    text.extend(lines);
    if text.is_empty() {
        text.push(format!("{} secrets are in place", all.len()));
    }
    let mut report = Report::ok(outcome, text.join("\n")).detail("secrets", listed);
    report.steps = steps;
    report.memory = Some(json!({ "failures": failures }));
    if !missing.is_empty() {
        let each: Vec<String> = missing
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        let message = format!("{}; the other secrets are in place", each.join("; "));
        let names: Vec<&String> = missing.iter().map(|(name, _)| name).collect();
        report.details.insert("missing".to_owned(), json!(names));
        report.exit = Exit::Failed;
        report.refusal = Some(Refusal::new("required-missing", message));
    }
    report
}

/// How often in a row each source has failed.
fn failures(
    memory: Option<&Value>,
    all: &[One],
    missing: &[(String, String)],
) -> BTreeMap<String, u64> {
    let before = |name: &str| {
        let count = memory.and_then(|memory| memory.get("failures")?.get(name)?.as_u64());
        count.unwrap_or_default()
    };
    let failed = all.iter().filter(|one| one.decision.failed);
    failed
        .map(|one| one.managed.name.as_str())
        .chain(missing.iter().map(|(name, _)| name.as_str()))
        .map(|name| (name.to_owned(), before(name) + 1))
        .collect()
}

fn listed(one: &One, failures: &BTreeMap<String, u64>) -> Value {
    let (action, generation) = match &one.decision.action {
        Action::Keep(number) => ("kept", Some(*number)),
        Action::Finish(number) => ("finished", Some(*number)),
        Action::Mint => ("minted", Some(one.kept.newest)),
        Action::Adopt(_) => ("adopted", Some(one.kept.newest)),
        Action::Take(_) => ("fetched", Some(one.kept.newest)),
        Action::Nothing => ("absent", None),
    };
    let mut fields = Map::new();
    fields.insert("name".into(), one.managed.name.clone().into());
    fields.insert("source".into(), one.managed.origin().into());
    fields.insert("action".into(), action.into());
    fields.insert("generation".into(), generation.into());
    let chars = one
        .value
        .as_ref()
        .map(|value| value.expose().chars().count());
    fields.insert("chars".into(), chars.into());
    fields.insert("note".into(), one.decision.note.clone().into());
    let failed = failures.get(&one.managed.name).copied();
    fields.insert("failures".into(), failed.unwrap_or_default().into());
    Value::Object(fields)
}
