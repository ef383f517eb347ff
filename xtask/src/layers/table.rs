//! The table between the markers in docs/architecture.md.
//!
//! Always true: a parsed table has one row a module.
//!
//! Does not: compare it with anything.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::Rows;

/// What each module of each crate may use.
#[derive(Debug)]
pub(super) struct Table {
    /// By crate (its directory), by module.
    pub(super) crates: BTreeMap<String, Rows>,
}

impl Table {
    /// Reads the rows between `<!-- layers -->` and `<!-- /layers -->`.
    pub(super) fn parse(document: &str) -> Result<Self> {
        let (_, rest) = document
            .split_once("<!-- layers -->")
            .context("docs/architecture.md has no `<!-- layers -->`")?;
        let (table, _) = rest
            .split_once("<!-- /layers -->")
            .context("docs/architecture.md has no `<!-- /layers -->`")?;
        let mut crates: BTreeMap<String, Rows> = BTreeMap::new();
        for line in table
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with('|'))
        {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, module, allowed] = cells.as_slice() else {
                bail!("layer table: three columns, please: {line}")
            };
            if *name == "crate" || name.starts_with('-') {
                continue;
            }
            let allowed = allowed
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect();
            let before = crates
                .entry((*name).to_owned())
                .or_default()
                .insert((*module).to_owned(), allowed);
            ensure!(
                before.is_none(),
                "layer table: two rows for {name} {module}"
            );
        }
        ensure!(!crates.is_empty(), "layer table: no rows");
        Ok(Self { crates })
    }
}
