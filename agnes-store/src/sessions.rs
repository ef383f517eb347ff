//! Sessions: a sign-in by a person, and the family of refresh tokens that goes on from it.
//!
//! Always true: one refresh token of a family is valid at a time, kept as a hash; whoever shows another one of it ends the
//! family, for one of two holders stole it.
//!
//! Does not: make or sign tokens.

use std::sync::Arc;

use duckdb::params;
use time::OffsetDateTime;

use crate::audit::{Event, Origin, Outcome};
pub use crate::directory::credentials::{Method, Session};
use crate::directory::people::{Kind, User};
use crate::users::resource;
use crate::writer::Txn;
use crate::{Error, Id, Result, Store, text, timestamp};

/// The user of the server's own probes: in no group.
const PROBE_EMAIL: &str = "probe@system.local";

/// What presenting a refresh token came to.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// The family goes on.
    Session(Arc<Session>, Arc<User>),
    /// The token was used before: the family has ended.
    Reused,
}

impl Store {
    /// Begins a session. `password_hash` is the one that the password was checked against: if it was changed meanwhile the
    /// sign-in does not count.
    ///
    /// # Errors
    /// [`Error::Credential`] when the user may not sign in any more.
    pub async fn start_session(
        &self,
        origin: Origin,
        user: &User,
        method: Method,
        refresh_hash: String,
        expires_at: OffsetDateTime,
    ) -> Result<Arc<Session>> {
        let (id, epoch) = (user.id, user.epoch);
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(id)?;
            if user.disabled || user.epoch != epoch {
                return Err(Error::Credential);
            }
            Ok(txn.begin_session(&origin, &user, method, &refresh_hash, expires_at))
        })
        .await
    }

    /// Begins a session of the server's own, for a user who is nobody and may nothing: what proves that a key is accepted.
    /// It cannot be refreshed.
    ///
    /// # Errors
    /// As any write.
    pub async fn start_probe_session(
        &self,
        origin: Origin,
        expires_at: OffsetDateTime,
    ) -> Result<(Arc<Session>, Arc<User>)> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.directory.user_by_email(PROBE_EMAIL).cloned();
            let user = user.unwrap_or_else(|| {
                txn.insert_user(User {
                    id: Id::new(),
                    email: PROBE_EMAIL.to_owned(),
                    name: "probe".to_owned(),
                    kind: Kind::System,
                    password_hash: None,
                    disabled: false,
                    epoch: 1,
                    created_at: txn.now,
                })
            });
            let session = txn.begin_session(&origin, &user, Method::Probe, "", expires_at);
            Ok((session, user))
        })
        .await
    }

    /// Exchanges a refresh token for the next one.
    ///
    /// # Errors
    /// [`Error::Credential`] when there is no such session, it has expired, or its user is disabled.
    pub async fn refresh_session(
        &self,
        origin: Origin,
        id: Id,
        presented_hash: String,
        next_hash: String,
        expires_at: OffsetDateTime,
    ) -> Result<Refreshed> {
        self.act_of(origin.standing, move |txn| {
            let session = txn.directory.session(id).cloned();
            let session = session.ok_or(Error::Credential)?;
            let user = txn.user(session.user_id)?;
            if user.disabled || session.expires_at <= txn.now {
                return Err(Error::Credential);
            }
            let origin = Origin {
                actor: user.email.clone(),
                ..origin.clone()
            };
            if session.refresh_hash != presented_hash {
                txn.remove_session(id)?;
                let event = Event::done("session.reuse_detected", format!("session:{id}"));
                txn.audit(&origin, event.ended(Outcome::Denied));
                return Ok(Refreshed::Reused);
            }
            let session = Session {
                refresh_hash: next_hash.clone(),
                refreshed_at: txn.now,
                expires_at,
                ..Session::clone(&session)
            };
            txn.execute(
                "UPDATE sessions SET refresh_hash = ?, refreshed_at = ?, expires_at = ? WHERE id = ?",
                params![
                    session.refresh_hash,
                    timestamp(session.refreshed_at),
                    timestamp(session.expires_at),
                    id.to_string()
                ],
            )?;
            txn.audit(&origin, Event::done("token.refreshed", format!("session:{id}")));
            Ok(Refreshed::Session(txn.directory.put_session(session), user))
        })
        .await
    }

    /// Ends one session; one that has ended already is fine.
    ///
    /// # Errors
    /// As any write.
    pub async fn end_session(&self, origin: Origin, id: Id) -> Result<()> {
        self.act_of(origin.standing, move |txn| {
            if txn.directory.session(id).is_some() {
                txn.remove_session(id)?;
                txn.audit(
                    &origin,
                    Event::done("session.ended", format!("session:{id}")),
                );
            }
            Ok(())
        })
        .await
    }

    /// Ends all sessions of a user, and every access token that was issued to it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn end_all_sessions(&self, origin: Origin, user: Id) -> Result<()> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.bump_epoch(user)?;
            let ended = txn.end_sessions_of(user.id)?;
            txn.remove_links_of(user.id, None)?;
            let event = Event::done("session.all_ended", resource(&user));
            txn.audit(&origin, event.with("sessions", ended));
            Ok(())
        })
        .await
    }
}

impl Txn<'_> {
    pub(crate) fn begin_session(
        &mut self,
        origin: &Origin,
        user: &User,
        method: Method,
        refresh_hash: &str,
        expires_at: OffsetDateTime,
    ) -> Arc<Session> {
        let session = Session {
            id: Id::new(),
            user_id: user.id,
            method,
            refresh_hash: refresh_hash.to_owned(),
            created_at: self.now,
            refreshed_at: self.now,
            expires_at,
        };
        self.insert(
            "sessions",
            [
                text(session.id),
                text(session.user_id),
                text(method.as_str()),
                text(&session.refresh_hash),
                timestamp(session.created_at),
                timestamp(session.refreshed_at),
                timestamp(session.expires_at),
            ],
        );
        let origin = Origin {
            actor: user.email.clone(),
            ..origin.clone()
        };
        let event = Event::done("token.issued", format!("session:{}", session.id));
        self.audit(
            &origin,
            event
                .with("kind", "session")
                .with("method", method.as_str()),
        );
        self.directory.put_session(session)
    }

    /// Ends a user's sessions; how many there were.
    pub(crate) fn end_sessions_of(&mut self, user: Id) -> Result<usize> {
        let of_user = self.directory.sessions.values();
        let ids: Vec<Id> = of_user
            .filter(|session| session.user_id == user)
            .map(|session| session.id)
            .collect();
        for id in &ids {
            self.remove_session(*id)?;
        }
        Ok(ids.len())
    }

    pub(crate) fn remove_session(&mut self, id: Id) -> Result<()> {
        self.execute("DELETE FROM sessions WHERE id = ?", params![id.to_string()])?;
        self.directory.sessions.remove_mut(&id);
        Ok(())
    }
}
