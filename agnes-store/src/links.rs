//! One-time sign-in links.
//!
//! Always true: kept as a hash; of any number of uses at once exactly one wins, in the commit that begins its session.
//!
//! Does not: send or show a link.

use std::sync::Arc;

use duckdb::params;
use time::OffsetDateTime;

use crate::audit::{Event, Origin};
use crate::directory::credentials::{Method, Session, SignInLink};
use crate::directory::people::{Kind, User};
use crate::users::resource;
use crate::{Error, Id, Result, Store, text, timestamp};

impl Store {
    /// Makes a link for a person; earlier ones of the same person end.
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
            let user = txn.directory.user_by_email(&email).cloned();
            let user = user
                .filter(|user| user.kind == Kind::Person && !user.disabled)
                .ok_or(Error::NotFound("user"))?;
            let old = txn.directory.links.values();
            let old: Vec<Arc<SignInLink>> = old.filter(|l| l.user_id == user.id).cloned().collect();
            for link in old {
                txn.remove_link(&link)?;
            }
            let link = SignInLink {
                id: Id::new(),
                user_id: user.id,
                hash: hash.clone(),
                expires_at,
            };
            let created_at = timestamp(txn.now);
            txn.insert(
                "sign_in_links",
                [
                    text(link.id),
                    text(link.user_id),
                    text(&link.hash),
                    created_at,
                    timestamp(link.expires_at),
                ],
            );
            txn.directory.put_link(link);
            txn.audit(&origin, Event::done("sign_in_link.issued", resource(&user)));
            Ok(user)
        })
        .await
    }

    /// Uses a link up and begins a session.
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
            let link = txn.directory.links.get(&hash).cloned();
            let link = link.ok_or(Error::Credential)?;
            let user = txn.user(link.user_id)?;
            if user.disabled || link.expires_at <= txn.now {
                return Err(Error::Credential);
            }
            txn.remove_link(&link)?;
            let session =
                txn.begin_session(&origin, &user, Method::Link, &refresh_hash, expires_at);
            Ok((session, user))
        })
        .await
    }
}

impl crate::writer::Txn<'_> {
    /// Removes a user's links, so that none that was sent before it was shown out works after it is let in again.
    pub(crate) fn remove_links_of(&mut self, user: Id) -> Result<()> {
        let all = self.directory.links.values();
        let of_user: Vec<_> = all.filter(|link| link.user_id == user).cloned().collect();
        for link in &of_user {
            self.remove_link(link)?;
        }
        Ok(())
    }

    pub(crate) fn remove_link(&mut self, link: &SignInLink) -> Result<()> {
        self.execute(
            "DELETE FROM sign_in_links WHERE id = ?",
            params![link.id.to_string()],
        )?;
        self.directory.links.remove_mut(&link.hash);
        Ok(())
    }
}
