//! stub
use duckdb::Connection;
use std::path::{Path, PathBuf};
/// o
#[derive(Debug, Clone)]
pub struct Options {
    /// a
    pub state_dir: PathBuf,
    /// a
    pub memory_limit_bytes: u64,
    /// a
    pub threads: u32,
    /// a
    pub program: PathBuf,
    /// a
    pub release: String,
}
/// e
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// a
    #[error("{0}")]
    Engine(String),
    /// a
    #[error("{path}: {why}")]
    Contents {
        /// a
        path: PathBuf,
        /// a
        why: String,
    },
}
pub(crate) struct Engine {
    connection: std::sync::Mutex<Connection>,
    path: PathBuf,
}
impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}
impl Engine {
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        let path = options.state_dir.join("system.duckdb");
        let e = |e: duckdb::Error| OpenError::Engine(e.to_string());
        let c = Connection::open_in_memory().map_err(e)?;
        c.execute_batch(&format!("ATTACH '{}' AS agnes; USE agnes", path.display()))
            .map_err(e)?;
        let fresh: i64 = c
            .query_row(
                "SELECT count(*) FROM duckdb_tables() WHERE table_name='users'",
                [],
                |r| r.get(0),
            )
            .map_err(e)?;
        if fresh == 0 {
            for sql in [
                include_str!("migrations/0001_people.sql"),
                include_str!("migrations/0002_audit.sql"),
                include_str!("migrations/0003_jobs_and_settings.sql"),
            ] {
                c.execute_batch(sql).map_err(e)?;
            }
        }
        Ok(Self {
            connection: std::sync::Mutex::new(c),
            path,
        })
    }
    pub(crate) fn connect(&self) -> duckdb::Result<Connection> {
        let c = self
            .connection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .try_clone()?;
        c.execute_batch("USE agnes")?;
        Ok(c)
    }
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
    pub(crate) fn schema(&self) -> u32 {
        3
    }
    pub(crate) fn notes(&self) -> &[String] {
        &[]
    }
}

impl OpenError {
    /// x
    pub fn exit_code(&self) -> u8 {
        1
    }
    /// x
    pub fn hint(&self) -> Option<&'static str> {
        None
    }
}
