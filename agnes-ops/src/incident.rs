//! `incident`: shutting a person out whose credentials are in the wrong hands, and more calls for one who is refused too often.
//!
//! Always true: asks before it acts; acts through the server's control socket, so no user's credential is needed; what was done
//! is read back before it counts; each act leaves a record, and has a lock of its own, so no upgrade keeps it waiting.
//!
//! Does not: decide who is in the wrong; know the audit log's rows by meaning.

mod activity;
mod contain;
mod rate_limit;
mod record;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::contain::contain;
pub use self::rate_limit::{Change, change, look};
pub use self::record::list;
use self::record::{Record, State};
use crate::deployment::Deployment;
use crate::host::{Held, Lock};
use crate::outcome::{Exit, Outcome, Refusal, Report};
use crate::served::{ControlSocket, NoAnswer};

/// No address and no id is longer, in bytes.
const LONGEST: usize = 320;

/// What somebody said who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Do it.
    Given,
    /// Do not.
    Withheld,
    /// Nobody was there to be asked.
    NotAsked,
}

/// Who acts, and whether.
pub struct Person<'a> {
    /// Asks; gets what would be done.
    pub consent: &'a dyn Fn(&str) -> Consent,
    /// Whose account on this host it is.
    pub by: &'a str,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// A principal, as the server has it.
#[derive(Debug, Clone, Deserialize)]
struct Principal {
    user: User,
    sessions: Vec<Value>,
    tokens: Vec<Token>,
    limit: Limit,
}

