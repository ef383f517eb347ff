//! Who somebody is in an outside directory, and signing in as that.
//!
//! Always true: a person is known by issuer and subject, which the issuer gives to nobody else; an address alone makes the
//! first connection, and never a second one: whoever is shown out does not come back under another address of the outside
//! directory (A07). Membership in groups that stand for outside ones is what the directory said at the last sign-in.
//!
//! Does not: ask the directory, or judge what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use duckdb::params;
use time::OffsetDateTime;

use crate::audit::{Event, Origin};
use crate::directory::credentials::{Method, Session};
pub use crate::directory::people::Identity;
use crate::directory::people::{Kind, User};
use crate::users::{normal_email, resource};
use crate::writer::Txn;
use crate::{Id, Result, Store, text, timestamp};

/// Somebody as the outside directory knows them.
#[derive(Debug, Clone)]
pub struct Outside {
    /// Who.
    pub identity: Identity,
    /// An address of which the directory says that it is theirs.
    pub email: String,
    /// What people call them; may be empty.
    pub name: String,
    /// The ids of all groups that they are in; `None`: the directory was not asked, and groups stay as they are.
    pub groups: Option<Vec<String>>,
}

/// Why somebody whom the outside directory vouches for is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLetIn {
    /// The user is disabled.
    Disabled,
    /// The address is of a user who is part of the server.
    BuiltIn,
    /// The address is of a user whom the same issuer knows as somebody else.
    SomebodyElse,
}

impl NotLetIn {
    /// In words, of the user.
    pub fn words(self) -> &'static str {
        match self {
            Self::Disabled => "is disabled",
            Self::BuiltIn => "is part of the server",
            Self::SomebodyElse => "is known to this issuer as somebody else",
        }
    }
}

impl Store {
    /// Begins a session of a person whom an outside directory knows; makes the person when nobody has the address.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for an address that is none; whoever is not let in is no error of the store.
    pub async fn sign_in_from_outside(
        &self,
        origin: Origin,
        outside: Outside,
        refresh_hash: String,
        expires_at: OffsetDateTime,
    ) -> Result<std::result::Result<(Arc<Session>, Arc<User>), NotLetIn>> {
        let email = normal_email(&outside.email)?;
        self.act_of(origin.standing, move |txn| {
            let user = match txn.person_from_outside(&origin, &outside, &email)? {
                Ok(user) => user,
                Err(why) => return Ok(Err(why)),
            };
            // of the user here, whatever the address is over there
            let origin = Origin {
                actor: user.email.clone(),
                ..origin.clone()
            };
            if let Some(groups) = &outside.groups {
                txn.be_in_outside_groups(&origin, &user, groups)?;
            }
            let session =
                txn.begin_session(&origin, &user, Method::Oidc, &refresh_hash, expires_at);
            Ok(Ok((session, user)))
        })
        .await
    }

    /// Forgets whom the outside directories know a user as: the next sign-in with its address connects it anew.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`]; [`crate::Error::LastAdmin`] when it is the last way in of the last administrator.
    pub async fn forget_identities(&self, origin: Origin, user: Id) -> Result<Arc<User>> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(user)?;
            let known = txn.directory.identities_of(user.id);
            if known.is_empty() {
                return Ok(user);
            }
            if user.password_hash.is_none() {
                txn.keep_an_admin_without(user.id)?;
            }
            txn.execute(
                "DELETE FROM identities WHERE user_id = ?",
                params![user.id.to_string()],
            )?;
            for who in &known {
                txn.directory.identities.remove_mut(who);
            }
            let event = Event::done("user.identity_unlinked", resource(&user));
            txn.audit(&origin, event.with("identities", known.len()));
            Ok(user)
        })
        .await
    }
}

