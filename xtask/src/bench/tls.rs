//! `cargo xtask bench tls`: a tick of certificate rotation beside the shell script that it replaces.
//!
//! Always true: tick and script alternate, on the same deployment and the same source.
//!
//! Does not: build or serve anything (`bench` and `site` do).

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::measure::{Sample, sample};
use super::site::{DOMAIN, Deployment, Site};
use super::{Row, Spread, megabytes, release, table};
use crate::{checkout, components, figures};

/// The script that is measured beside `agnes-ops tls rotate`.
const SCRIPT: &str = include_str!("rotate.sh");

/// Rotations on each server.
const SWAPS: usize = 20;

/// Measures, prints and, if asked to, writes.
pub(super) fn run(write: bool, rounds: usize) -> Result<ExitCode> {
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
