//! Findings that are kept are told: what is new, what is still there an hour later, and what is over.
//!
//! Always true: a finding counts as told when its receiver took it, and not before (W02); what nobody took is tried again at every look; each
//! receiver by itself: one that is away keeps nothing from another.
//!
//! Does not: find anything.

mod mail;
mod post;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agnes_config::{Mail, Secret, Settings};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Kept, Outbox, Told};
use crate::host::Host;
use crate::state_file;

pub use self::mail::reach as reach_mail;
pub use self::post::heartbeat;

/// What a receiver has not taken for so long is late: several looks have tried.
const LATE: time::Duration = time::Duration::minutes(10);
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

/// Who is told.
struct Receiver<'a> {
    /// What the outbox knows it by.
    name: String,
    way: Way<'a>,
}

/// What a finding and its news look like there.
type Form = fn(&Kept, News) -> Value;

/// How.
enum Way<'a> {
    /// A document, in this form.
    Post(&'a Secret, Form),
    /// A message.
    Mail(&'a Mail, &'a str),
}

/// Why somebody did not take it.
struct Failed {
    why: String,
    /// It is not worth trying with the next piece of news.
    receiver_is_away: bool,
}

impl Receiver<'_> {
    /// Receivers that are away together.
    fn place(&self) -> &str {
        match self.way {
            Way::Post(..) => &self.name,
            Way::Mail(..) => "email",
        }
    }

    fn tell(&self, kept: &Kept, news: News) -> Result<(), Failed> {
        match self.way {
            Way::Post(url, form) => post::send(url, &form(kept, news)),
            Way::Mail(mail, to) => mail::send(mail, to, kept, news),
        }
    }
}

/// Everybody who is to be told.
fn receivers(settings: &Settings) -> Vec<Receiver<'_>> {
    let alerts = &settings.alerts;
    let posts: [(_, _, Form); 2] = [
        ("webhook", &alerts.webhook, post::as_text),
        ("json", &alerts.json, post::as_json),
    ];
    let posts = posts.into_iter().filter_map(|(name, url, form)| {
        let way = Way::Post(url.as_ref()?, form);
        let name = name.to_owned();
        Some(Receiver { name, way })
    });
    let mail = settings.mail.iter().flat_map(|mail| {
        alerts.email_to.iter().map(move |to| Receiver {
            name: format!("email {to}"),
            way: Way::Mail(mail, to),
        })
    });
    posts.chain(mail).collect()
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Delivery {
    /// How often somebody took something.
    pub delivered: usize,
    /// How many still wait, and for whom: `webhook: why`.
    pub waiting: Vec<String>,
}

/// Whether anybody is to be told.
pub fn has_receivers(settings: &Settings) -> bool {
    !receivers(settings).is_empty()
}

/// What waits for one receiver.
#[derive(Debug)]
pub struct Waits {
    /// How many messages.
    pub messages: usize,
    /// Since when the first, RFC 3339.
    pub since: String,
}

/// Receivers for whom messages wait that should have been taken by now; those about the check `without` aside.
pub fn overdue(
    host: &Host,
    settings: &Settings,
    outbox: &Outbox<'_>,
    without: &str,
) -> BTreeMap<String, Waits> {
    let mut overdue: BTreeMap<String, Waits> = BTreeMap::new();
    let receivers = receivers(settings);
    let now = host.now();
    for directory in outbox.directories() {
        for name in host.list(&directory).unwrap_or_default() {
            let kept = state_file::read::<Kept>(host, &directory.join(name));
            let Some(kept) = kept.ok().flatten() else {
                continue;
            };
            if kept.dir != outbox.dir || kept.alert.id == without {
                continue;
            }
            for receiver in &receivers {
                let Some(since) = kept.refused.get(&receiver.name) else {
                    continue;
                };
                let at = OffsetDateTime::parse(since, &Rfc3339);
                let every = settings.alerts.remind_every;
                if at.is_ok_and(|at| now - at < LATE)
                    || news(&kept, &receiver.name, every, now).is_none()
                {
                    continue;
                }
                let waits = overdue.entry(receiver.name.clone()).or_insert(Waits {
                    messages: 0,
                    since: since.clone(),
                });
                waits.messages += 1;
                if *since < waits.since {
                    waits.since.clone_from(since);
                }
            }
        }
    }
    overdue
}

/// Tells what has to be told now of what this deployment has kept.
pub fn deliver(host: &Host, settings: &Settings, outbox: &Outbox<'_>) -> Delivery {
    let receivers = receivers(settings);
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
                    settings.alerts.remind_every,
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
            if is_over(host, &kept, &receivers) {
                let _ = host.remove_file(&path);
            }
        }
    }
    delivery
}

fn tell(
    host: &Host,
    remind_every: Duration,
    receiver: &Receiver<'_>,
    kept: &mut Kept,
    away: &mut BTreeSet<String>,
    delivery: &mut Delivery,
) {
    let now = host.now();
    let Some(news) = news(kept, &receiver.name, remind_every, now) else {
        return;
    };
    let told = match away.contains(receiver.place()) {
        true => Err("is away".to_owned()),
        false => receiver.tell(kept, news).map_err(|failed| {
            if failed.receiver_is_away {
                away.insert(receiver.place().to_owned());
            }
            failed.why
        }),
    };
    match told {
        Ok(()) => {
            delivery.delivered += 1;
            let told = Told {
                at: now.format(&Rfc3339).unwrap_or_default(),
                resolved: news == News::Resolved || kept.event,
            };
            kept.told.insert(receiver.name.clone(), told);
            kept.refused.remove(&receiver.name);
        }
        Err(why) => {
            let since = now.format(&Rfc3339).unwrap_or_default();
            kept.refused.entry(receiver.name.clone()).or_insert(since);
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
    if kept.event {
        return told.is_none().then_some(News::Open);
    }
    match (kept.resolved_at.is_some(), told) {
        (false, None) => Some(News::Open),
        (false, Some(told)) => {
            let at = OffsetDateTime::parse(&told.at, &Rfc3339).ok()?;
            // a little early is better than a look later
            // so is one after a clock that was ahead
            let due = at > now || now - at + time::Duration::seconds(5) >= remind_every;
            due.then_some(News::Reminder)
        }
        (true, Some(told)) => (!told.resolved).then_some(News::Resolved),
        // what came and went before anybody was told of it is nobody's news
        (true, None) => None,
    }
}

/// Told to everybody, and long ago.
fn is_over(host: &Host, kept: &Kept, receivers: &[Receiver<'_>]) -> bool {
    let resolved = kept.resolved_at.as_deref();
    let at = resolved.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let waits = |receiver: &Receiver<'_>| kept.event && !kept.told.contains_key(&receiver.name);
    at.is_some_and(|at| host.now() - at > KEPT)
        && kept.told.values().all(|told| told.resolved)
        && !receivers.iter().any(waits)
}

#[cfg(test)]
mod tests {
    use super::super::Alert;
    use super::*;

    pub(super) fn kept() -> Kept {
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
            event: false,
            refused: BTreeMap::new(),
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
        // what happened is told once, however late
        kept.event = true;
        assert_eq!(of(&kept, "2026-11-29T00:00:00Z"), None);
        kept.told.clear();
        assert_eq!(of(&kept, "2026-11-29T00:00:00Z"), Some(News::Open));
    }
}
