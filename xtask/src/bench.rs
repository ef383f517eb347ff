//! `cargo xtask bench`: what the product costs, beside what it replaces.
//!
//! Always true: release builds; both sides of a ratio are measured alternately in the same run; a target that is missed is
//! printed and is no failure, a figure that cannot be had is one.
//!
//! Does not: keep a history (docs/figures.md holds the last one that was written).

mod measure;
mod site;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{checkout, command, components, database_engine, figures};
use measure::{Sample, sample};
use site::{DOMAIN, Deployment, Site};

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// An unchanged `tls rotate` beside a shell script, the time from swap to proof, start-up and size
    Tls {
        /// Write the table into docs/figures.md
        #[arg(long)]
        write: bool,
        /// How often each side of a comparison runs
        #[arg(long, default_value_t = 30)]
        rounds: usize,
    },
    /// Run one program and print its wall time, CPU time (µs) and peak memory (KiB)
    #[command(hide = true)]
    Measure {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<OsString>,
    },
}

/// `cargo xtask bench`.
///
/// # Errors
/// When something could not be measured.
pub fn command(what: &What) -> Result<ExitCode> {
    match what {
        What::Measure { argv } => measure::measure(argv),
        What::Tls { write, rounds } => tls(*write, (*rounds).max(1)),
    }
}

/// The script that is measured beside `agnes-ops tls rotate`.
const SCRIPT: &str = include_str!("bench/rotate.sh");

/// Rotations on each server.
const SWAPS: usize = 20;

