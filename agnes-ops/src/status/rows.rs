//! The rows of the screen, each looked at by itself.
//!
//! Always true: a row that cannot be seen says so; times are told as ages.
//!
//! Does not: judge.

use agnes_config::{Runtime, Settings};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::Colour;
use crate::deployment::Deployment;
use crate::secrets;
use crate::served::ControlSocket;
use crate::tls::Survey;
use crate::{snapshot, systemd, units, upgrade};

/// What a row says, to people and to programs.
pub(super) struct Fact {
    pub(super) text: String,
    pub(super) json: Value,
}

impl Fact {
    fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
        }
    }

    fn unseen(why: impl std::fmt::Display) -> Self {
        Self::new(
            format!("cannot be seen: {why}"),
            json!({"unseen": why.to_string()}),
        )
    }
}

/// One line.
pub(super) struct Row {
    label: &'static str,
    text: String,
}

impl Row {
    pub(super) fn new(label: &'static str, text: String) -> Self {
        Self { label, text }
    }

    pub(super) fn told(&self, colour: Colour) -> String {
        match colour {
            Colour::Off => format!("{:<13} {}", self.label, self.text),
            Colour::On => format!("\u{1b}[1m{:<13}\u{1b}[0m {}", self.label, self.text),
        }
    }
}

pub(super) fn deployment(deployment: Deployment<'_>) -> String {
    let settings = deployment.settings;
    format!(
        "{} at {} ({})",
        settings.tls.domain.as_str(),
        settings.dir.display(),
        runtime(settings)
    )
}

pub(super) fn runtime(settings: &Settings) -> &'static str {
    match settings.runtime {
        Runtime::Compose => "compose",
        Runtime::Process => "process",
    }
}

/// All of them, in their order: the label, the field's name, and what is seen.
pub(super) fn all(
    deployment: Deployment<'_>,
    survey: &Survey,
) -> Vec<(&'static str, &'static str, Fact)> {
    let state = ControlSocket::of(deployment.settings).get("/v1/state");
    let state = state.map_err(|why| why.to_string());
    vec![
        ("release", "release", release(deployment, &state)),
        (
            "certificate",
            "certificate",
            certificate(deployment, survey),
        ),
        ("secrets", "secrets", secrets(deployment)),
        ("snapshots", "snapshots", snapshots(deployment)),
        ("timers", "timers", timers(deployment)),
        ("jobs", "jobs", jobs(deployment, &state)),
        ("disks", "disks", disks(deployment)),
        ("lock", "lock", lock(deployment)),
        ("next tick", "next_tick", next_tick(deployment)),
    ]
}

fn release(deployment: Deployment<'_>, state: &Result<Value, String>) -> Fact {
    let state = match state {
        Ok(state) => state,
        Err(why) => return Fact::new(format!("not running, or not ours: {why}"), Value::Null),
    };
    let text = |key: &str| state.get(key).and_then(Value::as_str);
    let digest = text("digest");
    let since = text("started_at").and_then(parsed);
    let age = since.map(|since| age(deployment.host.now() - since));
    let writes = match text("writes") {
        Some("held") => ", writes are held",
        _ => "",
    };
    let short = digest.map_or("no image", |digest| digest.get(..19).unwrap_or(digest));
    let ready = match state.get("ready").and_then(Value::as_bool) {
        Some(true) => "ready",
        _ => "NOT ready",
    };
    let told = format!(
        "{} ({short}), {ready} for {}{writes}",
        text("version").unwrap_or("unknown"),
        age.unwrap_or_else(|| "an unknown time".to_owned())
    );
    let json = json!({
        "version": text("version"),
        "digest": digest,
        "since": text("started_at"),
        "ready": state.get("ready"),
        "writes": text("writes"),
        "schema": state.get("schema"),
    });
    Fact::new(told, json)
}

