//! `report`: what its parts say of themselves, put together.
//!
//! Always true: works with settings that are wrong, and on a host that has nothing yet; a part that fails is left out with its reason.
//!
//! Does not: write (the bundle does).

use std::path::Path;

use agnes_config::Loaded;

use super::{Environment, doctor, fetch_options};
use crate::cli;
use crate::config;
use crate::deployment::Deployment;
use crate::doctor::{self as checks, Depth};
use crate::fetch::Fetcher;
use crate::host::Host;
use crate::outcome::Report;
use crate::report::{self, Gathered, Wanted};
use crate::status::{self, Colour};

/// Gathers and writes it.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn run(
    args: &cli::Bundle,
    environment: &Environment,
    host: &Host,
    dir: &Path,
    loaded: &Loaded,
) -> anyhow::Result<Report> {
    let mut said = Gathered::default();
    let shown = config::show(loaded);
    said.add("config.txt", both(&shown));
    let diagnosis = match &loaded.settings {
        None => checks::refused(loaded, dir),
        Some(settings) => {
            let fetcher = Fetcher::new(fetch_options(settings, environment));
            let deployment = Deployment {
                host,
                settings,
                fetcher: &fetcher,
            };
            let screen = doctor::with_patient(environment, deployment, loaded, |patient| {
                let quick = checks::examine(patient, Depth::Quick, &[]);
                status::status(deployment, &quick, Colour::Off)
            });
            add(&mut said, "status", screen);
            doctor::with_patient(environment, deployment, loaded, |patient| {
                checks::doctor(patient, &[], None)
            })
        }
    };
    add(&mut said, "doctor", Ok(diagnosis));
    report::report(
        host,
        Wanted {
            output: args.output.as_deref(),
            loaded,
            dir,
            docker_host: environment.get("DOCKER_HOST"),
            said,
        },
    )
}

/// What a command says to people and to programs.
fn add(said: &mut Gathered, name: &str, report: anyhow::Result<Report>) {
    match report {
        Ok(report) => {
            said.add(format!("{name}.txt"), both(&report));
            said.add(format!("{name}.json"), report.to_json(name, 0).to_string());
        }
        Err(why) => said.left_out.push((name.to_owned(), format!("{why:#}"))),
    }
}

fn both(report: &Report) -> String {
    let refusal = report.refusal.as_ref();
    let refusal = refusal.map_or("", |refusal| refusal.message.as_str());
    format!("{}\n{refusal}\n", report.text)
}
