//! `adopt`: the commands that it runs.
//!
//! Always true: as its parent.
//!
//! Does not: know what is taken over.

use anyhow::Result;

use super::Environment;
use super::commands::{Commands, Mode};
use crate::adopt::{self, Options, Whose};
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::tls;

pub(super) fn run(
    environment: &Environment,
    deployment: Deployment<'_>,
    whose: Whose,
    mode: Mode,
) -> Result<Report> {
    let commands = Commands {
        environment,
        deployment,
        mode,
        root: None,
    };
    let secrets = || commands.recorded("secrets ensure", commands.ensure_secrets());
    let certificates = || {
        let rotated = commands.rotate_certificate(tls::RotateOptions::default());
        commands.recorded("tls rotate", rotated)
    };
    let install = || commands.recorded("units install", commands.install_units());
    let remove = || commands.recorded("units remove", commands.remove_units());
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let options = Options {
        dry_run: mode == Mode::Dry,
        lookup: &lookup,
        secrets: &secrets,
        certificates: &certificates,
        install_units: &install,
        remove_units: &remove,
    };
    match whose {
        Whose::Ours => adopt::adopt(deployment, &options),
        Whose::Theirs => adopt::give_back(deployment, &options),
    }
}
