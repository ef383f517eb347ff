//! `snapshot prune`: what retention lets go, goes.
//!
//! Always true: nothing goes before the newest proven one was read whole; a snapshot that goes loses its name first, so that half of one is never taken for a snapshot; directories that are
//! not named as ours are left alone.
//!
//! Does not: decide (`retention` does).

use anyhow::Result;
use serde_json::json;

use super::create::sweep;
use super::list::listed;
use super::manifest::{MANIFEST, Manifest, made_at};
use super::proven::{Ledger, Standing};
use super::retention::{Aged, Rule, surplus};
use super::{REMOVING, directory};
use crate::deployment::Deployment;
use crate::outcome::{Outcome, Report, Step, Steps};

/// `snapshot prune`.
///
/// # Errors
/// When the host refuses something; what is left stays a snapshot or is removed by the next run.
pub fn prune(deployment: Deployment<'_>, dry_run: bool) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let rule = Rule {
        keep_last: settings.snapshot.keep_last,
        keep_days: settings.snapshot.keep_days,
    };
    if !dry_run {
        sweep(deployment)?;
    }
    let (all, gone) = loop {
        let all = aged(deployment)?;
        let gone = surplus(&all, rule, host.now());
        if dry_run || gone.is_empty() || newest_is_whole(deployment, &all)? {
            break (all, gone);
        }
        // that one is known as damaged now: what it would have stood for is looked at again
    };
    if dry_run {
        let text = match gone.is_empty() {
            true => "nothing to remove".to_owned(),
            false => format!("would remove {}", gone.join(", ")),
        };
        let mut report = Report::ok(Outcome::Unchanged, text);
        report.steps = gone
            .iter()
            .map(|id| Step::planned(format!("remove {id}")))
            .collect();
        return Ok(report.detail("removed", json!([])));
    }
    let mut steps = Steps::begin(host.instant());
    for id in &gone {
        let path = directory(settings).join(id);
        let removing = directory(settings).join(format!("{id}{REMOVING}"));
        host.move_file(&path, &removing)?;
        host.remove_tree(&removing)?;
        steps.done(format!("remove {id}"), host.instant());
    }
    forget(deployment)?;
    let_replaced_go(deployment)?;
    let kept = all.len() - gone.len();
    let (outcome, text) = match gone.is_empty() {
        true => (
            Outcome::Unchanged,
            format!("{kept} kept, nothing to remove"),
        ),
        false => (
            Outcome::Changed,
            format!("{} removed, {kept} kept", gone.len()),
        ),
    };
    let mut report = Report::ok(outcome, text)
        .detail("removed", json!(gone))
        .detail("kept", kept);
    report.steps = steps.into_vec();
    Ok(report)
}

/// Those that are named as ours; their age is that of their names, for a manifest may say anything.
fn aged(deployment: Deployment<'_>) -> Result<Vec<Aged>> {
    let all = listed(deployment)?.into_iter();
    let named = all.filter_map(|one| {
        Some(Aged {
            at: made_at(&one.id)?,
            id: one.id,
            standing: one.standing,
        })
    });
    Ok(named.collect())
}

/// Whether the newest proven one, in whose place others go, has every byte that its manifest says; else it is noted as damaged.
fn newest_is_whole(deployment: Deployment<'_>, all: &[Aged]) -> Result<bool> {
    let Deployment { host, settings, .. } = deployment;
    let proven = all
        .iter()
        .filter(|one| matches!(one.standing, Standing::Proven(_)));
    let Some(newest) = proven.max_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id))) else {
        return Ok(true);
    };
    let path = directory(settings).join(&newest.id);
    if let Ok(manifest) = Manifest::read(host, &path)? {
        let mut whole = true;
        for (name, wanted) in &manifest.files {
            let sum = host.sha256(&path.join(name));
            whole = whole && sum.is_ok_and(|sum| sum == wanted.sha256);
        }
        if whole {
            return Ok(true);
        }
    }
    tracing::warn!(
        "{}: is not what it was; agnes-ops snapshot verify says more",
        newest.id
    );
    let sum = host.sha256(&path.join(MANIFEST))?;
    let mut ledger = Ledger::read(host, settings)?;
    ledger.note(&newest.id, &sum, None, "prune");
    ledger.write(host, settings)?;
    Ok(false)
}

/// What restores have put aside and could not keep as a snapshot.
fn let_replaced_go(deployment: Deployment<'_>) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let replaced = settings.state_dir.join("ops/replaced");
    let most = i64::from(settings.snapshot.keep_days.max(1)) * 86_400;
    let open = super::restore::open_id(deployment)?;
    for name in host.list(&replaced)? {
        let path = replaced.join(&name);
        let age = host.now().unix_timestamp() - host.modified_secs(&path)?;
        if age > most && open.as_ref() != Some(&name) {
            host.remove_tree(&path)?;
        }
    }
    Ok(())
}

/// What is known of snapshots that are no more.
fn forget(deployment: Deployment<'_>) -> Result<()> {
    let Deployment { host, settings, .. } = deployment;
    let there = super::names(deployment)?;
    let mut ledger = Ledger::read(host, settings)?;
    let before = ledger.snapshots.len();
    ledger.snapshots.retain(|id, _| there.contains(id));
    if ledger.snapshots.len() != before {
        ledger.write(host, settings)?;
    }
    Ok(())
}
