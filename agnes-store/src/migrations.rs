//! The schema, as the ordered list of its migrations.
//!
//! Always true: each migration and its row in `schema_version` are one transaction; versions rise by one from 1; a released
//! migration never changes.
//!
//! Does not: copy the file first (`engine/before.rs`), go back.

use std::borrow::Cow;

use duckdb::Connection;

/// One step of the schema.
#[derive(Debug, Clone)]
pub struct Migration {
    /// 1, 2, 3, …
    pub version: u32,
    /// For `schema_version` and messages.
    pub name: &'static str,
    /// Statements, without BEGIN and COMMIT.
    pub sql: &'static str,
}

/// An ordered list of migrations: the program's own, or a test's.
#[derive(Debug, Clone)]
pub struct Migrations {
    list: Cow<'static, [Migration]>,
    columns: Option<&'static str>,
}

const EMBEDDED: &[Migration] = &[
    Migration {
        version: 1,
        name: "people",
        sql: include_str!("migrations/0001_people.sql"),
    },
    Migration {
        version: 2,
        name: "audit",
        sql: include_str!("migrations/0002_audit.sql"),
    },
    Migration {
        version: 3,
        name: "jobs_and_settings",
        sql: include_str!("migrations/0003_jobs_and_settings.sql"),
    },
    Migration {
        version: 4,
        name: "links_and_identities",
        sql: include_str!("migrations/0004_links_and_identities.sql"),
    },
];

/// What a later program would know besides; debug builds alone.
#[cfg(debug_assertions)]
static FURTHER: std::sync::OnceLock<Migration> = std::sync::OnceLock::new();

/// Makes this process one of a later program, whose newest migration this is: for tests of upgrades. Only in debug builds.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub fn know_further(sql: String) {
    let _ = FURTHER.set(Migration {
        version: EMBEDDED.last().map_or(1, |newest| newest.version + 1),
        name: "further",
        // once in the life of a process
        sql: Box::leak(sql.into_boxed_str()),
    });
}

/// No primary key: the engine's indexes are one more thing that a damaged log can break, and the newest row is what counts.
const SCHEMA_VERSION: &str = "CREATE TABLE IF NOT EXISTS schema_version (
    version    INTEGER NOT NULL,
    name       VARCHAR DEFAULT '',
    applied_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC'),
    release    VARCHAR DEFAULT ''
);";

impl Migrations {
    /// This program's.
    #[must_use]
    pub fn embedded() -> Self {
        let embedded = Self {
            list: Cow::Borrowed(EMBEDDED),
            columns: Some(include_str!("migrations/columns.txt")),
        };
        #[cfg(debug_assertions)]
        if let Some(further) = FURTHER.get() {
            return embedded.and(further.clone());
        }
        embedded
    }

    /// As of an older program.
    #[must_use]
    pub fn up_to(version: u32) -> Self {
        let known = Self::embedded();
        let list = known.list.iter().filter(|m| m.version <= version);
        Self {
            list: list.cloned().collect(),
            columns: None,
        }
    }

    /// As of a later program, for tests.
    #[must_use]
    pub fn and(mut self, migration: Migration) -> Self {
        self.list.to_mut().push(migration);
        self.columns = None;
        self
    }

    /// The newest version.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.list.last().map_or(0, |m| m.version)
    }

    /// What a file of version `from` still needs.
    pub(crate) fn pending(&self, from: u32) -> impl Iterator<Item = &Migration> {
        self.list.iter().filter(move |m| m.version > from)
    }

    /// `table column TYPE NULL?` lines of the newest version, sorted.
    pub(crate) fn columns(&self) -> duckdb::Result<Vec<String>> {
        if let Some(known) = self.columns {
            return Ok(known.lines().map(str::to_owned).collect());
        }
        let scratch = Connection::open_in_memory()?;
        scratch.execute_batch("ATTACH ':memory:' AS agnes; USE agnes;")?;
        for migration in self.list.iter() {
            apply(&scratch, migration, "")?;
        }
        columns(&scratch)
    }
}

/// Applies one migration: its statements and its row, or nothing.
pub(crate) fn apply(
    connection: &Connection,
    migration: &Migration,
    release: &str,
) -> duckdb::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    // dropped on an error, it rolls back
    transaction.execute_batch(SCHEMA_VERSION)?;
    transaction.execute_batch(migration.sql)?;
    transaction.execute(
        "INSERT INTO schema_version (version, name, release) VALUES (?, ?, ?)",
        duckdb::params![migration.version, migration.name, release],
    )?;
    transaction.commit()
}

/// The file's version; `None` when it has no table at all, 0 when it has tables but no version.
pub(crate) fn version(connection: &Connection) -> Result<Option<u32>, duckdb::Error> {
    let tables: Vec<String> = connection
        .prepare("SELECT table_name FROM duckdb_tables() WHERE database_name = 'agnes'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if tables.is_empty() {
        return Ok(None);
    }
    if !tables.iter().any(|table| table == "schema_version") {
        return Ok(Some(0));
    }
    connection
        .query_row(
            "SELECT coalesce(max(version), 0) FROM agnes.main.schema_version",
            [],
            |row| row.get(0),
        )
        .map(Some)
}

/// The real columns, as `table column TYPE NULL?` lines, sorted.
pub(crate) fn columns(connection: &Connection) -> duckdb::Result<Vec<String>> {
    connection
            .prepare(
                "SELECT schema_name || '.' || table_name || ' ' || column_name || ' ' || data_type
                     || CASE WHEN is_nullable THEN '' ELSE ' NOT NULL' END AS line
                 FROM duckdb_columns() WHERE database_name = 'agnes' AND NOT internal ORDER BY line",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
}

/// The first few lines that one of two sorted lists has and the other has not.
pub(crate) fn differences(expected: &[String], found: &[String]) -> Vec<String> {
    let missing = expected
        .iter()
        .filter(|line| !found.contains(line))
        .map(|line| format!("missing {line}"));
    let unknown = found
        .iter()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("unknown {line}"));
    missing.chain(unknown).take(4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_columns_are_those_of_the_migrations() {
        let newest = Migrations::embedded().newest();
        let computed = Migrations::up_to(newest).columns().unwrap();
        assert_eq!(
            Migrations::embedded().columns().unwrap(),
            computed,
            "write these to migrations/columns.txt:\n{}",
            computed.join("\n")
        );
    }
}
