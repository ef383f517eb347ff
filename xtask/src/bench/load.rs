//! Load by wrk: so many requests a second, and how long they took.
//!
//! Always true: a run in which one request was not answered with success is an error, not a figure.
//!
//! Does not: start what is loaded.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{command, components};

const SCRIPT: &str = include_str!("wrk.lua");

/// Requests under way at any time, and threads that make them.
pub(super) const CLIENTS: usize = 32;
const THREADS: usize = 2;

/// What one run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Answers in a second.
    pub(super) per_sec: u64,
    /// The middle answer took so long, microseconds.
    pub(super) p50_us: u64,
    /// 99 of 100 answers took no longer, microseconds.
    pub(super) p99_us: u64,
}

/// wrk and its script.
pub(super) struct Wrk {
    program: PathBuf,
    script: PathBuf,
    secs: u64,
}

/// What is asked for.
pub(super) struct Requests<'a> {
    pub(super) to: SocketAddr,
    pub(super) path: &'a str,
    /// An access token.
    pub(super) bearer: Option<&'a str>,
    /// Each request posts a name of its own that begins with this; `None`: they get.
    pub(super) names: Option<String>,
}

impl Wrk {
    /// Runs that take `secs` each.
    pub(super) fn new(home: &Path, secs: u64) -> Result<Self> {
        let program = components::find("wrk").context("no wrk: cargo xtask components")?;
        let script = home.join("wrk.lua");
        fs::write(&script, SCRIPT).context("write wrk.lua")?;
        Ok(Self {
            program,
            script,
            secs,
        })
    }

    /// One run.
    pub(super) fn run(&self, requests: &Requests<'_>) -> Result<Load> {
        let mut run = Command::new(&self.program);
        run.arg(format!("--threads={THREADS}"))
            .arg(format!("--connections={CLIENTS}"))
            .arg(format!("--duration={}s", self.secs))
            .arg("--timeout=10s")
            .arg("--script")
            .arg(&self.script)
            .arg(format!("http://{}{}", requests.to, requests.path))
            .env_clear();
        // in the environment, which only its owner reads
        if let Some(bearer) = requests.bearer {
            run.env("AGNES_BENCH_BEARER", bearer);
        }
        if let Some(names) = &requests.names {
            run.env("AGNES_BENCH_NAMES", names);
        }
        let said = command::capture(&mut run)?;
        Load::parse(&said).with_context(|| format!("`{}`: {said}", command::line(&run)))
    }
}

impl Load {
    /// Of the line that the script ends with.
    fn parse(said: &str) -> Result<Self> {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("figures "))
            .context("no figures")?;
        let figures: Vec<u64> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let &[answers, took_us, p50_us, p99_us, refused, lost] = figures.as_slice() else {
            anyhow::bail!("not six figures");
        };
        ensure!(
            answers > 0 && took_us > 0,
            "nothing was answered in {took_us} µs"
        );
        ensure!(
            refused == 0 && lost == 0,
            "of {answers} answers {refused} were refusals, and {lost} requests had none"
        );
        Ok(Self {
            per_sec: answers * 1_000_000 / took_us,
            p50_us,
            p99_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_a_refusal_or_a_loss_is_no_figure() {
        let load = Load {
            per_sec: 500,
            p50_us: 900,
            p99_us: 2000,
        };
        let read = |line: &str| Load::parse(&format!("Requests/sec: 500\n\n{line}\n"));
        assert_eq!(read("figures 5000 10000000 900 2000 0 0").ok(), Some(load));
        for line in [
            "figures 5000 10000000 900 2000 1 0",
            "figures 5000 10000000 900 2000 0 1",
            "figures 0 10000000 0 0 0 0",
            "figures 5000",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
