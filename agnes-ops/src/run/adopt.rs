//! `adopt`: the commands that it runs.
//!
//! Always true: each leaves its own record.
//!
//! Does not: know what is taken over.

use anyhow::Result;

use super::record::record;
use super::{Environment, last_record};
use crate::adopt::{self, Options};
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::units::Root;
use crate::{secrets, tls, units};

pub(super) fn run(
    environment: &Environment,
    deployment: Deployment<'_>,
    give_back: bool,
    dry_run: bool,
) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let recorded = |name: &str, report: Result<Report>| {
        let report = report?;
        if !dry_run {
            record(host, settings, name, &report, 0)?;
        }
        Ok(report)
    };
    let memory = |slug: &str| last_record(host, settings, slug)?.get("memory").cloned();
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let secrets = || {
        let memory = memory("secrets-ensure");
        let options = secrets::EnsureOptions {
            dry_run,
            lookup: &lookup,
            memory: memory.as_ref(),
        };
        recorded("secrets ensure", secrets::ensure(deployment, &options))
    };
    let certificates = || {
        let options = tls::RotateOptions {
            dry_run,
            ..tls::RotateOptions::default()
        };
        let rotated = tls::rotate(deployment, options, memory("tls-rotate").as_ref());
        recorded("tls rotate", rotated)
    };
    let of_units = |remove: bool| {
        let memory = memory("units-install");
        let options = units::Options {
            dry_run,
            root: Root::new(None),
            program: environment.program.as_deref(),
            memory: memory.as_ref(),
        };
        match remove {
            true => recorded("units remove", units::remove(host, settings, &options)),
            false => recorded("units install", units::install(host, settings, &options)),
        }
    };
    let options = Options {
        dry_run,
        lookup: &lookup,
        secrets: &secrets,
        certificates: &certificates,
        install_units: &|| of_units(false),
        remove_units: &|| of_units(true),
    };
    match give_back {
        true => adopt::give_back(deployment, &options),
        false => adopt::adopt(deployment, &options),
    }
}