fn certificate(deployment: Deployment<'_>, survey: &Survey) -> Fact {
    let source = match &deployment.settings.tls.fullchain_url {
        None => "nothing is fetched".to_owned(),
        Some(url) => format!("from {url}"),
    };
    let pick = |key: &str| survey.details.get(key).cloned().unwrap_or_default();
    let json = json!({
        "cert": pick("cert"),
        "served": pick("served"),
        "proof": pick("proof"),
        "source": deployment.settings.tls.fullchain_url.as_ref().map(ToString::to_string),
    });
    Fact::new(format!("{}; {source}", survey.sentence), json)
}

fn secrets(deployment: Deployment<'_>) -> Fact {
    let listed = match secrets::list(deployment, &|_| None) {
        Ok(report) => report.details.get("secrets").cloned().unwrap_or_default(),
        Err(why) => return Fact::unseen(format!("{why:#}")),
    };
    let all: Vec<&Value> = listed.as_array().into_iter().flatten().collect();
    let there = all
        .iter()
        .filter(|one| one.get("state").and_then(Value::as_str) == Some("ok"));
    let due = all
        .iter()
        .filter_map(|one| {
            let at = parsed(one.get("due_at")?.as_str()?)?;
            Some((at, one.get("name")?.as_str()?))
        })
        .min();
    let told = match due {
        Some((at, name)) => {
            let left = at - deployment.host.now();
            match left.is_negative() {
                true => format!("; {name} is overdue by {}", age(-left)),
                false => format!("; {name} is due in {}", age(left)),
            }
        }
        None => String::new(),
    };
    let json = json!({
        "count": all.len(),
        "in_place": there.clone().count(),
        "next_due": due.map(|(at, name)| json!({"name": name, "at": stamp(at)})),
    });
    Fact::new(
        format!("{} of {} in place{told}", there.count(), all.len()),
        json,
    )
}

fn snapshots(deployment: Deployment<'_>) -> Fact {
    let health = match snapshot::health(deployment) {
        Ok(health) => health,
        Err(why) => return Fact::unseen(format!("{why:#}")),
    };
    let of = |found: &Option<(String, Duration)>| {
        found
            .as_ref()
            .map(|(id, age)| json!({"id": id, "age_secs": age.whole_seconds()}))
    };
    let told = |found: &Option<(String, Duration)>| {
        found.as_ref().map_or("none".to_owned(), |(_, since)| {
            format!("{} old", age(*since))
        })
    };
    let rto = health
        .rto_ms
        .map(|ms| format!("; a restore takes {} s", ms.div_ceil(1000)));
    let pushed = health
        .pushed
        .map(|since| format!("; pushed {} ago", age(since)));
    let json = json!({
        "newest": of(&health.newest),
        "newest_proven": of(&health.newest_proven),
        "damaged": health.damaged,
        "rto_ms": health.rto_ms,
        "pushed_age_secs": health.pushed.map(Duration::whole_seconds),
    });
    let text = match &health.newest {
        None => "none".to_owned(),
        newest => format!(
            "newest {}, newest proven {}",
            told(newest),
            told(&health.newest_proven)
        ),
    };
    let text = format!(
        "{text}{}{}",
        rto.unwrap_or_default(),
        pushed.unwrap_or_default()
    );
    Fact::new(text, json)
}

/// Each timer with its last effect.
fn timers(deployment: Deployment<'_>) -> Fact {
    let Deployment { host, settings, .. } = deployment;
    if !systemd::is_running() {
        return Fact::new("systemd does not run here", Value::Null);
    }
    let mut listed = Vec::new();
    let mut told = Vec::new();
    for (timer, slug) in units::TIMERS {
        let path = settings.state_dir.join(format!("ops/status/{slug}.json"));
        let record = host.read(&path).ok().flatten();
        let record: Option<Value> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let at = |key: &str| parsed(record.as_ref()?.get(key)?.as_str()?);
        let active = systemd::show(host, &format!("{timer}.timer"), &["ActiveState"]);
        let active = active
            .ok()
            .and_then(|shown| shown.get("ActiveState").cloned());
        let is_on = active.as_deref() == Some("active");
        listed.push(json!({
            "name": timer,
            "active": is_on,
            "last_run_at": at("at").map(stamp),
            "last_success_at": at("last_success_at").map(stamp),
            "last_effect_at": at("last_effect_at").map(stamp),
        }));
        let name = timer.trim_start_matches("agnes-");
        told.push(match (is_on, at("at")) {
            (false, _) => format!("{name} OFF"),
            (true, None) => format!("{name} not yet"),
            (true, Some(at)) => format!("{name} {} ago", age(host.now() - at)),
        });
    }
    Fact::new(told.join(", "), listed.into())
}

