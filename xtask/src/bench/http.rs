//! `cargo xtask bench http`: the served API beside a bare axum, and its durable writes beside PostgreSQL's.
//!
//! Always true: the sides of a ratio take turns under the same load; both databases lie on the same disk.
//!
//! Does not: count what was not answered with success.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::load::{CLIENTS, Load, Requests, Wrk};
use super::postgres::Postgres;
use super::server::{Home, Resident, Server};
use super::site::{Running, free_address};
use super::{Row, Spread, megabytes, release, release_directory, table};
use crate::{checkout, command, database_engine, figures};

/// What is read: who one is, from memory, behind every check that an authenticated call goes through.
const READ: &str = "/api/me";
/// What is written: a row and its audit row, durable together.
const WRITE: &str = "/api/groups";

const USERS: usize = 100_000;
const AUDIT_ROWS: usize = 1_000_000;
const STARTS: usize = 11;

/// How long a server is left alone before it counts as idle.
const IDLE: Duration = Duration::from_secs(5);

/// Measures, prints and, if asked to, writes.
pub(super) fn run(
    write: bool,
    rounds: usize,
    secs: u64,
    filled: Option<&Path>,
) -> Result<ExitCode> {
    let root = checkout::root()?;
    let agnesd = release(&root)?.join("agnesd");
    let examples = examples(&root)?;
    // not below /tmp, which may be memory; another user's PostgreSQL has to be able to enter
    let home = tempfile::Builder::new()
        .prefix("agnes-bench-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .tempdir_in("/var/tmp")
        .context("a temporary directory")?;
    let wrk = Wrk::new(home.path(), secs)?;

    let fresh = Home::new(&agnesd, &home.path().join("fresh"))?;
    let server = fresh.start()?;
    server.bootstrap()?;
    sleep(IDLE);
    let idle = server.resident()?;
    let postgres = Postgres::start(&home.path().join("postgres"))?;
    let peer = Peer::start(&examples.join("bench-peer"), home.path(), &postgres)?;
    println!("reads, then durable writes, {CLIENTS} clients, {rounds} rounds of {secs} s a side");
    let reads = reads(&wrk, &server, &peer, rounds)?;
    let writes = writes(&wrk, &server, &peer, rounds)?;
    drop(peer);
    drop(postgres);
    server.stop()?;

    println!("{STARTS} starts with {USERS} users and {AUDIT_ROWS} audit rows");
    let own = home.path().join("full");
    let full = Home::new(&agnesd, filled.unwrap_or(&own))?;
    if !full.state_dir().join("system.duckdb").exists() {
        seed(&examples.join("seed"), &full)?;
    }
    let starts = starts(&full)?;
    let verified = full.audit_verify()?;

    let figures = Figures {
        reads,
        writes,
        idle,
        starts,
        verified,
    };
    let table = table(&figures.rows());
    println!("\n{table}");
    if write {
        let note = format!(
            "Medians of {rounds} rounds of {secs} s a side, taken in turns with {CLIENTS} connections of wrk on the machine \
             that serves. Read: `GET {READ}` with an access token, beside a bare axum that answers a constant. Write: `POST \
             {WRITE}`, a row and its audit row. PostgreSQL 15 with its default settings stands behind an axum handler with a \
             pool of {CLIENTS} connections, and commits one row a request; the second figure is a row and an audit row in \
             one statement. No limits, no TLS; the database engine is the prebuilt shared library."
        );
        figures::write(
            &root,
            "bench http",
            "The served API: throughput, memory, start",
            &format!("{note}\n\n{table}"),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds what only the bench needs, apart from the programs, whose features it would change.
fn examples(root: &Path) -> Result<PathBuf> {
    let mut build = database_engine::cargo("build");
    build
        .args(["--release", "--locked", "--workspace"])
        .args(["--example", "bench-peer", "--example", "seed"])
        .current_dir(root);
    command::run(&mut build)?;
    Ok(release_directory()?.join("examples"))
}

/// The programs beside which the server is measured, as one process.
struct Peer {
    address: std::net::SocketAddr,
    _running: Running,
}

impl Peer {
    fn start(program: &Path, home: &Path, postgres: &Postgres) -> Result<Self> {
        let address = free_address()?;
        let mut run = Command::new(program);
        run.arg(address.to_string())
            .arg(postgres.socket())
            .env_clear();
        Ok(Self {
            address,
            _running: Running::start(&mut run, &home.join("peer.log"), address)?,
        })
    }

    fn asked<'a>(&self, path: &'a str, names: Option<String>) -> Requests<'a> {
        Requests {
            to: self.address,
            path,
            bearer: None,
            names,
        }
    }
}

#[derive(Debug, Default)]
struct Reads {
    bare: Vec<Load>,
    ours: Vec<Load>,
}

fn reads(wrk: &Wrk, server: &Server, peer: &Peer, rounds: usize) -> Result<Reads> {
    let mut reads = Reads::default();
    for _ in 0..rounds {
        reads.bare.push(wrk.run(&peer.asked("/", None))?);
        let bearer = server.sign_in()?;
        reads.ours.push(wrk.run(&Requests {
            to: server.address,
            path: READ,
            bearer: Some(&bearer),
            names: None,
        })?);
    }
    Ok(reads)
}

#[derive(Debug, Default)]
struct Writes {
    /// PostgreSQL, one row a commit.
    row: Vec<Load>,
    /// PostgreSQL, a row and an audit row.
    act: Vec<Load>,
    ours: Vec<Load>,
}

fn writes(wrk: &Wrk, server: &Server, peer: &Peer, rounds: usize) -> Result<Writes> {
    let mut writes = Writes::default();
    for round in 0..rounds {
        let names = |side: &str| Some(format!("bench-{side}-{round}"));
        writes.row.push(wrk.run(&peer.asked("/row", names("row")))?);
        let bearer = server.sign_in()?;
        writes.ours.push(wrk.run(&Requests {
            to: server.address,
            path: WRITE,
            bearer: Some(&bearer),
            names: names("ours"),
        })?);
        writes.act.push(wrk.run(&peer.asked("/act", names("act")))?);
    }
    Ok(writes)
}

/// Fills the deployment's database through the store itself, so that it is what such a server would have written.
fn seed(program: &Path, home: &Home) -> Result<()> {
    let mut run = Command::new(program);
    run.arg(home.state_dir())
        .arg(USERS.to_string())
        .arg(AUDIT_ROWS.to_string())
        .env_clear();
    command::run(&mut run)
}

/// How long starts took, and what the last of them held in memory.
#[derive(Debug)]
struct Starts {
    ready_ms: Vec<u64>,
    idle: Resident,
}

fn starts(home: &Home) -> Result<Starts> {
    let mut ready_ms = Vec::new();
    loop {
        let server = home.start()?;
        ready_ms.push(u64::try_from(server.ready_after.as_millis()).unwrap_or(u64::MAX));
        if ready_ms.len() == STARTS {
            sleep(IDLE);
            let idle = server.resident()?;
            server.stop()?;
            return Ok(Starts { ready_ms, idle });
        }
        server.stop()?;
    }
}

/// All that was measured.
struct Figures {
    reads: Reads,
    writes: Writes,
    idle: Resident,
    starts: Starts,
    /// `agnesd audit verify` over the rows of the starts.
    verified: Duration,
}

impl Figures {
    fn rows(&self) -> Vec<Row> {
        let Self {
            reads,
            writes,
            idle,
            starts,
            verified,
        } = self;
        let (bare, read) = (Median::of(&reads.bare), Median::of(&reads.ours));
        let (row, act) = (Median::of(&writes.row), Median::of(&writes.act));
        let write = Median::of(&writes.ours);
        let ready = Spread::of(starts.ready_ms.iter().copied());
        let memory = |resident: &Resident| {
            format!(
                "{:.1} MB, {:.1} MB of them mapped files",
                megabytes(resident.bytes),
                megabytes(resident.of_files)
            )
        };
        vec![
            Row {
                measure: "authenticated read",
                figure: format!(
                    "{} of a bare axum: {read}; bare: {bare}",
                    percent(read.per(&bare))
                ),
                target: "≥ 60 % of a bare axum",
                met: read.per(&bare) >= 0.60,
            },
            Row {
                measure: "authenticated read, p99 against p50",
                figure: format!("{:.1}×", read.p99_us as f64 / read.p50_us.max(1) as f64),
                target: "under 5×",
                met: read.p99_us < 5 * read.p50_us,
            },
            Row {
                measure: "audited durable write",
                figure: format!(
                    "{:.2}× PostgreSQL's rows: {write}; PostgreSQL: {row}",
                    write.per(&row)
                ),
                target: "≥ 0.5×",
                met: write.per(&row) >= 0.5,
            },
            Row {
                measure: "the same, PostgreSQL writing an audit row too",
                figure: format!("{:.2}×; PostgreSQL: {act}", write.per(&act)),
                target: "≥ 0.5×",
                met: write.per(&act) >= 0.5,
            },
            Row {
                measure: "idle memory",
                figure: memory(idle),
                target: "≤ 80 MB",
                met: idle.bytes <= 80_000_000,
            },
            Row {
                measure: "exec → ready, 100,000 users, 1,000,000 audit rows",
                figure: format!(
                    "{} ms ({}; worst {}); then idle at {}",
                    ready.median,
                    ready.least,
                    ready.most,
                    memory(&starts.idle)
                ),
                target: "≤ 500 ms",
                met: ready.median <= 500,
            },
            Row {
                measure: "`agnesd audit verify`, 1,000,000 rows",
                figure: format!("{:.1} s", verified.as_secs_f64()),
                target: "none",
                met: true,
            },
        ]
    }
}

/// The middle of several runs, figure by figure.
#[derive(Debug, Clone, Copy)]
struct Median {
    per_sec: u64,
    p50_us: u64,
    p99_us: u64,
}

impl Median {
    fn of(loads: &[Load]) -> Self {
        let of = |figure: fn(&Load) -> u64| Spread::of(loads.iter().map(figure)).median;
        Self {
            per_sec: of(|load| load.per_sec),
            p50_us: of(|load| load.p50_us),
            p99_us: of(|load| load.p99_us),
        }
    }

    fn per(&self, other: &Self) -> f64 {
        self.per_sec as f64 / other.per_sec.max(1) as f64
    }
}

impl std::fmt::Display for Median {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |us: u64| us as f64 / 1000.0;
        write!(
            f,
            "{}/s, p50 {:.2} ms, p99 {:.2} ms",
            self.per_sec,
            millis(self.p50_us),
            millis(self.p99_us)
        )
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_judged_by_its_own_figure() {
        let load = |per_sec, p50_us, p99_us| Load {
            per_sec,
            p50_us,
            p99_us,
        };
        let resident = |bytes| Resident { bytes, of_files: 0 };
        let figures = Figures {
            reads: Reads {
                bare: vec![load(100_000, 100, 200)],
                ours: vec![load(59_000, 100, 499)],
            },
            writes: Writes {
                row: vec![load(10_000, 1, 1)],
                act: vec![load(8_000, 1, 1)],
                ours: vec![load(4_500, 1, 1)],
            },
            idle: resident(80_000_001),
            starts: Starts {
                ready_ms: vec![900, 500, 400],
                idle: resident(0),
            },
            verified: Duration::from_secs(61),
        };
        let met: Vec<bool> = figures.rows().iter().map(|row| row.met).collect();
        assert_eq!(met, [false, true, false, true, false, true, true]);
    }
}