impl Txn<'_> {
    fn person_from_outside(
        &mut self,
        origin: &Origin,
        outside: &Outside,
        email: &str,
    ) -> Result<std::result::Result<Arc<User>, NotLetIn>> {
        let known = self.directory.identities.get(&outside.identity).copied();
        if let Some(id) = known {
            let user = self.user(id)?;
            return Ok(match user.disabled {
                true => Err(NotLetIn::Disabled),
                false => Ok(user),
            });
        }
        let user = match self.directory.user_by_email(email).cloned() {
            Some(user) if user.kind == Kind::System => return Ok(Err(NotLetIn::BuiltIn)),
            Some(user) if user.disabled => return Ok(Err(NotLetIn::Disabled)),
            // the address was given to another person over there
            Some(user)
                if self
                    .directory
                    .is_known_to(user.id, &outside.identity.issuer) =>
            {
                return Ok(Err(NotLetIn::SomebodyElse));
            }
            Some(user) => user,
            None => {
                let name = outside.name.chars().filter(|c| !c.is_control());
                let user = self.insert_user(User {
                    id: Id::new(),
                    email: email.to_owned(),
                    name: name.take(200).collect(),
                    kind: Kind::Person,
                    password_hash: None,
                    disabled: false,
                    epoch: 1,
                    created_at: self.now,
                });
                let event = Event::done("user.created", resource(&user));
                self.audit(
                    origin,
                    event.with("issuer", outside.identity.issuer.clone()),
                );
                user
            }
        };
        self.insert(
            "identities",
            [
                text(&outside.identity.issuer),
                text(&outside.identity.subject),
                text(user.id),
                timestamp(self.now),
            ],
        );
        self.directory
            .put_identity(outside.identity.clone(), user.id);
        let event = Event::done("user.identity_linked", resource(&user));
        self.audit(
            origin,
            event.with("issuer", outside.identity.issuer.clone()),
        );
        Ok(Ok(user))
    }

    /// Joins and leaves groups that stand for outside ones; an outside group that is mapped to a role and has no group here gets
    /// one. The group Admin stands for none, so nobody becomes or ceases to be administrator by this.
    fn be_in_outside_groups(
        &mut self,
        origin: &Origin,
        user: &User,
        outside: &[String],
    ) -> Result<()> {
        let outside: BTreeSet<&str> = outside.iter().map(String::as_str).collect();
        let mapped: BTreeSet<String> = self
            .directory
            .mappings
            .values()
            .map(|mapping| mapping.external_id.clone())
            .filter(|id| outside.contains(id.as_str()))
            .collect();
        for id in mapped {
            let all = self.directory.all_groups();
            let there = all
                .iter()
                .any(|group| group.external_id.as_ref() == Some(&id));
            if !there {
                let taken = self.directory.group(&id).is_some();
                let name = match taken {
                    true => format!("{id} ({})", Id::new()),
                    false => id.clone(),
                };
                self.insert_group(&name, Some(id), false);
                let event = Event::done("group.created", format!("group:{name}"));
                self.audit(origin, event);
            }
        }
        for group in self.directory.all_groups() {
            let Some(id) = group.external_id.as_deref().filter(|_| !group.built_in) else {
                continue;
            };
            let members = self.directory.members.get(&group.id);
            let is_in = members.is_some_and(|members| members.contains(&user.id));
            let action = match (outside.contains(id), is_in) {
                (true, false) => {
                    self.join(&group.id.to_string(), user.id)?;
                    "group.member_added"
                }
                (false, true) => {
                    self.execute(
                        "DELETE FROM group_members WHERE group_id = ? AND user_id = ?",
                        params![group.id.to_string(), user.id.to_string()],
                    )?;
                    self.directory.remove_member(group.id, user.id);
                    "group.member_removed"
                }
                _ => continue,
            };
            let event = Event::done(action, format!("group:{}", group.name));
            self.audit(
                origin,
                event
                    .with("user", user.email.clone())
                    .with("by", "outside directory"),
            );
        }
        Ok(())
    }
}