fn tls(write: bool, rounds: usize) -> Result<ExitCode> {
    let root = checkout::root()?;
    let programs = release(&root)?;
    let caddy = components::find("caddy-2.11")
        .context("caddy-2.11 is not installed: cargo xtask components")?;
    let site = Site::new(&caddy)?;
    let ops = programs.join("agnes-ops");

    let behind_caddy = site.deployment(&ops, "behind-caddy")?;
    let proxy = site.caddy(&behind_caddy)?;
    println!("an unchanged tick beside the script, {rounds} rounds");
    let ticks = ticks(&site, &ops, &behind_caddy, rounds)?;
    println!("swap to proof on Caddy, {SWAPS} rotations");
    let on_caddy = swaps(&site, &behind_caddy)?;
    drop(proxy);

    let own_tls = site.deployment(&ops, "own-tls")?;
    let server = site.agnesd(&programs.join("agnesd"), &own_tls)?;
    println!("swap to proof on agnesd, {SWAPS} rotations");
    let on_agnesd = swaps(&site, &own_tls)?;
    drop(server);

    let bytes = fs::metadata(&ops).context("the program's size")?.len();
    let rows = rows(&ticks, &on_caddy, &on_agnesd, bytes);
    let table = table(&rows);
    println!("\n{table}");
    if write {
        let note = format!(
            "Medians (and best) of {rounds} rounds and {SWAPS} swaps. The script is xtask/src/bench/rotate.sh; it does not \
             look at what is served, the tick does. Both fetch from the same https source on loopback, over an RSA-2048 \
             pair behind Caddy 2.11."
        );
        figures::write(
            &root,
            "bench tls",
            "Speed and size of `tls rotate`",
            &format!("{note}\n\n{table}"),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds both programs as they are shipped, and says where they are.
fn release(root: &Path) -> Result<PathBuf> {
    let mut build = database_engine::cargo("build");
    build
        .args(["--release", "--locked", "--workspace"])
        .current_dir(root);
    command::run(&mut build)?;
    let own = checkout::programs()?;
    let target = own.parent().context("no target directory")?;
    Ok(target.join("release"))
}

/// Costs of the three programs, round by round.
#[derive(Debug, Default)]
struct Ticks {
    ops: Vec<Sample>,
    script: Vec<Sample>,
    version: Vec<Sample>,
}

fn ticks(site: &Site, ops: &Path, deployment: &Deployment, rounds: usize) -> Result<Ticks> {
    let path = std::env::var("PATH").context("PATH")?;
    let script = deployment.directory.join("rotate.sh");
    fs::write(&script, SCRIPT).context("write rotate.sh")?;
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let mut tick = words(&["-C"]);
    tick.push(deployment.directory.clone().into());
    tick.extend(words(&["tls", "rotate"]));
    let of_script = [
        script.into(),
        deployment.url.clone().into(),
        site.authority.root().into(),
        deployment.certs().into(),
        DOMAIN.into(),
    ];
    let version = words(&["--version"]);

    let mut ticks = Ticks::default();
    // one round to warm caches on both sides
    for round in 0..=rounds {
        let taken = [
            sample(Path::new("bash"), &of_script, &path)?,
            sample(ops, &tick, &path)?,
            sample(ops, &version, &path)?,
        ];
        let [script, ops, version] = taken;
        if round > 0 {
            ticks.script.push(script);
            ticks.ops.push(ops);
            ticks.version.push(version);
        }
    }
    let unchanged = deployment.rotate()?;
    anyhow::ensure!(
        unchanged.get("outcome").and_then(|word| word.as_str()) == Some("unchanged"),
        "the ticks were not unchanged: {unchanged}"
    );
    Ok(ticks)
}

/// Milliseconds from flip to proof of as many rotations, each to a new certificate.
fn swaps(site: &Site, deployment: &Deployment) -> Result<Vec<u64>> {
    let swap = |turn: usize| {
        site.publish(deployment, 60 + turn)?;
        deployment.swap_ms()
    };
    (0..SWAPS).map(swap).collect()
}

/// One line of the table.
struct Row {
    measure: &'static str,
    figure: String,
    target: &'static str,
    met: bool,
}

fn rows(ticks: &Ticks, on_caddy: &[u64], on_agnesd: &[u64], bytes: u64) -> Vec<Row> {
    let wall = |samples: &[Sample]| Spread::of(samples.iter().map(|sample| sample.wall_us));
    let cpu = |samples: &[Sample]| Spread::of(samples.iter().map(|sample| sample.cpu_us));
    let rss = Spread::of(ticks.ops.iter().map(|sample| sample.rss_kib));
    let version = wall(&ticks.version);
    let (caddy, agnesd) = (
        Spread::of(on_caddy.iter().copied()),
        Spread::of(on_agnesd.iter().copied()),
    );
    let mut rows = vec![
        against(
            "unchanged tick, wall",
            wall(&ticks.script),
            wall(&ticks.ops),
        ),
        against("unchanged tick, CPU", cpu(&ticks.script), cpu(&ticks.ops)),
    ];
    rows.push(Row {
        measure: "unchanged tick, peak memory",
        figure: format!("{:.1} MB", megabytes(rss.most * 1024)),
        target: "≤ 25 MB",
        met: rss.most * 1024 <= 25_000_000,
    });
    rows.push(Row {
        measure: "`agnes-ops --version`",
        figure: version.millis(),
        target: "≤ 10 ms",
        met: version.median <= 10_000,
    });
    for (measure, target, limit, took) in [
        ("swap → proven served, Caddy", "≤ 500 ms", 500, caddy),
        ("swap → proven served, agnesd", "≤ 50 ms", 50, agnesd),
    ] {
        rows.push(Row {
            measure,
            figure: format!("{} ms ({}; worst {})", took.median, took.least, took.most),
            target,
            met: took.median <= limit,
        });
    }
    rows.push(Row {
        measure: "`agnes-ops`, stripped",
        figure: format!("{:.1} MB", megabytes(bytes)),
        target: "≤ 20 MB",
        met: bytes <= 20_000_000,
    });
    rows
}

fn against(measure: &'static str, script: Spread, ops: Spread) -> Row {
    let ratio = |of: fn(&Spread) -> u64| of(&script) as f64 / of(&ops).max(1) as f64;
    let median = ratio(|spread| spread.median);
    Row {
        measure,
        figure: format!(
            "{:.1}× less ({:.1}×): {} against {}",
            median,
            ratio(|spread| spread.least),
            ops.millis(),
            script.millis()
        ),
        target: "≥ 5× less than the script",
        met: median >= 5.0,
    }
}

/// The least, the middle and the most of some figures.
#[derive(Debug, Clone, Copy)]
struct Spread {
    least: u64,
    median: u64,
    most: u64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = figures.collect();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        Self {
            least: at(0),
            median: at(sorted.len() / 2),
            most: at(sorted.len().saturating_sub(1)),
        }
    }

    /// Of microseconds, as milliseconds: median (best).
    fn millis(&self) -> String {
        let millis = |us: u64| us as f64 / 1000.0;
        format!("{:.1} ms ({:.1})", millis(self.median), millis(self.least))
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

/// As Markdown.
fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let verdict = if row.met { "met" } else { "**missed**" };
        format!(
            "| {} | {} | {} | {verdict} |\n",
            row.measure, row.figure, row.target
        )
    });
    std::iter::once("| measure | figure | target | |\n|---|---|---|---|\n".to_owned())
        .chain(lines)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_said() {
        let sample = |wall_us, cpu_us| Sample {
            wall_us,
            cpu_us,
            rss_kib: 30_000,
        };
        let ticks = Ticks {
            ops: vec![sample(10_000, 10_000)],
            script: vec![sample(60_000, 40_000)],
            version: vec![sample(2_000, 1_000)],
        };
        let rows = rows(&ticks, &[400, 600, 300], &[9], 21_000_000);
        let met: Vec<bool> = rows.iter().map(|row| row.met).collect();
        assert_eq!(met, [true, false, false, true, true, true, false]);
        assert!(
            table(&rows).contains("| 4.0× less (4.0×): 10.0 ms (10.0) against 40.0 ms (40.0) |")
        );
    }
}
