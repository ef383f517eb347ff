//! A snapshot's database beside what its manifest says.
//!
//! Always true: every table on either side is looked at, by the catalogue and by no list of ours (S08); a manifest without tables
//! proves nothing.
//!
//! Does not: read files.

use std::collections::BTreeMap;

use super::manifest::Manifest;
use crate::database::{Figures, Table};

/// What is wrong: a code for programs, and a sentence.
pub type Difference = (&'static str, String);

/// Every difference.
pub fn differences(manifest: &Manifest, found: &Figures) -> Vec<Difference> {
    let mut all = Vec::new();
    if manifest.tables.is_empty() {
        let what = "the manifest names no table, which no database of ours is without";
        all.push(("manifest-empty", what.to_owned()));
    }
    if manifest.schema_version != found.schema {
        let what = format!(
            "the schema is version {}, the manifest says {}",
            found.schema, manifest.schema_version
        );
        all.push(("schema-differs", what));
    }
    for (name, wanted) in &manifest.tables {
        all.extend(table(name, wanted, found.tables.get(name)));
    }
    for name in found.tables.keys() {
        if !manifest.tables.contains_key(name) {
            let what = format!("table {name} is not in the manifest");
            all.push(("table-unlisted", what));
        }
    }
    all
}

fn table(name: &str, wanted: &Table, found: Option<&Table>) -> Option<Difference> {
    let Some(found) = found else {
        return Some(("table-missing", format!("table {name} is missing")));
    };
    if found.rows != wanted.rows {
        let what = format!(
            "table {name} has {} rows, the manifest says {}",
            found.rows, wanted.rows
        );
        return Some(("table-rows", what));
    }
    (found.sha256 != wanted.sha256).then(|| {
        let what = format!("table {name} has other content than the manifest says");
        ("table-content", what)
    })
}

/// How many rows each table has more (or fewer) now than `then`; tables without a difference are left out.
pub fn since(
    then: &BTreeMap<String, Table>,
    now: &BTreeMap<String, Table>,
) -> BTreeMap<String, i64> {
    let rows = |tables: &BTreeMap<String, Table>, name: &str| {
        let found = tables.get(name).map_or(0, |table| table.rows);
        i64::try_from(found).unwrap_or(i64::MAX)
    };
    let names = then.keys().chain(now.keys());
    let mut found = BTreeMap::new();
    for name in names {
        let more = rows(now, name) - rows(then, name);
        let changed = then.get(name) != now.get(name);
        if changed {
            found.insert(name.clone(), more);
        }
    }
    found
}
