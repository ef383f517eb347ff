//! `cargo xtask fuzz`: libFuzzer against every parser of outside bytes.
//!
//! Always true: the targets are those of `fuzz/fuzz_targets`; they are built by the compiler that builds what is shipped, with
//! its coverage counters and every check of the language, and no sanitizer: nothing of ours is unsafe. What a run learns stays
//! in the target directory, so that the next one begins where it ended. An input that breaks a promise is kept and named.
//!
//! Does not: change the seeds in the checkout: what is worth keeping becomes a test of the crate that it was found in.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::scenes::Figure;
use crate::{checkout, command};

/// What libFuzzer is told by the compiler: which edge was taken, and what was compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Memory of one target, in MiB: what a parser of a small file has no business to need.
const RSS_LIMIT_MIB: u32 = 1024;

/// One input's time, in seconds; then it is a finding.
const INPUT_SECS: u32 = 10;

/// The longest input, in bytes.
const LONGEST: u32 = 16 << 10;

/// What to attack, and for how long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// These targets alone [all of them]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    secs: u32,
    /// Replay this input against the one target that is named, and nothing else
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// `cargo xtask fuzz`.
///
/// # Errors
/// When it does not build, or an input breaks a promise.
pub fn command(options: &Options) -> Result<ExitCode> {
    let fuzzer = Fuzzer::build(&checkout::root()?)?;
    if let Some(input) = &options.input {
        let [target] = options.targets.as_slice() else {
            bail!("--input goes with one target");
        };
        command::run(Command::new(fuzzer.program(target)?).arg(input))?;
        return Ok(ExitCode::SUCCESS);
    }
    attack(&fuzzer, &options.targets, options.secs)?;
    Ok(ExitCode::SUCCESS)
}

/// Every target for so many seconds.
///
/// # Errors
/// As [`command`].
pub(crate) fn all(secs: u32) -> Result<()> {
    attack(&Fuzzer::build(&checkout::root()?)?, &[], secs)
}

fn attack(fuzzer: &Fuzzer, targets: &[String], secs: u32) -> Result<()> {
    let mut failed = Vec::new();
    for target in fuzzer.wanted(targets)? {
        match fuzzer.run(&target, secs) {
            Ok(figures) => figures.iter().for_each(print),
            Err(why) => {
                println!("fuzz {target}: {why:#}");
                failed.push(target);
            }
        }
    }
    ensure!(failed.is_empty(), "findings in {}", failed.join(", "));
    Ok(())
}

/// An hour for each target, or what is left of it after an interrupted run of the same commit.
///
/// # Errors
/// As [`command`].
pub(crate) fn soak(root: &Path) -> Result<Vec<Figure>> {
    const WHOLE_SECS: u32 = 3600;
    const SLICE_SECS: u32 = 300;
    let fuzzer = Fuzzer::build(root)?;
    let mut figures = Vec::new();
    let mut failed = Vec::new();
    for target in fuzzer.wanted(&[])? {
        let mut spent = Spent::of(&fuzzer, &target, root)?;
        while spent.secs < WHOLE_SECS {
            let slice = SLICE_SECS.min(WHOLE_SECS - spent.secs);
            match fuzzer.run(&target, slice) {
                Ok(found) => spent.add(slice, &found)?,
                Err(why) => {
                    println!("fuzz {target}: {why:#}");
                    failed.push(target.clone());
                    break;
                }
            }
        }
        figures.extend(spent.figures);
    }
    ensure!(failed.is_empty(), "findings in {}", failed.join(", "));
    Ok(figures)
}

/// The built targets.
struct Fuzzer {
    sources: PathBuf,
    programs: PathBuf,
    /// What runs learned and found.
    kept: PathBuf,
}

