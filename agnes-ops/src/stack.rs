//! `render compose`: the files of the stack are those of the settings, and `.env` names them.
//!
//! Always true: what a person changed is not written over; Compose has accepted the whole set before the first file of it
//! is replaced (U11); a run that finds everything as it should be writes nothing.
//!
//! Does not: start, stop or restart anything.

use std::path::Path;
use std::time::Duration;

use agnes_config::{FileOwner, Overlay, Runtime, Settings, Source, Value as Setting};
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::env_file::{EnvFile, Lookup};
use crate::host::{Entry, Host, RunError};
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};
use crate::render::{self, OVERRIDE, PIN, Stack};
use crate::sha256::sha256;

/// How long Compose may think about its files.
const VALIDATE: Duration = Duration::from_secs(60);
/// Where a set waits for Compose's verdict.
const STAGED: &str = ".staged";
/// What the server reads of the settings' files.
const CONFIG: &str = "config";
/// Of those copies.
const SERVER_MODE: u32 = 0o400;
/// Settings that Compose puts into its files: it reads `.env` alone.
const COMPOSE_READS: [&str; 4] = ["DOMAIN", "DATA_DIR", "STATE_DIR", "TRUSTED_PROXIES"];

/// How `render` runs.
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
    /// What the last run remembered: the digests of what it wrote.
    pub memory: Option<&'a Value>,
    /// Where each setting came from.
    pub values: &'a [Setting],
}

/// One effect.
enum Action {
    Write {
        name: String,
        bytes: Vec<u8>,
        mode: Mode,
    },
    Remove {
        name: String,
    },
}

impl Action {
    fn said(&self) -> String {
        match self {
            Self::Write { name, .. } => format!("write {name}"),
            Self::Remove { name } => format!("remove {name}"),
        }
    }
}

/// Writes what is missing or stale.
pub fn render(host: &Host, settings: &Settings, options: &Options<'_>) -> Report {
    let report = refuse_settings(settings, options.values)
        .map_or_else(|| converge(host, settings, options), Ok);
    let mut report = report.unwrap_or_else(|error| {
        let message = format!(
            "{error:#}; what was written before stays, and the next run goes on from there"
        );
        Report::refused(Exit::Failed, Refusal::new("host-error", message))
    });
    if report.memory.is_none() {
        // what did not get there does not make the files of an earlier run somebody else's
        report.memory = options.memory.cloned();
    }
    report
}

fn converge(host: &Host, settings: &Settings, options: &Options<'_>) -> Result<Report> {
    let own: Vec<&'static str> = [PIN, OVERRIDE]
        .into_iter()
        .filter(|name| is_there(host, &settings.dir.join(name)))
        .collect();
    let stack = render::compose(settings, &own);
    let plan = plan(host, settings, &stack, options.memory)?;
    if !plan.foreign.is_empty() {
        return Ok(refuse_foreign(&plan.foreign));
    }
    let env_file = EnvFile::read(host, &settings.dir, options.lookup)?;
    let compose_file = stack.compose_file();
    let pairs = [("COMPOSE_FILE", compose_file.as_str())];
    let names_them = !env_file.is(&pairs);
    let mut planned: Vec<String> = plan.actions.iter().map(Action::said).collect();
    if names_them {
        planned.push("set COMPOSE_FILE in .env".to_owned());
    }
    let mut validated = "unchanged";
    if !planned.is_empty() && !options.dry_run {
        match accepted(host, settings, &stack)? {
            Verdict::Accepted => validated = "accepted",
            Verdict::NobodyAsked => validated = "no docker compose on this host",
            Verdict::Refused(why) => {
                let message = format!("docker compose config: {why}; nothing was changed");
                let refusal = Refusal::new("compose-refuses", message)
                    .hint("what Compose names is in .env or in docker-compose.override.yml");
                return Ok(Report::refused(Exit::Failed, refusal));
            }
        }
    }
    let steps = if options.dry_run {
        planned.iter().map(Step::planned).collect()
    } else {
        apply(
            host,
            settings,
            &plan.actions,
            names_them.then_some((&env_file, &pairs)),
        )?
    };
    Ok(report(
        &stack,
        plan.wanted,
        &planned,
        steps,
        options,
        validated,
    ))
}

/// What the settings ask for and the files of Compose cannot do.
fn refuse_settings(settings: &Settings, values: &[Setting]) -> Option<Report> {
    if settings.runtime == Runtime::Process {
        let message = "AGNES_RUNTIME is process, which has no Compose stack; nothing was touched";
        return Some(Report::refused(
            Exit::Config,
            Refusal::new("runtime-process", message),
        ));
    }
    let elsewhere: Vec<String> = values
        .iter()
        .filter(|value| COMPOSE_READS.contains(&value.key) && !in_env(&value.source))
        .map(|value| format!("{} ({})", value.key, value.source))
        .collect();
    if !elsewhere.is_empty() {
        let message = format!(
            "Compose reads .env and nothing else, and these are set elsewhere: {}; nothing was touched",
            elsewhere.join(", ")
        );
        let refusal = Refusal::new("not-in-env", message).hint("move them to .env");
        return Some(Report::refused(Exit::Config, refusal));
    }
    let on_host = settings.stack.overlays.contains(&Overlay::HostMount);
    if on_host && settings.state_dir != settings.data_dir.join("state") {
        let message = format!(
            "with host-mount the server has its state in DATA_DIR, at {}, and STATE_DIR is {}; nothing was touched",
            settings.data_dir.join("state").display(),
            settings.state_dir.display()
        );
        let refusal = Refusal::new("state-dir-elsewhere", message)
            .hint("leave STATE_DIR out of .env, or mount it in docker-compose.override.yml without host-mount");
        return Some(Report::refused(Exit::Config, refusal));
    }
    None
}

