//! `incident rate-limit`: who is refused, what speaks for and against it, and more calls for one until a time.
//!
//! Always true: facts are told as facts; what was given ends by itself; nothing is given to strangers, who are known by address
//! alone.
//!
//! Does not: change what everybody has (`[limits]` does).

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::record::State;
use super::{
    Limit, Person, Principal, act, activity, address, declined, failed, principal, refused,
    understood,
};
use crate::deployment::Deployment;
use crate::outcome::{Outcome, Refusal, Report};
use crate::served::{ControlSocket, NoAnswer, Rows};

/// So far back is looked for signs of misuse.
const LOOK_BACK: Duration = Duration::hours(1);
/// So many refusals of strangers are read.
const MOST: usize = 5000;

/// What is wanted for one principal.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// So many calls in any 60 seconds, until then.
    Raise(u32, OffsetDateTime),
    /// As everybody again.
    End,
}

/// Everybody who is at the limit now, or one principal, with what is known of them.
pub fn look(deployment: Deployment<'_>, who: Option<&str>) -> Report {
    let socket = ControlSocket::of(deployment.settings);
    let since = deployment.host.now() - LOOK_BACK;
    let ops = format!("agnes-ops -C {}", deployment.settings.dir.display());
    let looked = match who {
        Some(who) => principal(&socket, who)
            .map(|(answer, them)| vec![of_principal(&socket, &ops, &answer, &them, since)]),
        None => everybody(&socket, &ops, since).map_err(|why| refused(&socket, "the limits", &why)),
    };
    let looked = match looked {
        Ok(looked) => looked,
        Err(report) => return *report,
    };
    let mut lines: Vec<String> = looked.iter().flat_map(|(_, lines)| lines.clone()).collect();
    if looked.is_empty() {
        lines.push("nobody is at the limit".to_owned());
    }
    let limited: Vec<&Value> = looked.iter().map(|(facts, _)| facts).collect();
    Report::ok(Outcome::Unchanged, lines.join("\n")).detail("limited", json!(limited))
}

type Looked = (Value, Vec<String>);