fn jobs(deployment: Deployment<'_>, state: &Result<Value, String>) -> Fact {
    if let Err(why) = state {
        return Fact::new(format!("not known: {why}"), Value::Null);
    }
    let listed = match ControlSocket::of(deployment.settings).get("/v1/jobs") {
        Ok(listed) => listed.get("items").cloned().unwrap_or_default(),
        Err(why) => return Fact::unseen(why),
    };
    let all: Vec<&Value> = listed.as_array().into_iter().flatten().collect();
    let is = |job: &&&Value, key: &str, value: &Value| job.get(key) == Some(value);
    let running = all
        .iter()
        .filter(|job| is(job, "running", &true.into()))
        .count();
    let failing: Vec<&str> = all
        .iter()
        .filter(|job| {
            is(job, "last_outcome", &"failure".into()) || is(job, "last_outcome", &"timeout".into())
        })
        .filter_map(|job| job.get("name")?.as_str())
        .collect();
    let failed = match failing.is_empty() {
        true => String::new(),
        false => format!(", failing: {}", failing.join(", ")),
    };
    let json = json!({"count": all.len(), "running": running, "failing": failing});
    Fact::new(format!("{}, {running} running{failed}", all.len()), json)
}

fn disks(deployment: Deployment<'_>) -> Fact {
    let Deployment { host, settings, .. } = deployment;
    let places = [settings.state_dir.clone(), settings.dir.clone(), "/".into()];
    let all = match host.file_systems(&places) {
        Ok(all) => all,
        Err(why) => return Fact::unseen(why),
    };
    let told = all.iter().map(|one| {
        let percent = (one.bytes_free.saturating_mul(100)).checked_div(one.bytes);
        format!(
            "{} {} GiB free ({} %)",
            one.at.display(),
            one.bytes_free >> 30,
            percent.unwrap_or(100)
        )
    });
    let json = all.iter().map(|one| {
        json!({
            "at": one.at,
            "bytes": one.bytes,
            "bytes_free": one.bytes_free,
            "inodes": one.inodes,
            "inodes_free": one.inodes_free,
            "read_only": one.read_only,
        })
    });
    Fact::new(told.collect::<Vec<_>>().join(", "), json.collect())
}

fn lock(deployment: Deployment<'_>) -> Fact {
    let path = deployment.settings.dir.join(".lock");
    match deployment.host.lock_holder(&path) {
        Ok(None) => Fact::new("nobody's", Value::Null),
        // `up` shows this screen at its end
        Ok(Some(holder)) if holder.contains(&format!("(pid {},", std::process::id())) => {
            Fact::new("this run's", holder.into())
        }
        Ok(Some(holder)) => Fact::new(format!("{holder} is at work"), holder.into()),
        Err(why) => Fact::unseen(why),
    }
}

/// What the next tick of upgrades will do, as far as that is known without asking the registry.
fn next_tick(deployment: Deployment<'_>) -> Fact {
    match upgrade::next_tick(deployment) {
        Ok(said) => Fact::new(said.clone(), said.into()),
        Err(why) => Fact::unseen(format!("{why:#}")),
    }
}

fn parsed(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

fn stamp(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

/// A length of time in its largest unit.
fn age(length: Duration) -> String {
    let secs = length.whole_seconds().max(0);
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        for (secs, wanted) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(age(Duration::seconds(secs)), wanted);
        }
    }
}
