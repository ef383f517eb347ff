//! The settings.
//!
//! Always true: no value is repeated.
//!
//! Does not: know what they are for.

use agnes_config::Problem;

use super::{Found, Patient, Seen};
use crate::outcome::one_line;

pub(super) fn valid(patient: &Patient<'_>) -> Seen {
    Seen::of(told(&patient.options.loaded.problems))
}

/// What keeps `agnesd` alone from starting.
pub(super) fn server(patient: &Patient<'_>) -> Seen {
    if patient.settings().is_none() {
        return Seen::Unchecked("the settings are wrong".to_owned());
    }
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
