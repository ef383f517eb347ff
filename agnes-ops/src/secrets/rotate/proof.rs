//! What a rotation proves: which credentials the running server takes now.
//!
//! Always true: each check is a call with a credential, or the server's own word about which keys it has; a check that could
//! not be made has failed.
//!
//! Does not: change anything.

use agnes_config::Secret;
use anyhow::Result;
use serde_json::{Value, json};

use super::rotation::{Kind, Rotation};
use super::server::{self, Verdict};
use super::token;
use crate::served::ControlSocket;

/// The checks that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    checks: Vec<(String, Result<(), String>)>,
    asked: bool,
}

impl Proof {
    /// No server runs: there is nobody who could take or refuse anything.
    pub(super) fn nobody_to_ask() -> Self {
        Self {
            checks: Vec::new(),
            asked: false,
        }
    }

    /// One that failed for this reason.
    pub(super) fn failing(why: String) -> Self {
        Self {
            checks: vec![("the server is told".to_owned(), Err(why))],
            asked: true,
        }
    }

    fn of(checks: Vec<(&str, Result<(), String>)>) -> Self {
        let checks = checks.into_iter();
        Self {
            checks: checks.map(|(what, held)| (what.to_owned(), held)).collect(),
            asked: true,
        }
    }

    /// Why it does not hold.
    pub(super) fn failed(&self) -> Option<String> {
        self.checks.iter().find_map(|(what, held)| {
            let why = held.as_ref().err()?;
            Some(format!("not so: {what}: {why}"))
        })
    }

    /// Whether a server was asked, and all of it holds.
    pub(super) fn holds(&self) -> bool {
        self.asked && self.failed().is_none()
    }

    /// For people.
    pub(super) fn sentence(&self) -> String {
        if !self.asked {
            return "no server runs, so nothing is proven: the files are taken up at its next start".to_owned();
        }
        if let Some(why) = self.failed() {
            return format!("not proven: {why}");
        }
        let held: Vec<&str> = self.checks.iter().map(|(what, _)| what.as_str()).collect();
        format!("proven: {}", held.join(", "))
    }

    /// As it stands in `details.proof`.
    pub(super) fn to_json(&self) -> Value {
        let state = match (self.asked, self.failed()) {
            (false, _) => "off",
            (true, None) => "proven",
            (true, Some(_)) => "failed",
        };
        let checks = self.checks.iter().map(
            |(what, held)| json!({"check": what, "held": held.is_ok(), "why": held.as_ref().err()}),
        );
        json!({"state": state, "checks": checks.collect::<Vec<_>>()})
    }
}

/// After the new value was put beside the old one, or in its place. `before` is a token that the server signed earlier.
pub(super) fn of_staging(
    socket: &ControlSocket,
    rotation: &Rotation,
    old: &Secret,
    new: &Secret,
    before: Option<&Secret>,
    now: i64,
) -> Proof {
    let beside = (!rotation.at_once).then_some(old);
    let old_is = if rotation.at_once {
        Verdict::Refused
    } else {
        Verdict::Accepted
    };
    let mut checks = vec![(
        "the server has these keys",
        holds(server::has(socket, rotation.kind, new, beside)),
    )];
    match rotation.kind {
        // it signs nothing yet that could be shown
        Kind::Session => {}
        Kind::Scheduler => {
            // the old one first: who was seen with it last would count as not moved
            let old = shown(socket, old, old_is);
            checks.push((word_of_old(old_is), old));
            let new = shown(socket, new, Verdict::Accepted);
            checks.push(("the new value is accepted", new));
        }
        Kind::Jwt => {
            let signed = tokens(socket, old, new, now);
            let new = signed.as_ref().map_err(String::clone);
            let new = new.and_then(|(new, _)| shown(socket, new, Verdict::Accepted));
            checks.push(("a token signed now is accepted", new));
            let old = match (before, &signed) {
                (Some(before), _) => shown(socket, before, old_is),
                (None, Ok((_, old))) => shown(socket, old, old_is),
                (None, Err(why)) => Err(why.clone()),
            };
            let what = match old_is {
                Verdict::Accepted => "a token signed before is accepted",
                Verdict::Refused => "a token of the old key is refused",
            };
            checks.push((what, old));
        }
    }
    Proof::of(checks)
}

/// After the old value was taken away.
pub(super) fn of_retirement(
    socket: &ControlSocket,
    rotation: &Rotation,
    old: &Secret,
    new: &Secret,
    now: i64,
) -> Proof {
    let at_once = Rotation {
        at_once: true,
        ..rotation.clone()
    };
    of_staging(socket, &at_once, old, new, None, now)
}

fn word_of_old(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "the old value is accepted",
        Verdict::Refused => "the old value is refused",
    }
}

/// A token that the server signed now, with the new key, and one of the same session that the old key signed.
fn tokens(
    socket: &ControlSocket,
    old: &Secret,
    new: &Secret,
    now: i64,
) -> Result<(Secret, Secret), String> {
    let (claims, signed) = server::probe(socket).map_err(|why| format!("{why:#}"))?;
    let kid = token::key_of(signed.expose());
    if kid.as_deref() != Some(token::key_id(new).as_str()) {
        return Err("the server signed with another key than the new one".to_owned());
    }
    let old = token::sign(&claims, old, now).map_err(|why| why.to_string())?;
    Ok((signed, Secret::new(&old)))
}

fn shown(socket: &ControlSocket, credential: &Secret, wanted: Verdict) -> Result<(), String> {
    match server::show(socket, credential) {
        Ok(found) if found == wanted => Ok(()),
        Ok(Verdict::Accepted) => Err("it was accepted".to_owned()),
        Ok(Verdict::Refused) => Err("it was refused".to_owned()),
        Err(why) => Err(format!("{why:#}")),
    }
}

fn holds(found: Result<bool>) -> Result<(), String> {
    match found {
        Ok(true) => Ok(()),
        Ok(false) => Err("it has others".to_owned()),
        Err(why) => Err(format!("{why:#}")),
    }
}
