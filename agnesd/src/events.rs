//! What happens, told as it happens to whoever watches.
//!
//! Always true: telling waits for nobody and costs little when nobody watches; a watcher that falls behind is told so and
//! loses its place, and never holds up the others. What is told was durable before.
//!
//! Does not: know sockets, or who may see what beyond the role that is asked for.

use std::sync::Arc;

use agnes_store::audit::Row;
use agnes_store::{Id, clock};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use crate::auth::roles::{AUDITOR, JOB_OPERATOR};
use crate::shares::{Share, Shares};

/// How far a watcher may be behind, in events.
const BEHIND: usize = 256;
/// Watchers at once. Each may hold [`BEHIND`] events of some hundred bytes, which all share.
const WATCHERS: usize = 256;
/// Of one principal.
const EACH: usize = 32;

/// Whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever is let in.
    Everybody,
    /// Administrators, and who has this role.
    Role(&'static str),
}

/// One event as it is sent.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) audience: Audience,
    pub(crate) json: String,
}

/// Tells.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<Told>>,
    places: Arc<Semaphore>,
    shares: Shares,
    stopping: watch::Sender<bool>,
}

/// A row of the audit log as it is told.
#[derive(Serialize)]
struct Audit<'a> {
    r#type: &'static str,
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    actor: &'a str,
    action: &'a str,
    resource: &'a str,
    outcome: &'a str,
    ip: &'a str,
    request_id: &'a str,
    count: i64,
    metadata: &'a Value,
}

impl Events {
    /// Nobody watches yet.
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND),
            places: Arc::new(Semaphore::new(WATCHERS)),
            shares: Shares::of(EACH),
            stopping: watch::Sender::new(false),
        }
    }

    /// A place to watch from; `None`: all are taken, or all of this principal's share.
    pub(crate) fn place(&self, principal: Id) -> Option<(OwnedSemaphorePermit, Share)> {
        let share = self.shares.take(principal)?;
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((place, share))
    }

    /// What is told from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.sender.subscribe()
    }

    /// Changes when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// The server stops: whoever watches is told to come again.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// A row of the audit log.
    pub(crate) fn audit(&self, row: &Row) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let audit = Audit {
            r#type: "audit",
            id: row.id.to_string(),
            at: row.at,
            actor: &row.actor,
            action: &row.action,
            resource: &row.resource,
            outcome: &row.outcome,
            ip: &row.ip,
            request_id: &row.request_id,
            count: row.count,
            metadata: &row.metadata,
        };
        self.tell(Audience::Role(AUDITOR), &audit);
    }

    /// A job's run began (`outcome` is `None`) or ended.
    pub(crate) fn job(&self, job: &str, outcome: Option<&str>) {
        let what = if outcome.is_some() { "ended" } else { "began" };
        let event =
            json!({"type": "job", "at": now(), "what": what, "job": job, "outcome": outcome});
        self.tell(Audience::Role(JOB_OPERATOR), &event);
    }

    /// The certificate: another one is served (`taken-up`) or installed for a proxy (`installed`), or one was `refused`.
    pub(crate) fn certificate(&self, what: &'static str, sha256: &str, not_after: &str) {
        let event = json!({
            "type": "certificate", "at": now(), "what": what, "sha256": sha256, "not_after": not_after,
        });
        self.tell(Audience::Everybody, &event);
    }

    /// What an upgrade does to this server: `writes-held`, `writes-released`, `draining`, `resumed`, `snapshot`, `stopping`.
    pub(crate) fn upgrade(&self, what: &'static str) {
        let event = json!({"type": "upgrade", "at": now(), "what": what});
        self.tell(Audience::Everybody, &event);
    }

    fn tell(&self, audience: Audience, event: &impl Serialize) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        match serde_json::to_string(event) {
            // no watcher is left: nobody misses it
            Ok(json) => drop(self.sender.send(Arc::new(Told { audience, json }))),
            Err(why) => tracing::error!("events: {why}"),
        }
    }
}

fn now() -> String {
    let format = &time::format_description::well_known::Rfc3339;
    clock::now().format(format).unwrap_or_default()
}
