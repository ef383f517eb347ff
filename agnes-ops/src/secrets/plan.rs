//! What becomes of each secret, decided from what was seen.
//!
//! Always true: values in, decisions out. A value that works is replaced by another that works or by none at all; one that
//! was replaced before does not come back.
//!
//! Does not: touch anything.

use agnes_config::{Secret, against_key, dotenv};

use super::catalogue::Managed;
use super::generations::{Current, Kept};

/// What was seen of one secret.
pub(super) struct Seen<'a> {
    pub(super) managed: &'a Managed,
    /// The value in `.env`; `None`: none, an empty one, or a reference.
    pub(super) written: Option<&'a str>,
    /// What is kept of it.
    pub(super) kept: &'a Kept,
    /// What its source said; `None`: it has none.
    pub(super) fetched: Option<Result<&'a Secret, String>>,
}

/// What is done about one secret.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// The generation that counts is what it should be.
    Keep(u64),
    /// A value is made.
    Mint,
    /// A person's value of `.env` becomes a generation.
    Adopt(Secret),
    /// A value of the source becomes a generation.
    Take(Secret),
    /// A generation that is there already becomes the one that counts: a run was cut off before it said so.
    Finish(u64),
    /// There is none, and none is required.
    Nothing,
}

/// The decision about one secret.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) action: Action,
    /// What a person has to know, one clause.
    pub(super) note: Option<String>,
    /// The source failed and the last good value stays.
    pub(super) failed: bool,
}

impl Decision {
    fn of(action: Action) -> Self {
        Self {
            action,
            note: None,
            failed: false,
        }
    }

    fn noting(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }
}

/// Why nothing can be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Impossible {
    /// The durable copy is damaged, and nothing else has a value that works.
    DurableCopyDamaged(String),
    /// It is required, and was never there.
    Missing(String),
}

/// Why this value cannot be used; `None`: it can.
pub(super) fn unfit(managed: &Managed, value: &str) -> Option<String> {
    if dotenv::quote(value).is_none() {
        return Some("holds a NUL byte, which no environment can carry".to_owned());
    }
    let own = managed.is_own();
    own.then(|| against_key(value)).flatten()
}

/// Decides about one secret.
pub(super) fn decide(seen: &Seen<'_>) -> Result<Decision, Impossible> {
    let managed = seen.managed;
    let written = seen.written.map(|value| (value, unfit(managed, value)));
    let (current, damage) = match &seen.kept.current {
        Current::Absent => (None, None),
        Current::Damaged(why) => (None, Some(why.clone())),
        Current::Sound { number, secret } => match unfit(managed, secret.expose()) {
            None => (Some((*number, secret)), None),
            Some(why) => (None, Some(format!("generation {number} {why}"))),
        },
    };
    match &seen.fetched {
        Some(Ok(secret)) => return Ok(taken(seen, current, secret)),
        Some(Err(why)) => return kept_after(seen, current, written, damage, why),
        None => {}
    }
    match (written, current, damage) {
        // a person's value, or what was written from here
        (Some((value, None)), current, damage) => Ok(of_a_person(seen, current, damage, value)),
        (Some((_, Some(why))), Some((number, _)), _) => Ok(Decision::of(Action::Keep(number))
            .noting(format!(
                "the value in .env {why}; generation {number} is back"
            ))),
        (None, Some((number, _)), _) => Ok(Decision::of(Action::Keep(number))),
        (_, None, Some(why)) => Err(Impossible::DurableCopyDamaged(why)),
        (Some((_, Some(why))), None, None) if managed.is_own() => {
            Ok(Decision::of(Action::Mint)
                .noting(format!("the value in .env {why}; it is replaced")))
        }
        (None, None, None) if managed.is_own() => Ok(Decision::of(Action::Mint)),
        (_, None, None) if managed.required => Err(Impossible::Missing(
            "it has no source, and .env has no value".to_owned(),
        )),
        (_, None, None) => Ok(Decision::of(Action::Nothing)),
    }
}

/// About a fit value in `.env`, of a secret that is not fetched.
fn of_a_person(
    seen: &Seen<'_>,
    current: Option<(u64, &Secret)>,
    damage: Option<String>,
    value: &str,
) -> Decision {
    let adopt = || Decision::of(Action::Adopt(Secret::new(value)));
    let Some((number, secret)) = current else {
        return match damage {
            Some(why) => adopt().noting(format!(
                "the durable copy was damaged ({why}); the value of .env is kept anew"
            )),
            None => adopt().noting("the value that was in .env is kept"),
        };
    };
    if secret.expose() == value {
        return Decision::of(Action::Keep(number));
    }
    match seen.kept.number_of(value) {
        // what a newer run made and could not finish
        Some(newer) if newer > number => Decision::of(Action::Finish(newer)),
        // an old file came back, perhaps with a key that was given up for a reason
        Some(older) => Decision::of(Action::Keep(number)).noting(format!(
            "the value in .env was generation {older}, which was replaced; generation {number} is back"
        )),
        None => adopt().noting("the value in .env is a person's edit and counts from now on"),
    }
}

/// About a value that came from the source; it is fit.
fn taken(seen: &Seen<'_>, current: Option<(u64, &Secret)>, secret: &Secret) -> Decision {
    match (current, seen.kept.number_of(secret.expose())) {
        (Some((number, now)), _) if now.expose() == secret.expose() => {
            Decision::of(Action::Keep(number))
        }
        (Some((number, _)), Some(newer)) if newer > number => Decision::of(Action::Finish(newer)),
        _ => Decision::of(Action::Take(secret.clone())),
    }
}

/// After a fetch that failed: the last good value stays (B07).
fn kept_after(
    seen: &Seen<'_>,
    current: Option<(u64, &Secret)>,
    written: Option<(&str, Option<String>)>,
    damage: Option<String>,
    why: &str,
) -> Result<Decision, Impossible> {
    let failed = |action: Action| Decision {
        action,
        note: Some(format!("{why}; the last good value stays")),
        failed: true,
    };
    match (current, written) {
        (Some((number, _)), _) => Ok(failed(Action::Keep(number))),
        (None, Some((value, None))) => Ok(failed(Action::Adopt(Secret::new(value)))),
        (None, _) => match damage {
            Some(damage) => Err(Impossible::DurableCopyDamaged(format!("{damage}; {why}"))),
            None if seen.managed.required => Err(Impossible::Missing(why.to_owned())),
            None => Ok(Decision {
                note: Some(why.to_owned()),
                ..failed(Action::Nothing)
            }),
        },
    }
}

#[cfg(test)]
mod tests;
