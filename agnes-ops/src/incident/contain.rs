//! `incident contain`: nothing in a person's name opens anything any more.
//!
//! Always true: shutting out comes before looking at what was done; it counts when the server says of that person that nothing
//! is left; the last administrator who can sign in is left one, with a password that nobody knows.
//!
//! Does not: undo what was done in that name.

use agnes_config::{Runtime, Settings};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::record::State;
use super::{Person, Principal, act, activity, address, declined, failed, principal};
use crate::deployment::Deployment;
use crate::outcome::{Outcome, Refusal, Report, Step};
use crate::served::ControlSocket;

/// What is shown unless asked otherwise.
const LOOK_BACK: Duration = Duration::days(7);

/// Shuts `who` out, and shows what was done in that name since `since`.
pub fn contain(
    deployment: Deployment<'_>,
    who: &str,
    since: Option<OffsetDateTime>,
    person: &Person<'_>,
) -> Report {
    try_contain(deployment, who, since, person).unwrap_or_else(|report| *report)
}

fn try_contain(
    deployment: Deployment<'_>,
    who: &str,
    since: Option<OffsetDateTime>,
    person: &Person<'_>,
) -> Result<Report, Box<Report>> {
    let socket = ControlSocket::of(deployment.settings);
    let (before, them) = principal(&socket, who)?;
    let email = them.user.email.clone();
    if them.user.kind == "system" {
        let message = format!("{email}: is the server's own user; nothing was changed");
        return Err(failed(Refusal::new("built-in", message).hint(
            "its credential is a secret of this host: agnes-ops secrets rotate scheduler --now",
        )));
    }
    if let Some(end) = declined(person, &plan(&them)) {
        return Ok(end.detail("principal", before));
    }
    let begun = deployment.host.instant();
    // by its id: an address may be given to somebody else meanwhile
    let contain = || socket.post(&address(&them.user.id, "/contain"), &json!({}));
    let acted = act(
        deployment,
        &socket,
        "contain",
        (&before, &them),
        person.by,
        contain,
    )?;
    let (contained, left) = (&acted.answer, &acted.now);

    let shut_out = contained
        .get("shut_out")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some(open) = still_open(left, shut_out) {
        let message = format!("{email}: was to be shut out, and {open}");
        let report =
            *failed(Refusal::new("not-proven", message).hint("run it again; agnes-ops status"));
        return Ok(acted
            .record
            .end(deployment, State::Failed, acted.after, report));
    }
    let since = since.unwrap_or_else(|| deployment.host.now() - LOOK_BACK);
    let activity = activity::read(&socket, &email, since);
    let count = |key: &str| {
        contained
            .get(key)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let (sessions, tokens) = (count("sessions_ended"), count("tokens_revoked"));
    let mut lines = vec![format!(
        "{email}: {}; {sessions} sessions ended, {tokens} tokens revoked",
        in_words(shut_out)
    )];
    let shown = match &activity {
        Ok(activity) => {
            lines.extend(activity.lines());
            json!(activity)
        }
        Err(why) => {
            lines.push(format!("what was done is not known: {why}"));
            Value::Null
        }
    };
    lines.push(next(deployment.settings, &email, shut_out));
    let mut report = Report::ok(Outcome::Changed, lines.join("\n"))
        .detail("principal", before)
        .detail("shut_out", shut_out)
        .detail("sessions_ended", sessions)
        .detail("tokens_revoked", tokens)
        .detail("activity", shown.clone());
    report.steps = vec![Step {
        name: format!("contain {email}"),
        result: "done".to_owned(),
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }];
    let result = json!({"contained": contained, "after": acted.after, "activity": shown});
    Ok(acted.record.end(deployment, State::Done, result, report))
}

fn plan(them: &Principal) -> String {
    let already = match them.user.disabled {
        true => " (is disabled already)",
        false => "",
    };
    let admin = match them.user.admin {
        true => {
            ", an administrator: the last one who can sign in gets a password that nobody knows instead"
        }
        false => "",
    };
    format!(
        "disable {}{already}, end {} sessions and revoke {} tokens{admin}",
        them.user.email,
        them.sessions.len(),
        them.open_tokens()
    )
}

/// What opens something after all.
fn still_open(left: &Principal, shut_out: &str) -> Option<String> {
    if !left.user.disabled && shut_out != "password-replaced" {
        return Some("is not disabled".to_owned());
    }
    match (left.sessions.len(), left.open_tokens()) {
        (0, 0) => None,
        (sessions, tokens) => Some(format!("has {sessions} sessions and {tokens} tokens")),
    }
}

fn in_words(shut_out: &str) -> &'static str {
    match shut_out {
        "disabled-before" => "was disabled before",
        "password-replaced" => {
            "is the last administrator who can sign in: the password is one that nobody knows"
        }
        _ => "disabled",
    }
}

fn next(settings: &Settings, email: &str, shut_out: &str) -> String {
    let link = match settings.runtime {
        Runtime::Process => format!("agnesd -C {} sign-in-link {email}", settings.dir.display()),
        Runtime::Compose => format!(
            "docker compose --project-directory {} exec app agnesd sign-in-link {email}",
            settings.dir.display()
        ),
    };
    let back = match shut_out {
        "password-replaced" => format!("{link} lets the person in again"),
        _ => "an administrator enables the person again".to_owned(),
    };
    format!(
        "next: look after what was changed (docs/operations.md#compromised-agent); when that is done, {back}"
    )
}
