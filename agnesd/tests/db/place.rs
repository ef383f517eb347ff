//! A state directory, databases of any schema version in it, and processes that die while they own one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agnes_store::offline::{self, Migration as Done};
use agnes_store::{Migration, Migrations, OpenError, Options};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const AGNESD: &str = env!("CARGO_BIN_EXE_agnesd");
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes longer than any test waits.
pub(crate) const SLOW: &str = "CREATE TABLE slow AS SELECT sum(a.range * b.range) AS s FROM range(10000000) a, range(10000000) b;";

pub(crate) struct Place {
    pub(crate) root: TempDir,
}

pub(crate) struct Ran {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn details(&self) -> Value {
        serde_json::from_str::<Value>(&self.stdout).unwrap()["details"].clone()
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("state")).unwrap();
        Self { root }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state().join("system.duckdb")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.state().join("system.duckdb.wal")
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            state_dir: self.state(),
            memory_limit_bytes: 256 << 20,
            threads: 1,
            program: AGNESD.into(),
            release: "test".to_owned(),
        }
    }

    pub(crate) fn migrate(&self, list: &Migrations) -> Result<Done, OpenError> {
        offline::migrate_with(&self.options(), &self.database(), list)
    }

    /// As [`Place::migrate`], with a shell script in front of `agnesd`.
    pub(crate) fn migrate_through(&self, script: &str) -> Result<Done, OpenError> {
        let program = self.root.path().join("program");
        fs::write(
            &program,
            format!("#!/bin/sh\n{script}\nexec {AGNESD} \"$@\"\n"),
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let options = Options {
            program,
            ..self.options()
        };
        offline::migrate_with(&options, &self.database(), &Migrations::embedded())
    }

    /// `agnesd db <args>` on this directory, with `--json`.
    pub(crate) fn db(&self, args: &[&str]) -> Ran {
        let output = Command::new(AGNESD)
            .arg("-C")
            .arg(self.root.path())
            .args(["db", "--json"])
            .args(args)
            .env_clear()
            .env("STATE_DIR", self.state())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A process that migrates this directory by `sql`, a migration each, to be killed.
    pub(crate) fn victim(&self, sql: &[&str]) -> Victim {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "place::victim", "--ignored", "--nocapture"])
            .env("VICTIM_ROOT", self.root.path())
            .env("VICTIM_SQL", sql.join("\u{1f}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Victim { child }
    }

    /// A database with three unrelated commits in its write-ahead log, which nobody owns.
    pub(crate) fn leave_a_log(&self) {
        self.migrate(&Migrations::embedded()).unwrap();
        let insert = "INSERT INTO settings SELECT 'k' || range, repeat('v', 20), now() AT TIME ZONE 'UTC', 'a' FROM range(3)";
        let sql = [
            "UPDATE schema_version SET name = name".to_owned(),
            insert.to_owned(),
            insert.replace("'k'", "'l'"),
            insert.replace("'k'", "'m'"),
        ]
        .join(";\u{1e}");
        let parts: Vec<&str> = sql.split('\u{1e}').chain([SLOW]).collect();
        let victim = self.victim(&parts);
        let mut before = 0;
        wait(|| {
            let now = fs::metadata(self.wal()).map_or(0, |m| m.len());
            let settled = now > 800 && now == before;
            before = now;
            std::thread::sleep(Duration::from_millis(200));
            settled
        });
        victim.kill();
        // the versions that the victim pretended to are taken back by its own log: see `victim`
    }

    /// Every file below the state directory that is not a lock, with its bytes.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut open = vec![self.state()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if !path.to_string_lossy().ends_with(".lock") {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// The copies from before a migration.
    pub(crate) fn copies(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.state().join("pre-migration")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "duckdb"))
            .collect()
    }
}

pub(crate) struct Victim {
    child: Child,
}

impl Victim {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait(mut until: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The embedded migrations and further ones.
pub(crate) fn with(sql: &[&str]) -> Migrations {
    let first = Migrations::embedded();
    let mut version = first.newest();
    sql.iter().fold(first, |list, sql| {
        version += 1;
        list.and(Migration {
            version,
            name: "of_a_test",
            sql: Box::leak(sql.to_string().into_boxed_str()),
        })
    })
}

pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// Not a test: the process that [`Place::victim`] starts.
#[test]
#[ignore = "not a test: a process that Place::victim starts and kills"]
fn victim() {
    let Some(root) = std::env::var_os("VICTIM_ROOT") else {
        return;
    };
    let sql = std::env::var("VICTIM_SQL").unwrap();
    let options = Options {
        state_dir: Path::new(&root).join("state"),
        memory_limit_bytes: 256 << 20,
        threads: 1,
        program: AGNESD.into(),
        release: "test".to_owned(),
    };
    let parts: Vec<&str> = sql.split('\u{1f}').collect();
    let _ = offline::migrate_with(&options, &options.database(), &with(&parts));
}
