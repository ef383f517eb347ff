//! The running server, asked through its control socket, and what was left open of its data.
//!
//! Always true: what is at work right now is no finding; the canary's row is gone when it was read.
//!
//! Does not: hold a user's credential.

use agnes_config::{Runtime, Settings};
use serde_json::{Value, json};

use super::{Found, Patient, Seen};
use crate::journal::Journal;
use crate::served::{ControlSocket, NoAnswer};
use crate::up;

/// From here on a start takes long, whatever the data.
const MUCH_WAL: u64 = 512 << 20;
/// How a job ends that did not do its work.
const FAILED: [&str; 2] = ["failure", "timeout"];
/// Journals of what holds writes.
const HOLDING: [&str; 2] = ["upgrade", "restore"];

pub(super) fn answers(patient: &Patient<'_>) -> Seen {
    let Some(settings) = expected(patient) else {
        return no_server();
    };
    let dir = settings.dir.display();
    match patient.state(settings) {
        Ok(_) => Seen::Passed,
        Err(_) if is_at_work(patient, settings) => {
            Seen::Unchecked("another run is at work".to_owned())
        }
        Err(NoAnswer::Nobody) => {
            let (evidence, next) = match settings.runtime {
                Runtime::Process
                    if up::server(patient.host(), settings)
                        .is_ok_and(|server| server.is_some()) =>
                {
                    (
                        "runs, and does not answer its operator".to_owned(),
                        format!("agnes-ops -C {dir} down && agnes-ops -C {dir} up"),
                    )
                }
                Runtime::Process => {
                    let log = settings.state_dir.join("ops/agnesd.log");
                    let evidence = format!(
                        "is not running, or does not answer its operator; its log is {}",
                        log.display()
                    );
                    (evidence, format!("agnes-ops -C {dir} up"))
                }
                Runtime::Compose => (
                    "is not running, or does not answer its operator".to_owned(),
                    format!("docker compose --project-directory {dir} logs --tail 50 app"),
                ),
            };
            Seen::found("agnesd", evidence, next)
        }
        Err(why) => {
            let next = match settings.runtime {
                Runtime::Process => format!("agnes-ops -C {dir} down && agnes-ops -C {dir} up"),
                Runtime::Compose => format!("docker compose --project-directory {dir} restart app"),
            };
            Seen::found("agnesd", why.to_string(), next)
        }
    }
}

pub(super) fn quarantined(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    let mark = settings.state_dir.join("system.duckdb.quarantined");
    match patient.host().size(&mark) {
        Ok(None) => Seen::Passed,
        Ok(Some(_)) => Seen::found(
            mark.display().to_string(),
            "the write-ahead log could not be replayed, and was put aside",
            format!(
                "read {}/quarantine/*/report.json, then agnesd db recover, or agnes-ops snapshot restore",
                settings.state_dir.display()
            ),
        ),
        Err(why) => Seen::Unchecked(format!("{}: {why}", mark.display())),
    }
}

/// One value is written, read and deleted.
pub(super) fn write(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        match ControlSocket::of(settings).post("/v1/canary", &json!({})) {
            Ok(_) => Seen::Passed,
            Err(NoAnswer::Nobody) => Seen::Unchecked("agnesd is not running".to_owned()),
            Err(why) => Seen::found(
                "system.duckdb",
                why.to_string(),
                "look at disk space and modes first, then at the server's log",
            ),
        }
    })
}

/// What the server found out the last time somebody wanted to sign in by mail, or at an OpenID provider.
pub(super) fn sign_in(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, state| {
        let is = |way: &str| {
            let how = state.pointer(&format!("/sign_in/{way}"));
            how.and_then(Value::as_str) == Some("failed")
        };
        let dir = settings.dir.display();
        if is("mail") {
            return Seen::found(
                "mail",
                "the last letter with a link was not taken by the mail server",
                format!("agnes-ops -C {dir} doctor alerts.mail; the server's log says why"),
            );
        }
        if is("oidc") {
            return Seen::found(
                "OIDC_ISSUER",
                "the OpenID provider could not be asked the last time",
                "look at the server's log for `oidc:`",
            );
        }
        Seen::Passed
    })
}

pub(super) fn ready(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, state| {
        if state.get("ready").and_then(Value::as_bool) != Some(false)
            || is_at_work(patient, settings)
        {
            return Seen::Passed;
        }
        let reasons = state.get("reasons").and_then(Value::as_array);
        let reasons: Vec<&str> = reasons
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        Seen::found(
            "agnesd",
            format!("is not ready: {}", reasons.join(", ")),
            "look at the server's log",
        )
    })
}

/// A run that was cut off.
pub(super) fn open(patient: &Patient<'_>, journal: &str, command: &str) -> Seen {
    let settings = patient.settings();
    match Journal::new(&settings.state_dir, journal).is_open(patient.host()) {
        Ok(true) if !is_at_work(patient, settings) => Seen::found(
            journal,
            "a run was cut off",
            format!("agnes-ops -C {} {command}", settings.dir.display()),
        ),
        Ok(_) => Seen::Passed,
        Err(why) => Seen::Unchecked(format!("{why:#}")),
    }
}

/// A hold of writes that nothing of ours made.
pub(super) fn held(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, state| {
        let is_open = |name: &&str| {
            Journal::new(&settings.state_dir, name)
                .is_open(patient.host())
                .unwrap_or(true)
        };
        let held = state.get("writes").and_then(Value::as_str) == Some("held");
        if !held || is_at_work(patient, settings) || HOLDING.iter().any(is_open) {
            return Seen::Passed;
        }
        let of = |key: &str| {
            state
                .pointer(&format!("/hold/{key}"))
                .and_then(Value::as_str)
                .unwrap_or("unknown")
        };
        Seen::found(
            "agnesd",
            format!(
                "holds writes for {} by {}, and no upgrade or restore of ours is open",
                of("id"),
                of("by")
            ),
            format!(
                "find out who, then release them: curl --unix-socket {} -X POST http://localhost/v1/writes/release",
                ControlSocket::of(settings).path().display()
            ),
        )
    })
}

