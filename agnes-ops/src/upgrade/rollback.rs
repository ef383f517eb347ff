//! `upgrade rollback`: the version before, by a person's word.
//!
//! Always true: it is the same swap with the same gate, on the same data, with an image that is on this host; what is left behind
//! goes into the ledger, so that no tick goes forward to it again.
//!
//! Does not: put older data back. A version that cannot read the data is refused by the rehearsal, and nothing was stopped.

use agnes_config::Runtime;
use anyhow::Result;

use super::apply::{Options, begin, finish_open, runtime_process};
use super::containers::kept_tag;
use super::steps::planned;
use super::transaction::Release;
use super::{SERVICE, Surroundings};
use super::{history, observe};
use crate::deployment::Deployment;
use crate::engine::Engine;
use crate::outcome::{Exit, Refusal, Report};

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
    if settings.runtime == Runtime::Process {
        return Ok(runtime_process());
    }
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
    let Some(to) = history::before(host, settings, &running.image_id)? else {
        let what = "no upgrade brought what runs, so nothing is known that ran before it; nothing was touched";
        return Ok(refused("nothing-before", what));
    };
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
    if options.dry_run {
        return Ok(planned(from.short(), &to));
    }
    begin(deployment, options, engine, (from, to), None, true)
}

fn refused(reason: &str, what: &str) -> Report {
    Report::refused(Exit::Failed, Refusal::new(reason, what))
}
