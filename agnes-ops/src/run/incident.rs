//! The verbs of `incident`, and `audit`, with what each takes from the command line and the person.
//!
//! Always true: as its parent.
//!
//! Does not: do any of it.

use super::Environment;
use super::asked::asked;
use crate::cli;
use crate::deployment::Deployment;
use crate::incident::{self, Change, Consent, Person};
use crate::outcome::{Exit, Refusal, Report};
use crate::served::Rows;

/// Runs one of them.
///
/// # Errors
/// The verb's.
pub(super) fn run(
    verb: &cli::Incident,
    environment: &Environment,
    deployment: Deployment<'_>,
) -> anyhow::Result<Report> {
    let consent = |yes: bool| {
        move |told: &str| {
            if yes {
                return Consent::Given;
            }
            match asked(told, "do it?") {
                Some(true) => Consent::Given,
                Some(false) => Consent::Withheld,
                None => Consent::NotAsked,
            }
        }
    };
    let by = environment.person();
    match verb {
        cli::Incident::List => incident::list(deployment),
        cli::Incident::Contain {
            principal,
            since,
            yes,
            dry_run,
        } => {
            let person = Person {
                consent: &consent(*yes),
                by,
                dry_run: *dry_run,
            };
            Ok(incident::contain(deployment, principal, *since, &person))
        }
        cli::Incident::RateLimit(args) => {
            let person = Person {
                consent: &consent(args.yes),
                by,
                dry_run: args.dry_run,
            };
            let who = args.principal.as_deref();
            let (Some(who), Some(change)) = (who, change(args, deployment)) else {
                return Ok(incident::look(deployment, who));
            };
            Ok(match change {
                Ok(change) => incident::change(deployment, who, change, &person),
                Err(refusal) => Report::refused(Exit::Usage, refusal),
            })
        }
    }
}

/// `None`: only looking was asked for.
fn change(args: &cli::RateLimit, deployment: Deployment<'_>) -> Option<Result<Change, Refusal>> {
    if args.end {
        return Some(Ok(Change::End));
    }
    let per_min = args.per_min?;
    let from_now = args
        .r#for
        .and_then(|time| deployment.host.now().checked_add(time.try_into().ok()?));
    let until = args.until.or(from_now);
    Some(
        until
            .map(|until| Change::Raise(per_min, until))
            .ok_or_else(|| Refusal::new("usage", "--for: so long is no time; nothing was changed")),
    )
}

/// `audit`.
pub(super) fn audit(args: &cli::Audit, deployment: Deployment<'_>) -> Report {
    let rows = Rows {
        actor: args.actor.clone(),
        action: args.action.clone(),
        from: args.from,
        to: args.to,
    };
    let most = usize::try_from(args.limit).unwrap_or(usize::MAX);
    crate::audit::audit(deployment, &rows, most)
}
