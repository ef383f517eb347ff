//! `snapshot verify`: is it what its manifest says, does the engine open it, and does the version that runs migrate it?
//!
//! Always true: the snapshot itself is only read; what opens it is a child on a copy in a directory of its own, removed whatever
//! came of it; every damage is a finding, not only the first.
//!
//! Does not: repair.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use super::compare::differences;
use super::manifest::{MANIFEST, Manifest, Unusable};
use super::proven::{Ledger, Standing};
use super::room::{Room, enough, sweep as sweep_rooms};
use super::{Surroundings, directory, directory_of, names};
use crate::database::{FILE, Figures, Migrated, Reader};
use crate::deployment::Deployment;
use crate::host::{Entry, Host};
use crate::outcome::{Exit, Outcome, Refusal, Report, one_line};

/// Which snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Newest,
    /// This one.
    One(String),
    /// All.
    All,
}

/// Something that is wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which snapshot.
    pub snapshot: String,
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What a look came to.
#[derive(Debug)]
pub struct Examined {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
    /// What the version that runs did to a copy.
    pub migrated: Option<Migrated>,
}

/// `snapshot verify`.
///
/// # Errors
/// When something cannot be looked at, which says nothing about the snapshot.
pub fn verify(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    which: &Which,
) -> Result<Report> {
    let all = names(deployment)?;
    let chosen = match which {
        Which::All => all,
        Which::Newest => all.into_iter().next_back().into_iter().collect(),
        Which::One(id) => vec![id.clone()],
    };
    if chosen.is_empty() {
        let place = directory(deployment.settings);
        let message = format!("{}: there is no snapshot", place.display());
        return Ok(Report::refused(
            Exit::Failed,
            Refusal::new("no-snapshot", message),
        ));
    }
    sweep_rooms(deployment)?;
    let mut findings = Vec::new();
    let mut lines = Vec::new();
    let mut looked_at = Vec::new();
    for id in &chosen {
        let examined = match examine(deployment, surroundings, id, "verify")? {
            Ok(examined) => examined,
            Err(refusal) => return Ok(Report::refused(Exit::Failed, refusal)),
        };
        lines.push(line(id, &examined));
        looked_at.push(json!({
            "id": id,
            "proven": examined.findings.is_empty(),
            "migrates": examined.migrated.map(|one| one.from != one.to),
        }));
        findings.extend(examined.findings);
    }
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"));
    if let Some(first) = findings.first() {
        let more = match findings.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let message = format!("{}: {}{more}", first.snapshot, first.message);
        let mut refusal = Refusal::new(first.reason, message);
        refusal.reasons = findings.iter().map(|one| one.reason.to_owned()).collect();
        refusal.reasons.dedup();
        report.exit = Exit::Failed;
        report.refusal = Some(refusal);
    }
    Ok(report
        .detail("snapshots", looked_at)
        .detail("findings", json!(findings)))
}

fn line(id: &str, examined: &Examined) -> String {
    if examined.findings.is_empty() {
        let rows = examined.manifest.as_ref().map_or(0, |manifest| {
            manifest.tables.values().map(|table| table.rows).sum()
        });
        let migrates = match examined.migrated {
            Some(one) if one.from != one.to => format!(", migrates {} → {}", one.from, one.to),
            _ => String::new(),
        };
        return format!("{id}: proven, {rows} rows{migrates}");
    }
    let findings = examined.findings.iter();
    let lines: Vec<String> = findings
        .map(|one| format!("{id}: {}", one.message))
        .collect();
    lines.join("\n")
}