impl Fuzzer {
    /// Builds all of them.
    fn build(root: &Path) -> Result<Self> {
        let sources = root.join("fuzz");
        let target_dir = checkout::target_directory()?.join("fuzz");
        // named, so that build scripts and macros, which run on the host, are not instrumented
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .args(["build", "--locked", "--release", "--quiet", "--bins"])
            .args(["--target", &triple, "--target-dir"])
            .arg(&target_dir)
            .current_dir(&sources)
            .env("RUSTFLAGS", COVERAGE)
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command::run(&mut build)
            .context("build the targets (libFuzzer needs a C++ compiler: Debian's g++)")?;
        Ok(Self {
            programs: target_dir.join(triple).join("release"),
            kept: target_dir.join("kept"),
            sources,
        })
    }

    /// The targets of these names, or all.
    fn wanted(&self, names: &[String]) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let directory = self.sources.join("fuzz_targets");
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                all.extend(path.file_stem().map(|n| n.to_string_lossy().into_owned()));
            }
        }
        all.sort();
        if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
            bail!("{unknown}: no target; there are {}", all.join(", "));
        }
        Ok(if names.is_empty() {
            all
        } else {
            names.to_vec()
        })
    }

    fn program(&self, target: &str) -> Result<PathBuf> {
        let program = self.programs.join(target);
        ensure!(command::is_executable(&program), "{target}: no target");
        Ok(program)
    }

    /// Attacks one target.
    fn run(&self, target: &str, secs: u32) -> Result<Vec<Figure>> {
        let (corpus, findings) = (self.kept.join(target), self.kept.join("findings"));
        for directory in [&corpus, &findings] {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        let mut attack = Command::new(self.program(target)?);
        attack
            .arg(format!("-max_total_time={secs}"))
            .arg(format!("-rss_limit_mb={RSS_LIMIT_MIB}"))
            .arg(format!("-timeout={INPUT_SECS}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-artifact_prefix={}/{target}-", findings.display()))
            .arg("-print_final_stats=1");
        let dictionary = self.sources.join(format!("dictionaries/{target}.dict"));
        if dictionary.is_file() {
            attack.arg(format!("-dict={}", dictionary.display()));
        }
        attack
            .arg(&corpus)
            .arg(self.sources.join("seeds").join(target))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        println!("fuzz {target}: {secs} s");
        let mut child = attack.spawn().with_context(|| format!("start {target}"))?;
        let said = child.stderr.take().context("no stderr")?;
        let mut lines = Vec::new();
        for line in BufReader::new(said).split(b'\n') {
            let line =
                String::from_utf8_lossy(&line.context("read what libFuzzer says")?).into_owned();
            // a line for each new input: thousands in an hour
            if !is_progress(&line) {
                lines.push(line);
            }
        }
        let status = child.wait().context("wait")?;
        if !status.success() {
            bail!(
                "{status}\n{}\nagain: cargo xtask fuzz {target} --input <file that is named above>",
                command::tail(&lines.join("\n"), 40)
            );
        }
        figures(target, &lines)
    }
}

/// `#123 NEW cov: …` and the like, but for the last one.
fn is_progress(line: &str) -> bool {
    line.starts_with('#') && !line.contains("DONE")
}

/// Executions, edges and memory, from libFuzzer's closing lines.
fn figures(target: &str, lines: &[String]) -> Result<Vec<Figure>> {
    let stat = |name: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim().to_owned())
    };
    let done = lines.iter().find(|line| line.contains("DONE"));
    let covered = done.and_then(|line| {
        let (_, behind) = line.split_once("cov: ")?;
        behind.split_whitespace().next().map(str::to_owned)
    });
    let figure = |what: &str, value: Option<String>, note: &str| {
        Ok::<_, anyhow::Error>(Figure {
            name: format!("{target}-{what}"),
            value: value.with_context(|| format!("libFuzzer says no {what} of {target}"))?,
            note: note.to_owned(),
        })
    };
    let executions = stat("stat::number_of_executed_units:");
    Ok(vec![
        figure("executions", executions, "inputs, no finding")?,
        figure(
            "coverage",
            covered,
            "edges of the code, of one run with all it knew",
        )?,
        figure("rss", stat("stat::peak_rss_mb:"), "MiB at most")?,
    ])
}

fn print(figure: &Figure) {
    println!("FIGURE {} {} {}", figure.name, figure.value, figure.note);
}

