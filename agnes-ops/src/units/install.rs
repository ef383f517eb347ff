//! `units install` and `units remove`: look, plan, do, and see what systemd makes of it.
//!
//! Always true: a unit that is not wanted is stopped before its file goes; a timer counts when systemd says that it is active.
//!
//! Does not: start the server or the boot: those have a command of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::{FileOwner, Runtime, Settings};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::catalogue::{ALL, USER, Unit};
use super::plan::{Action, Desired, Observed, Purpose, desired, plan};
use super::{Found, PROGRAM, Root, SERVER_PROGRAM, SYSUSERS, UNITS, look};
use crate::host::{Entry, Host};
use crate::outcome::{Exit, Outcome, Refusal, Report, Step, Steps};
use crate::sha256::sha256;
use crate::{disk, systemd};

/// The program of the version that runs, below the deployment's directory; it follows every upgrade.
const CURRENT: &str = "current/agnes-ops";
/// Where a startup script puts the one that it fetches.
const FETCHED: &str = "/usr/local/lib/agnes";
/// How long systemd may take to stop or start units; a service that is at work is not waited for.
const ACT: Duration = Duration::from_secs(90);
/// How long the system may take to make a user.
const USERS: Duration = Duration::from_secs(30);

/// How `install` and `remove` run.
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Where the units go.
    pub root: Root<'a>,
    /// This program, for a host on which nothing is at the units' path.
    pub program: Option<&'a Path>,
    /// What the last run remembered.
    pub memory: Option<&'a Value>,
}

/// Makes the host have the units that its settings ask for, and no other of ours.
///
/// # Errors
/// What the host refuses; what was done before it stays, and the next run goes on.
pub fn install(host: &Host, settings: &Settings, options: &Options<'_>) -> Result<Report> {
    converge(host, settings, options, Purpose::Install)
}

/// Makes the host have none of our units. What a person changed is kept beside, people's drop-ins stay, and a run that is at work ends by itself.
///
/// # Errors
/// As [`install`].
pub fn remove(host: &Host, settings: &Settings, options: &Options<'_>) -> Result<Report> {
    converge(host, settings, options, Purpose::Remove)
}

fn converge(
    host: &Host,
    settings: &Settings,
    options: &Options<'_>,
    purpose: Purpose,
) -> Result<Report> {
    let root = options.root;
    let desired = match desired(&root.inside(settings), purpose) {
        Ok(desired) => desired,
        Err(why) => {
            let message = format!("{why}; nothing was touched");
            let refusal = Refusal::new("path-in-unit", message)
                .hint("choose another directory for the deployment, or write the units by hand");
            return Ok(Report::refused(Exit::Config, refusal));
        }
    };
    let observed = observe(host, root, &desired)?;
    let mut remembered = remembered(options.memory);
    let actions = plan(&desired, &observed, &remembered);
    if !options.dry_run {
        sweep(host, root, &desired)?;
    }
    let masked = masked(&observed);
    let mut work = Work {
        host,
        settings,
        options,
        steps: Steps::begin(host.instant()),
        planned: Vec::new(),
        failed: Vec::new(),
    };
    for (path, what) in observed.odd() {
        work.failed.push(format!("/{path}: {what}"));
    }
    let done = work.all(&actions, purpose, &masked);
    for action in done.iter().filter(|_| !options.dry_run) {
        match action {
            Action::Write { path, text } => {
                remembered.insert(path.clone(), sha256(text.as_bytes()));
            }
            Action::Remove { path } => {
                remembered.remove(path);
            }
            Action::Keep { .. } | Action::Link { .. } => {}
        }
    }
    Ok(work.report(&actions, &masked, &remembered))
}

/// Removes what killed runs left half made.
fn sweep(host: &Host, root: Root<'_>, desired: &Desired) -> Result<()> {
    let files = desired.files.iter().map(|file| &file.path);
    let links = desired.links.iter().map(|link| &link.path);
    // the programs' directory is looked at in any case: which links are made there is not known yet
    let paths = files.chain(links).map(String::as_str).chain([PROGRAM]);
    let directories: BTreeSet<PathBuf> = paths
        .filter_map(|path| root.path(path).parent().map(Path::to_owned))
        .collect();
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        host.sweep(directory)
            .with_context(|| format!("{}: sweep", directory.display()))?;
    }
    Ok(())
}

