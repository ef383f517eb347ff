//! `units status`: each unit, as it is and as it should be.
//!
//! Always true: changes nothing; a host without systemd is told from one whose units are wrong.
//!
//! Does not: judge what the units' commands did (their records do).

use agnes_config::{Runtime, Settings};
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::catalogue::{ALL, Unit};
use super::install::{masked, observe};
use super::plan::{Desired, Observed, Purpose, desired};
use super::{Found, PROGRAM, Root, SERVER_PROGRAM, UNITS};
use crate::host::Host;
use crate::outcome::{Exit, Outcome, Report};
use crate::systemd::{self, Properties, Unseen};

/// Whoever may write a unit, or what it runs, is root.
const OPEN: &str = "others than root may write it, and root runs what it says";

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `units.no-program`, `.missing`, `.differs`, `.writable`, `.odd`, `.left-over`, `.not-enabled`, `.not-active`, `.failed`.
    pub id: &'static str,
    /// The unit, or the path of the program.
    pub unit: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub next: String,
}

/// One unit.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    wanted: bool,
    /// `as-shipped`, `differs`, `writable` (by others), `missing`, `masked`, `odd` (neither file nor mask), `absent` (not wanted and not there), `left-over`.
    file: &'static str,
    enabled: bool,
    /// Of systemd, e.g. `active`, `inactive`, `failed`; `None`: systemd was not asked.
    active: Option<String>,
    /// Of a service's last run, e.g. `success`, `exit-code`, `timeout`.
    result: Option<String>,
}

/// Looks.
///
/// # Errors
/// When something cannot be looked at.
pub fn status(host: &Host, settings: &Settings, root: Root<'_>) -> Result<Report> {
    let (rows, findings) = survey(host, settings, root)?;
    let mut lines: Vec<String> = rows
        .iter()
        .filter(|row| row.wanted || row.file != "absent")
        .map(|row| {
            let active = row.active.as_deref().unwrap_or("not asked");
            format!("{:<28} {:<11} {active}", row.name, row.file)
        })
        .collect();
    for finding in &findings {
        lines.push(format!(
            "finding: {}: {}: {}",
            finding.id, finding.unit, finding.evidence
        ));
    }
    if let Some(finding) = findings.first() {
        lines.push(format!("next: {}", finding.next));
    }
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"))
        .detail("units", json!(rows))
        .detail("findings", json!(findings))
        .detail(
            "systemd",
            if root.is_live() {
                "running"
            } else {
                "not-running"
            },
        );
    if !findings.is_empty() {
        report.exit = Exit::Drift;
    }
    Ok(report)
}

/// What is wrong with the units of this host.
///
/// # Errors
/// As [`status`].
pub fn findings(host: &Host, settings: &Settings) -> Result<Vec<Finding>> {
    survey(host, settings, Root::new(None)).map(|(_, findings)| findings)
}

fn survey(host: &Host, settings: &Settings, root: Root<'_>) -> Result<(Vec<Row>, Vec<Finding>)> {
    let desired = desired(&root.inside(settings), Purpose::Install);
    let desired = desired.map_err(anyhow::Error::msg)?;
    let observed = observe(host, root, &desired)?;
    let masked = masked(&observed);
    let mut rows = Vec::new();
    let install = install_command(settings, root);
    let mut findings = programs(host, settings, root, &install)?;
    for (path, what) in observed.odd() {
        findings.push(Finding {
            id: "units.odd",
            unit: format!("/{path}"),
            evidence: what.to_owned(),
            next: format!("look at what it is, take it away, and: {install}"),
        });
    }
    for unit in ALL {
        let row = row(host, settings, root, unit, &desired, &observed)?;
        if !masked.contains(&unit.name) {
            findings.extend(judge(unit, &row, &install));
        }
        rows.push(row);
    }
    findings.extend(not_of_a_unit(&desired, &observed, &install));
    findings.extend(open_to_others(host, root)?);
    Ok((rows, findings))
}

