//! `cargo xtask bench upgrade`: a tick beside a script, how long writes are held, the way back, a snapshot beside `cp`.
//!
//! Always true: the scenes are tests that are ignored otherwise; what they run are release builds; both sides of a ratio take
//! turns in the same run.
//!
//! Does not: know the scenes (tests/e2e/stack/upgrade/bench.rs, tests/e2e/snapshot/bench.rs).

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{Row, release, table};
use crate::scenes::{self, Figure};
use crate::{checkout, command, database_engine, figures};

/// Measures, prints and, if asked to, writes.
pub(super) fn run(write: bool) -> Result<ExitCode> {
    let root = checkout::root()?;
    let programs = release(&root)?;
    let mut example = database_engine::cargo("build");
    example
        .args(["--release", "--locked", "--workspace", "--example", "seed"])
        .current_dir(&root);
    command::run(&mut example)?;
    let measured = measure(&root, &programs)?;
    let table = table(&rows(&measured)?);
    println!("\n{table}");
    if write {
        let note = "The shipped stack behind Caddy 2.11 with a registry on loopback; 15 ticks each, in turns with `docker compose pull`, \
                    a comparison of image ids and `up -d` where they differ. Writes are held under a client that writes; images differ \
                    by a label, and nothing is migrated. The snapshot is `snapshot create` through the running server, whole: copied, \
                    opened, compared with its manifest; beside it stand `cp` into the page cache, and `cp` and `sync`.";
        let body = format!("{note}\n\n{table}");
        figures::write(
            &root,
            "bench upgrade",
            "Upgrades and snapshots: tick, hold, way back, copy",
            &body,
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(root: &Path, programs: &Path) -> Result<Vec<Figure>> {
    let mut tests = database_engine::cargo("test");
    tests
        .args(["--locked", "--workspace", "--test", "e2e", "--"])
        .args(["bench_", "--ignored", "--nocapture", "--test-threads=1"])
        .env(checkout::PROGRAMS_VARIABLE, programs)
        .current_dir(root);
    scenes::run(tests)
}

fn rows(measured: &[Figure]) -> Result<Vec<Row>> {
    let figure = |name: &str| -> Result<f64> {
        let found = measured.iter().find(|figure| figure.name == name);
        let found = found.with_context(|| format!("{name} was not measured"))?;
        found
            .value
            .parse()
            .with_context(|| format!("{name} is {:?}", found.value))
    };
    let (held, held_most) = (figure("held-ms")?, figure("held-most-ms")?);
    let (back, silent) = (figure("way-back-ms")?, figure("way-back-silent-ms")?);
    let (cp, durable) = (figure("cp-ms")?, figure("cp-durable-ms")?);
    let snapshot = figure("snapshot-ms")?;
    let gigabytes = figure("snapshot-bytes")? / 1e9;
    Ok(vec![
        tick(
            "unchanged tick, wall",
            figure("tick-wall-us")?,
            figure("script-wall-us")?,
        ),
        tick(
            "unchanged tick, CPU",
            figure("tick-cpu-us")?,
            figure("script-cpu-us")?,
        ),
        Row {
            measure: "writes held by an upgrade without a migration",
            figure: format!("{held:.0} ms, {held_most:.0} ms at most"),
            target: "< 3 s",
            met: held_most < 3000.0,
        },
        Row {
            measure: "from the tick to the old version proven, a crashing version",
            figure: format!("{:.1} s", back / 1e3),
            target: "≤ 90 s",
            met: back <= 90_000.0,
        },
        Row {
            measure: "the same, a version that is never ready (`gate.timeout` 20 s)",
            figure: format!("{:.1} s", silent / 1e3),
            target: "≤ 90 s",
            met: silent <= 90_000.0,
        },
        Row {
            measure: "snapshot",
            figure: format!(
                "{gigabytes:.2} GB in {:.1} s; `cp` {:.1} s ({:.2}×), `cp` and `sync` {:.1} s ({:.2}×)",
                snapshot / 1e3,
                cp / 1e3,
                cp / snapshot,
                durable / 1e3,
                durable / snapshot
            ),
            target: "≥ 0.8× `cp`",
            met: cp / snapshot >= 0.8,
        },
        Row {
            measure: "writes held by that snapshot",
            figure: format!("{:.0} ms", figure("snapshot-pause-ms")?),
            target: "reported",
            met: true,
        },
        Row {
            measure: "drill of that snapshot",
            figure: format!("{:.1} s", figure("drill-ms")? / 1e3),
            target: "≤ 60 s",
            met: figure("drill-ms")? <= 60_000.0,
        },
    ])
}

/// Microseconds of an unchanged tick, beside the script's.
fn tick(measure: &'static str, ours: f64, script: f64) -> Row {
    let ratio = script / ours;
    Row {
        measure,
        figure: format!(
            "{:.1} ms; script {:.0} ms: {ratio:.1}×",
            ours / 1e3,
            script / 1e3
        ),
        target: "≥ 10× less than a script",
        met: ratio >= 10.0,
    }
}