/// What is there of all that we may have an opinion on.
pub(super) fn observe(host: &Host, root: Root<'_>, desired: &Desired) -> Result<Observed> {
    let mut observed = Observed::default();
    for file in &desired.files {
        let found = look(host, &root.path(&file.path))?;
        observed.files.insert(file.path.clone(), found);
    }
    for link in &desired.links {
        let path = root.path(&link.path);
        let entry = match host.entry(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Entry::Other,
            entry => entry.with_context(|| format!("{}: look at", path.display()))?,
        };
        match entry {
            Entry::Absent => {}
            Entry::Link(target) => {
                let target = target.display().to_string();
                observed.links.insert(link.path.clone(), target);
            }
            _ => {
                let what = "is no link, which is what enables a unit".to_owned();
                observed.odd_links.insert(link.path.clone(), what);
            }
        }
    }
    Ok(observed)
}

/// Units that a person wants never to run.
pub(super) fn masked(observed: &Observed) -> Vec<&'static str> {
    ALL.iter()
        .map(|unit| unit.name)
        .filter(|name| observed.files.get(&format!("{UNITS}/{name}")) == Some(&Found::Masked))
        .collect()
}

/// The hash of each file as we last wrote it.
fn remembered(memory: Option<&Value>) -> BTreeMap<String, String> {
    let files = memory.and_then(|memory| memory.get("files"));
    files
        .and_then(|files| serde_json::from_value(files.clone()).ok())
        .unwrap_or_default()
}

struct Work<'a> {
    host: &'a Host,
    settings: &'a Settings,
    options: &'a Options<'a>,
    steps: Steps,
    planned: Vec<String>,
    /// What could not be done, and does not keep the rest from being done.
    failed: Vec<String>,
}