pub(super) fn wal(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, state| {
        let bytes = state.pointer("/store/wal_bytes").and_then(Value::as_u64);
        match bytes {
            Some(bytes) if bytes > MUCH_WAL => Seen::found(
                "system.duckdb.wal",
                format!("has {} MiB: checkpoints do not come through", bytes >> 20),
                format!(
                    "curl --unix-socket {} -X POST http://localhost/v1/checkpoint",
                    ControlSocket::of(settings).path().display()
                ),
            ),
            Some(_) => Seen::Passed,
            None => Seen::Unchecked("the server does not say how large its log is".to_owned()),
        }
    })
}

/// What the server itself found at its start.
pub(super) fn audit(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, state| {
        let since = state
            .get("started_at")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let rows = ControlSocket::of(settings).get("/v1/audit?action=audit.damaged&limit=1");
        let rows = match rows {
            Ok(rows) => rows,
            Err(why) => return Seen::Unchecked(why.to_string()),
        };
        let row = rows.pointer("/items/0");
        let text = |key: &str| {
            row.and_then(|row| row.get(key)?.as_str())
                .unwrap_or_default()
        };
        if row.is_none() || text("at") < since {
            return Seen::Passed;
        }
        let what = row
            .and_then(|row| row.pointer("/metadata/what")?.as_str())
            .unwrap_or("unknown");
        Seen::found(
            "audit log",
            format!("{what}, at {}", text("at")),
            format!(
                "keep a copy: agnes-ops -C {} snapshot create; then docs/server.md, audit, says what it may mean",
                settings.dir.display()
            ),
        )
    })
}

/// Every row against the hash before it, by the server.
pub(super) fn chain(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        let asked = ControlSocket::of(settings).post_slowly("/v1/audit/verify", &json!({}));
        let report = match asked {
            Ok(report) => report,
            Err(why) => return Seen::Unchecked(why.to_string()),
        };
        let findings = report.get("findings").and_then(Value::as_array);
        let first = findings.and_then(|findings| findings.first()?.get("what")?.as_str());
        match first {
            None => Seen::Passed,
            Some(what) => Seen::found(
                "audit log",
                what,
                format!("agnes-ops -C {} audit", settings.dir.display()),
            ),
        }
    })
}

pub(super) fn jobs(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, _| {
        let listed = match ControlSocket::of(settings).get("/v1/jobs") {
            Ok(listed) => listed,
            Err(why) => return Seen::Unchecked(why.to_string()),
        };
        let all = listed.get("items").and_then(Value::as_array);
        let text = |job: &Value, key: &str| {
            job.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let failing = all
            .into_iter()
            .flatten()
            .filter(|job| FAILED.contains(&text(job, "last_outcome").as_str()));
        let found = failing.map(|job| Found {
            object: text(job, "name"),
            evidence: format!(
                "failed at {}: {}",
                text(job, "last_finished_at"),
                text(job, "last_error")
            ),
            next: "mend what it names; it is tried again at its next turn".to_owned(),
        });
        Seen::of(found.collect())
    })
}

/// Who is at a limit now.
pub(super) fn limited(patient: &Patient<'_>) -> Seen {
    with(patient, |settings, state| {
        let all = state.get("limited").and_then(Value::as_array);
        let found = all.into_iter().flatten().map(|one| {
            let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
            let number = |key: &str| one.get(key).and_then(Value::as_u64).unwrap_or_default();
            Found {
                object: format!("{} {}", text("kind"), text("key")),
                evidence: format!(
                    "{} calls refused, at most {} a minute",
                    number("refused"),
                    number("limit")
                ),
                next: format!(
                    "agnes-ops -C {} incident rate-limit says who it is and whether it is legitimate",
                    settings.dir.display()
                ),
            }
        });
        Seen::of(found.collect())
    })
}

fn with(patient: &Patient<'_>, judge: impl FnOnce(&Settings, &Value) -> Seen) -> Seen {
    let Some(settings) = expected(patient) else {
        return no_server();
    };
    match patient.state(settings) {
        Ok(state) => judge(settings, state),
        Err(_) => Seen::Unchecked("agnesd does not answer its operator".to_owned()),
    }
}

/// Whether a server of ours should run here.
pub(super) fn is_expected(patient: &Patient<'_>) -> bool {
    expected(patient).is_some()
}

/// The settings, where a server of ours should run: whoever looks after certificates alone has none.
fn expected<'a>(patient: &Patient<'a>) -> Option<&'a Settings> {
    let settings = patient.settings();
    let was_here = settings.state_dir.join("system.duckdb").exists();
    let is_process = settings.runtime == Runtime::Process;
    (was_here || patient.has_stack(settings) || is_process && has_started(settings))
        .then_some(settings)
}

/// `up` or a unit of ours has been at work.
fn has_started(settings: &Settings) -> bool {
    settings.state_dir.join("ops/agnesd.json").exists()
}

fn no_server() -> Seen {
    Seen::Unchecked("no server of ours was ever started here".to_owned())
}

pub(super) fn is_at_work(patient: &Patient<'_>, settings: &Settings) -> bool {
    let holder = patient.host().lock_holder(&settings.dir.join(".lock"));
    holder
        .ok()
        .flatten()
        .is_some_and(|holder| !holder.contains("doctor"))
}
