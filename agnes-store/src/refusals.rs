//! Refused credentials and refused calls, before they are rows: one row for each address, kind and minute, with a count; of
//! those whose credential is good, for each of them.
//!
//! Always true: a refusal can be seen by a query at once and becomes a row when its minute is over, under the id that it had
//! all along. A flood cannot fill the memory: beyond a number of addresses the others share one entry.
//!
//! Does not: survive a kill: up to a minute of refusals is lost then, no act ever.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use crate::audit::{Event, Origin, Outcome, Row, chain, query, tame};
use crate::writer::Txn;
use crate::{Id, Result, clock};

/// The most entries that wait at once.
const MOST: usize = 10_000;

/// The address of the entry that stands for all that had no room.
const OTHERS: &str = "others";

/// The kind of a call that its caller may not make.
const PERMISSION: &str = "permission";

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    minute: i64,
    ip: String,
    kind: &'static str,
    /// Who it is, where that is known, or whose password was tried; else empty.
    actor: String,
}

#[derive(Debug, Clone)]
struct Entry {
    id: Id,
    first: OffsetDateTime,
    origin: Origin,
    resource: String,
    count: i64,
}

/// The refusals that are not rows yet.
#[derive(Debug, Default)]
pub struct Refusals {
    waiting: Mutex<BTreeMap<Key, Entry>>,
}

impl Refusals {
    /// Counts a credential. `kind` says which: `password`, `bearer`, `scheduler`, …; `resource` what it was for.
    pub(crate) fn count(&self, origin: &Origin, kind: &'static str, resource: &str) {
        // of passwords it is told whose was tried, of an OpenID provider's people who and why
        let whose = match kind {
            "password" | "oidc" => tame(resource),
            _ => String::new(),
        };
        self.add(origin, kind, whose, resource);
    }

    /// Counts a call that its caller, who is known, may not make.
    pub(crate) fn count_denied(&self, origin: &Origin, resource: &str) {
        self.add(origin, PERMISSION, origin.actor.clone(), resource);
    }

    fn add(&self, origin: &Origin, kind: &'static str, actor: String, resource: &str) {
        let now = clock::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key {
            minute: now.unix_timestamp().div_euclid(60),
            ip: origin.ip.clone(),
            kind,
            actor,
        };
        if waiting.len() >= MOST && !waiting.contains_key(&key) {
            key.ip = OTHERS.to_owned();
            key.actor.clear();
        }
        let entry = waiting.entry(key).or_insert_with_key(|key| Entry {
            id: Id::new(),
            first: now,
            // as much of it as a row keeps: what a stranger sends must not fill the memory
            origin: Origin {
                ip: key.ip.clone(),
                // an entry that several share is nobody's
                actor: match key.kind == PERMISSION && key.actor.is_empty() {
                    true => OTHERS.to_owned(),
                    false => origin.actor.clone(),
                },
                user_agent: tame(&origin.user_agent),
                ..origin.clone()
            },
            resource: tame(resource),
            count: 0,
        });
        entry.count += 1;
    }

    /// Those not written yet, newest first, as the rows that they will be.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<Row> = waiting.iter().map(|(key, entry)| row(key, entry)).collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        rows
    }

    /// Whether a minute is over whose refusals are not written.
    pub(crate) fn are_due(&self, now: OffsetDateTime) -> bool {
        let minute = now.unix_timestamp().div_euclid(60);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .first_key_value()
            .is_some_and(|(key, _)| key.minute != minute)
    }

    /// Takes out those of minutes before `now`'s, or all.
    pub(crate) fn take(&self, now: OffsetDateTime, which: Which) -> Taken {
        let minute = now.unix_timestamp().div_euclid(60);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (take, keep) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition(|(key, _)| which == Which::All || key.minute != minute);
        *waiting = keep;
        Taken(take)
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, taken: Taken) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, entry) in taken.0 {
            let count = entry.count;
            waiting
                .entry(key)
                .and_modify(|there| there.count += count)
                .or_insert(entry);
        }
    }
}

/// Which refusals are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those whose minute is over.
    Over,
    /// All: the server stops.
    All,
}

/// Refusals on their way to being rows.
#[derive(Debug, Clone)]
pub(crate) struct Taken(BTreeMap<Key, Entry>);

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds them to the log.
    pub(crate) fn write(&self, txn: &mut Txn<'_>) -> Result<()> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.id);
        for (key, entry) in entries {
            txn.audit_as(entry.id, entry.first, &entry.origin, event(key, entry));
        }
        Ok(())
    }
}

fn event(key: &Key, entry: &Entry) -> Event {
    let (action, outcome) = match key.kind {
        PERMISSION => ("auth.denied", Outcome::Denied),
        _ => ("auth.failed", Outcome::Failure),
    };
    let mut event = Event::done(action, entry.resource.clone())
        .ended(outcome)
        .with("kind", key.kind)
        .with("count", entry.count);
    event.count = entry.count;
    event
}

fn row(key: &Key, entry: &Entry) -> Row {
    let event = event(key, entry);
    let sealed = chain::seal_as(
        entry.id,
        &chain::Head::default(),
        &entry.origin,
        event,
        entry.first,
    );
    query::row_of(sealed.fields, 0, entry.id)
}
