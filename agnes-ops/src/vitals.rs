//! What runs, look by look: which image, which schema, since when, and what callers got. Kept in `$STATE_DIR/ops/vitals.json`.
//!
//! Always true: two hours of looks are kept, no more; what two looks are compared by is what both saw.
//!
//! Does not: look (`doctor` does), or say what is a fault.

use std::collections::BTreeSet;

use agnes_config::Settings;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::host::Host;
use crate::state_file;

/// How long looks are kept: the hour before a commit, and the hour after it.
const KEPT: Duration = Duration::minutes(125);

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// When this host was started, in seconds since 1970.
    pub host_started_at: i64,
    /// What the server says of itself; `None`: it did not.
    pub server: Option<Server>,
    /// The containers of the stack.
    pub containers: Vec<Container>,
}

/// The server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// Of the database.
    pub schema: u64,
    /// RFC 3339.
    pub started_at: String,
    /// What callers got since then; `None`: it does not count.
    #[serde(default)]
    pub requests: Option<Requests>,
}

/// What callers got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Answers.
    pub total: u64,
    /// Of them 5xx.
    pub server_errors: u64,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its whole id.
    pub id: String,
    /// Its Compose service.
    pub service: String,
    /// The image's own id.
    pub image_id: String,
    /// When its process started, as the engine writes it.
    pub started_at: String,
}

/// What happened between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Between {
    /// When the second one was, in seconds since 1970.
    at_secs: i64,
    /// `None`: nobody counted.
    requests: Option<Requests>,
    /// Processes that were started anew, and not by us.
    restarts: u64,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The last look.
    pub last: Vitals,
    between: Vec<Between>,
}

/// What happened in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// What callers got; `None`: nobody counted.
    pub requests: Option<Requests>,
    /// Processes that were started anew.
    pub restarts: u64,
}

/// What is another at the second of two looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `changed.image`, `changed.schema`, `changed.restarts`.
    pub id: &'static str,
    /// What: a service, the database; with what tells this change from the next one.
    pub object: String,
    /// From what to what.
    pub evidence: String,
}

fn path(settings: &Settings) -> std::path::PathBuf {
    settings.state_dir.join("ops/vitals.json")
}

/// The looks so far.
///
/// # Errors
/// When what is there is not understood.
pub fn read(host: &Host, settings: &Settings) -> Result<Option<Kept>> {
    state_file::read(host, &path(settings))
}

/// Keeps one more, and how many processes were started anew since the one before it that nobody of ours did.
///
/// # Errors
/// When it cannot be written.
pub fn keep(
    host: &Host,
    settings: &Settings,
    before: Option<Kept>,
    now: Vitals,
    restarts: u64,
) -> Result<()> {
    state_file::write(host, &path(settings), &next(before, now, restarts))
}

fn next(before: Option<Kept>, mut now: Vitals, restarts: u64) -> Kept {
    let at_secs = seconds(&now.at);
    let mut between = Vec::new();
    if let Some(before) = before {
        let one = Between {
            at_secs,
            requests: requests_between(before.last.server.as_ref(), now.server.as_ref()),
            restarts,
        };
        // what is away for a look is compared with what it was before that
        now.server = now.server.or(before.last.server);
        let there: BTreeSet<String> = now
            .containers
            .iter()
            .map(|one| one.service.clone())
            .collect();
        let away = before.last.containers.into_iter();
        now.containers
            .extend(away.filter(|one| !there.contains(&one.service)));
        between = before.between;
        between.push(one);
        // a clock that was set back leaves none behind that count for ever
        between.retain(|one| (at_secs - KEPT.whole_seconds()..=at_secs).contains(&one.at_secs));
    }
    Kept { last: now, between }
}

/// A process that is another one counts from its own beginning.
fn requests_between(before: Option<&Server>, now: Option<&Server>) -> Option<Requests> {
    let now = now?;
    let got = now.requests?;
    let before = match before.filter(|before| before.started_at == now.started_at) {
        Some(before) => before.requests?,
        None => Requests::default(),
    };
    Some(Requests {
        total: got.total.saturating_sub(before.total),
        server_errors: got.server_errors.saturating_sub(before.server_errors),
    })
}