/// The command that puts things right, for this host or this tree.
fn install_command(settings: &Settings, root: Root<'_>) -> String {
    let root = root.0.map(|root| format!(" --root {}", root.display()));
    format!(
        "agnes-ops -C {} units install{}",
        settings.dir.display(),
        root.unwrap_or_default()
    )
}

/// Files of ours that are no unit and no unit's: the declaration of the server's user.
fn not_of_a_unit(desired: &Desired, observed: &Observed, install: &str) -> Vec<Finding> {
    let others = desired
        .files
        .iter()
        .filter(|file| !file.path.starts_with(UNITS));
    let wrong = others.filter_map(|file| {
        let (id, evidence) = match (&file.text, observed.files.get(&file.path)) {
            (Some(text), Some(Found::File(bytes))) if text.as_bytes() == bytes => return None,
            (Some(_), Some(Found::Open(_))) => ("units.writable", OPEN),
            (Some(_), Some(Found::Absent) | None) => ("units.missing", "there is no such file"),
            (Some(_), _) => ("units.differs", "is not what this version ships"),
            (None, Some(Found::File(_) | Found::Open(_))) => {
                ("units.left-over", "is there and not wanted")
            }
            (None, _) => return None,
        };
        Some(Finding {
            id,
            unit: format!("/{}", file.path),
            evidence: evidence.to_owned(),
            next: install.to_owned(),
        })
    });
    wrong.collect()
}

/// Directories of units, and people's drop-ins for ours, that others may write.
fn open_to_others(host: &Host, root: Root<'_>) -> Result<Vec<Finding>> {
    let units = root.path(UNITS);
    let mut paths = vec![units.clone()];
    for unit in ALL {
        let directory = units.join(format!("{}.d", unit.name));
        // what is in the place of one of ours is looked at by itself
        let own = |name: &String| name == super::catalogue::DROP_IN;
        if directory.is_dir() {
            let names = host.list(&directory)?;
            paths.extend(
                names
                    .iter()
                    .filter(|name| !own(name))
                    .map(|name| directory.join(name)),
            );
            paths.push(directory);
        }
    }
    let mut found = Vec::new();
    for path in paths {
        let seen = host.owner_and_mode(&path)?;
        if seen.is_some_and(|(owner, mode)| host.is_open(owner, mode)) {
            found.push(Finding {
                id: "units.writable",
                unit: path.display().to_string(),
                evidence: OPEN.to_owned(),
                next: format!(
                    "look who did that, then: chown root:root {0}; chmod go-w {0}",
                    path.display()
                ),
            });
        }
    }
    Ok(found)
}

/// What the units run: there, a program, and root's alone.
fn programs(
    host: &Host,
    settings: &Settings,
    root: Root<'_>,
    install: &str,
) -> Result<Vec<Finding>> {
    let server = (settings.runtime == Runtime::Process).then_some(SERVER_PROGRAM);
    let mut found = Vec::new();
    for program in std::iter::once(PROGRAM).chain(server) {
        let path = root.path(program);
        let seen = match path.is_file() {
            true => host.owner_and_mode(&std::fs::canonicalize(&path)?)?,
            false => None,
        };
        let (id, evidence, next) = match seen {
            Some((_, mode)) if mode & 0o111 == 0 => (
                "units.no-program",
                "is no program (its mode): no unit of ours can run",
                format!("chmod 0755 {}", path.display()),
            ),
            Some((owner, mode)) if host.is_open(owner, mode) => (
                "units.writable",
                OPEN,
                format!(
                    "look who did that, put the program there anew, and chown root:root {0}; chmod 0755 {0}",
                    path.display()
                ),
            ),
            Some(_) => continue,
            None => (
                "units.no-program",
                "is not there, or no program, or a link to nothing: no unit of ours can run",
                format!("put the program there, and: {install}"),
            ),
        };
        found.push(Finding {
            id,
            unit: format!("/{program}"),
            evidence: evidence.to_owned(),
            next,
        });
    }
    Ok(found)
}

