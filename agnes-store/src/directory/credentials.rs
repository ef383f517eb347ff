//! Sessions, personal tokens and one-time links as they are known in memory.
//!
//! Always true: of what is secret only a hash is here.
//!
//! Does not: change the engine's tables (`sessions.rs`, `tokens.rs` and `links.rs` do).

use std::sync::Arc;

use time::OffsetDateTime;

use super::Directory;
use crate::Id;

/// How a person signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// By password.
    Password,
    /// By a one-time link.
    Link,
    /// At an outside OpenID provider.
    Oidc,
    /// Not at all: the server's own, to prove its keys with.
    Probe,
}

impl Method {
    /// The one that is stored under this word.
    pub(crate) fn of(word: &str) -> Self {
        let all = [Self::Link, Self::Oidc, Self::Probe];
        let found = all.into_iter().find(|method| method.as_str() == word);
        found.unwrap_or(Self::Password)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Link => "link",
            Self::Oidc => "oidc",
            Self::Probe => "probe",
        }
    }
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name, in every access token of it.
    pub id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// How it began.
    pub method: Method,
    /// SHA-256 of the refresh token that is valid now, hex.
    pub refresh_hash: String,
    /// When it began.
    pub created_at: OffsetDateTime,
    /// When its refresh token was last exchanged.
    pub refreshed_at: OffsetDateTime,
    /// When its refresh token ends.
    pub expires_at: OffsetDateTime,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name for programs.
    pub id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// Its name for its owner.
    pub name: String,
    /// SHA-256 of the token, hex.
    pub hash: String,
    /// `read`, `write`, `admin`; empty: all that the owner may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends.
    pub expires_at: OffsetDateTime,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was last used, as far as it is written (see [`Store::last_use`]).
    pub last_used_at: Option<OffsetDateTime>,
    /// From where.
    pub last_used_ip: Option<String>,
}

impl Token {
    /// Whether it opens anything at `now`.
    pub fn is_valid(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

/// What a one-time link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Begins a session.
    SignIn,
    /// Gives its holder a new password.
    Reset,
}

impl Purpose {
    /// The one that is stored under this word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        let all = [Self::SignIn, Self::Reset];
        all.into_iter().find(|purpose| purpose.as_str() == word)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Reset => "reset",
        }
    }
}

/// One link that was not used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// What it does.
    pub purpose: Purpose,
    /// SHA-256 of its secret, hex.
    pub hash: String,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

impl Directory {
    pub(crate) fn put_session(&mut self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.sessions.insert_mut(session.id, Arc::clone(&session));
        session
    }

    pub(crate) fn put_token(&mut self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        self.token_hashes.insert_mut(token.hash.clone(), token.id);
        self.tokens.insert_mut(token.id, Arc::clone(&token));
        token
    }

    pub(crate) fn put_link(&mut self, link: Link) {
        self.links.insert_mut(link.hash.clone(), Arc::new(link));
    }
}
