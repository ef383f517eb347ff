//! The steps that are one program or one check each.
//!
//! Always true: Cargo runs with `--locked`: a check never changes the lock file.
//!
//! Does not: print the outcome (the table does).

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Said;
use crate::{command, components, database_engine, docs, fuzz, layers};

/// The package that links OpenSSL, and the one whose own tests do.
const NEED_OPENSSL: [&str; 2] = ["agnes-e2e", "agnes-ops"];

pub(super) fn components() -> Result<Said> {
    let report = components::install()?;
    println!(
        "ready in {}: {}",
        components::directory().display(),
        report.ready.join(", ")
    );
    let (replaced, skipped): (Vec<_>, Vec<_>) = report
        .missing
        .iter()
        .partition(|missing| missing.instead.is_some());
    replaced.iter().for_each(|missing| missing.print());
    let skips = skipped
        .iter()
        .map(|missing| format!("{}: {}: {}", missing.name, missing.needed_for, missing.why));
    Ok(Said {
        skips: skips.collect(),
        counts: None,
    })
}

pub(super) fn fmt(root: &Path) -> Result<Said> {
    loud(cargo(root).args(["fmt", "--all", "--check"]))?;
    // a workspace of its own
    loud(cargo(&root.join("fuzz")).args(["fmt", "--all", "--check"]))
}

pub(super) fn clippy(root: &Path) -> Result<Said> {
    if components::is_ready("libssl-dev") {
        return loud(building(root, "clippy").args([
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]));
    }
    loud(building(root, "clippy").args([
        "--locked",
        "--workspace",
        "--exclude",
        "agnes-e2e",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Said::skip(
        "libssl-dev",
        "lints of all tests",
        "not installed",
    ))
}

pub(super) fn layers(root: &Path) -> Result<Said> {
    let findings = layers::check(root)?;
    findings.iter().for_each(|finding| println!("{finding}"));
    match findings.len() {
        0 => Ok(Said::default()),
        count => bail!(
            "{count} findings; change the import, or the table in docs/architecture.md with a reason"
        ),
    }
}

pub(super) fn deny(root: &Path) -> Result<Said> {
    let Some(program) = components::find("cargo-deny") else {
        return Ok(Said::skip(
            "cargo-deny",
            "bans, licences, sources",
            "not installed",
        ));
    };
    // All platforms' crates have to be there before it is asked to stay off the network.
    command::run(cargo(root).args(["fetch", "--locked"]))?;
    loud(
        Command::new(program)
            .args([
                "--offline",
                "--locked",
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(root),
    )
}

/// Long enough to see a promise that the last change broke; `cargo xtask soak fuzz` takes an hour for each.
pub(super) fn fuzz() -> Result<Said> {
    const SECS: u32 = 4;
    fuzz::all(SECS)?;
    Ok(Said::default())
}

pub(super) fn docs(root: &Path) -> Result<Said> {
    let stale = docs::stale(root)?;
    if stale.is_empty() {
        return Ok(Said::default());
    }
    bail!(
        "{} not as generated; run cargo xtask docs",
        stale.join(" and ")
    )
}

/// Programs and tests in one go: Cargo then resolves one set of features for both and builds each dependency once.
pub(super) fn build(root: &Path) -> Result<Said> {
    loud(&mut over_the_workspace(root, "build", "--all-targets"))
}

/// `cargo test` over everything that this machine can link.
pub(super) fn test_command(root: &Path) -> Command {
    over_the_workspace(root, "test", "--no-fail-fast")
}

fn over_the_workspace(root: &Path, verb: &str, option: &str) -> Command {
    let mut command = building(root, verb);
    command.args([option, "--locked", "--workspace"]);
    if !components::is_ready("libssl-dev") {
        for package in NEED_OPENSSL {
            command.args(["--exclude", package]);
        }
    }
    command
}

/// What the tests' part is short of on this machine.
pub(super) fn untested() -> Vec<String> {
    if components::is_ready("libssl-dev") {
        return Vec::new();
    }
    NEED_OPENSSL
        .iter()
        .map(|package| format!("libssl-dev: all tests of {package}: not installed"))
        .collect()
}

/// Cargo, to build what may link the database engine.
fn building(root: &Path, verb: &str) -> Command {
    let mut command = database_engine::cargo(verb);
    command.current_dir(root);
    command
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn loud(command: &mut Command) -> Result<Said> {
    command::run(command)?;
    Ok(Said::default())
}
