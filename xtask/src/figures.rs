//! docs/figures.md: what was measured, when and on which commit; each section written whole by the verb it names.
//!
//! Always true: text between a section's markers is replaced, everything else stays; a file that is not there is made.
//!
//! Does not: measure.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

const FILE: &str = "docs/figures.md";

const HEAD: &str = "\
# Figures

What README and the other documents quote. Sections are written by the commands they name; nothing here is edited by
hand. A figure is true of the commit and the machine it stands under.
";

/// Replaces the section of `verb` (`bench tls`) with this body, under a line that says when and where.
///
/// # Errors
/// When the file cannot be read or written, or git does not name the commit.
pub fn write(root: &Path, verb: &str, title: &str, body: &str) -> Result<()> {
    let path = root.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("read {FILE}")),
    };
    let section = format!(
        "## {title}\n\n`cargo xtask {verb}`, {}.\n\n{}\n",
        provenance(root)?,
        body.trim_end()
    );
    fs::write(&path, replaced(&text, verb, &section)).with_context(|| format!("write {FILE}"))?;
    println!("{FILE}: section `{verb}` written");
    Ok(())
}

/// `2026-01-31, commit 0123abc, 2 cores`.
fn provenance(root: &Path) -> Result<String> {
    let date = command::capture(Command::new("date").args(["-u", "+%F"]))?;
    let git = |arguments: &[&str]| {
        command::capture(Command::new("git").args(arguments).current_dir(root))
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs"])?;
    let changed = if changed.trim().is_empty() {
        ""
    } else {
        " with changes"
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Ok(format!(
        "{}, commit {}{changed}, {cores} cores",
        date.trim(),
        commit.trim()
    ))
}

fn replaced(text: &str, verb: &str, section: &str) -> String {
    let (begin, end) = (
        format!("<!-- generated: {verb} -->\n"),
        format!("<!-- /generated: {verb} -->\n"),
    );
    let marked = format!("{begin}{section}{end}");
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    match parts {
        Some((before, after)) => format!("{before}{marked}{after}"),
        None => format!("{}\n\n{marked}", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_its_neighbours_stay() {
        let first = replaced(HEAD, "bench tls", "one\n");
        let both = replaced(&first, "soak", "two\n");
        let again = replaced(&both, "bench tls", "three\n");
        assert!(again.starts_with(HEAD));
        assert!(again.contains("three\n") && again.contains("two\n") && !again.contains("one\n"));
        assert_eq!(replaced(&again, "soak", "two\n"), again);
    }
}
