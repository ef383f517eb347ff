//! The keys and secrets in use, told without any of their text.
//!
//! Always true: a key is named by its id, which says nothing about it; what is accepted stands here, and nothing else does.
//!
//! Does not: judge whether a rotation is done.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;
use time::OffsetDateTime;

use super::callers::{Caller, Use};

/// Which of two a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Signs, where it signs, and is accepted.
    Current,
    /// Is accepted.
    Previous,
}

/// Everything in use.
#[derive(Debug, Serialize)]
pub(crate) struct Generations {
    pub(super) jwt: Vec<JwtKey>,
    pub(super) session: Vec<SessionKey>,
    pub(super) scheduler: Vec<SchedulerSecret>,
    /// Who used the previous secret and has not used the current one since.
    pub(super) scheduler_not_moved: Vec<Caller>,
    /// Callers beyond those that are remembered.
    pub(super) scheduler_callers_forgotten: u64,
}

/// `JWT_SECRET_KEY` and the one before it.
#[derive(Debug, Serialize)]
pub(super) struct JwtKey {
    pub(super) id: String,
    pub(super) role: Role,
    pub(super) signs: bool,
    pub(super) verifies: bool,
    /// Made for this process alone: nothing is set.
    pub(super) of_this_process: bool,
    /// Only for the previous one, since it became that: how often a token of it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<u64>,
    /// And when last.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) last_accepted_at: Option<OffsetDateTime>,
}

/// `SESSION_SECRET` and the one before it.
#[derive(Debug, Serialize)]
pub(super) struct SessionKey {
    pub(super) id: String,
    pub(super) role: Role,
    pub(super) signs: bool,
    pub(super) verifies: bool,
    /// Made for this process alone: nothing is set.
    pub(super) of_this_process: bool,
    /// Only for the previous one, since it became that: how often a cookie of it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<u64>,
    /// And when last.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) last_accepted_at: Option<OffsetDateTime>,
}

/// `SCHEDULER_API_TOKEN` and the one before it.
#[derive(Debug, Serialize)]
pub(super) struct SchedulerSecret {
    pub(super) id: String,
    pub(super) role: Role,
    /// Since the process began; `null`: never.
    pub(super) used: Option<Use>,
    pub(super) callers: Vec<Caller>,
}

/// How often tokens of a key were accepted, and when last. Only asked of the previous key: the current one's callers are
/// not slowed down by it.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    count: AtomicU64,
    /// Seconds since 1970.
    last: AtomicI64,
}

impl Accepted {
    pub(super) fn note(&self, now: i64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Option<OffsetDateTime> {
        let last = self.last.load(Ordering::Relaxed);
        (last > 0)
            .then(|| OffsetDateTime::from_unix_timestamp(last).ok())
            .flatten()
    }
}