/// Does Compose see it? The environment of this process may be that of Compose too.
fn in_env(source: &Source) -> bool {
    match source {
        Source::File { name, .. } => name == ".env",
        Source::Environment | Source::Flag | Source::Default => true,
    }
}

/// What was looked at, and what follows.
#[derive(Default)]
struct Plan {
    actions: Vec<Action>,
    /// Files that are neither ours nor as they should be.
    foreign: Vec<String>,
    /// The digest of every file as it shall be.
    wanted: Map<String, Value>,
}

impl Plan {
    /// One file: what it is now, and what it shall be.
    fn file(&mut self, seen: &Seen<'_>, name: &str, wanted: Option<&[u8]>, mode: Mode) {
        if let Some(wanted) = wanted {
            self.wanted.insert(name.to_owned(), sha256(wanted).into());
        }
        let same = seen.bytes.as_deref() == wanted;
        if same && (wanted.is_none() || mode.fits(seen.owner_and_mode)) {
            return;
        }
        if let Some(found) = &seen.bytes
            && !same
            && !remembered(seen.memory, name, found)
        {
            self.foreign.push(name.to_owned());
        }
        let name = name.to_owned();
        self.actions.push(match wanted {
            Some(bytes) => Action::Write {
                name,
                bytes: bytes.to_vec(),
                mode,
            },
            None => Action::Remove { name },
        });
    }
}

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Everybody; a mode that a person gave it stays.
    Everybody,
    /// The server alone: `[[tls.reload]]` may hold a token.
    Server(Option<FileOwner>),
}

impl Mode {
    fn fits(self, found: Option<(FileOwner, u32)>) -> bool {
        match (self, found) {
            (Self::Server(wanted), Some((owner, mode))) => {
                mode == SERVER_MODE && wanted.is_none_or(|wanted| wanted == owner)
            }
            _ => true,
        }
    }
}

/// A file as it is now.
struct Seen<'a> {
    bytes: Option<Vec<u8>>,
    owner_and_mode: Option<(FileOwner, u32)>,
    memory: Option<&'a Value>,
}

impl<'a> Seen<'a> {
    fn look(host: &Host, path: &Path, memory: Option<&'a Value>) -> Result<Self> {
        let failed = || format!("{}: look at", path.display());
        Ok(Self {
            bytes: read(host, path)?,
            owner_and_mode: host.owner_and_mode(path).with_context(failed)?,
            memory,
        })
    }
}

fn plan(host: &Host, settings: &Settings, stack: &Stack, memory: Option<&Value>) -> Result<Plan> {
    let mut plan = Plan::default();
    let look = |name: &str| Seen::look(host, &settings.dir.join(name), memory);
    for file in &stack.files {
        let wanted = Some(file.text.as_bytes());
        plan.file(&look(file.name)?, file.name, wanted, Mode::Everybody);
    }
    for name in &stack.absent {
        plan.file(&look(name)?, name, None, Mode::Everybody);
    }
    for (name, wanted) in copied(host, &settings.dir)? {
        let name = format!("{CONFIG}/{name}");
        let mode = Mode::Server(settings.server_owner);
        plan.file(&look(&name)?, &name, wanted.as_deref(), mode);
    }
    Ok(plan)
}

/// `agnes.toml` and its drop-ins, with their bytes; `None`: a copy of what is no longer there.
fn copied(host: &Host, dir: &Path) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut names = Vec::new();
    for base in [dir.to_owned(), dir.join(CONFIG)] {
        if is_there(host, &base.join("agnes.toml")) {
            names.push("agnes.toml".to_owned());
        }
        let drop_ins = host
            .list(&base.join("agnes.toml.d"))
            .with_context(|| format!("{}: list agnes.toml.d", base.display()))?;
        let drop_ins = drop_ins.into_iter().filter(|name| name.ends_with(".toml"));
        names.extend(drop_ins.map(|name| format!("agnes.toml.d/{name}")));
    }
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let bytes = read(host, &dir.join(&name))?;
            Ok((name, bytes))
        })
        .collect()
}

