//! `upgrade rollback`: the version before, by a person's word.
//!
//! Always true: it is the same swap with the same gate, with an image that is on this host; what is left behind goes into the ledger,
//! so that no tick goes forward to it again. Older data goes back only when the newer version migrated and a person who was told
//! what would be lost has said so, and what it replaces is kept.
//!
//! Does not: choose a snapshot: it is the one that was taken before the upgrade.

use anyhow::Result;

use super::apply::{Options, begin, finish_open, new};
use super::containers::kept_tag;
use super::history::Arrival;
use super::steps::planned;
use super::transaction::{Release, Transaction};
use super::{SERVICE, Surroundings};
use super::{history, observe};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::outcome::{Exit, Refusal, Report};
use crate::snapshot::{self, Survey};

/// Goes back.
///
/// # Errors
/// When something cannot be looked at.
pub fn rollback(
    deployment: Deployment<'_>,
    surroundings: &Surroundings<'_>,
    options: &Options<'_>,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if let Some(report) = finish_open(deployment, surroundings, options)? {
        return Ok(report);
    }
    let engine = Engine::of(surroundings.docker_host)?;
    let containers = engine.containers(&settings.dir)?;
    let Some(app) = containers.iter().find(|one| one.service == SERVICE) else {
        return Ok(refused(
            "app-absent",
            "no container of service app is there",
        ));
    };
    let running = engine.inspect(&app.id)?;
    let Some(arrival) = history::arrival(host, settings, &running.image_id)? else {
        let what = "no upgrade brought what runs, so nothing is known that ran before it; nothing was touched";
        return Ok(refused("nothing-before", what));
    };
    let to = arrival.from.clone();
    let kept = kept_tag(&to.image_id);
    if engine.image_id(&kept).is_err() {
        let what = format!(
            "{}: is not on this host any more ({kept}); nothing was touched",
            to.short()
        );
        return Ok(refused("image-gone", &what));
    }
    let from = Release {
        digest: observe::running(&engine, &running, None)?
            .into_iter()
            .next(),
        image: running.image.clone(),
        image_id: running.image_id.clone(),
    };
    let survey = match of_data(deployment, options, &arrival)? {
        Ok(survey) => survey,
        Err(report) => return Ok(*report),
    };
    let mut report = if options.dry_run {
        planned(from.short(), &to)
    } else {
        let transaction = Transaction {
            back: true,
            data: arrival.snapshot.filter(|_| survey.is_some()),
            ..new(deployment, from, to)
        };
        begin(deployment, options, engine, transaction)?
    };
    if let Some(survey) = survey {
        report.text = format!("{}\n{}", survey.told, report.text);
        report = report.detail("lost", survey.lost);
    }
    Ok(report)
}

/// Whether older data has to go back, and may: what would be lost by it; `Err`: it may not.
fn of_data(
    deployment: Deployment<'_>,
    options: &Options<'_>,
    arrival: &Arrival,
) -> Result<Result<Option<Survey>, Box<Report>>> {
    let no = |reason, what: &str| Ok(Err(Box::new(refused(reason, what))));
    if !arrival.migrates {
        return match options.with_data {
            false => Ok(Ok(None)),
            true => no(
                "not-migrated",
                "the version that runs changed nothing of the data's schema: rollback without --with-data keeps all that was written; nothing was touched",
            ),
        };
    }
    let Some(id) = &arrival.snapshot else {
        let what = "the version that runs migrated the data, and no snapshot was taken before it; nothing was touched";
        return no("no-snapshot", what);
    };
    let survey = match snapshot::survey(deployment, options.snapshots, id)? {
        Ok(survey) => survey,
        Err(mut refusal) => {
            refusal.message = format!(
                "the version that runs migrated the data, and the snapshot before it is needed: {}; nothing was touched",
                refusal.message
            );
            let report = Report::refused(Exit::Failed, refusal);
            return Ok(Err(Box::new(report)));
        }
    };
    if options.with_data {
        return Ok(Ok(Some(survey)));
    }
    let what = format!(
        "the version that runs migrated the data, which {} cannot read: with --with-data that of {id} goes back too; nothing was touched",
        arrival.from.short()
    );
    let mut report = refused("needs-with-data", &what).detail("lost", survey.lost);
    report.text = survey.told;
    report = report.detail("snapshot", id.clone());
    Ok(Err(Box::new(report)))
}

fn refused(reason: &str, what: &str) -> Report {
    Report::refused(Exit::Failed, Refusal::new(reason, what))
}