fn everybody(
    socket: &ControlSocket,
    ops: &str,
    since: OffsetDateTime,
) -> Result<Vec<Looked>, NoAnswer> {
    let state = socket.get("/v1/state")?;
    let limited = state.get("limited").and_then(Value::as_array).cloned();
    let mut looked = Vec::new();
    for one in limited.unwrap_or_default() {
        let text = |key: &str| {
            one.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        looked.push(match text("kind").as_str() {
            "principal" => {
                let answer = socket.get(&address(&text("key"), ""))?;
                match understood(socket, &answer) {
                    Ok(them) => of_principal(socket, ops, &answer, &them, since),
                    Err(_) => (
                        one.clone(),
                        vec![format!("{}: is at the limit", text("key"))],
                    ),
                }
            }
            _ => of_address(socket, &one, &text("key"), since)?,
        });
    }
    Ok(looked)
}

fn of_principal(
    socket: &ControlSocket,
    ops: &str,
    answer: &Value,
    them: &Principal,
    since: OffsetDateTime,
) -> Looked {
    let Limit {
        per_min,
        usual_per_min,
        raised_until,
        refused,
    } = &them.limit;
    let mut signs = Vec::new();
    let activity = activity::read(socket, &them.user.email, since);
    match &activity {
        Ok(activity) => {
            if activity.denied > 0 {
                let denied = activity.denied;
                signs.push(format!("{denied} calls were not allowed in the last hour"));
            }
            if activity.failed_sign_ins > 0 {
                let failed = activity.failed_sign_ins;
                signs.push(format!("{failed} sign-ins failed in the last hour"));
            }
        }
        Err(why) => signs.push(format!("what it did is not known: {why}")),
    }
    let mut addresses: Vec<&str> = them
        .tokens
        .iter()
        .filter_map(|token| token.last_used_ip.as_deref())
        .collect();
    addresses.extend(
        activity
            .iter()
            .flat_map(|activity| activity.by_ip.keys().map(String::as_str)),
    );
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > 1 {
        signs.push(format!("it is seen at {} addresses", addresses.len()));
    }
    if them.user.disabled {
        signs.push("it is disabled".to_owned());
    }
    let email = &them.user.email;
    let raised = match raised_until {
        Some(until) => format!(" until {until} (everybody has {usual_per_min})"),
        None => String::new(),
    };
    let now = match refused {
        Some(refused) => {
            format!("is at the limit: {refused} calls refused since the last one that was let in")
        }
        None => "is not at the limit now".to_owned(),
    };
    let mut lines = vec![format!("{email}: {per_min} calls a minute{raised}; {now}")];
    lines.push(format!(
        "  seen at: {}",
        match addresses.is_empty() {
            true => "no address yet".to_owned(),
            false => addresses.join(", "),
        }
    ));
    lines.push(match signs.is_empty() {
        true => "  no sign of misuse in the last hour".to_owned(),
        false => format!("  look first: {}", signs.join("; ")),
    });
    lines.push(match refused {
        Some(_) => format!(
            "  next: {ops} incident rate-limit {email} --per-min {} --for 2h; or {ops} incident contain {email}",
            usual_per_min.saturating_mul(5)
        ),
        None => "  next: nothing".to_owned(),
    });
    let facts = json!({
        "kind": "principal",
        "key": them.user.id,
        "email": email,
        "limit": answer.get("limit"),
        "addresses": addresses,
        "signs": signs,
        "activity": activity.ok(),
    });
    (facts, lines)
}

/// A stranger: somebody without a credential that counts.
fn of_address(
    socket: &ControlSocket,
    one: &Value,
    address: &str,
    since: OffsetDateTime,
) -> Result<Looked, NoAnswer> {
    let rows = Rows {
        action: Some("auth.failed".to_owned()),
        from: Some(since),
        ..Rows::default()
    };
    let read = socket.audit(&rows, MOST)?;
    let alone = address.strip_suffix("/64").unwrap_or(address);
    let denied: i64 = read
        .rows
        .iter()
        .filter(|row| row.ip == alone)
        .map(|row| row.count)
        .sum();
    let number = |key: &str| one.get(key).and_then(Value::as_u64).unwrap_or_default();
    let signs: Vec<String> = match denied {
        0 => Vec::new(),
        denied => vec![format!(
            "{denied} credentials that it showed were refused in the last hour"
        )],
    };
    let lines = vec![
        format!(
            "{address}: {} calls a minute without a credential; {} refused since the last one that was let in",
            number("limit"),
            number("refused")
        ),
        match signs.is_empty() {
            true => "  no sign of misuse in the last hour".to_owned(),
            false => format!("  look first: {}", signs.join("; ")),
        },
        "  next: if it is a proxy or an office, trusted_proxies or limits.unauthenticated_per_min; else nothing".to_owned(),
    ];
    let mut facts = one.clone();
    if let Some(facts) = facts.as_object_mut() {
        facts.insert("signs".to_owned(), json!(signs));
        facts.insert("denied_last_hour".to_owned(), denied.into());
    }
    Ok((facts, lines))
}

/// Gives one principal more, or takes it back; proven by the server's own word.
pub fn change(
    deployment: Deployment<'_>,
    who: &str,
    wanted: Change,
    person: &Person<'_>,
) -> Report {
    try_change(deployment, who, wanted, person).unwrap_or_else(|report| *report)
}

fn try_change(
    deployment: Deployment<'_>,
    who: &str,
    wanted: Change,
    person: &Person<'_>,
) -> Result<Report, Box<Report>> {
    let socket = ControlSocket::of(deployment.settings);
    let (before, them) = principal(&socket, who)?;
    let email = them.user.email.clone();
    if matches!(wanted, Change::End) && them.limit.raised_until.is_none() {
        let text = format!(
            "{email}: has {} calls a minute, as everybody",
            them.limit.usual_per_min
        );
        return Ok(Report::ok(Outcome::Unchanged, text).detail("principal", before));
    }
    let told = match wanted {
        Change::Raise(per_min, until) => format!(
            "give {email} {per_min} calls a minute until {} (now {})",
            until.format(&Rfc3339).unwrap_or_default(),
            them.limit.per_min
        ),
        Change::End => format!(
            "take back what {email} has more than everybody: {} calls a minute, not {}",
            them.limit.usual_per_min, them.limit.per_min
        ),
    };
    if let Some(end) = declined(person, &told) {
        return Ok(end.detail("principal", before));
    }
    let path = address(&them.user.id, "/limit");
    let change = || match wanted {
        Change::Raise(per_min, until) => {
            let until = until.format(&Rfc3339).unwrap_or_default();
            socket.put(&path, &json!({"per_min": per_min, "until": until}))
        }
        Change::End => socket.delete(&path),
    };
    let acted = act(
        deployment,
        &socket,
        "rate-limit",
        (&before, &them),
        person.by,
        change,
    )?;
    let (after, now) = (acted.after, acted.now);
    let as_wanted = match wanted {
        Change::Raise(per_min, _) => {
            now.limit.per_min == per_min && now.limit.raised_until.is_some()
        }
        Change::End => now.limit.raised_until.is_none(),
    };
    if !as_wanted {
        let message = format!("{email}: has {} calls a minute after it", now.limit.per_min);
        return Ok(acted.record.end(
            deployment,
            State::Failed,
            after,
            *failed(Refusal::new("not-proven", message)),
        ));
    }
    let text = match &now.limit.raised_until {
        Some(until) => format!(
            "{email}: {} calls a minute until {until}",
            now.limit.per_min
        ),
        None => format!(
            "{email}: {} calls a minute, as everybody",
            now.limit.per_min
        ),
    };
    let report = Report::ok(Outcome::Changed, text)
        .detail("principal", after.clone())
        .detail("per_min", now.limit.per_min)
        .detail("until", json!(now.limit.raised_until));
    Ok(acted.record.end(deployment, State::Done, after, report))
}
