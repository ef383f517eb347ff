//! One-time links: to sign in, or to set a new password.
//!
//! Always true: kept as a hash; of any number of uses at once exactly one wins, in the commit that does what the link is
//! for (A05); one that a stranger asked for never ends one that was made before it.
//!
//! Does not: send or show a link, or say how often one may be asked for.

use std::sync::Arc;

use duckdb::params;
use time::OffsetDateTime;

use crate::audit::{Event, Origin};
pub use crate::directory::credentials::Purpose;
use crate::directory::credentials::{Link, Method, Session};
use crate::directory::people::{Kind, User};
use crate::users::resource;
use crate::writer::Txn;
use crate::{Error, Id, Result, Store, text, timestamp};

impl Store {
    /// Makes a sign-in link on behalf of the host's operator; earlier ones of the same person end.
    ///
    /// # Errors
    /// [`Error::NotFound`] for nobody, a disabled user or the scheduler.
    pub async fn create_sign_in_link(
        &self,
        origin: Origin,
        email: &str,
        hash: String,
        expires_at: OffsetDateTime,
    ) -> Result<Arc<User>> {
        let email = crate::users::normal_email(email)?;
        self.act_of(origin.standing, move |txn| {
            let user = txn.addressee(&email)?;
            txn.remove_links_of(user.id, Some(Purpose::SignIn))?;
            txn.insert_link(&origin, &user, Purpose::SignIn, &hash, expires_at);
            Ok(user)
        })
        .await
    }

    /// Makes a link that somebody asked for, who says the address is theirs.
    ///
    /// # Errors
    /// [`Error::NotFound`] for nobody, a disabled user and the scheduler; also for who has no password and is known by an
    /// outside directory: that one shows people out, and a link would let them in again.
    pub async fn ask_for_link(
        &self,
        origin: Origin,
        purpose: Purpose,
        email: &str,
        hash: String,
        expires_at: OffsetDateTime,
    ) -> Result<Arc<User>> {
        let email = crate::users::normal_email(email)?;
        self.act_of(origin.standing, move |txn| {
            let user = txn.addressee(&email)?;
            let of_outside = user.password_hash.is_none() && txn.directory.has_identity(user.id);
            if of_outside {
                return Err(Error::NotFound("user"));
            }
            txn.insert_link(&origin, &user, purpose, &hash, expires_at);
            Ok(user)
        })
        .await
    }

    /// Uses a sign-in link up and begins a session.
    ///
    /// # Errors
    /// [`Error::Credential`] when it is unknown, used, expired, or its user disabled.
    pub async fn use_sign_in_link(
        &self,
        origin: Origin,
        hash: String,
        refresh_hash: String,
        expires_at: OffsetDateTime,
    ) -> Result<(Arc<Session>, Arc<User>)> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.use_link(Purpose::SignIn, &hash)?;
            if !txn.directory.by_link.contains(&user.id) {
                let now = timestamp(txn.now);
                txn.insert("link_users", [text(user.id), now]);
                txn.directory.by_link.insert_mut(user.id);
            }
            let session =
                txn.begin_session(&origin, &user, Method::Link, &refresh_hash, expires_at);
            Ok((session, user))
        })
        .await
    }

    /// Uses a link up, gives its holder this password, and ends everything that was signed in before and every other link.
    ///
    /// # Errors
    /// As [`Store::use_sign_in_link`].
    pub async fn use_reset_link(
        &self,
        origin: Origin,
        hash: String,
        password_hash: String,
    ) -> Result<Arc<User>> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.use_link(Purpose::Reset, &hash)?;
            txn.remove_links_of(user.id, None)?;
            let user = txn.replace_user(User {
                password_hash: Some(password_hash.clone()),
                epoch: user.epoch + 1,
                ..User::clone(&user)
            })?;
            let ended = txn.end_sessions_of(user.id)?;
            let origin = Origin {
                actor: user.email.clone(),
                ..origin.clone()
            };
            let event = Event::done("user.password_reset", resource(&user));
            txn.audit(&origin, event.with("sessions", ended));
            Ok(user)
        })
        .await
    }
}

impl Txn<'_> {
    /// Whom a link may be for.
    fn addressee(&self, email: &str) -> Result<Arc<User>> {
        let user = self.directory.user_by_email(email).cloned();
        user.filter(|user| user.kind == Kind::Person && !user.disabled)
            .ok_or(Error::NotFound("user"))
    }

    fn insert_link(
        &mut self,
        origin: &Origin,
        user: &User,
        purpose: Purpose,
        hash: &str,
        expires_at: OffsetDateTime,
    ) {
        let link = Link {
            id: Id::new(),
            user_id: user.id,
            purpose,
            hash: hash.to_owned(),
            expires_at,
        };
        let created_at = timestamp(self.now);
        self.insert(
            "links",
            [
                text(link.id),
                text(link.user_id),
                text(link.purpose.as_str()),
                text(&link.hash),
                created_at,
                timestamp(link.expires_at),
            ],
        );
        self.directory.put_link(link);
        let action = match purpose {
            Purpose::SignIn => "sign_in_link.issued",
            Purpose::Reset => "reset_link.issued",
        };
        self.audit(origin, Event::done(action, resource(user)));
    }

    fn use_link(&mut self, purpose: Purpose, hash: &str) -> Result<Arc<User>> {
        let link = self.directory.links.get(hash).cloned();
        let link = link.filter(|link| link.purpose == purpose && link.expires_at > self.now);
        let link = link.ok_or(Error::Credential)?;
        let user = self.user(link.user_id)?;
        if user.disabled {
            return Err(Error::Credential);
        }
        self.remove_link(&link)?;
        Ok(user)
    }

    /// Removes a user's links, so that none that was sent before it was shown out works after it is let in again; `None`: those
    /// for every purpose.
    pub(crate) fn remove_links_of(&mut self, user: Id, purpose: Option<Purpose>) -> Result<()> {
        let all = self.directory.links.values();
        let of_user = all.filter(|link| link.user_id == user);
        let of_user: Vec<_> = of_user
            .filter(|link| purpose.is_none_or(|purpose| link.purpose == purpose))
            .cloned()
            .collect();
        for link in &of_user {
            self.remove_link(link)?;
        }
        Ok(())
    }

    pub(crate) fn remove_link(&mut self, link: &Link) -> Result<()> {
        self.execute(
            "DELETE FROM links WHERE id = ?",
            params![link.id.to_string()],
        )?;
        self.directory.links.remove_mut(&link.hash);
        Ok(())
    }
}
