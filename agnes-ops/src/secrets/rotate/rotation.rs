//! A rotation on its way, as the journal holds it.
//!
//! Always true: it holds numbers of generations and times, never a value.
//!
//! Does not: change anything.

use serde::{Deserialize, Serialize};

/// What is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// JWT_SECRET_KEY: signs access tokens.
    Jwt,
    /// SESSION_SECRET: signs session cookies.
    Session,
    /// SCHEDULER_API_TOKEN: what side-cars call with.
    Scheduler,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Jwt, Self::Session, Self::Scheduler];

    /// Its name in `.env`.
    pub(in crate::secrets) fn name(self) -> &'static str {
        match self {
            Self::Jwt => "JWT_SECRET_KEY",
            Self::Session => "SESSION_SECRET",
            Self::Scheduler => "SCHEDULER_API_TOKEN",
        }
    }

    /// The name of the value before it.
    pub(in crate::secrets) fn previous(self) -> String {
        format!("{}_PREVIOUS", self.name())
    }

    /// As the command line and the server's state call it.
    pub(in crate::secrets) fn word(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Session => "session",
            Self::Scheduler => "scheduler",
        }
    }

    /// What stops working when the old value is refused at once.
    pub(super) fn signs(self) -> &'static str {
        match self {
            Self::Jwt => {
                "access tokens that the old key signed; refresh tokens and personal tokens go on"
            }
            Self::Session => "session cookies that the old secret signed",
            Self::Scheduler => "callers that still have the old token",
        }
    }

    /// How long what the key signs may live, in seconds: an access token 15 minutes, a session cookie 12 hours; the
    /// scheduler's secret signs nothing, its callers are watched instead.
    pub(super) fn longest_life_secs(self) -> i64 {
        match self {
            Self::Jwt => 15 * 60,
            Self::Session => 12 * 60 * 60,
            Self::Scheduler => 0,
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// The new value is being put beside the old one and proven.
    Staging,
    /// Both are accepted, until nothing that the old one signed can be valid.
    Waiting,
    /// The old one is being taken away.
    Retiring,
}

impl Phase {
    /// As it stands in reports.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Waiting => "waiting",
            Self::Retiring => "retiring",
        }
    }
}

/// One rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// The generation that is replaced.
    pub(super) old: u64,
    /// The generation that replaces it.
    pub(super) new: u64,
    /// The old value is not accepted beside the new one: it is compromised.
    pub(super) at_once: bool,
    /// It takes another rotation back: the new value is the one of this generation.
    pub(super) value_of: Option<u64>,
    /// Seconds since 1970.
    pub(super) started_at: i64,
    /// The new value stands where `publish` says; also when nothing says so.
    #[serde(default)]
    pub(super) published: bool,
    /// Seconds since 1970; not before this the old one is retired.
    pub(super) retire_after: i64,
}

impl Rotation {
    /// Begins to replace generation `old`.
    pub(super) fn begin(kind: Kind, old: u64, new: u64, at_once: bool, now: i64) -> Self {
        Self {
            kind,
            phase: Phase::Staging,
            old,
            new,
            at_once,
            value_of: None,
            published: false,
            started_at: now,
            retire_after: now + kind.longest_life_secs(),
        }
    }

    /// The generation that the server must still accept beside the new one.
    pub(super) fn beside(&self) -> Option<u64> {
        (!self.at_once && self.phase != Phase::Retiring).then_some(self.old)
    }

    /// The rotation that takes this one back, under the number `new`. What the new value has signed meanwhile stays valid
    /// until it ends.
    pub(super) fn back(&self, new: u64, now: i64) -> Self {
        Self {
            value_of: Some(self.old),
            ..Self::begin(self.kind, self.new, new, false, now)
        }
    }
}
