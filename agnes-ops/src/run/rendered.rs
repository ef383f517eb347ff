//! `render startup-script | env | units`: what a machine gets, printed.
//!
//! Always true: nothing is written but to stdout, and no deployment is needed where the variables say everything.
//!
//! Does not: know the template.

use std::path::Path;

use agnes_config::Settings;
use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use crate::boot::Given;
use crate::cli;
use crate::host::Host;
use crate::outcome::{Outcome, Report};
use crate::render::startup_script::{self, Variables};
use crate::units;

/// What needs no deployment; `None`: this one does.
pub(super) fn without_deployment(host: &Host, verb: &cli::Render) -> Option<Result<Report>> {
    match verb {
        cli::Render::StartupScript { vars } => Some(startup_script(host, vars)),
        cli::Render::Env { vars } => Some(env(host, vars)),
        cli::Render::Units { vars: Some(vars) } => {
            Some(given(host, vars).and_then(|given| units(&given.settings()?)))
        }
        cli::Render::Units { vars: None } | cli::Render::Compose { .. } => None,
    }
}

/// The units that these settings ask for.
///
/// # Errors
/// A path that cannot stand in a unit.
pub(super) fn units(settings: &Settings) -> Result<Report> {
    let files = units::rendered(settings).map_err(anyhow::Error::msg)?;
    let text: Vec<String> = files
        .iter()
        .map(|(path, text)| format!("# /{path}\n{text}"))
        .collect();
    let files: Map<String, Value> = files
        .into_iter()
        .map(|(path, text)| (format!("/{path}"), text.into()))
        .collect();
    Ok(printed(text.join("\n")).detail("files", files))
}

fn startup_script(host: &Host, vars: &Path) -> Result<Report> {
    let variables = variables(host, vars)?;
    let script = startup_script::render(&variables);
    let script = script.map_err(|why| anyhow::anyhow!("{}: {why}", vars.display()))?;
    given(host, vars)?;
    Ok(printed(script))
}

fn env(host: &Host, vars: &Path) -> Result<Report> {
    let text = given(host, vars)?.dotenv()?;
    Ok(printed(String::from_utf8(text)?))
}

fn printed(text: String) -> Report {
    let mut report = Report::ok(Outcome::Unchanged, "").detail("text", text.clone());
    report.body = Some(text.into_bytes().into());
    report
}

fn variables(host: &Host, vars: &Path) -> Result<Variables> {
    let named = || vars.display().to_string();
    let bytes = host.read(vars).with_context(named)?;
    let bytes = bytes.with_context(|| format!("{}: there is no such file", vars.display()))?;
    serde_json::from_slice(&bytes).with_context(named)
}

/// The configuration in them, as a boot would take it.
fn given(host: &Host, vars: &Path) -> Result<Given> {
    let config = variables(host, vars)?.config;
    let named = || format!("{}: config", vars.display());
    // in the form in which the script carries it
    Given::parse(startup_script::jsonencode(&config).as_bytes()).with_context(named)
}
