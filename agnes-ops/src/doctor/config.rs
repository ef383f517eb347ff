//! The settings.
//!
//! Always true: no value is repeated.
//!
//! Does not: know what they are for.

use std::path::Path;

use agnes_config::{Loaded, Problem};

use super::{Found, Patient, Seen};
use crate::outcome::one_line;

/// Whoever can be looked at has settings that are right: those that are wrong are told by `wrong`.
pub(super) fn valid(_: &Patient<'_>) -> Seen {
    Seen::Passed
}

/// What is wrong with settings that are.
pub(super) fn wrong(loaded: &Loaded, dir: &Path) -> Vec<Found> {
    told(&loaded.problems, dir)
}

/// What keeps `agnesd` alone from starting.
pub(super) fn server(patient: &Patient<'_>) -> Seen {
    let problems = &patient.options.loaded.server_problems;
    // what only root may read is no problem of the server's
    let denied = |problem: &Problem| problem.message.contains("ermission denied");
    if !patient.host().is_root() && problems.iter().any(denied) {
        return Seen::Unchecked("not as root: some of it may not be read".to_owned());
    }
    Seen::of(told(problems, &patient.settings().dir))
}

fn told(problems: &[Problem], dir: &Path) -> Vec<Found> {
    let each = problems.iter().map(|problem| Found {
        object: problem.source.to_string(),
        evidence: match &problem.key {
            Some(key) => format!("{key}: {}", one_line(&problem.message)),
            None => one_line(&problem.message),
        },
        next: format!(
            "correct {}; agnes-ops -C {} config check",
            problem.source,
            dir.display()
        ),
    });
    each.collect()
}