/// Looks at one, and notes what came of it; `Err`: it cannot be looked at now.
///
/// # Errors
/// When the host refuses something.
pub fn examine(
    deployment: Deployment<'_>,
    surroundings: Surroundings<'_>,
    id: &str,
    by: &str,
) -> Result<Result<Examined, Refusal>> {
    let Deployment { host, settings, .. } = deployment;
    let path = directory_of(settings, id).filter(|path| path.is_dir());
    let Some(path) = path else {
        let place = directory(settings);
        let message = format!("{id}: there is no such snapshot in {}", place.display());
        return Ok(Err(Refusal::new("no-snapshot", message)));
    };
    let mut ledger = Ledger::read(host, settings)?;
    let mut found = Found::of(id);
    let manifest = found.manifest(host, &path)?;
    let mut migrated = None;
    let mut sum = String::new();
    if let Some(manifest) = &manifest {
        sum = host.sha256(&path.join(MANIFEST)).context("the manifest")?;
        if ledger
            .proven_manifest(id)
            .is_some_and(|proven| proven != sum)
        {
            let what = "its manifest is not the one that was proven before";
            found.add("manifest-differs", what.to_owned());
        }
        if manifest.id != id {
            let what = format!("its manifest is that of {}", manifest.id);
            found.add("id-differs", what);
        }
        if !manifest.is_of_the_time_of(id) {
            let what = "its manifest says another time than its name";
            found.add("time-differs", what.to_owned());
        }
        found.files(host, &path, manifest)?;
    }
    if is_regular(host, &path.join(FILE))? {
        match found.database(deployment, surroundings, &path, manifest.as_ref())? {
            Ok(done) => migrated = done,
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    let proven = found.findings.is_empty().then(|| host.now());
    let before = ledger.standing(id, Some(&sum));
    // a look every minute must not write every minute
    let same = matches!(before, Standing::Failed) && proven.is_none();
    if !sum.is_empty() && !same {
        ledger.note(id, &sum, proven, by);
        ledger.write(host, settings)?;
    }
    Ok(Ok(Examined {
        findings: found.findings,
        manifest,
        migrated,
    }))
}

/// Whether it is a file itself: what a link leads to is no part of the snapshot.
pub(super) fn is_regular(host: &Host, path: &Path) -> Result<bool> {
    Ok(matches!(host.entry(path)?, Entry::File { .. }))
}

struct Found<'a> {
    id: &'a str,
    findings: Vec<Finding>,
}

impl<'a> Found<'a> {
    fn of(id: &'a str) -> Self {
        let findings = Vec::new();
        Self { id, findings }
    }

    fn add(&mut self, reason: &'static str, message: String) {
        self.findings.push(Finding {
            snapshot: self.id.to_owned(),
            reason,
            // it may repeat what a manifest says
            message: one_line(&message),
        });
    }

    fn manifest(&mut self, host: &Host, path: &Path) -> Result<Option<Manifest>> {
        match Manifest::read(host, path)? {
            Ok(found) => return Ok(Some(found)),
            Err(Unusable::Missing) => {
                self.add("manifest-missing", format!("{MANIFEST} is missing"));
            }
            Err(Unusable::Unreadable(why)) => {
                self.add("manifest-unreadable", format!("{MANIFEST}: {why}"));
            }
        }
        Ok(None)
    }

    /// Every file that is named, and every one that is there.
    fn files(&mut self, host: &Host, path: &Path, manifest: &Manifest) -> Result<()> {
        if !manifest.files.contains_key(FILE) {
            self.add(
                "file-unlisted",
                format!("the manifest does not name {FILE}"),
            );
        }
        let there = tree(host, path)?;
        for (name, wanted) in &manifest.files {
            if !there.contains(name) {
                self.add("file-missing", format!("{name} is missing"));
                continue;
            }
            let at = path.join(name);
            if !is_regular(host, &at)? {
                self.add("file-unreadable", format!("{name}: not a regular file"));
                continue;
            }
            let size = host.size(&at).context("size")?.unwrap_or_default();
            if size != wanted.size {
                let what = format!("{name} has {size} bytes, the manifest says {}", wanted.size);
                self.add("file-size", what);
                continue;
            }
            match host.sha256(&at) {
                Ok(sum) if sum == wanted.sha256 => {}
                Ok(_) => {
                    let what = format!("{name} has other bytes than the manifest says");
                    self.add("file-sha256", what);
                }
                Err(why) => self.add("file-unreadable", format!("{name}: {why}")),
            }
        }
        for name in there {
            if name != MANIFEST && !manifest.files.contains_key(&name) {
                self.add("file-unlisted", format!("{name} is not in the manifest"));
            }
        }
        Ok(())
    }

    /// Opens a copy, compares it, migrates it, and opens it again.
    fn database(
        &mut self,
        deployment: Deployment<'_>,
        surroundings: Surroundings<'_>,
        path: &Path,
        manifest: Option<&Manifest>,
    ) -> Result<Result<Option<Migrated>, Refusal>> {
        let Deployment { host, settings, .. } = deployment;
        let from = path.join(FILE);
        let size = host.size(&from).context("size")?.unwrap_or_default();
        // the copy, and what a migration copies before it
        if let Err(why) = enough(host, &settings.state_dir, 2, size)? {
            return Ok(Err(Refusal::new("no-room", why)));
        }
        let program = super::program(deployment, surroundings)?;
        let reader = super::reader(deployment, &program)?;
        let room = Room::make(deployment, &format!("verify-{}", self.id), reader.owner)?;
        let looked = self.opened(host, &reader, &from, &room.path, manifest);
        room.remove()?;
        Ok(Ok(looked?))
    }

    fn opened(
        &mut self,
        host: &Host,
        reader: &Reader<'_>,
        from: &Path,
        room: &Path,
        manifest: Option<&Manifest>,
    ) -> Result<Option<Migrated>> {
        if let Err(why) = host.copy(from, &room.join(FILE), 0o600, reader.owner) {
            self.add("file-unreadable", format!("{FILE}: {why}"));
            return Ok(None);
        }
        let figures = match reader.check(room) {
            Ok(figures) => figures,
            Err(why) => {
                self.add("database-unreadable", format!("{FILE}: {why}"));
                return Ok(None);
            }
        };
        if let Some(manifest) = manifest {
            self.differ(manifest, &figures);
        }
        let migrated = match reader.migrate(room) {
            Ok(migrated) => migrated,
            Err(why) => {
                let what = format!("{FILE}: the version that runs does not migrate it: {why}");
                self.add("migration-failed", what);
                return Ok(None);
            }
        };
        if migrated.from != migrated.to
            && let Err(why) = reader.check(room)
        {
            let what = format!("{FILE}: is not sound after the migration: {why}");
            self.add("migration-failed", what);
        }
        Ok(Some(migrated))
    }

    fn differ(&mut self, manifest: &Manifest, figures: &Figures) {
        for (reason, message) in differences(manifest, figures) {
            self.add(reason, message);
        }
    }
}

/// The paths of all that is no directory, below `root`.
fn tree(host: &Host, root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let directory = root.join(&below);
        let names = host.list(&directory);
        for name in names.with_context(|| format!("{}: list", directory.display()))? {
            let path = below.join(&name);
            match host.entry(&root.join(&path)).context("look at")? {
                Entry::Directory => open.push(path),
                Entry::Absent => {}
                _ => {
                    found.insert(path.display().to_string());
                }
            }
        }
    }
    Ok(found)
}
