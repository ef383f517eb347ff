//! Findings that are kept are told: what is new, what is still there an hour later, and what is over.
//!
//! Always true: a finding counts as told when its receiver took it, and not before (W02); what nobody took is tried again at every look; each
//! receiver by itself: one that is away keeps nothing from another.
//!
//! Does not: find anything.

use std::collections::BTreeSet;
use std::time::Duration;

use agnes_config::{Alerts, Secret};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Kept, Outbox, Told};
use crate::host::Host;
use crate::state_file;

/// How long a receiver may take.
const ANSWERS: Duration = Duration::from_secs(10);
/// How long a finding that is over and told is kept.
const KEPT: time::Duration = time::Duration::days(30);

/// What is told of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It is there.
    Open,
    /// It still is.
    Reminder,
    /// It is over.
    Resolved,
}

impl News {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
        }
    }
}

/// Who is told, and in which form.
struct Receiver<'a> {
    name: &'static str,
    url: &'a Secret,
    form: fn(&Kept, News) -> Value,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Delivery {
    /// How often somebody took something.
    pub delivered: usize,
    /// How many still wait, and for whom: `webhook: why`.
    pub waiting: Vec<String>,
}

/// Tells what has to be told now of what this deployment has kept.
pub fn deliver(host: &Host, settings: &Alerts, outbox: &Outbox<'_>) -> Delivery {
    let receivers: Vec<Receiver<'_>> = [
        (
            "webhook",
            &settings.webhook,
            as_text as fn(&Kept, News) -> Value,
        ),
        ("json", &settings.json, as_json),
    ]
    .into_iter()
    .filter_map(|(name, url, form)| {
        Some(Receiver {
            name,
            url: url.as_ref()?,
            form,
        })
    })
    .collect();
    let mut delivery = Delivery::default();
    // whoever is away is not waited for once more in the same run
    let mut away = BTreeSet::new();
    for directory in outbox.directories() {
        for name in host.list(&directory).unwrap_or_default() {
            let path = directory.join(name);
            let Ok(Some(mut kept)) = state_file::read::<Kept>(host, &path) else {
                continue;
            };
            if kept.dir != outbox.dir {
                continue;
            }
            let before = kept.clone();
            for receiver in &receivers {
                tell(
                    host,
                    settings,
                    receiver,
                    &mut kept,
                    &mut away,
                    &mut delivery,
                );
            }
            // what was told is known at once: a run that is killed tells nothing twice but its last
            if kept != before
                && let Err(why) = state_file::write(host, &path, &kept)
            {
                delivery
                    .waiting
                    .push(format!("{}: {why:#}", path.display()));
            }
            if is_over(host, &kept) {
                let _ = host.remove_file(&path);
            }
        }
    }
    delivery
}

fn tell(
    host: &Host,
    settings: &Alerts,
    receiver: &Receiver<'_>,
    kept: &mut Kept,
    away: &mut BTreeSet<&'static str>,
    delivery: &mut Delivery,
) {
    let now = host.now();
    let Some(news) = news(kept, receiver.name, settings.remind_every, now) else {
        return;
    };
    let posted = match away.contains(receiver.name) {
        true => Err("is away".to_owned()),
        false => post(receiver.url, &(receiver.form)(kept, news)),
    };
    match posted {
        Ok(()) => {
            delivery.delivered += 1;
            let told = Told {
                at: now.format(&Rfc3339).unwrap_or_default(),
                resolved: news == News::Resolved,
            };
            kept.told.insert(receiver.name.to_owned(), told);
        }
        Err(why) => {
            away.insert(receiver.name);
            delivery.waiting.push(format!(
                "{}: {} {}: {why}",
                receiver.name, kept.alert.id, kept.alert.object
            ));
        }
    }
}

/// What a receiver has to be told of a finding now.
fn news(kept: &Kept, receiver: &str, remind_every: Duration, now: OffsetDateTime) -> Option<News> {
    let told = kept.told.get(receiver);
    match (kept.resolved_at.is_some(), told) {
        (false, None) => Some(News::Open),
        (false, Some(told)) => {
            let at = OffsetDateTime::parse(&told.at, &Rfc3339).ok()?;
            // a little early is better than a look later
            let due = now - at + time::Duration::seconds(5) >= remind_every;
            due.then_some(News::Reminder)
        }
        (true, Some(told)) => (!told.resolved).then_some(News::Resolved),
        // what came and went before anybody was told of it is nobody's news
        (true, None) => None,
    }
}

/// Told to everybody, and long ago.
fn is_over(host: &Host, kept: &Kept) -> bool {
    let resolved = kept.resolved_at.as_deref();
    let at = resolved.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    at.is_some_and(|at| host.now() - at > KEPT) && kept.told.values().all(|told| told.resolved)
}

