//! Shutting somebody out whose credentials are in the wrong hands.
//!
//! Always true: one transaction: whatever opened something before it opens nothing after it; somebody who can administer is
//! left (A09), and then with a password that nobody knows.
//!
//! Does not: say what was done with the credentials; the audit log does.

use std::sync::Arc;

use serde::Serialize;

use crate::audit::{Event, Origin};
use crate::directory::people::{Kind, User};
use crate::users::resource;
use crate::{Error, Id, Result, Store};

/// How somebody was shut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShutOut {
    /// Disabled.
    Disabled,
    /// Was disabled before.
    DisabledBefore,
    /// The last administrator who can sign in cannot be disabled: the password is another one, and nobody knows it.
    PasswordReplaced,
}

/// What a containment came to.
#[derive(Debug, Clone)]
pub struct Contained {
    /// As it is now.
    pub user: Arc<User>,
    /// How.
    pub shut_out: ShutOut,
    /// Sessions that were ended.
    pub sessions: usize,
    /// Tokens that were revoked.
    pub tokens: usize,
}

impl Store {
    /// Disables a person, ends its sessions, revokes its tokens and removes its sign-in links. The last administrator who
    /// can sign in keeps the account and gets `unknown_password_hash`: who it is comes back with a sign-in link.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BuiltIn`] for the server's own users; [`Error::Held`] while writes are held.
    pub async fn contain(
        &self,
        origin: Origin,
        id: Id,
        unknown_password_hash: String,
    ) -> Result<Contained> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(id)?;
            if user.kind == Kind::System {
                return Err(Error::BuiltIn("this user"));
            }
            let shut_out = match (user.disabled, txn.keep_an_admin_without(id)) {
                (true, _) => ShutOut::DisabledBefore,
                (false, Ok(())) => ShutOut::Disabled,
                (false, Err(_)) => ShutOut::PasswordReplaced,
            };
            let mut after = User {
                epoch: user.epoch + 1,
                ..User::clone(&user)
            };
            match shut_out {
                ShutOut::PasswordReplaced => {
                    after.password_hash = Some(unknown_password_hash.clone());
                }
                ShutOut::Disabled | ShutOut::DisabledBefore => after.disabled = true,
            }
            let user = txn.replace_user(after)?;
            let sessions = txn.end_sessions_of(id)?;
            let tokens = txn.revoke_tokens_of(id)?;
            txn.remove_links_of(id, None)?;
            let event = Event::done("user.contained", resource(&user))
                .with("shut_out", serde_json::json!(shut_out))
                .with("sessions", sessions)
                .with("tokens", tokens);
            txn.audit(&origin, event);
            Ok(Contained {
                user,
                shut_out,
                sessions,
                tokens,
            })
        })
        .await
    }
}
