//! `doctor`: what it looks at, and the commands that it may mend with.
//!
//! Always true: without `--fix` nothing is changed, and no lock is taken but for the copy of a snapshot.
//!
//! Does not: know the checks.

use agnes_config::Loaded;
use anyhow::{Context as _, Result};

use super::commands::{Commands, Mode};
use super::{Environment, server_program, settings};
use crate::cli;
use crate::deployment::Deployment;
use crate::directories;
use crate::doctor::{self, Depth, Diagnosis, Hands, Patient, PatientOptions};
use crate::outcome::{Outcome, Report};
use crate::{tls, upgrade};

pub(super) fn run(
    args: &cli::Doctor,
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
) -> Report {
    let surroundings = surroundings(environment);
    let program = server_program(environment);
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let options = PatientOptions {
        loaded,
        deployment,
        surroundings: &surroundings,
        lookup: &lookup,
        program: &program,
    };
    let patient = Patient::new(options);
    if !args.fix {
        return doctor::doctor(&patient, &args.ids, None);
    }
    let again = || {
        let loaded = settings(&deployment.settings.dir, environment);
        let Some(settings) = &loaded.settings else {
            return doctor::of_wrong_settings(&loaded, &deployment.settings.dir);
        };
        let deployment = Deployment {
            settings,
            ..deployment
        };
        let patient = Patient::new(PatientOptions {
            loaded: &loaded,
            deployment,
            ..options
        });
        doctor::examine(&patient, Depth::Deep, &args.ids)
    };
    let commands = Commands {
        environment,
        deployment,
        mode: Mode::Real,
        root: None,
    };
    with_hands(commands, &patient, &again, |hands| {
        doctor::doctor(&patient, &args.ids, Some(hands))
    })
}

/// A quick look at everything.
pub(super) fn quick(
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
) -> Diagnosis {
    with_patient(environment, deployment, loaded, |patient| {
        doctor::examine(patient, Depth::Quick, &[])
    })
}

/// One that nobody has looked at.
pub(super) fn with_patient<T>(
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
    work: impl FnOnce(&Patient<'_>) -> T,
) -> T {
    let surroundings = surroundings(environment);
    let program = server_program(environment);
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    work(&Patient::new(PatientOptions {
        loaded,
        deployment,
        surroundings: &surroundings,
        lookup: &lookup,
        program: &program,
    }))
}

/// The commands that mend, as they run by themselves.
fn with_hands(
    commands: Commands<'_>,
    patient: &Patient<'_>,
    again: &dyn Fn() -> Diagnosis,
    run: impl FnOnce(&Hands<'_>) -> Report,
) -> Report {
    let deployment = commands.deployment;
    let secrets = || commands.recorded("secrets ensure", commands.ensure_secrets());
    let certificates = || {
        let rotated = commands.rotate_certificate(tls::RotateOptions {
            ensure: tls::is_wanted(deployment.settings),
            ..tls::RotateOptions::default()
        });
        commands.recorded("tls rotate", rotated)
    };
    let reload = || commands.recorded("tls reload", commands.reload_certificate());
    let units = || commands.recorded("units install", commands.install_units());
    let directories = || directories_right(deployment, patient);
    let key_mode = || key_mode_right(deployment);
    run(&Hands {
        secrets: &secrets,
        certificates: &certificates,
        reload: &reload,
        units: &units,
        directories: &directories,
        key_mode: &key_mode,
        again,
    })
}

/// What an upgrade needs besides the deployment.
pub(super) fn surroundings(environment: &Environment) -> upgrade::Surroundings<'_> {
    upgrade::Surroundings {
        docker_host: environment.get("DOCKER_HOST"),
        docker_home: upgrade::Home::of(environment.get("DOCKER_CONFIG"), environment.get("HOME")),
    }
}

fn directories_right(deployment: Deployment<'_>, patient: &Patient<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let list = doctor::directories_to_mend(patient, settings)?;
    let changed = directories::converge(host, settings, &list)?;
    Ok(changed_or_not(changed.join("; ")))
}

fn key_mode_right(deployment: Deployment<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    let key = settings.state_dir.join("certs/privkey.pem");
    let changed = host.set_mode(&key, &settings.state_dir.join("certs"), 0o600);
    let changed = changed.with_context(|| key.display().to_string())?;
    let said = format!("{} 0600", key.display());
    Ok(changed_or_not(if changed { said } else { String::new() }))
}

fn changed_or_not(said: String) -> Report {
    match said.is_empty() {
        true => Report::ok(Outcome::Unchanged, "nothing to do"),
        false => Report::ok(Outcome::Changed, said),
    }
}
