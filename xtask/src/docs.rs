//! `cargo xtask docs`: documents that the configuration's own table, the Terraform modules and the server's routes generate.
//!
//! Always true: the first are a function of `agnes-config` alone, the second of the modules' files; the last are what the built server
//! prints, and a unit test of the server compares them.
//!
//! Does not: touch hand-written documents.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{checkout, command, deployment};

mod terraform;

/// Each generated document, by its path in the checkout.
fn generated(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let mut all = vec![
        (
            "docs/configuration.md",
            agnes_config::docs::configuration_markdown(),
        ),
        (".env.example", agnes_config::docs::env_example()),
    ];
    for (module, path) in terraform::MODULES {
        all.push((path, terraform::readme(root, module)?));
    }
    Ok(all)
}

/// Writes the documents, or with `check` says which are stale.
///
/// # Errors
/// When one cannot be read or written.
pub fn command(check: bool) -> Result<ExitCode> {
    let root = checkout::root()?;
    let stale = stale(&root)?;
    for (path, text) in generated(&root)? {
        if !stale.contains(&path) {
            println!("{path}: up to date");
        } else if check {
            println!("{path}: not as generated; run cargo xtask docs");
        } else {
            fs::write(root.join(path), text).with_context(|| format!("write {path}"))?;
            println!("{path}: written");
        }
    }
    if !check {
        from_the_server(&root)?;
    }
    Ok(if check && !stale.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What the server's own tests compare: written by the server itself.
fn from_the_server(root: &Path) -> Result<()> {
    deployment::build(root)?;
    let program = checkout::programs()?.join("agnesd");
    for (path, document) in [
        ("docs/openapi.json", "openapi"),
        ("docs/access.md", "access"),
    ] {
        let text = command::capture(Command::new(&program).args(["print", document]))?;
        if fs::read_to_string(root.join(path)).is_ok_and(|current| current == text) {
            println!("{path}: up to date");
        } else {
            fs::write(root.join(path), text).with_context(|| format!("write {path}"))?;
            println!("{path}: written");
        }
    }
    Ok(())
}

/// The documents in the checkout at `root` that are not as generated.
///
/// # Errors
/// When one is there and cannot be read.
pub fn stale(root: &Path) -> Result<Vec<&'static str>> {
    let mut stale = Vec::new();
    for (path, text) in generated(root)? {
        match fs::read_to_string(root.join(path)) {
            Ok(current) if current == text => {}
            Ok(_) => stale.push(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => stale.push(path),
            Err(error) => return Err(error).with_context(|| format!("read {path}")),
        }
    }
    Ok(stale)
}