impl Kept {
    /// What happened after `from` and until `to`, both in seconds since 1970.
    pub fn span(&self, from: i64, to: i64) -> Span {
        let mut span = Span::default();
        let within = self
            .between
            .iter()
            .filter(|one| one.at_secs > from && one.at_secs <= to);
        for one in within {
            if let Some(got) = one.requests {
                let all = span.requests.get_or_insert_default();
                all.total += got.total;
                all.server_errors += got.server_errors;
            }
            span.restarts += one.restarts;
        }
        span
    }
}

/// What is another now than it was before.
pub fn changes(before: &Vitals, now: &Vitals) -> Vec<Change> {
    let mut changes = Vec::new();
    let services: BTreeSet<&str> = names(before).intersection(&names(now)).copied().collect();
    for service in services {
        let (was, is) = (images(before, service), images(now, service));
        if was != is {
            changes.push(change("changed.image", service, &was, &is));
        }
    }
    if let (Some(was), Some(is)) = (&before.server, &now.server) {
        let alone = before.containers.is_empty() && now.containers.is_empty();
        if alone && was.version != is.version {
            changes.push(change("changed.image", "server", &was.version, &is.version));
        }
        if was.schema != is.schema {
            let (was, is) = (was.schema.to_string(), is.schema.to_string());
            changes.push(change("changed.schema", "database", &was, &is));
        }
    }
    changes.extend(restarted(before, now));
    changes
}

fn names(vitals: &Vitals) -> BTreeSet<&str> {
    vitals
        .containers
        .iter()
        .map(|one| one.service.as_str())
        .collect()
}

/// The images of a service's containers, for people.
fn images(vitals: &Vitals, service: &str) -> String {
    let of = vitals
        .containers
        .iter()
        .filter(|one| one.service == service);
    let images: BTreeSet<&str> = of.map(|one| short(&one.image_id)).collect();
    images.into_iter().collect::<Vec<_>>().join(", ")
}

/// Processes that are others in the same container; a server without containers.
fn restarted(before: &Vitals, now: &Vitals) -> Vec<Change> {
    let restarted = |what: &str, started_at: &str, evidence: String| Change {
        id: "changed.restarts",
        object: format!("{what} at {started_at}"),
        evidence,
    };
    let mut all = Vec::new();
    for one in &now.containers {
        let was = before.containers.iter().find(|was| was.id == one.id);
        if let Some(was) = was.filter(|was| was.started_at != one.started_at) {
            let evidence = format!(
                "{} was started anew; it ran since {}",
                one.service, was.started_at
            );
            all.push(restarted(&one.service, &one.started_at, evidence));
        }
    }
    if let (Some(was), Some(is), true) = (&before.server, &now.server, now.containers.is_empty())
        && was.started_at != is.started_at
        && was.version == is.version
    {
        let evidence = format!(
            "the server was started anew; it ran since {}",
            was.started_at
        );
        all.push(restarted("server", &is.started_at, evidence));
    }
    all
}

fn change(id: &'static str, object: &str, was: &str, is: &str) -> Change {
    Change {
        id,
        object: format!("{object}: {was} → {is}"),
        evidence: format!("{object} is {is}, and was {was}"),
    }
}

fn short(image_id: &str) -> &str {
    let hex = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    hex.get(..12).unwrap_or(hex)
}

