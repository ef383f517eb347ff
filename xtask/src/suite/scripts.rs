//! Shell scripts of the checkout, through shellcheck.
//!
//! Always true: a script is what ends in `.sh` or begins with a shell's `#!`, wherever it stands, and is no template.
//!
//! Does not: look into build output, the deployment of `cargo xtask up`, or Git's own files.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Said;
use crate::{command, components};

const ELSEWHERE: [&str; 4] = [".git", ".agnes", "target", "node_modules"];

pub(super) fn shellcheck(root: &Path) -> Result<Said> {
    let mut scripts = Vec::new();
    find(root, &mut scripts)?;
    scripts.sort();
    if scripts.is_empty() {
        println!("no shell scripts");
        return Ok(Said::default());
    }
    let Some(program) = components::find("shellcheck") else {
        return Ok(Said::skip("shellcheck", "shell scripts", "not installed"));
    };
    let names = scripts
        .iter()
        .map(|script| script.strip_prefix(root).unwrap_or(script));
    println!(
        "{}",
        names
            .clone()
            .map(|name| name.display().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    );
    command::run(Command::new(program).args(names).current_dir(root))?;
    Ok(Said::default())
}

fn find(dir: &Path, scripts: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        let kind = entry
            .file_type()
            .with_context(|| format!("look at {}", entry.path().display()))?;
        if kind.is_dir() && !ELSEWHERE.iter().any(|name| entry.file_name() == *name) {
            find(&entry.path(), scripts)?;
        } else if kind.is_file() && is_script(&entry.path()) {
            scripts.push(entry.path());
        }
    }
    Ok(())
}

fn is_script(path: &Path) -> bool {
    // what a template becomes is looked at where it is rendered
    if path.extension().is_some_and(|end| end == "tftpl") {
        return false;
    }
    if path.extension().is_some_and(|extension| extension == "sh") {
        return true;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    let first = start
        .split(|byte| *byte == b'\n')
        .next()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    // A shell's name is the last word, or follows a slash: `/bin/sh`, `/usr/bin/env bash`.
    read.is_ok()
        && first.starts_with("#!")
        && ["sh", "bash", "dash"]
            .iter()
            .any(|shell| first.split(['/', ' ']).any(|word| word == *shell))
}
