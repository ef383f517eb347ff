//! Users: people, and the scheduler.
//!
//! Always true: an address stands once, whatever its case (A07); a user is never deleted, for the log names it; disabling
//! ends sessions and tokens in the same commit (A08); the last person who is admin and can sign in stays (A09).
//!
//! Does not: hash passwords.

use std::sync::Arc;

use duckdb::params;
use duckdb::types::Value;

use crate::audit::{Event, Origin};
use crate::directory::groups::ADMIN;
pub use crate::directory::people::{Kind, User};
use crate::writer::{Txn, WhileHeld};
use crate::{Error, Id, Result, Store, optional_text, text, timestamp};

/// The synthetic user that the scheduler's secret stands for.
pub const SCHEDULER_EMAIL: &str = "scheduler@system.local";

/// The longest address, RFC 5321 section 4.5.3.1.3 less the brackets.
const LONGEST_EMAIL: usize = 254;

/// And the longest part before the `@`, section 4.5.3.1.1.
const LONGEST_LOCAL: usize = 64;

/// What stands before the `@` beside letters and digits, RFC 5322 section 3.2.3.
const LOCAL: &str = "!#$%&'*+-/=?^_`{|}~";

/// What a new user is made of.
#[derive(Clone)]
pub struct NewUser {
    /// As somebody wrote it.
    pub email: String,
    /// May be empty.
    pub name: String,
    /// PHC string.
    pub password_hash: Option<String>,
    /// Ids or names of groups to be a member of.
    pub groups: Vec<String>,
}

/// The one form of an address: trimmed, lower case. Local parts that differ by case alone name one mailbox in practice, and
/// two accounts would be a way in for somebody who was shown out (A07).
///
/// # Errors
/// [`Error::Invalid`] for what is no plausible address.
pub fn normal_email(text: &str) -> Result<String> {
    let email = text.trim().to_ascii_lowercase();
    let sound = email.len() <= LONGEST_EMAIL
        && email.split_once('@').is_some_and(|(local, domain)| {
            local.len() <= LONGEST_LOCAL
                && local.split('.').all(|part| is_part(part, LOCAL))
                && domain.split('.').all(|label| {
                    is_part(label, "-") && !label.starts_with('-') && !label.ends_with('-')
                })
        });
    if sound {
        Ok(email)
    } else {
        Err(Error::Invalid("email is no e-mail address"))
    }
}

/// Not empty, and of letters, digits and these alone. ASCII: letters that look alike, or become others in lower case, would be
/// another's address, and mail goes to few of them.
fn is_part(part: &str, others: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    !part.is_empty() && part.chars().all(sound)
}