fn seconds(at: &str) -> i64 {
    OffsetDateTime::parse(at, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> String {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::minutes(minute);
        at.format(&Rfc3339).unwrap()
    }

    fn vitals(minute: i64, started: i64, total: u64, server_errors: u64) -> Vitals {
        Vitals {
            at: at(minute),
            host_started_at: 0,
            server: Some(Server {
                version: "1.4.1".to_owned(),
                schema: 3,
                started_at: at(started),
                requests: Some(Requests {
                    total,
                    server_errors,
                }),
            }),
            containers: Vec::new(),
        }
    }

    fn container(id: &str, image: &str, started: i64) -> Container {
        Container {
            id: id.to_owned(),
            service: "app".to_owned(),
            image_id: format!("sha256:{image}"),
            started_at: at(started),
        }
    }

    #[test]
    fn what_callers_got_is_counted_over_restarts_of_the_server() {
        let mut kept = next(None, vitals(0, -9, 1000, 7), 0);
        // 100 a minute; at 3 the server is another one
        for (minute, started, total, errors) in [
            (1, -9, 1100, 7),
            (2, -9, 1200, 8),
            (3, 3, 40, 30),
            (4, 3, 140, 35),
        ] {
            kept = next(
                Some(kept),
                vitals(minute, started, total, errors),
                u64::from(minute == 3),
            );
        }
        let of = |from: i64, to: i64| kept.span(from * 60, to * 60);
        assert_eq!(
            of(0, 2).requests,
            Some(Requests {
                total: 200,
                server_errors: 1
            })
        );
        assert_eq!(
            of(2, 4).requests,
            Some(Requests {
                total: 140,
                server_errors: 35
            })
        );
        assert_eq!((of(0, 2).restarts, of(2, 4).restarts), (0, 1));
        // two hours later nothing of it is left
        let later = next(Some(kept), vitals(200, 3, 140, 35), 0);
        assert_eq!(later.between.len(), 1);
    }

    #[test]
    fn what_was_away_for_a_look_is_compared_with_what_it_was() {
        let kept = next(None, vitals(0, 0, 10, 0), 0);
        let mut gone = vitals(1, 0, 0, 0);
        gone.server = None;
        let kept = next(Some(kept), gone, 0);
        let back = vitals(2, 2, 5, 0);
        let ids: Vec<&str> = changes(&kept.last, &back)
            .iter()
            .map(|one| one.id)
            .collect();
        assert_eq!(ids, ["changed.restarts"]);
        // who does not count has counted nothing, and not none
        let mut silent = vitals(3, 2, 0, 0);
        silent.server.as_mut().unwrap().requests = None;
        let kept = next(Some(kept), silent, 0);
        assert_eq!(kept.span(2 * 60, 3 * 60).requests, None);
    }

    #[test]
    fn a_look_that_saw_no_server_changes_nothing() {
        let mut gone = vitals(1, 0, 0, 0);
        gone.server = None;
        assert_eq!(changes(&vitals(0, 0, 10, 0), &gone), []);
        assert_eq!(changes(&gone, &vitals(2, 0, 10, 0)), []);
    }

    #[test]
    fn images_schema_and_restarts_are_changes() {
        let ids = |before: &Vitals, now: &Vitals| -> Vec<&'static str> {
            changes(before, now).into_iter().map(|one| one.id).collect()
        };
        let before = vitals(0, 0, 0, 0);
        assert_eq!(ids(&before, &before), [""; 0]);
        assert_eq!(ids(&before, &vitals(1, 1, 0, 0)), ["changed.restarts"]);
        let mut newer = vitals(1, 1, 0, 0);
        let server = newer.server.as_mut().unwrap();
        (server.version, server.schema) = ("1.4.2".to_owned(), 4);
        // of a new version it is expected that it was started
        assert_eq!(ids(&before, &newer), ["changed.image", "changed.schema"]);

        let with = |containers: Vec<Container>| Vitals {
            containers,
            ..before.clone()
        };
        let one = with(vec![container("a", "1111", 0)]);
        assert_eq!(
            ids(&one, &with(vec![container("a", "1111", 5)])),
            ["changed.restarts"]
        );
        assert_eq!(
            ids(&one, &with(vec![container("b", "2222", 5)])),
            ["changed.image"]
        );
        // another container of the same image is an act of Compose, and no restart
        assert_eq!(ids(&one, &with(vec![container("b", "1111", 5)])), [""; 0]);
    }
}
