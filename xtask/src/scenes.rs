//! Tests that print figures, run for them.
//!
//! Always true: a test that fails or is skipped is an error, and so is a run without a test.
//!
//! Does not: know what the figures mean.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// One figure that a test printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) note: String,
}

impl Figure {
    /// Reads `FIGURE <name> <value> <unit and note>`, also behind what the test runner printed on the same line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, figure) = line.split_once("FIGURE ")?;
        let mut words = figure.trim().splitn(3, ' ');
        Some(Self {
            name: words.next()?.to_owned(),
            value: words.next()?.to_owned(),
            note: words.next().unwrap_or_default().to_owned(),
        })
    }
}

/// Runs these tests, their output passed through.
pub(crate) fn run(mut tests: Command) -> Result<Vec<Figure>> {
    // a skip is a failure
    tests.env("CI", "true").stdout(Stdio::piped());
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