impl Store {
    /// The first administrator: makes the user, or gives the seeded one its password. Of any number of calls at once exactly
    /// one succeeds (A04).
    ///
    /// # Errors
    /// [`Error::AlreadyBootstrapped`], [`Error::NotTheSeededAddress`], [`Error::Invalid`].
    pub async fn bootstrap(
        &self,
        origin: Origin,
        email: &str,
        password_hash: String,
        seeded: Option<String>,
    ) -> Result<Arc<User>> {
        let email = normal_email(email)?;
        self.act_of(origin.standing, move |txn| {
            if txn.directory.has_admin_who_can_sign_in() {
                return Err(Error::AlreadyBootstrapped);
            }
            if seeded.as_ref().is_some_and(|seeded| *seeded != email) {
                return Err(Error::NotTheSeededAddress);
            }
            let user = match txn.directory.user_by_email(&email).cloned() {
                Some(user) if user.kind == Kind::System => return Err(Error::BuiltIn("this user")),
                Some(user) => {
                    let user = txn.replace_user(User {
                        password_hash: Some(password_hash.clone()),
                        disabled: false,
                        epoch: user.epoch + 1,
                        ..User::clone(&user)
                    })?;
                    txn.end_sessions_of(user.id)?;
                    user
                }
                None => txn.insert_user(User {
                    id: Id::new(),
                    email: email.clone(),
                    name: String::new(),
                    kind: Kind::Person,
                    password_hash: Some(password_hash.clone()),
                    disabled: false,
                    epoch: 1,
                    created_at: txn.now,
                }),
            };
            txn.join(ADMIN, user.id)?;
            let origin = Origin {
                actor: user.email.clone(),
                ..origin.clone()
            };
            txn.audit(&origin, Event::done("auth.bootstrapped", resource(&user)));
            Ok(user)
        })
        .await
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NotFound`] for a group, [`Error::Invalid`].
    pub async fn create_user(&self, origin: Origin, new: NewUser) -> Result<Arc<User>> {
        let email = normal_email(&new.email)?;
        if new.name.chars().count() > 200 || new.name.chars().any(char::is_control) {
            return Err(Error::Invalid(
                "name is longer than 200 characters or has control characters",
            ));
        }
        self.act_of(origin.standing, move |txn| {
            if txn.directory.user_by_email(&email).is_some() {
                return Err(Error::Exists("user"));
            }
            let wanted = new.groups.iter();
            let groups: Vec<Id> = wanted
                .map(|group| txn.directory.group(group).map(|group| group.id))
                .collect::<Option<_>>()
                .ok_or(Error::NotFound("group"))?;
            let user = txn.insert_user(User {
                id: Id::new(),
                email: email.clone(),
                name: new.name.clone(),
                kind: Kind::Person,
                password_hash: new.password_hash.clone(),
                disabled: false,
                epoch: 1,
                created_at: txn.now,
            });
            for group in &groups {
                txn.join(&group.to_string(), user.id)?;
            }
            let event = Event::done("user.created", resource(&user));
            txn.audit(&origin, event.with("groups", new.groups.clone()));
            Ok(user)
        })
        .await
    }

    /// Shows a user out, or lets it in again. Disabling ends its sessions and revokes its tokens.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`], [`Error::BuiltIn`] for the scheduler.
    pub async fn set_user_disabled(
        &self,
        origin: Origin,
        id: Id,
        disabled: bool,
    ) -> Result<Arc<User>> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(id)?;
            if user.kind == Kind::System {
                return Err(Error::BuiltIn("this user"));
            }
            if user.disabled == disabled {
                return Ok(user);
            }
            if disabled {
                txn.keep_an_admin_without(id)?;
            }
            let user = txn.replace_user(User {
                disabled,
                epoch: user.epoch + 1,
                ..User::clone(&user)
            })?;
            if disabled {
                txn.end_sessions_of(id)?;
                txn.revoke_tokens_of(id)?;
                txn.remove_links_of(id, None)?;
            }
            let action = if disabled {
                "user.disabled"
            } else {
                "user.enabled"
            };
            txn.audit(&origin, Event::done(action, resource(&user)));
            Ok(user)
        })
        .await
    }

    /// Gives a person another address: links to the old one end.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BuiltIn`] for the scheduler, [`Error::Exists`], [`Error::Invalid`].
    pub async fn set_email(&self, origin: Origin, id: Id, email: &str) -> Result<Arc<User>> {
        let email = normal_email(email)?;
        self.act_of(origin.standing, move |txn| {
            let old = txn.user(id)?;
            if old.kind == Kind::System {
                return Err(Error::BuiltIn("this user"));
            }
            if old.email == email {
                return Ok(old);
            }
            if txn.directory.user_by_email(&email).is_some() {
                return Err(Error::Exists("user"));
            }
            txn.execute(
                "UPDATE users SET email = ? WHERE id = ?",
                params![email, id.to_string()],
            )?;
            txn.directory.emails.remove_mut(&old.email);
            let user = txn.directory.put_user(User {
                email: email.clone(),
                ..User::clone(&old)
            });
            txn.remove_links_of(id, None)?;
            let event = Event::done("user.email_changed", resource(&user));
            txn.audit(&origin, event.with("from", old.email.clone()));
            Ok(user)
        })
        .await
    }

    /// Gives a person another password, and ends what was signed in with the old one.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BuiltIn`] for the scheduler.
    pub async fn set_password(
        &self,
        origin: Origin,
        id: Id,
        password_hash: String,
    ) -> Result<Arc<User>> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(id)?;
            if user.kind == Kind::System {
                return Err(Error::BuiltIn("this user"));
            }
            let user = txn.replace_user(User {
                password_hash: Some(password_hash.clone()),
                epoch: user.epoch + 1,
                ..User::clone(&user)
            })?;
            txn.end_sessions_of(id)?;
            txn.remove_links_of(id, None)?;
            txn.audit(
                &origin,
                Event::done("user.password_changed", resource(&user)),
            );
            Ok(user)
        })
        .await
    }

    /// The scheduler's user, in the group Admin: made when it is not there.
    ///
    /// # Errors
    /// As any write.
    pub async fn ensure_scheduler(&self) -> Result<Arc<User>> {
        self.ensure_admin(SCHEDULER_EMAIL, Kind::System, "scheduler")
            .await
    }

    /// The first administrator by address, without a password: made when it is not there. One that is there stays as it is,
    /// also outside the group Admin: somebody may have taken it out on purpose.
    ///
    /// # Errors
    /// [`Error::Invalid`], or as any write.
    pub async fn ensure_seeded_admin(&self, email: &str) -> Result<Arc<User>> {
        self.ensure_admin(&normal_email(email)?, Kind::Person, "")
            .await
    }

    async fn ensure_admin(&self, email: &str, kind: Kind, name: &'static str) -> Result<Arc<User>> {
        if let Some(user) = self.directory().user_by_email(email)
            && (kind == Kind::Person || self.directory().is_admin(user.id))
        {
            return Ok(Arc::clone(user));
        }
        let email = email.to_owned();
        self.writer
            .act(WhileHeld::Write, move |txn| {
                let user = match txn.directory.user_by_email(&email).cloned() {
                    Some(user) => user,
                    None => txn.insert_user(User {
                        id: Id::new(),
                        email: email.clone(),
                        name: name.to_owned(),
                        kind,
                        password_hash: None,
                        disabled: false,
                        epoch: 1,
                        created_at: txn.now,
                    }),
                };
                txn.join(ADMIN, user.id)?;
                txn.audit(
                    &Origin::server(),
                    Event::done("user.seeded", resource(&user)),
                );
                Ok(user)
            })
            .await
    }
}

