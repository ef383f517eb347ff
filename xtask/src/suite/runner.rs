//! The run of all test binaries: environment, counting, skips.
//!
//! Always true: everything the tests say is passed through as it comes; the engine they use ends with the run, also when
//! the run fails or is killed.
//!
//! Does not: decide which tests there are.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

use super::{Said, steps};
use crate::engine::{Engine, HOST_VARIABLE};
use crate::{command, components};

const SEED_VARIABLE: &str = "AGNES_TEST_SEED";

/// What the tests came to, summed up over all binaries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// As the test runner counts: a test that said `SKIP` and returned is among them.
    finished: usize,
    pub(super) failed: usize,
    ignored: usize,
    /// `<component>: <test>: <why>`.
    pub(super) skips: BTreeSet<String>,
}

impl Counts {
    /// Of a run that never came to a result.
    pub(super) fn unfinished() -> Self {
        Self {
            failed: 1,
            ..Self::default()
        }
    }

    pub(super) fn passed(&self) -> usize {
        self.finished.saturating_sub(self.skips.len())
    }

    pub(super) fn skipped(&self) -> usize {
        self.ignored + self.skips.len()
    }

    /// Takes one line of the runner's or a test's output into account.
    fn line(&mut self, line: &str) {
        if let Some(skip) = line.strip_prefix("SKIP ") {
            self.skips.insert(skip.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split(['.', ';']).map(str::trim) {
            let mut words = part.split(' ');
            let (number, what) = (
                words.next().and_then(|word| word.parse::<usize>().ok()),
                words.next(),
            );
            match (number, what) {
                (Some(number), Some("passed")) => self.finished += number,
                (Some(number), Some("failed")) => self.failed += number,
                (Some(number), Some("ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.finished += other.finished;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skips.extend(other.skips);
    }
}

/// Runs them all.
pub(super) fn run(root: &Path) -> Result<Said> {
    let seed =
        std::env::var(SEED_VARIABLE).unwrap_or_else(|_| RandomState::new().hash_one(0).to_string());
    println!("{SEED_VARIABLE}={seed}");
    let engine = engine()?;

    let mut cargo = steps::test_command(root);
    cargo
        .env("AGNES_COMPONENTS", components::directory())
        .env(SEED_VARIABLE, &seed)
        .env("RUST_BACKTRACE", "1")
        .env("CARGO_TERM_COLOR", "never");
    if let Some(engine) = &engine {
        cargo.env(HOST_VARIABLE, engine.host());
    }
    let mut counts = watch(&mut cargo)?;
    drop(engine);
    counts.skips.extend(steps::untested());
    println!("{SEED_VARIABLE}={seed}");
    Ok(Said {
        skips: Vec::new(),
        counts: Some(counts),
    })
}

/// An engine of this run's own, where one can run and none was given.
fn engine() -> Result<Option<Engine>> {
    let possible = nix::unistd::geteuid().is_root()
        && components::is_ready("docker")
        && components::is_ready("dockerd");
    if !possible || std::env::var_os(HOST_VARIABLE).is_some() {
        return Ok(None);
    }
    let engine = Engine::start()?;
    println!("{HOST_VARIABLE}={}", engine.host());
    Ok(Some(engine))
}

fn watch(cargo: &mut Command) -> Result<Counts> {
    let line = command::line(cargo);
    let mut child = cargo
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{line}`"))?;
    let stdout = child
        .stdout
        .take()
        .map(|pipe| pass_on(pipe, std::io::stdout()));
    let stderr = child
        .stderr
        .take()
        .map(|pipe| pass_on(pipe, std::io::stderr()));
    let mut counts = Counts::default();
    for reader in [stdout, stderr].into_iter().flatten() {
        counts.add(reader.join().unwrap_or_default());
    }
    let status = child.wait().with_context(|| format!("wait for `{line}`"))?;
    if !status.success() && counts.failed == 0 {
        // A binary that did not come to its result line: aborted, killed, or not built.
        println!("`{line}`: {status}, with no failed test: a test binary did not finish");
        counts.failed = 1;
    }
    Ok(counts)
}

fn pass_on(
    pipe: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
) -> thread::JoinHandle<Counts> {
    thread::spawn(move || {
        let mut counts = Counts::default();
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            counts.line(String::from_utf8_lossy(&line).trim_end());
            // Nobody reads any more: the counts still matter.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            line.clear();
        }
        counts
    })
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn results_are_summed_up_and_a_test_that_said_skip_has_not_passed() {
        let mut counts = Counts::default();
        for line in [
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "SKIP caddy-2.6: t01: not installed: cargo xtask components",
            "SKIP caddy-2.6: t01: not installed: cargo xtask components",
            "a log that says SKIP caddy: no",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ] {
            counts.line(line);
        }
        assert_eq!(
            (counts.passed(), counts.failed, counts.skipped()),
            (12, 2, 2)
        );
    }
}
