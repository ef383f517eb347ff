//! `cargo xtask docs`: documents that the configuration's own table generates.
//!
//! Always true: what is generated is a function of `agnes-config` alone.
//!
//! Does not: touch hand-written documents.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::checkout;

/// Each generated document, by its path in the checkout.
fn generated() -> [(&'static str, String); 2] {
    [
        (
            "docs/configuration.md",
            agnes_config::docs::configuration_markdown(),
        ),
        (".env.example", agnes_config::docs::env_example()),
    ]
}

/// Writes the documents, or with `check` says which are stale.
///
/// # Errors
/// When one cannot be read or written.
pub fn command(check: bool) -> Result<ExitCode> {
    let root = checkout::root()?;
    let stale = stale(&root)?;
    for (path, text) in generated() {
        if !stale.contains(&path) {
            println!("{path}: up to date");
        } else if check {
            println!("{path}: not as generated; run cargo xtask docs");
        } else {
            fs::write(root.join(path), text).with_context(|| format!("write {path}"))?;
            println!("{path}: written");
        }
    }
    Ok(if check && !stale.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The documents in the checkout at `root` that are not as generated.
///
/// # Errors
/// When one is there and cannot be read.
pub fn stale(root: &Path) -> Result<Vec<&'static str>> {
    let mut stale = Vec::new();
    for (path, text) in generated() {
        match fs::read_to_string(root.join(path)) {
            Ok(current) if current == text => {}
            Ok(_) => stale.push(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => stale.push(path),
            Err(error) => return Err(error).with_context(|| format!("read {path}")),
        }
    }
    Ok(stale)
}
