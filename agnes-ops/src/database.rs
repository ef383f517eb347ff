//! A database file, read by the server's own program: this host's, or that of an image in a container of its own.
//!
//! Always true: the file is in a directory of its own that nobody serves; a container has no network and sees nothing else; what
//! the program makes belongs to whom the file belongs to.
//!
//! Does not: know the engine, or what a file should hold.

mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::FileOwner;
use serde::Deserialize;
use serde_json::Value;

use crate::host::{Host, Ran, RunError};

pub use table::Table;

/// The database's name in every directory.
pub const FILE: &str = "system.duckdb";
/// The user of the image.
pub const IMAGE_USER: FileOwner = FileOwner { uid: 999, gid: 999 };
/// How long reading all of it may take.
const DEADLINE: Duration = Duration::from_secs(1800);
/// Where a container has the directory.
const INSIDE: &str = "/data";

/// The server's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// On this host.
    Here(PathBuf),
    /// In an image.
    Image(String),
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Figures {
    /// Its schema version.
    pub schema: i64,
    /// The engine that read it; none from an older program.
    pub engine: Option<String>,
    /// Every table.
    pub tables: BTreeMap<String, Table>,
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Schema before.
    pub from: i64,
    /// Schema after.
    pub to: i64,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Exported {
    /// Of the copy.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// What it holds.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What `docker run` is told for a container that sees one directory, as its owner, and nothing else.
pub fn apart(root: &Path, owner: Option<FileOwner>) -> Vec<String> {
    let owner = owner.unwrap_or(IMAGE_USER);
    let mount = format!(
        "--mount=type=bind,source={},target={INSIDE}",
        root.display()
    );
    let user = format!("--user={}:{}", owner.uid, owner.gid);
    let fixed = [
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
    ];
    let fixed = fixed.into_iter().map(str::to_owned);
    fixed.chain([user, mount]).collect()
}

/// The program, on files of one owner.
pub struct Reader<'a> {
    /// The host.
    pub host: &'a Host,
    /// What reads.
    pub program: &'a Program,
    /// Whose the files are; `None`: whoever runs this.
    pub owner: Option<FileOwner>,
}

impl Reader<'_> {
    /// Reads all of the file in `room`; `Err`: why it is not sound.
    ///
    /// # Errors
    /// One clause.
    pub fn check(&self, room: &Path) -> Result<Figures, String> {
        let file = self.inside(room, FILE);
        let details = self.asked(room, "check", &["db", "check", "--json", &file])?;
        serde_json::from_value(details)
            .map_err(|why| format!("db check: its answer is not understood: {why}"))
    }

    /// Migrates the file in `room` to what the program knows.
    ///
    /// # Errors
    /// One clause.
    pub fn migrate(&self, room: &Path) -> Result<Migrated, String> {
        let file = self.inside(room, FILE);
        let details = self.asked(room, "migrate", &["db", "migrate", "--json", &file])?;
        let schema = |key: &str| {
            let found = details.get(key).and_then(Value::as_i64);
            found.ok_or_else(|| "db migrate: its answer names no schema".to_owned())
        };
        Ok(Migrated {
            from: schema("from")?,
            to: schema("to")?,
        })
    }

    /// Copies a database that nobody serves; both paths are below `root`.
    ///
    /// # Errors
    /// One clause.
    pub fn export(&self, root: &Path, from: &Path, to: &Path) -> Result<Exported, String> {
        let [from, to] = [from, to].map(|path| {
            let below = path
                .strip_prefix(root)
                .map_err(|_| format!("{} is not below {}", path.display(), root.display()))?;
            Ok::<_, String>(self.inside(root, &below.to_string_lossy()))
        });
        let arguments = ["db", "export", "--json", "--file", &from?, &to?];
        let details = self.asked(root, "export", &arguments)?;
        serde_json::from_value(details)
            .map_err(|why| format!("db export: its answer is not understood: {why}"))
    }

    fn inside(&self, root: &Path, name: &str) -> String {
        match self.program {
            Program::Here(_) => root.join(name).display().to_string(),
            Program::Image(_) => format!("{INSIDE}/{name}"),
        }
    }

    fn asked(&self, root: &Path, verb: &str, arguments: &[&str]) -> Result<Value, String> {
        let ran = self.run(root, arguments)?;
        let said: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_default();
        if ran.code == 0 {
            return Ok(said.get("details").cloned().unwrap_or_default());
        }
        let findings = said.pointer("/details/findings").and_then(Value::as_array);
        let findings: Vec<&str> = findings
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let message = said.pointer("/details/message").and_then(Value::as_str);
        Err(match (findings.is_empty(), message) {
            (false, _) => findings.join("; "),
            (true, Some(message)) => message.to_owned(),
            (true, None) => format!("db {verb}: exit {}: {}", ran.code, ran.last_line()),
        })
    }

    fn run(&self, root: &Path, arguments: &[&str]) -> Result<Ran, String> {
        match self.program {
            Program::Here(program) => {
                let program = program.to_string_lossy();
                let argv = [&[&*program], arguments].concat();
                let ran = self.host.run_as(self.owner, &argv, DEADLINE);
                ran.map_err(|error| match error {
                    RunError::NoProgram => format!("{program}: there is no such program"),
                    error => format!("{program}: {error}"),
                })
            }
            Program::Image(image) => self.in_container(image, root, arguments),
        }
    }

    fn in_container(&self, image: &str, root: &Path, arguments: &[&str]) -> Result<Ran, String> {
        let apart = apart(root, self.owner);
        let mut argv = vec!["docker", "run", "--rm", "--env", "TMPDIR=/data"];
        argv.extend(apart.iter().map(String::as_str));
        argv.push(image);
        argv.extend(arguments);
        match self.host.run(&argv, None, DEADLINE) {
            // Docker's own, not the program's
            Ok(ran) if ran.code == 125 => {
                let why = ran.stderr.lines().find(|line| !line.trim().is_empty());
                Err(format!(
                    "docker run: {}",
                    why.unwrap_or("no reason was given")
                ))
            }
            Ok(ran) => Ok(ran),
            Err(error) => Err(format!("docker run: {error}")),
        }
    }
}