#[derive(Debug, Clone, Deserialize)]
struct User {
    id: String,
    email: String,
    kind: String,
    admin: bool,
    disabled: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Token {
    revoked_at: Option<String>,
    last_used_ip: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Limit {
    per_min: u32,
    usual_per_min: u32,
    raised_until: Option<String>,
    refused: Option<u64>,
}

impl Principal {
    fn open_tokens(&self) -> usize {
        let tokens = self.tokens.iter();
        tokens.filter(|token| token.revoked_at.is_none()).count()
    }
}

/// The server's answer about a principal, in its own words and read.
fn principal(socket: &ControlSocket, who: &str) -> Result<(Value, Principal), Box<Report>> {
    if matches!(who.trim(), "" | "." | "..") || who.len() > LONGEST {
        let message = "a principal is named by an e-mail address or an id; nothing was changed";
        let refusal = Refusal::new("no-such-principal", message);
        return Err(Box::new(Report::refused(Exit::Usage, refusal)));
    }
    let answer = socket
        .get(&address(who, ""))
        .map_err(|why| refused(socket, who, &why))?;
    understood(socket, &answer).map(|principal| (answer, principal))
}

fn understood(socket: &ControlSocket, answer: &Value) -> Result<Principal, Box<Report>> {
    Principal::deserialize(answer).map_err(|why| {
        let message = format!(
            "{}: the answer is not understood: {why}",
            socket.path().display()
        );
        failed(Refusal::new("server-unreadable", message))
    })
}

/// Where a principal is, below the control socket.
fn address(who: &str, rest: &str) -> String {
    let who: String = url::form_urlencoded::byte_serialize(who.trim().as_bytes()).collect();
    // a form's space is a plus, a path's is not
    format!("/v1/principals/{}{rest}", who.replace('+', "%20"))
}

/// What a command ends with when the server did not do it.
fn refused(socket: &ControlSocket, who: &str, why: &NoAnswer) -> Box<Report> {
    let message = match why {
        NoAnswer::Refused(_, detail) => format!("{who}: {detail}; nothing was changed"),
        _ => format!("{}: {why}; nothing was changed", socket.path().display()),
    };
    let is_held = || {
        let state = socket.get("/v1/state").ok();
        state.is_some_and(|state| !state.get("hold").is_none_or(Value::is_null))
    };
    match why {
        NoAnswer::Nobody => failed(
            Refusal::new("server-absent", message)
                .hint("nobody is served while no server runs; agnes-ops status says what is wrong"),
        ),
        NoAnswer::Refused(404, _) if message.contains("no such user") => failed(
            Refusal::new("no-such-principal", message)
                .hint("agnes-ops audit shows who acts; an id or an e-mail address names a principal"),
        ),
        NoAnswer::Refused(404, _) => failed(
            Refusal::new("server-older", message)
                .hint("the server is of a version that cannot do this; agnes-ops upgrade"),
        ),
        NoAnswer::Refused(503, _) if is_held() => Box::new(Report::refused(
            Exit::Deferred,
            Refusal::new("writes-held", message)
                .hint("writes are held by an upgrade or a restore; try again in a moment, or see agnes-ops status"),
        )),
        NoAnswer::Refused(..) => failed(Refusal::new("server-refused", message)),
        NoAnswer::Failed(_) => failed(Refusal::new(
            "server-unreadable",
            message.replace("nothing was changed", "whether it was done is not known"),
        )),
    }
}

fn failed(refusal: Refusal) -> Box<Report> {
    Box::new(Report::refused(Exit::Failed, refusal))
}

/// A dry run's end, or that of somebody who does not want it; `None`: go on.
fn declined(person: &Person<'_>, told: &str) -> Option<Report> {
    if person.dry_run {
        let mut report = Report::ok(Outcome::Unchanged, told);
        report.steps = told.lines().map(crate::outcome::Step::planned).collect();
        return Some(report);
    }
    match (person.consent)(told) {
        Consent::Given => None,
        Consent::Withheld => Some(Report::ok(Outcome::Unchanged, "nothing was changed")),
        Consent::NotAsked => {
            let message = format!("{told}: nobody confirmed it; nothing was changed");
            let refusal = Refusal::new("not-confirmed", message);
            Some(*failed(refusal.hint("--yes confirms it")))
        }
    }
}

/// An act that was done, and what was read back after it.
struct Acted {
    record: Record,
    /// What the server answered to it.
    answer: Value,
    /// The principal after it, in the server's words.
    after: Value,
    /// The same, read.
    now: Principal,
    /// Others wait until the record is whole.
    _alone: Lock,
}

/// Records, asks the server, and reads the principal back; what fails is in the record.
fn act(
    deployment: Deployment<'_>,
    socket: &ControlSocket,
    verb: &str,
    (before, them): (&Value, &Principal),
    by: &str,
    request: impl FnOnce() -> Result<Value, NoAnswer>,
) -> Result<Acted, Box<Report>> {
    let alone = alone(deployment, &format!("incident {verb}"))?;
    let email = &them.user.email;
    let record = Record::begin(deployment, verb, email, by, before.clone());
    let answer = match request() {
        Ok(answer) => answer,
        Err(why) => {
            // an answer that did not come says nothing of what was done
            let state = match why {
                NoAnswer::Failed(_) => State::Begun,
                NoAnswer::Nobody | NoAnswer::Refused(..) => State::Failed,
            };
            let report = *refused(socket, email, &why);
            let result = json!({ "why": why.to_string() });
            return Err(Box::new(record.end(deployment, state, result, report)));
        }
    };
    match socket.get(&address(&them.user.id, "")) {
        Ok(after) => {
            let now = understood(socket, &after)?;
            Ok(Acted {
                record,
                answer,
                after,
                now,
                _alone: alone,
            })
        }
        Err(why) => {
            let message = format!(
                "{email}: the server said that it was done, and it could not be read back: {why}"
            );
            let refusal = Refusal::new("not-proven", message);
            let report = *failed(
                refusal.hint("run it again; agnes-ops incident list has what the server said"),
            );
            let result = json!({ "answer": answer, "why": why.to_string() });
            Err(Box::new(record.end(
                deployment,
                State::Begun,
                result,
                report,
            )))
        }
    }
}

/// One incident at a time, beside whatever else is at work.
fn alone(deployment: Deployment<'_>, name: &str) -> Result<Lock, Box<Report>> {
    let Deployment { host, settings, .. } = deployment;
    let path = settings.dir.join(".incident.lock");
    host.lock(&path, name).map_err(|held| {
        let (exit, reason, why) = match held {
            Held::By(holder) => (Exit::Deferred, "lock-held", format!("is held by {holder}")),
            Held::Unusable(error) => (Exit::Failed, "lock-unusable", error.to_string()),
        };
        let message = format!("{}: {why}; nothing was changed", path.display());
        Box::new(Report::refused(exit, Refusal::new(reason, message)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_stays_one_part_of_the_address() {
        assert_eq!(
            address("a@example.com", ""),
            "/v1/principals/a%40example.com"
        );
        assert_eq!(
            address(" ../state?x#y z+1 ", "/contain"),
            "/v1/principals/..%2Fstate%3Fx%23y%20z%2B1/contain"
        );
    }
}
