//! Units and timers: there, on, and with an effect.
//!
//! Always true: a timer that fires and does nothing is found as one that does not fire (W03).
//!
//! Does not: read logs.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use serde_json::Value;

use super::{Found, Patient, Seen};
use crate::host::Entry;
use crate::systemd;
use crate::units;

/// How old the record of what a timer runs may be: two turns and a bit.
fn most(timer: &str) -> Duration {
    match timer {
        "agnes-upgrade" => Duration::hours(1),
        "agnes-drill" => Duration::days(15),
        _ => Duration::hours(50),
    }
}

/// The findings of one id.
pub(super) fn of(patient: &Patient<'_>, id: &str) -> Seen {
    let settings = patient.settings();
    if let Some(unchecked) = without_systemd() {
        return unchecked;
    }
    let all = match patient.units(settings) {
        Ok(all) => all,
        Err(why) => return Seen::Unchecked(why.clone()),
    };
    let found = all.iter().filter(|one| one.id == id).map(|one| Found {
        object: one.unit.clone(),
        evidence: one.evidence.clone(),
        next: one.next.clone(),
    });
    Seen::of(found.collect())
}

/// Whether what the timers run left a record lately.
pub(super) fn effect(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    if let Some(unchecked) = without_systemd() {
        return unchecked;
    }
    let host = patient.host();
    let now = host.now();
    let mut found = Vec::new();
    for (name, slug) in units::TIMERS {
        let timer = format!("{name}.timer");
        let unit = units::Root::new(None).unit(&timer);
        // a mask is a person's word
        if !matches!(host.entry(&unit), Ok(Entry::File { .. })) {
            continue;
        }
        // one that was installed a minute ago has had no turn yet, nor has one of a host that was off
        let Ok(installed) = host.modified_secs(&unit) else {
            continue;
        };
        let installed = installed.max(patient.started_at());
        // a run that gave way was at work too
        let slugs = [slug.to_owned(), format!("{slug}.deferred")];
        let at = slugs.iter().filter_map(|slug| {
            let record = patient.record(settings, slug)?;
            let at = record.get("at").and_then(Value::as_str)?;
            OffsetDateTime::parse(at, &Rfc3339).ok()
        });
        let at = at.max();
        let since = at
            .map_or(installed, OffsetDateTime::unix_timestamp)
            .max(installed);
        let silent = Duration::seconds(now.unix_timestamp() - since);
        if silent > most(name) {
            let evidence = match at {
                Some(at) => format!(
                    "its last effect was at {}",
                    at.format(&Rfc3339).unwrap_or_default()
                ),
                None => "it never had an effect".to_owned(),
            };
            found.push(Found {
                object: timer,
                evidence,
                next: format!("journalctl -u {name}.service; systemctl list-timers {name}.timer"),
            });
        }
    }
    Seen::of(found)
}

fn without_systemd() -> Option<Seen> {
    (!systemd::is_running()).then(|| Seen::Unchecked("systemd does not run here".to_owned()))
}
