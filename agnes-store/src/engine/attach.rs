//! A connection of the engine to one file.
//!
//! Always true: the engine itself lives in memory and the file is attached under the name `agnes` (a file called
//! system.duckdb would otherwise take the name of the engine's own catalog); no extension is loaded and no other file can be
//! reached from SQL; the file knows its write-ahead log by an identity, so that another file's log is refused.
//!
//! Does not: replay a doubtful write-ahead log in this process; see `replay.rs`.

use std::path::Path;

use duckdb::{Config, Connection};

use super::error::one_line;

/// What the engine may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For buffers and sorts; what is more goes to the temporary directory.
    pub memory_bytes: u64,
    /// Threads of one query.
    pub threads: u32,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// As its owner.
    ReadWrite,
    /// Not one byte of it, nor a file beside it, changes.
    ReadOnly,
}

/// The oldest storage format in which a write-ahead log names its database.
const STORAGE: &str = "v1.4.0";

/// A log of this length never comes: the engine begins no checkpoint by itself, for one that fails on a full disk would cost
/// the database and call a commit failed that is durable. The writer begins them, where there is room.
const NEVER: &str = "1000000TB";

/// Attaches `file` and makes it the current catalog; `temporary` takes what does not fit into memory.
///
/// # Errors
/// The engine's words in one line.
pub(crate) fn attach(
    file: &Path,
    access: Access,
    limits: Limits,
    temporary: Option<&Path>,
) -> Result<Connection, String> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("{}: the path is not UTF-8", path.display()))
    };
    let temporary = temporary.map(text).transpose()?.unwrap_or_default();
    let config = || {
        Config::default()
            .enable_autoload_extension(false)?
            .with("autoinstall_known_extensions", "false")?
            .with("allow_community_extensions", "false")?
            .max_memory(&format!("{}B", limits.memory_bytes))?
            .threads(i64::from(limits.threads.max(1)))?
            .with("checkpoint_threshold", NEVER)?
            .with("temp_directory", &temporary)
    };
    let options = match access {
        Access::ReadWrite => format!("(STORAGE_VERSION '{STORAGE}')"),
        Access::ReadOnly => "(READ_ONLY)".to_owned(),
    };
    let file = text(file)?.replace('\'', "''");
    let open = || {
        let root = Connection::open_in_memory_with_flags(config()?)?;
        root.execute_batch(&format!(
            "ATTACH '{file}' AS agnes {options}; USE agnes; SET enable_external_access = false;"
        ))?;
        Ok(root)
    };
    open().map_err(|e: duckdb::Error| words(&e))
}

/// What the engine said, in one line.
pub(crate) fn words(e: &duckdb::Error) -> String {
    match e {
        duckdb::Error::DuckDBFailure(_, Some(message)) => one_line(message),
        other => one_line(&other.to_string()),
    }
}
