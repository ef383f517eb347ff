//! From a credential to a [`Principal`].
//!
//! Always true: a credential is judged from memory alone, in this order: the scheduler's secret, a personal token, a session's
//! access token. A user that was disabled, a session that ended and a token that was revoked are refused from the commit
//! on (A08). Any bytes in the header give an answer below 500 (A02).
//!
//! Does not: decide what a principal may do (`access` does).

use std::sync::Arc;

use agnes_store::sessions::Method;
use agnes_store::tokens::Token;
use agnes_store::users::{SCHEDULER_EMAIL, User};
use agnes_store::{Id, Store, clock};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

pub(crate) mod access;
mod bearer;
pub(crate) mod cookie;
pub(crate) mod keys;
pub(crate) mod passwords;
pub(crate) mod personal;
pub(crate) mod refresh;
pub(crate) mod roles;
pub(crate) mod secrets;
pub(crate) mod throttle;

use bearer::bearer;
use keys::Keys;

/// Somebody who may call.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// Who.
    pub(crate) user: Arc<User>,
    /// A member of the group Admin.
    pub(crate) admin: bool,
    /// By what.
    pub(crate) credential: Credential,
}

/// What was shown.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// An access token of a session that a person began.
    Session(Id, Method),
    /// A personal access token.
    Personal(Arc<Token>),
    /// The scheduler's secret, by the id of which one; `None`: a job of this process, which shows none.
    Scheduler(Option<Arc<str>>),
}

/// A caller that this process itself put into a request's extensions: its own jobs. Nothing that is parsed from the network
/// makes a value of this type.
#[derive(Debug, Clone)]
pub(crate) struct Inside(pub(crate) Principal);

impl Principal {
    /// The synthetic user of jobs, with the id of the secret it showed; `None` while it is disabled.
    pub(crate) fn scheduler(store: &Store, secret: Option<Arc<str>>) -> Option<Self> {
        let directory = store.directory();
        let user = directory.user_by_email(SCHEDULER_EMAIL)?;
        (!user.disabled).then(|| Self {
            user: Arc::clone(user),
            admin: true,
            credential: Credential::Scheduler(secret),
        })
    }

    /// The session that this is, if it is one.
    pub(crate) fn session(&self) -> Option<Id> {
        match self.credential {
            Credential::Session(id, _) => Some(id),
            _ => None,
        }
    }

    /// As metrics and the log name the credential.
    pub(crate) fn kind(&self) -> &'static str {
        match self.credential {
            Credential::Session(..) => "session",
            Credential::Personal(_) => "personal",
            Credential::Scheduler(_) => "scheduler",
        }
    }
}

/// Why a credential that was shown opens nothing: the kind that the log counts it under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

/// Who calls: nobody said so, a principal, or a credential that was refused.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// There was no credential.
    Anonymous,
    /// It was good.
    Known(Principal),
    /// It was not.
    Refused(Refused),
}

impl Caller {
    /// The principal, if there is one.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Known(principal) => Some(principal),
            _ => None,
        }
    }

    /// Judges the `Authorization` header, and where there is none the cookie of a browser's session.
    pub(crate) fn of(headers: &HeaderMap, store: &Store, keys: &Keys, kind: cookie::Kind) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Self::of_cookie(headers, store, keys, kind);
        };
        // two of them: a proxy and we might each read another one
        if values.next().is_some() {
            return Self::Refused(Refused("duplicate"));
        }
        let Some(secret) = bearer(value.as_bytes()) else {
            return Self::Refused(Refused("malformed"));
        };
        match judge(secret, store, keys) {
            Ok(principal) => Self::Known(principal),
            Err(refused) => Self::Refused(refused),
        }
    }

    /// A session that has ended is nobody's: its cookie stays with the browser for a while, and that is no attempt at anything.
    fn of_cookie(headers: &HeaderMap, store: &Store, keys: &Keys, kind: cookie::Kind) -> Self {
        let Some(text) = cookie::among(headers, kind) else {
            return Self::Anonymous;
        };
        let now = clock::now();
        let Some(claims) = keys.verify_cookie(text, now.unix_timestamp()) else {
            return Self::Refused(Refused("cookie"));
        };
        let directory = store.directory();
        let session = directory.session(claims.sid);
        let known = session
            .filter(|session| session.expires_at > now)
            .and_then(|session| {
                let user = directory.user(session.user_id)?;
                let good = !user.disabled && user.epoch == claims.epoch;
                good.then(|| Principal {
                    admin: directory.is_admin(user.id),
                    user: Arc::clone(user),
                    credential: Credential::Session(session.id, session.method),
                })
            });
        known.map_or(Self::Anonymous, Self::Known)
    }
}

fn judge(secret: &[u8], store: &Store, keys: &Keys) -> Result<Principal, Refused> {
    let directory = store.directory();
    if let Some(id) = keys.scheduler(secret) {
        return Principal::scheduler(store, Some(id)).ok_or(Refused("scheduler"));
    }
    // what is no text is no token of ours
    let text = std::str::from_utf8(secret).map_err(|_| Refused("malformed"))?;
    let (user, credential) = if text.starts_with(personal::PREFIX) {
        let refused = Refused("personal");
        if !personal::is_plausible(text) {
            return Err(refused);
        }
        let token = directory.token_by_hash(&secrets::sha256(text));
        let token = token.filter(|token| token.is_valid(clock::now()));
        let token = Arc::clone(token.ok_or(refused)?);
        (token.user_id, Credential::Personal(token))
    } else {
        let refused = Refused("session");
        let claims = keys
            .verify(text, clock::now().unix_timestamp())
            .ok_or(refused)?;
        let session = directory.session(claims.sid).ok_or(refused)?;
        let user = directory.user(claims.sub).ok_or(refused)?;
        if session.user_id != user.id || claims.epoch != user.epoch {
            return Err(refused);
        }
        (user.id, Credential::Session(session.id, session.method))
    };
    let user = directory.user(user).filter(|user| !user.disabled);
    let user = Arc::clone(user.ok_or(Refused("disabled"))?);
    Ok(Principal {
        admin: directory.is_admin(user.id),
        user,
        credential,
    })
}