fn row(
    host: &Host,
    settings: &Settings,
    root: Root<'_>,
    unit: &Unit,
    desired: &Desired,
    observed: &Observed,
) -> Result<Row> {
    let wanted = unit.is_wanted(settings);
    let path = format!("{UNITS}/{}", unit.name);
    // the unit and our drop-in of it
    let of_unit = |file: &&super::plan::Wanted| {
        file.path == path || file.path.starts_with(&format!("{path}.d/"))
    };
    let all_right = desired.files.iter().filter(of_unit).all(|file| {
        match (&file.text, observed.files.get(&file.path)) {
            (Some(text), Some(Found::File(bytes))) => text.as_bytes() == bytes,
            (None, found) => matches!(found, None | Some(Found::Absent)),
            _ => false,
        }
    });
    let any_open = desired
        .files
        .iter()
        .filter(of_unit)
        .any(|file| matches!(observed.files.get(&file.path), Some(Found::Open(_))));
    let file = match (observed.files.get(&path), wanted) {
        (Some(Found::Masked), _) => "masked",
        (Some(Found::Odd(_)), _) => "odd",
        (Some(Found::File(_) | Found::Open(_)), true) if any_open => "writable",
        (Some(Found::File(_)), true) if all_right => "as-shipped",
        (Some(Found::File(_) | Found::Open(_)), false) => "left-over",
        (Some(Found::File(_)), true) => "differs",
        (_, true) => "missing",
        (_, false) => "absent",
    };
    let enabled = desired.links.iter().any(|link| {
        link.unit == unit.name
            && observed.links.get(&link.path) == Some(&format!("/{UNITS}/{}", unit.name))
    });
    let shown = shown(host, root, unit)?;
    let property = |name: &str| {
        let value = shown.as_ref()?.get(name)?;
        (!value.is_empty()).then(|| value.clone())
    };
    Ok(Row {
        name: unit.name,
        wanted,
        file,
        enabled,
        active: property("ActiveState"),
        result: property("Result"),
    })
}

fn shown(host: &Host, root: Root<'_>, unit: &Unit) -> Result<Option<Properties>> {
    // a template is no unit that runs
    if !root.is_live() || unit.name.contains('@') {
        return Ok(None);
    }
    match systemd::show(host, unit.name, &["ActiveState", "Result", "LoadState"]) {
        Ok(shown) => Ok(Some(shown)),
        Err(Unseen::NoSystemd(_)) => Ok(None),
        Err(Unseen::Failed(why)) => anyhow::bail!("{}: {why}", unit.name),
    }
}

fn judge(unit: &Unit, row: &Row, install: &str) -> Option<Finding> {
    let finding = |id, evidence: String, next: &str| {
        Some(Finding {
            id,
            unit: unit.name.to_owned(),
            evidence,
            next: next.to_owned(),
        })
    };
    match row.file {
        "missing" => return finding("units.missing", "there is no such file".into(), install),
        "differs" => {
            return finding(
                "units.differs",
                "is not what this version ships".into(),
                install,
            );
        }
        "writable" => {
            return finding("units.writable", OPEN.into(), install);
        }
        "left-over" => {
            return finding("units.left-over", "is there and not wanted".into(), install);
        }
        _ => {}
    }
    if !row.wanted {
        return None;
    }
    if unit.wanted_by().is_some() && !row.enabled {
        return finding(
            "units.not-enabled",
            "does not start at boot".into(),
            install,
        );
    }
    let active = row.active.as_deref()?;
    if active == "failed" {
        let result = row.result.as_deref().unwrap_or("unknown");
        let next = format!("journalctl -u {}", unit.name);
        return finding(
            "units.failed",
            format!("its last run failed: {result}"),
            &next,
        );
    }
    if unit.is_timer() && active != "active" {
        return finding("units.not-active", format!("is {active}"), install);
    }
    None
}
