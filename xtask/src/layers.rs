//! The layer rule: which module may use which, read from docs/architecture.md and held against the sources.
//!
//! Always true: every file below a checked crate's `src` belongs to a row, every row to a file; an edge is a path that
//! names another module of the crate, wherever it stands (imports, expressions, types, macro arguments); code that exists
//! in tests alone is not looked at.
//!
//! Does not: resolve names as the compiler does. A path it cannot place under the crate root is an item of the root,
//! which every module may use, as it may use its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::checkout;

mod sources;
mod table;

use sources::Sources;
use table::Table;

/// `cargo xtask layers`.
///
/// # Errors
/// When the table or a source file cannot be read.
pub fn command() -> Result<ExitCode> {
    let root = checkout::root()?;
    let findings = check(&root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("layers: every import is allowed by docs/architecture.md");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "layers: {} findings; change the import, or the table with a reason",
        findings.len()
    );
    Ok(ExitCode::FAILURE)
}

/// Everything in the checkout at `root` that the table does not allow, one line each.
///
/// # Errors
/// When the table or a source file cannot be read or parsed.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let path = root.join("docs/architecture.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let table = Table::parse(&text)?;
    let mut findings = Vec::new();
    for (name, rows) in &table.crates {
        findings.extend(unknown_names(name, rows));
        findings.extend(cycles(name, rows));
        let sources = Sources::read(&root.join(name).join("src"))?;
        findings.extend(compare(name, rows, &sources));
    }
    Ok(findings)
}

type Rows = BTreeMap<String, BTreeSet<String>>;

/// Names in the third column that are no row.
fn unknown_names(name: &str, rows: &Rows) -> Vec<String> {
    let unknown = |module: &String, used: &String| {
        format!("{name}: the row of `{module}` allows `{used}`, which has no row")
    };
    rows.iter()
        .flat_map(|(module, allowed)| {
            allowed
                .iter()
                .filter(|used| !rows.contains_key(*used))
                .map(move |used| unknown(module, used))
        })
        .collect()
}

/// Rows and files, edges and permissions, side by side.
fn compare(name: &str, rows: &Rows, sources: &Sources) -> Vec<String> {
    let mut findings = Vec::new();
    for module in sources.modules.difference(&rows.keys().cloned().collect()) {
        findings.push(format!("{name}: module `{module}` has no row"));
    }
    for module in rows
        .keys()
        .filter(|module| !sources.modules.contains(*module))
    {
        findings.push(format!("{name}: the row of `{module}` has no file"));
    }
    for edge in &sources.edges {
        let Some(allowed) = rows.get(&edge.from) else {
            continue;
        };
        if edge.to == sources::GLOB {
            findings.push(format!(
                "{}:{}: a glob import of the crate root hides what `{}` uses",
                edge.file, edge.line, edge.from
            ));
        } else if !allowed.contains(&edge.to) {
            findings.push(format!(
                "{}:{}: `{}` may not use `{}`",
                edge.file, edge.line, edge.from, edge.to
            ));
        }
    }
    findings
}

/// Rows that allow each other in a circle, each circle once.
fn cycles(name: &str, rows: &Rows) -> Vec<String> {
    let mut findings = Vec::new();
    let mut done = BTreeSet::new();
    for start in rows.keys() {
        walk(start, rows, &mut Vec::new(), &mut done, &mut |circle| {
            findings.push(format!(
                "{name}: the rows allow a circle: {}",
                circle.join(" → ")
            ));
        });
    }
    findings
}

fn walk(
    at: &String,
    rows: &Rows,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
    report: &mut dyn FnMut(&[String]),
) {
    if let Some(first) = path.iter().position(|seen| seen == at) {
        let mut circle = path.get(first..).unwrap_or_default().to_vec();
        circle.push(at.clone());
        report(&circle);
        return;
    }
    if done.contains(at) {
        return;
    }
    path.push(at.clone());
    for next in rows.get(at).into_iter().flatten() {
        walk(next, rows, path, done, report);
    }
    path.pop();
    done.insert(at.clone());
}

#[cfg(test)]
mod tests;