fn refuse_foreign(foreign: &[String]) -> Report {
    let message = format!(
        "{} was not written by this command, or was changed since; nothing was touched",
        foreign.join(", ")
    );
    let refusal = Refusal::new("changed-by-hand", message).hint(
        "keep your changes in docker-compose.override.yml, move the file away, and run again",
    );
    Report::refused(Exit::Failed, refusal).detail("files", json!(foreign))
}

/// What Compose says of a set.
enum Verdict {
    Accepted,
    Refused(String),
    NobodyAsked,
}

/// Shows the whole set to Compose, with the real `.env`, before any of it counts.
fn accepted(host: &Host, settings: &Settings, stack: &Stack) -> Result<Verdict> {
    let staged = settings.dir.join(STAGED);
    host.remove_flat_dir(&staged)?;
    host.make_dir_as(&staged, 0o700, None)?;
    for file in stack
        .files
        .iter()
        .filter(|file| stack.compose.contains(&file.name))
    {
        host.install(&staged.join(file.name), file.text.as_bytes(), 0o600, None)?;
    }
    let dir = settings.dir.display().to_string();
    let mut argv = vec![
        "docker".to_owned(),
        "compose".to_owned(),
        "--project-directory".to_owned(),
        dir,
    ];
    if is_there(host, &settings.dir.join(".env")) {
        let env_file = settings.dir.join(".env").display().to_string();
        argv.extend(["--env-file".to_owned(), env_file]);
    }
    for name in &stack.compose {
        let shipped = stack.files.iter().any(|file| file.name == *name);
        let at = if shipped { &staged } else { &settings.dir };
        argv.extend(["--file".to_owned(), at.join(name).display().to_string()]);
    }
    argv.extend(["config".to_owned(), "--quiet".to_owned()]);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let verdict = match host.run(&argv, Some(&settings.dir), VALIDATE) {
        Ok(ran) if ran.code == 0 => Verdict::Accepted,
        Ok(ran)
            if ran.stderr.contains("is not a docker command")
                || ran.stderr.contains("unknown flag: --project-directory") =>
        {
            Verdict::NobodyAsked
        }
        Ok(ran) => Verdict::Refused(ran.last_line().to_owned()),
        Err(RunError::NoProgram) => Verdict::NobodyAsked,
        Err(error) => Verdict::Refused(error.to_string()),
    };
    host.remove_flat_dir(&staged)?;
    Ok(verdict)
}

/// The effects; `.env` last, for it makes the set count.
fn apply(
    host: &Host,
    settings: &Settings,
    actions: &[Action],
    names_them: Option<(&EnvFile, &[(&str, &str)])>,
) -> Result<Vec<Step>> {
    let mut steps = Steps::begin(host.instant());
    for action in actions {
        match action {
            Action::Write { name, bytes, mode } => {
                let (mode, owner) = match mode {
                    Mode::Everybody => (0o644, None),
                    Mode::Server(owner) => (SERVER_MODE, *owner),
                };
                let path = settings.dir.join(name);
                if let Some(parent) = path.parent() {
                    host.make_dir(parent)?;
                }
                host.install(&path, bytes, mode, owner)?;
            }
            Action::Remove { name } => host.remove_file(&settings.dir.join(name))?,
        }
        steps.done(action.said(), host.instant());
    }
    if let Some((env_file, pairs)) = names_them {
        env_file.write(host, pairs)?;
        steps.done("set COMPOSE_FILE in .env", host.instant());
    }
    Ok(steps.into_vec())
}

fn report(
    stack: &Stack,
    wanted: Map<String, Value>,
    planned: &[String],
    steps: Vec<Step>,
    options: &Options<'_>,
    validated: &str,
) -> Report {
    let changed = !planned.is_empty() && !options.dry_run;
    let outcome = if changed {
        Outcome::Changed
    } else {
        Outcome::Unchanged
    };
    let verb = if options.dry_run { "would " } else { "" };
    let mut lines: Vec<String> = planned.iter().map(|what| format!("{verb}{what}")).collect();
    lines.push(format!("COMPOSE_FILE={}", stack.compose_file()));
    let mut report = Report::ok(outcome, lines.join("\n"))
        .detail("compose_file", stack.compose_file())
        .detail(
            "files",
            stack.files.iter().map(|file| file.name).collect::<Vec<_>>(),
        )
        .detail("compose_says", validated);
    report.steps = steps;
    // also of what an earlier set had, so that it is still known as ours when it is wanted again
    let mut known = options
        .memory
        .and_then(|memory| memory.get("files")?.as_object().cloned())
        .unwrap_or_default();
    known.extend(wanted);
    report.memory = Some(json!({ "files": known }));
    report
}

fn remembered(memory: Option<&Value>, name: &str, bytes: &[u8]) -> bool {
    let known = memory.and_then(|memory| memory.get("files")?.get(name)?.as_str());
    known == Some(sha256(bytes).as_str())
}

fn read(host: &Host, path: &Path) -> Result<Option<Vec<u8>>> {
    host.read(path)
        .with_context(|| format!("{}: read", path.display()))
}

fn is_there(host: &Host, path: &Path) -> bool {
    !matches!(host.entry(path), Ok(Entry::Absent))
}
