//! `snapshot prune`: what retention lets go, goes.
//!
//! Always true: a snapshot that goes loses its name first, so that half of one is never taken for a snapshot; directories that are
//! not named as ours are left alone.
//!
//! Does not: decide (`retention` does).

use anyhow::Result;
use serde_json::json;

use super::create::sweep;
use super::list::listed;
use super::manifest::made_at;
use super::proven::Ledger;
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
    let all: Vec<Aged> = listed(deployment)?
        .into_iter()
        .filter_map(|one| {
            let at = match &one.manifest {
                Some(manifest) => manifest.created_at,
                None => made_at(&one.id)?,
            };
            made_at(&one.id)?;
            Some(Aged {
                id: one.id,
                at,
                standing: one.standing,
            })
        })
        .collect();
    let gone = surplus(&all, rule, host.now());
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
