//! `cargo xtask test`: every check of this checkout, in one order, with one table at the end.
//!
//! Always true: a step that fails does not hide the steps after it; what was skipped is named, and with `CI=true` fails.
//!
//! Does not: know what the tests test.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::{checkout, components};

mod runner;
mod scripts;
mod steps;
mod terraform;
mod workflows;

use runner::Counts;

/// The steps, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// Real programs are installed and work
    Components,
    /// Sources are formatted
    Fmt,
    /// No lint speaks
    Clippy,
    /// Imports keep to docs/architecture.md
    Layers,
    /// Dependencies keep to deny.toml
    Deny,
    /// Generated docs are up to date
    Docs,
    /// Shell scripts are sound
    Shellcheck,
    /// Terraform's modules are sound
    Terraform,
    /// The forge's workflows are sound
    Workflows,
    /// Parsers of outside bytes hold for a few seconds each
    Fuzz,
    /// Everything builds
    Build,
    /// Unit, integration and end-to-end tests
    Test,
}

/// What a step says beside passing or failing.
#[derive(Debug, Default)]
struct Said {
    /// `<component>: <who>: <why>`, each a check that was not made.
    skips: Vec<String>,
    /// The tests' counts.
    counts: Option<Counts>,
}

impl Said {
    fn skip(component: &str, who: &str, why: &str) -> Self {
        Self {
            skips: vec![format!("{component}: {who}: {why}")],
            counts: None,
        }
    }
}

struct Done {
    step: Step,
    took: Duration,
    result: Result<Said>,
}

/// Runs all steps, or one.
///
/// # Errors
/// When this is no checkout. A failing step is in the exit code.
pub fn command(only: Option<Step>) -> Result<ExitCode> {
    let root = checkout::root()?;
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| only.is_none_or(|only| only == *step))
        .collect();
    let mut done: Vec<Done> = Vec::new();
    for step in steps {
        println!("\n== {}", name(step));
        let started = Instant::now();
        let built = !done
            .iter()
            .any(|done| done.step == Step::Build && done.result.is_err());
        let result = run(step, &root, built);
        if let Err(error) = &result {
            println!("{}: {error:#}", name(step));
        }
        println!(
            "== {}: {} in {:.1} s",
            name(step),
            word(&result),
            started.elapsed().as_secs_f64()
        );
        done.push(Done {
            step,
            took: started.elapsed(),
            result,
        });
    }
    Ok(close(&done))
}

fn run(step: Step, root: &Path, built: bool) -> Result<Said> {
    match step {
        Step::Components => steps::components(),
        Step::Fmt => steps::fmt(root),
        Step::Clippy => steps::clippy(root),
        Step::Layers => steps::layers(root),
        Step::Deny => steps::deny(root),
        Step::Docs => steps::docs(root),
        Step::Shellcheck => scripts::shellcheck(root),
        Step::Terraform => terraform::check(root),
        Step::Workflows => workflows::check(root),
        Step::Fuzz => steps::fuzz(),
        Step::Build => steps::build(root),
        Step::Test if built => runner::run(root),
        Step::Test => anyhow::bail!("not run: the build failed"),
    }
}

/// The closing table, and the one line that counts.
fn close(done: &[Done]) -> ExitCode {
    println!("\n{:<12} {:>9}  outcome", "step", "time");
    for done in done {
        println!(
            "{:<12} {:>7.1} s  {}",
            name(done.step),
            done.took.as_secs_f64(),
            word(&done.result)
        );
    }
    let total: Duration = done.iter().map(|done| done.took).sum();
    println!("{:<12} {:>7.1} s", "all", total.as_secs_f64());

    let mut skips: Vec<&String> = done
        .iter()
        .filter_map(|done| done.result.as_ref().ok())
        .flat_map(|said| &said.skips)
        .collect();
    let counts = done
        .iter()
        .find_map(|done| done.result.as_ref().ok()?.counts.as_ref());
    skips.extend(counts.iter().flat_map(|counts| &counts.skips));
    skips.sort();
    skips.dedup();
    let strict = components::ci() && !skips.is_empty();
    if !skips.is_empty() {
        println!(
            "\nskipped{}:",
            if strict { " (CI=true: a failure)" } else { "" }
        );
        skips.iter().for_each(|skip| println!("  {skip}"));
    }

    let failed = done.iter().any(|done| done.result.is_err())
        || counts.is_some_and(|counts| counts.failed > 0);
    if done.iter().any(|done| done.step == Step::Test) {
        // A run whose tests never came to a result has failed as one.
        let none = Counts::unfinished();
        let counts = counts.unwrap_or(&none);
        println!(
            "\n{} passed, {} failed, {} skipped",
            counts.passed(),
            counts.failed,
            counts.skipped()
        );
    }
    if failed || strict {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn name(step: Step) -> String {
    step.to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

fn word(result: &Result<Said>) -> &'static str {
    match result {
        Ok(Said {
            counts: Some(counts),
            ..
        }) if counts.failed > 0 => "FAILED",
        Ok(said) if said.skips.is_empty() => "ok",
        Ok(_) => "ok, with skips",
        Err(_) => "FAILED",
    }
}
