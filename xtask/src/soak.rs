//! `cargo xtask soak`: the test matrices whole, and the figures they print.
//!
//! Always true: a test that fails or is skipped fails the soak, and then nothing is written; figures come from lines
//! `FIGURE <name> <value> <unit and note>` of the tests themselves.
//!
//! Does not: install components (`cargo xtask components` does), or run what has no matrix.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{checkout, command, database_engine, figures};

/// Modules of the e2e tests with a matrix that an ordinary run samples.
const MODULES: [&str; 6] = ["load", "crash", "dotenv", "corpus", "storm", "rotation"];

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run these modules alone [load, crash, dotenv, corpus, storm, rotation]
    #[arg(value_name = "MODULE", value_parser = MODULES)]
    modules: Vec<String>,
}

/// Runs the matrices and writes docs/figures.md, a section a module.
///
/// # Errors
/// When a test fails, is skipped, or a module has none.
pub fn command(options: &Options) -> Result<ExitCode> {
    let root = checkout::root()?;
    build(&root)?;
    let all = MODULES.map(str::to_owned).to_vec();
    let modules = if options.modules.is_empty() {
        &all
    } else {
        &options.modules
    };
    let mut failed = Vec::new();
    for module in modules {
        match run(&root, module) {
            Ok(figures) if figures.is_empty() => println!("soak {module}: no figures"),
            Ok(figures) => write(&root, module, &figures)?,
            Err(error) => {
                println!("soak {module}: {error:#}");
                failed.push(module.as_str());
            }
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// `cargo test --test e2e` builds the tests, but not the programs that they run.
fn build(root: &Path) -> Result<()> {
    let mut build = database_engine::cargo("build");
    build.args(["--locked", "--workspace"]).current_dir(root);
    command::run(&mut build)
}

/// One figure that a test printed.
#[derive(Debug, PartialEq, Eq)]
struct Figure {
    name: String,
    value: String,
    note: String,
}

impl Figure {
    /// Reads `FIGURE <name> <value> <unit and note>`, also behind what the test runner printed on the same line.
    fn parse(line: &str) -> Option<Self> {
        let (_, figure) = line.split_once("FIGURE ")?;
        let mut words = figure.trim().splitn(3, ' ');
        Some(Self {
            name: words.next()?.to_owned(),
            value: words.next()?.to_owned(),
            note: words.next().unwrap_or_default().to_owned(),
        })
    }
}

/// Runs one module whole, its output passed through.
fn run(root: &Path, module: &str) -> Result<Vec<Figure>> {
    let mut tests = database_engine::cargo("test");
    tests
        .args(["--locked", "--workspace", "--test", "e2e", "--"])
        .args([&format!("{module}::"), "--nocapture", "--test-threads=1"])
        .env("AGNES_SOAK", "1")
        // a skip is a failure
        .env("CI", "true")
        .current_dir(root)
        .stdout(Stdio::piped());
    let line = command::line(&tests);
    let mut child = tests.spawn().with_context(|| format!("start `{line}`"))?;
    let output = child.stdout.take().context("no stdout")?;
    let mut figures = Vec::new();
    let mut ran = false;
    for line in BufReader::new(output).lines() {
        let line = line.context("read the tests' output")?;
        println!("{line}");
        figures.extend(Figure::parse(&line));
        ran |= line.starts_with("test result: ok. ") && !line.contains(" 0 passed");
    }
    let status = child.wait().context("wait")?;
    ensure!(status.success(), "`{line}`: {status}");
    if !ran {
        bail!("there is no test in it");
    }
    Ok(figures)
}

fn write(root: &Path, module: &str, figures: &[Figure]) -> Result<()> {
    let mut table = "| figure | value | |\n|---|---:|---|\n".to_owned();
    for Figure { name, value, note } in figures {
        table.push_str(&format!("| {name} | {value} | {note} |\n"));
    }
    let (verb, title) = (
        format!("soak {module}"),
        format!("Matrix `{module}`, whole"),
    );
    figures::write(root, &verb, &title, &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_also_behind_the_test_runners_words() {
        let figure = Figure {
            name: "caddy-failed".into(),
            value: "12".into(),
            note: "requests without an answer".into(),
        };
        let line = "FIGURE caddy-failed 12 requests without an answer";
        assert_eq!(Figure::parse(line), Some(figure));
        assert!(Figure::parse("test load::x ... FIGURE a 1").is_some());
        assert_eq!(Figure::parse("test load::x ... ok"), None);
    }
}
