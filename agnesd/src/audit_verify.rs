//! `agnesd audit verify`: the whole audit chain of a database that nobody serves.
//!
//! Always true: the file is only read; exit 1 lists every finding, not the first.
//!
//! Does not: ask a running server (its log and the control socket tell the head).

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use agnes_store::audit::verify::{Report, verify, verify_own};
use serde_json::json;

use crate::cli::{Audit, AuditVerb};
use crate::db::{Outcome, finish, options};

/// Verifies the file that was named, or the database of `state_dir`.
pub(crate) fn run(audit: &Audit, state_dir: Option<&Path>) -> ExitCode {
    let begun = Instant::now();
    let AuditVerb::Verify { file, scratch } = &audit.verb;
    let outcome = options(file.as_deref(), state_dir).and_then(|(options, file)| {
        let scratch = scratch.clone().unwrap_or_else(std::env::temp_dir);
        let report = match state_dir {
            Some(_) => verify_own(&options, &scratch),
            None => verify(&options, &file, &scratch),
        };
        report.map(outcome)
    });
    finish("audit verify", audit.json, begun, outcome)
}

fn outcome(report: Report) -> Outcome {
    let mut text = String::new();
    let (first, last) = (report.first_seq.unwrap_or(0), report.last_seq.unwrap_or(0));
    let _ = writeln!(
        text,
        "{} rows, {first} to {last}, {}",
        report.rows, report.last_hash
    );
    if let Some(through) = report.expired_through {
        let _ = writeln!(
            text,
            "rows up to {through} have expired behind a signed anchor"
        );
    }
    for told in &report.told {
        let _ = writeln!(
            text,
            "row {}: {} {} {}",
            told.seq, told.at, told.action, told.metadata
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for finding in &report.findings {
        let _ = writeln!(text, "finding: {}: {}", finding.kind.as_str(), finding.what);
    }
    Outcome {
        exit: u8::from(!report.findings.is_empty()),
        changed: false,
        details: json!(report),
        text,
    }
}
