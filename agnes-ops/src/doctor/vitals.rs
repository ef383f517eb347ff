//! What runs at this look, from what the checks look at anyhow; and whether the last upgrade made it worse.
//!
//! Always true: judged for an hour after a commit, against the hour before it; nothing is judged that was not counted.
//!
//! Does not: go back: a person does, who is told what it would lose.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use super::{Patient, Seen};
use crate::upgrade::{self, Commit};
use crate::vitals::{self, Container, Server, Span, Vitals};

/// How long after a commit.
const HOUR: i64 = 60 * 60;
/// Fewer failed calls are nobody's fault.
const LEAST_ERRORS: u64 = 5;
/// Below that share of calls, in percent, failures are life …
const LEAST_PERCENT: u64 = 1;
/// … and above it they are the upgrade's as soon as there are so many times more than before.
const TIMES_MORE: u64 = 3;

/// What runs.
pub fn vitals(patient: &Patient<'_>) -> Vitals {
    let settings = patient.settings();
    let state = patient.state(settings).as_ref().ok();
    let containers = match patient.has_stack(settings) {
        true => patient.containers(settings).as_ref().ok(),
        false => None,
    };
    let containers = containers.into_iter().flatten();
    Vitals {
        at: patient.host().now().format(&Rfc3339).unwrap_or_default(),
        host_started_at: patient.started_at(),
        server: state.and_then(server),
        containers: containers
            .filter(|(_, inspected)| inspected.runs)
            .map(|(one, inspected)| Container {
                id: one.id.clone(),
                service: one.service.clone(),
                image_id: inspected.image_id.clone(),
                started_at: inspected.started_at.clone(),
            })
            .collect(),
    }
}

fn server(state: &Value) -> Option<Server> {
    let text = |key: &str| state.get(key).and_then(Value::as_str).map(str::to_owned);
    // an older server does not count
    let requests = state.get("requests").cloned();
    Some(Server {
        version: text("version")?,
        schema: state.get("schema").and_then(Value::as_u64)?,
        started_at: text("started_at")?,
        requests: requests.and_then(|requests| serde_json::from_value(requests).ok()),
    })
}

/// Whether more fails since the last upgrade than before it.
pub(super) fn regressed(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    let host = patient.host();
    let commit = match upgrade::last_commit(host, settings) {
        Ok(commit) => commit,
        Err(why) => return Seen::Unchecked(format!("{why:#}")),
    };
    let now = host.now().unix_timestamp();
    let lately = commit.filter(|commit| (0..HOUR).contains(&(now - commit.ended_at)));
    let Some(commit) = lately else {
        return Seen::Unchecked("no upgrade was committed in the last hour".to_owned());
    };
    let kept = match vitals::read(host, settings) {
        Ok(Some(kept)) => kept,
        Ok(None) => return Seen::Unchecked("watch has not looked yet".to_owned()),
        Err(why) => return Seen::Unchecked(format!("{why:#}")),
    };
    let before = kept.span(commit.started_at - HOUR, commit.started_at);
    // no look is at work while an upgrade is: one of the same second came after it
    let after = kept.span(commit.ended_at - 1, now);
    if !is_worse(before, after) {
        return Seen::Passed;
    }
    let evidence = format!(
        "since {} was committed {} minutes ago {}, and {} processes were started anew; in the hour before {}, and {}",
        commit.to.short(),
        (now - commit.ended_at) / 60,
        failed(after),
        after.restarts,
        failed(before),
        before.restarts,
    );
    Seen::found(
        upgrade::SERVICE,
        evidence,
        way_back(patient, &commit, &settings.dir.display().to_string()),
    )
}

fn failed(span: Span) -> String {
    match span.requests {
        Some(got) => format!("{} of {} calls failed (5xx)", got.server_errors, got.total),
        None => "failed calls were not counted".to_owned(),
    }
}

fn is_worse(before: Span, after: Span) -> bool {
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    let more_fails = match (before.requests, after.requests) {
        (Some(before), Some(after)) => {
            let many = after.server_errors >= LEAST_ERRORS
                && product(after.server_errors, 100) > product(after.total, LEAST_PERCENT);
            // after.errors / after.total > TIMES_MORE * before.errors / before.total, without division
            let more = before.total == 0
                || product(after.server_errors, before.total)
                    > u128::from(TIMES_MORE) * product(before.server_errors, after.total);
            many && more
        }
        // what was not counted is not judged
        _ => false,
    };
    more_fails || after.restarts > before.restarts
}

/// The command, and what it would lose.
fn way_back(patient: &Patient<'_>, commit: &Commit, dir: &str) -> String {
    let back = format!("agnes-ops -C {dir} upgrade rollback");
    if !commit.migrates {
        return format!("{back}: it loses nothing, the data stays");
    }
    let state = patient.state(patient.settings()).as_ref().ok();
    let seq = state.and_then(|state| state.pointer("/audit_head/seq")?.as_i64());
    let written = match (seq, commit.audit_seq_before) {
        (Some(now), Some(before)) => format!("{} acts of the audit log", now - before),
        _ => "all that was written".to_owned(),
    };
    format!(
        "{back} --with-data: the version migrated the data, so it loses {written} since {}; with --dry-run it counts by table",
        commit.started_at_text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::Requests;

    fn span(total: u64, server_errors: u64, restarts: u64) -> Span {
        Span {
            requests: Some(Requests {
                total,
                server_errors,
            }),
            restarts,
        }
    }

    #[test]
    fn an_upgrade_made_it_worse_when_more_fails_than_before() {
        for (before, after, worse) in [
            (span(1000, 0, 0), span(1000, 0, 0), false),
            (span(1000, 0, 0), span(1000, 4, 0), false),
            (span(1000, 0, 0), span(1000, 10, 0), false),
            (span(1000, 0, 0), span(1000, 11, 0), true),
            (span(0, 0, 0), span(50, 5, 0), true),
            // as bad as it was
            (span(1000, 20, 0), span(1000, 60, 0), false),
            (span(1000, 20, 0), span(1000, 61, 0), true),
            (span(1000, 0, 0), span(1000, 0, 1), true),
            (span(1000, 0, 2), span(1000, 0, 2), false),
        ] {
            assert_eq!(is_worse(before, after), worse, "{before:?} {after:?}");
        }
        // a version that did not count is no better one
        let uncounted = Span::default();
        assert!(!is_worse(uncounted, span(1000, 500, 0)));
        assert!(is_worse(uncounted, span(1000, 0, 1)));
    }
}