/// How much of its hour a target had at this commit, and what it came to.
struct Spent {
    file: PathBuf,
    commit: String,
    secs: u32,
    figures: Vec<Figure>,
}

impl Spent {
    fn of(fuzzer: &Fuzzer, target: &str, root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["rev-parse", "HEAD"]).current_dir(root);
        let commit = command::capture(&mut git)?.trim().to_owned();
        let file = fuzzer.kept.join(format!("{target}.spent"));
        let text = fs::read_to_string(&file).unwrap_or_default();
        let mut spent = Self::parse(&text, &commit).unwrap_or_default();
        let figures = spent.split_off(spent.len().min(1));
        let secs = spent.first().and_then(|first| first.value.parse().ok());
        Ok(Self {
            file,
            commit,
            secs: secs.unwrap_or_default(),
            figures,
        })
    }

    /// `None`: of another commit.
    fn parse(text: &str, commit: &str) -> Option<Vec<Figure>> {
        let mut lines = text.lines();
        (lines.next()? == commit).then_some(())?;
        lines.map(Figure::parse).collect()
    }

    /// Another slice: executions add up, the rest is as it is now.
    fn add(&mut self, secs: u32, found: &[Figure]) -> Result<()> {
        self.secs += secs;
        let before = std::mem::take(&mut self.figures);
        self.figures = found.iter().map(|one| sum(one, &before)).collect();
        let secs = Figure {
            name: "secs".to_owned(),
            value: self.secs.to_string(),
            note: "spent".to_owned(),
        };
        let mut text = format!("{}\n", self.commit);
        for Figure { name, value, note } in [&secs].into_iter().chain(&self.figures) {
            text.push_str(&format!("FIGURE {name} {value} {note}\n"));
        }
        fs::write(&self.file, text).with_context(|| self.file.display().to_string())
    }
}

fn sum(one: &Figure, before: &[Figure]) -> Figure {
    let earlier = before.iter().find(|figure| figure.name == one.name);
    let number = |figure: &Figure| figure.value.parse::<u64>().unwrap_or_default();
    let value = match earlier {
        Some(earlier) if one.name.ends_with("-executions") => number(one) + number(earlier),
        Some(earlier) => number(one).max(number(earlier)),
        None => number(one),
    };
    Figure {
        name: one.name.clone(),
        value: value.to_string(),
        note: one.note.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const CLOSING: &str = "#1040361\tDONE   cov: 2686 ft: 6785 corp: 948/454Kb lim: 2974 exec/s: 40013 rss: 33Mb\n\
        stat::number_of_executed_units: 1040361\nstat::peak_rss_mb:              33\n";

    #[test]
    fn figures_are_read_from_the_closing_lines_and_a_run_without_them_is_none() {
        let read = figures("cron", &lines(CLOSING)).unwrap();
        let shown: Vec<String> = read
            .iter()
            .map(|figure| format!("{} {}", figure.name, figure.value))
            .collect();
        assert_eq!(
            shown,
            [
                "cron-executions 1040361",
                "cron-coverage 2686",
                "cron-rss 33"
            ]
        );
        assert!(figures("cron", &lines("INFO: seed corpus")).is_err());
        assert!(is_progress("#12\tNEW    cov: 3") && !is_progress(&lines(CLOSING)[0]));
    }

    #[test]
    fn an_hour_goes_on_where_it_was_and_begins_anew_at_another_commit() {
        let kept = tempfile::tempdir().unwrap();
        let mut spent = Spent {
            file: kept.path().join("cron.spent"),
            commit: "abc".to_owned(),
            secs: 0,
            figures: Vec::new(),
        };
        let found = figures("cron", &lines(CLOSING)).unwrap();
        spent.add(300, &found).unwrap();
        spent.add(300, &found).unwrap();
        let text = fs::read_to_string(&spent.file).unwrap();
        let read = Spent::parse(&text, "abc").unwrap();
        assert_eq!(read[0].value, "600");
        assert_eq!(read[1].value, "2080722");
        assert_eq!(read[2].value, "2686");
        assert_eq!(Spent::parse(&text, "def"), None);
    }
}
