//! The settings.
//!
//! Always true: no value is repeated.
//!
//! Does not: know what they are for.

use agnes_config::{Loaded, Problem};

use super::{Found, Patient, Seen};
use crate::outcome::one_line;

/// Whoever can be looked at has settings that are right: those that are wrong are told by `wrong`.
pub(super) fn valid(_: &Patient<'_>) -> Seen {
    Seen::Passed
}

/// What is wrong with settings that are.
pub(super) fn wrong(loaded: &Loaded) -> Vec<Found> {
    told(&loaded.problems)
}

/// What keeps `agnesd` alone from starting.
pub(super) fn server(patient: &Patient<'_>) -> Seen {
    Seen::of(told(&patient.options.loaded.server_problems))
}

fn told(problems: &[Problem]) -> Vec<Found> {
    let each = problems.iter().map(|problem| Found {
        object: problem.source.to_string(),
        evidence: match &problem.key {
            Some(key) => format!("{key}: {}", one_line(&problem.message)),
            None => one_line(&problem.message),
        },
        next: format!("correct {}; agnes-ops config check", problem.source),
    });
    each.collect()
}