/// How the log names a user.
pub(crate) fn resource(user: &User) -> String {
    format!("user:{}", user.email)
}

impl Txn<'_> {
    pub(crate) fn user(&self, id: Id) -> Result<Arc<User>> {
        let user = self.directory.user(id);
        user.cloned().ok_or(Error::NotFound("user"))
    }

    /// Refuses an act after which nobody could administer, unless that is so already.
    pub(crate) fn keep_an_admin_without(&self, id: Id) -> Result<()> {
        let directory = &self.directory;
        if directory.has_admin_who_can_sign_in() && directory.admins_who_can_sign_in(Some(id)) == 0
        {
            return Err(Error::LastAdmin);
        }
        Ok(())
    }

    pub(crate) fn insert_user(&mut self, user: User) -> Arc<User> {
        self.insert(
            "users",
            [
                text(user.id),
                text(&user.email),
                text(&user.name),
                text(user.kind.as_str()),
                optional_text(user.password_hash.as_deref()),
                Value::Boolean(user.disabled),
                Value::BigInt(user.epoch),
                timestamp(user.created_at),
            ],
        );
        self.directory.put_user(user)
    }

    pub(crate) fn replace_user(&mut self, user: User) -> Result<Arc<User>> {
        self.execute(
            "UPDATE users SET password_hash = ?, disabled = ?, epoch = ? WHERE id = ?",
            params![
                user.password_hash,
                user.disabled,
                user.epoch,
                user.id.to_string()
            ],
        )?;
        Ok(self.directory.put_user(user))
    }

    /// Ends all access tokens and sessions of a user.
    pub(crate) fn bump_epoch(&mut self, id: Id) -> Result<Arc<User>> {
        let user = self.user(id)?;
        self.replace_user(User {
            epoch: user.epoch + 1,
            ..User::clone(&user)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a07_an_address_has_one_form() {
        for same in ["a@example.com", " A@Example.COM ", "a@EXAMPLE.com\n"] {
            assert_eq!(normal_email(same).unwrap(), "a@example.com");
        }
        for wrong in [
            "",
            "a",
            "@example.com",
            "a@",
            "a@b@c",
            "a b@example.com",
            "a@.com",
            "a\0@example.com",
            "<a@example.com>",
            "a..b@example.com",
            ".a@example.com",
            "a@-example.com",
            "ä@example.com",
            // in lower case it would be "kate"
            "\u{212a}ate@example.com",
        ] {
            assert!(normal_email(wrong).is_err(), "{wrong:?}");
        }
        assert!(normal_email(&format!("{}@example.com", "a".repeat(250))).is_err());
    }
}