impl Work<'_> {
    /// One thing that is in the way must not keep the other units from looking after the host. Returns the actions that were done.
    fn all<'p>(
        &mut self,
        actions: &'p [Action],
        purpose: Purpose,
        masked: &[&str],
    ) -> Vec<&'p Action> {
        let wanted = |unit: &&Unit| {
            purpose == Purpose::Install
                && unit.is_wanted(self.settings)
                && !masked.contains(&unit.name)
        };
        let (wanted, unwanted): (Vec<&Unit>, Vec<&Unit>) =
            ALL.iter().partition(|unit| wanted(unit));
        let stopped = self.stop(&unwanted);
        self.note(stopped);
        if purpose == Purpose::Install {
            let programs = self.programs();
            self.note(programs);
        }
        let mut done = Vec::new();
        let mut not_kept = None;
        for action in actions {
            // what a person wrote and could not be kept is not written over
            if matches!(action, Action::Write { path, .. } | Action::Remove { path } if not_kept == Some(path))
            {
                continue;
            }
            let acted = self.action(action);
            match (self.note(acted), action) {
                (true, _) => done.push(action),
                (false, Action::Keep { path, .. }) => not_kept = Some(path),
                (false, _) => {}
            }
        }
        if purpose == Purpose::Install && self.settings.runtime == Runtime::Process {
            let made = self.server_user();
            self.note(made);
        }
        if self.options.root.is_live() {
            let reloaded = self.reload(actions, &wanted);
            self.note(reloaded);
            for unit in wanted.iter().filter(|unit| unit.is_timer()) {
                let started = self.start(unit);
                self.note(started);
            }
        }
        done
    }

    /// Whether it went well; what did not is told at the end.
    fn note(&mut self, result: Result<()>) -> bool {
        if let Err(why) = &result {
            self.failed.push(format!("{why:#}"));
        }
        result.is_ok()
    }

    /// One thing to do; under `--dry-run` it is only named.
    fn step(&mut self, name: String, act: impl FnOnce(&Host) -> Result<()>) -> Result<()> {
        if !self.options.dry_run {
            act(self.host).with_context(|| name.clone())?;
            self.steps.done(name.clone(), self.host.instant());
        }
        self.planned.push(name);
        Ok(())
    }

    /// Timers first, so that nothing starts what is about to go; a service that is at work ends by itself.
    fn stop(&mut self, units: &[&Unit]) -> Result<()> {
        if !self.options.root.is_live() {
            return Ok(());
        }
        for unit in units.iter().filter(|unit| unit.is_timer()) {
            if self.is_active(unit.name)? {
                let stop = |host: &Host| told(systemd::act(host, "stop", &[unit.name], ACT));
                self.step(format!("stop {}", unit.name), stop)?;
            }
        }
        Ok(())
    }

    fn is_active(&self, unit: &str) -> Result<bool> {
        let shown = systemd::show(self.host, unit, &["ActiveState"]);
        let shown = shown.map_err(|unseen| anyhow::anyhow!("{unit}: {unseen}"))?;
        Ok(shown
            .get("ActiveState")
            .is_some_and(|state| state == "active"))
    }

    /// The units name one path for each program; where nothing is, or a link of ours, it leads to the one of the version that runs, else to
    /// this one and the server beside it. What a person put there stays.
    fn programs(&mut self) -> Result<()> {
        let Some(own) = self.options.program else {
            return Ok(());
        };
        let current = self.settings.dir.join(CURRENT);
        let program = if current.is_file() { &current } else { own };
        self.program(PROGRAM, program)?;
        let server = own.with_file_name("agnesd");
        if self.settings.runtime == Runtime::Process && server.is_file() {
            self.program(SERVER_PROGRAM, &server)?;
        }
        Ok(())
    }

    fn program(&mut self, name: &str, program: &Path) -> Result<()> {
        let path = self.options.root.path(name);
        let dir = &self.settings.dir;
        let entry = self.host.entry(&path);
        match entry.with_context(|| format!("{}: look at", path.display()))? {
            Entry::Absent => {}
            // of a boot, or of an earlier install: an upgrade brings its own
            Entry::Directory | Entry::Other => {
                anyhow::bail!("{}: is no program: no unit of ours can run", path.display())
            }
            Entry::Link(target)
                if target != program
                    && (target.starts_with(dir)
                        || target.starts_with(FETCHED)
                        // whoever made it: there is nothing to run
                        || !path.exists()) => {}
            _ => return Ok(()),
        }
        let said = format!("link /{name} to {}", program.display());
        self.step(said, |host| {
            make_parent(host, &path)?;
            Ok(host.link(program, &path)?)
        })
    }

    fn action(&mut self, action: &Action) -> Result<()> {
        let root = self.options.root;
        self.step(action.said(), |host| match action {
            Action::Keep { path, beside } => {
                let (path, beside) = (root.path(path), root.path(beside));
                let bytes = host.read(&path)?.unwrap_or_default();
                Ok(host.install(&beside, &bytes, 0o644, None)?)
            }
            Action::Write { path, text } => {
                let path = root.path(path);
                make_parent(host, &path)?;
                Ok(host.install(&path, text.as_bytes(), 0o644, None)?)
            }
            Action::Remove { path } => Ok(host.remove_file(&root.path(path))?),
            Action::Link { path, unit } => {
                let path = root.path(path);
                make_parent(host, &path)?;
                Ok(host.link(&Path::new("/").join(UNITS).join(unit), &path)?)
            }
        })
    }

    /// The server's own user, and the two directories in which it makes its files.
    fn server_user(&mut self) -> Result<()> {
        if self.options.root.0.is_some() {
            // a tree has no users; its system makes them when it starts
            return Ok(());
        }
        if user(self.host)?.is_none() {
            let file = self.options.root.path(SYSUSERS).display().to_string();
            self.step(format!("make the user {USER}"), |host| {
                let ran = host.run(&["systemd-sysusers", &file], None, USERS);
                match ran {
                    Ok(ran) if ran.code == 0 => Ok(()),
                    Ok(ran) => anyhow::bail!("systemd-sysusers: {}", ran.last_line()),
                    Err(error) => anyhow::bail!("systemd-sysusers: {error}"),
                }
            })?;
        }
        if let disk::State::NotProven(_) = disk::look(self.host, self.settings) {
            // they belong on the data disk, and a boot makes them there
            return Ok(());
        }
        let owner = user(self.host)?;
        for dir in [&self.settings.data_dir, &self.settings.state_dir] {
            let there = self.host.owner_and_mode(dir)?;
            let is_own = there.is_some_and(|(there, _)| Some(there) == owner);
            if is_own {
                continue;
            }
            self.step(format!("make {} that of {USER}", dir.display()), |host| {
                make_parent(host, dir)?;
                host.make_dir_as(dir, 0o755, owner)?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn reload(&mut self, actions: &[Action], wanted: &[&Unit]) -> Result<()> {
        if actions.is_empty() && !self.is_stale(wanted)? {
            return Ok(());
        }
        let reload = |host: &Host| told(systemd::act(host, "daemon-reload", &[], ACT));
        self.step("tell systemd".to_owned(), reload)
    }

    /// Whether an earlier run was ended between its last file and that.
    fn is_stale(&self, wanted: &[&Unit]) -> Result<bool> {
        // a template is no unit that is loaded
        for unit in wanted.iter().filter(|unit| !unit.name.contains('@')) {
            let shown = systemd::show(self.host, unit.name, &["NeedDaemonReload", "LoadState"]);
            let shown = shown.map_err(|unseen| anyhow::anyhow!("{}: {unseen}", unit.name))?;
            let is = |name: &str, value: &str| shown.get(name).is_some_and(|found| found == value);
            if is("NeedDaemonReload", "yes") || is("LoadState", "not-found") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start(&mut self, unit: &Unit) -> Result<()> {
        if self.is_active(unit.name)? {
            return Ok(());
        }
        self.step(format!("start {}", unit.name), |host| {
            told(systemd::act(host, "start", &[unit.name], ACT))
        })?;
        if !self.options.dry_run && !self.is_active(unit.name)? {
            anyhow::bail!("{} was started and is not active", unit.name);
        }
        Ok(())
    }

    fn report(
        self,
        actions: &[Action],
        masked: &[&str],
        remembered: &BTreeMap<String, String>,
    ) -> Report {
        let dry_run = self.options.dry_run;
        let outcome = if self.planned.is_empty() || dry_run {
            Outcome::Unchanged
        } else {
            Outcome::Changed
        };
        let verb = if dry_run { "would " } else { "" };
        let mut lines: Vec<String> = self
            .planned
            .iter()
            .map(|what| format!("{verb}{what}"))
            .collect();
        let kept: Vec<String> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Keep { beside, .. } => Some(format!("/{beside}")),
                _ => None,
            })
            .collect();
        lines.extend(
            masked
                .iter()
                .map(|name| format!("{name} is masked, and stays so")),
        );
        if lines.is_empty() {
            lines.push("the units are as they should be".to_owned());
        }
        let live = self.options.root.is_live();
        if !live {
            lines.push("systemd does not run here: it starts them when it does".to_owned());
        }
        let mut report = Report::ok(outcome, lines.join("\n"))
            .detail("kept", kept)
            .detail("masked", json!(masked))
            .detail("systemd", if live { "running" } else { "not-running" });
        report.steps = if dry_run {
            self.planned.iter().map(Step::planned).collect()
        } else {
            self.steps.into_vec()
        };
        report.memory = Some(json!({ "files": remembered }));
        if !self.failed.is_empty() {
            let message = format!("{}; all else is done", self.failed.join("; "));
            report.exit = Exit::Failed;
            report.refusal = Some(
                Refusal::new("unit-in-the-way", message)
                    .hint("look at what is named, take it away, and run it again"),
            );
        }
        report
    }
}

fn told(result: Result<(), String>) -> Result<()> {
    result.map_err(anyhow::Error::msg)
}

fn make_parent(host: &Host, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        host.make_dir(parent)?;
    }
    Ok(())
}

/// The server's user and group, when the system knows it.
///
/// # Errors
/// When that cannot be asked.
pub fn user(host: &Host) -> Result<Option<FileOwner>> {
    let mut ids = [0_u32; 2];
    for (id, flag) in ids.iter_mut().zip(["-u", "-g"]) {
        let ran = host.run(&["id", flag, USER], None, USERS);
        let ran = ran.map_err(|error| anyhow::anyhow!("id: {error}"))?;
        match ran.stdout.trim().parse() {
            Ok(number) if ran.code == 0 => *id = number,
            _ => return Ok(None),
        }
    }
    let [uid, gid] = ids;
    Ok(Some(FileOwner { uid, gid }))
}
