//! Which finding comes from which: causes first, in the order of the catalogue, each with its consequences behind it.
//!
//! Always true: values in, values out; every finding stands once; two checks that explain each other do not hide each other.
//!
//! Does not: look at anything.

use super::{Check, Finding, Found};

/// Where the explanations are: docs/operations.md.
const RUNBOOKS: &str = "docs/operations.md#";

pub(super) fn ordered(found: Vec<(&'static Check, Vec<Found>)>) -> Vec<Finding> {
    let ids: Vec<&'static str> = found.iter().map(|(check, _)| check.id).collect();
    let causes: Vec<Option<usize>> = found
        .iter()
        .enumerate()
        .map(|(at, (check, _))| cause(check, ids.get(..at).unwrap_or_default()))
        .collect();
    let mut findings = Vec::new();
    for (at, cause) in causes.iter().enumerate() {
        if cause.is_none() {
            tell(at, &found, &causes, &mut findings);
        }
    }
    findings
}

/// The place of what explains it. Only what stands `before` it in the catalogue can: so there is no circle.
fn cause(check: &Check, before: &[&'static str]) -> Option<usize> {
    check.causes.iter().find_map(|cause| {
        before.iter().position(|id| match cause.strip_suffix('.') {
            Some(area) => id.split('.').next() == Some(area),
            None => id == cause,
        })
    })
}

fn tell(
    at: usize,
    found: &[(&'static Check, Vec<Found>)],
    causes: &[Option<usize>],
    findings: &mut Vec<Finding>,
) {
    let Some((check, all)) = found.get(at) else {
        return;
    };
    let because = causes.get(at).copied().flatten();
    let because = because.and_then(|cause| found.get(cause).map(|(check, _)| check.id));
    for one in all {
        findings.push(Finding {
            id: check.id,
            object: one.object.clone(),
            severity: check.severity,
            evidence: one.evidence.clone(),
            impact: check.impact,
            next: one.next.clone(),
            runbook: format!("{RUNBOOKS}{}", check.runbook),
            because,
        });
    }
    for (consequence, cause) in causes.iter().enumerate() {
        if *cause == Some(at) {
            tell(consequence, found, causes, findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CHECKS;
    use super::*;

    fn of(ids: &[&str]) -> Vec<(&'static str, Option<&'static str>)> {
        let found = CHECKS
            .iter()
            .filter(|check| ids.contains(&check.id))
            .map(|check| {
                let one = Found {
                    object: String::new(),
                    evidence: String::new(),
                    next: String::new(),
                };
                (check, vec![one])
            })
            .collect();
        let findings = ordered(found);
        findings
            .iter()
            .map(|finding| (finding.id, finding.because))
            .collect()
    }

    #[test]
    fn a_consequence_stands_under_its_cause() {
        assert_eq!(
            of(&[
                "store.write",
                "disk.space",
                "secrets.overdue",
                "snapshot.failed"
            ]),
            [
                ("disk.space", None),
                ("store.write", Some("disk.space")),
                ("snapshot.failed", Some("disk.space")),
                ("secrets.overdue", None),
            ]
        );
        assert_eq!(
            of(&[
                "store.write",
                "server.answers",
                "stack.down",
                "docker.engine"
            ]),
            [
                ("docker.engine", None),
                ("stack.down", Some("docker.engine")),
                ("server.answers", Some("docker.engine")),
                ("store.write", Some("server.answers")),
            ]
        );
        // by itself each is a cause
        for check in CHECKS {
            assert_eq!(of(&[check.id]), [(check.id, None)]);
        }
    }
}
