//! What a database contains, as figures that can be compared: rows and a hash for every table that the catalogue knows.
//!
//! The hash of a table is SHA-256 over its columns, its number of rows and the sums of both halves of each row's MD5, a row
//! being the lengths of its values' texts (−1 is NULL) and then these texts. Sums do not depend on the order of rows; the text
//! of a value does not depend on how it is stored. It tells two contents apart that differ by damage; against intent there is
//! the audit log's chain.
//!
//! Always true: every table is read to its last row; no table is on a list of ours (S08).
//!
//! Does not: judge. Same figures, same content.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use duckdb::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attach::{Access, Limits, attach, words};
use super::child::Failure;
use crate::{hex, migrations};

/// A database's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The newest row of `schema_version`; 0 when there is none.
    pub schema: u32,
    /// The engine's own version, such as `v1.5.6`.
    #[serde(default)]
    pub engine: String,
    /// By name; a name outside the schema `main` has its schema before it.
    pub tables: BTreeMap<String, Table>,
    /// `schema.table column TYPE` lines, sorted.
    pub columns: Vec<String>,
}

/// A table's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its rows.
    pub rows: u64,
    /// See the module's head.
    pub sha256: String,
}

/// The child's part: opens `file` read-only and reads all of it.
pub(crate) fn perform(file: &Path, limits: Limits) -> Result<Value, Failure> {
    let open = attach(file, Access::ReadOnly, limits, None);
    let content = open.and_then(|connection| read(&connection));
    content
        .map(|content| serde_json::json!(content))
        .map_err(|why| Failure::engine(&why))
}

/// Reads the attached database whole.
pub(crate) fn read(connection: &Connection) -> Result<Content, String> {
    let schema = migrations::version(connection).map_err(|e| words(&e))?;
    let mut tables = BTreeMap::new();
    for (name, columns) in shapes(connection).map_err(|e| words(&e))? {
        let figures = table(connection, &name, &columns)
            .map_err(|e| format!("table {}: {}", name.1, words(&e)))?;
        let key = match name {
            (schema, table) if schema == "main" => table,
            (schema, table) => format!("{schema}.{table}"),
        };
        tables.insert(key, figures);
    }
    let engine = connection.query_row("SELECT version()", [], |row| row.get(0));
    Ok(Content {
        schema: schema.unwrap_or_default(),
        engine: engine.map_err(|e| words(&e))?,
        tables,
        columns: migrations::columns(connection).map_err(|e| words(&e))?,
    })
}

/// Schema and table.
type Name = (String, String);
/// Name and type.
type Column = (String, String);

fn shapes(connection: &Connection) -> duckdb::Result<BTreeMap<Name, Vec<Column>>> {
    let mut shapes: BTreeMap<Name, Vec<Column>> = BTreeMap::new();
    let mut statement = connection.prepare(
        "SELECT c.schema_name, c.table_name, c.column_name, c.data_type
         FROM duckdb_columns() c JOIN duckdb_tables() t USING (database_oid, schema_oid, table_oid)
         WHERE c.database_name = 'agnes' AND NOT c.internal ORDER BY c.column_index",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = (row.get(0)?, row.get(1)?);
        shapes
            .entry(name)
            .or_default()
            .push((row.get(2)?, row.get(3)?));
    }
    Ok(shapes)
}

fn table(connection: &Connection, name: &Name, columns: &[Column]) -> duckdb::Result<Table> {
    let texts = columns
        .iter()
        .map(|(column, _)| format!("{}::VARCHAR", quoted(column)));
    // before the texts, so that these need no quotes: to double quotes within takes longer than all else
    let lengths = texts
        .clone()
        .map(|text| format!("coalesce(strlen({text}), -1)"));
    let sql = format!(
        "SELECT count(*), coalesce(sum(md5_number_lower(line)::HUGEINT), 0)::VARCHAR,
                coalesce(sum(md5_number_upper(line)::HUGEINT), 0)::VARCHAR
         FROM (SELECT concat_ws(',', {}) AS line FROM agnes.{}.{})",
        lengths.chain(texts).collect::<Vec<_>>().join(", "),
        quoted(&name.0),
        quoted(&name.1),
    );
    let (rows, lower, upper): (u64, String, String) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut figures = String::from("agnes content 2\n");
    for (column, kind) in columns {
        figures.push_str(&format!("{} {kind}\n", quoted(column)));
    }
    figures.push_str(&format!("{rows} {lower} {upper}\n"));
    let sha256 = hex::encode(digest(&SHA256, figures.as_bytes()).as_ref());
    Ok(Table { rows, sha256 })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