/// One line for a chat.
fn as_text(kept: &Kept, news: News) -> Value {
    let alert = &kept.alert;
    let object = match alert.object.is_empty() {
        true => String::new(),
        false => format!(" {}", alert.object),
    };
    let text = match news {
        News::Resolved => format!(
            "[{}] resolved: {}{object} (since {})",
            kept.deployment, alert.id, kept.first_at
        ),
        News::Open | News::Reminder => {
            let still = match news {
                News::Reminder => format!(" (still, since {})", kept.first_at),
                _ => String::new(),
            };
            format!(
                "[{}] {}: {}{object}{still}: {}\nnext: {}\nrunbook: {}",
                kept.deployment,
                alert.severity,
                alert.id,
                alert.evidence,
                alert.next,
                alert.runbook
            )
        }
    };
    json!({ "text": text })
}

/// All that is known.
fn as_json(kept: &Kept, news: News) -> Value {
    let mut document = serde_json::to_value(kept).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("told");
        fields.insert("state".to_owned(), news.as_str().into());
    }
    document
}

/// Says that all is well.
///
/// # Errors
/// One clause, without the address.
pub fn heartbeat(url: &Secret) -> Result<(), String> {
    ask(url, |client, url| client.get(url))
}

fn post(url: &Secret, body: &Value) -> Result<(), String> {
    ask(url, |client, url| client.post(url).json(body))
}

fn ask(
    url: &Secret,
    request: impl FnOnce(&reqwest::Client, &str) -> reqwest::RequestBuilder,
) -> Result<(), String> {
    // the address is a secret: no error of the library's may hold it
    let clause = |error: reqwest::Error| error.without_url().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let client = reqwest::Client::builder()
        .timeout(ANSWERS)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(clause)?;
    let answer = runtime
        .block_on(async { request(&client, url.expose()).send().await })
        .map_err(clause)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("HTTP {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alert;
    use super::*;

    fn kept() -> Kept {
        Kept {
            alert: Alert {
                id: "disk.space".to_owned(),
                object: "/data".to_owned(),
                severity: "critical".to_owned(),
                evidence: "3 MiB of 100 MiB are free".to_owned(),
                next: "make room".to_owned(),
                runbook: "docs/operations.md#disk-full".to_owned(),
            },
            deployment: "agnes.example.com".to_owned(),
            dir: "/opt/agnes".into(),
            first_at: "2026-11-28T00:00:00Z".to_owned(),
            last_at: "2026-11-28T00:00:00Z".to_owned(),
            times: 1,
            resolved_at: None,
            told: std::collections::BTreeMap::new(),
        }
    }

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    #[test]
    fn w02_what_was_not_taken_is_told_again_and_what_was_is_not() {
        let hour = Duration::from_secs(3600);
        let of = |kept: &Kept, when: &str| news(kept, "webhook", hour, at(when));
        let mut kept = kept();
        assert_eq!(of(&kept, "2026-11-28T00:00:00Z"), Some(News::Open));
        assert_eq!(of(&kept, "2026-11-28T05:00:00Z"), Some(News::Open));
        let told = |resolved| Told {
            at: "2026-11-28T05:00:00Z".to_owned(),
            resolved,
        };
        kept.told.insert("webhook".to_owned(), told(false));
        assert_eq!(of(&kept, "2026-11-28T05:59:00Z"), None);
        assert_eq!(of(&kept, "2026-11-28T06:00:00Z"), Some(News::Reminder));
        // another receiver is another
        assert_eq!(
            news(&kept, "json", hour, at("2026-11-28T05:59:00Z")),
            Some(News::Open)
        );
        kept.resolved_at = Some("2026-11-28T05:30:00Z".to_owned());
        assert_eq!(of(&kept, "2026-11-28T05:31:00Z"), Some(News::Resolved));
        assert_eq!(news(&kept, "json", hour, at("2026-11-28T05:31:00Z")), None);
        kept.told.insert("webhook".to_owned(), told(true));
        assert_eq!(of(&kept, "2026-11-29T00:00:00Z"), None);
    }

    #[test]
    fn a_chat_gets_what_to_do_and_a_program_everything() {
        let text = as_text(&kept(), News::Open);
        let text = text["text"].as_str().unwrap();
        assert!(
            text.starts_with("[agnes.example.com] critical: disk.space /data: 3 MiB"),
            "{text}"
        );
        assert!(text.contains("\nnext: make room\nrunbook: docs/operations.md#disk-full"));
        let document = as_json(&kept(), News::Reminder);
        assert_eq!(document["state"], "reminder");
        assert_eq!(document["id"], "disk.space");
        assert!(document.get("told").is_none());
    }
}
