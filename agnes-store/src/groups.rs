//! Groups, the internal roles, and which outside group means which role.
//!
//! Always true: membership of the group Admin is the only truth about administrators; it cannot be disabled, renamed or left
//! empty (A09). A role is held through a group that stands for an outside group which is mapped to the role.
//!
//! Does not: ask an outside directory.

use std::sync::Arc;

use duckdb::params;
use duckdb::types::Value;

use crate::audit::{Event, Origin};
pub use crate::directory::groups::{ADMIN, Group, Mapping, Role};
use crate::directory::people::Kind;
use crate::writer::{Txn, WhileHeld};
use crate::{Error, Id, Result, Store, optional_text, text, timestamp};

/// A name that people read: not empty, not long, no control characters, and no id, for ids and names stand in one place.
fn name(text: &str) -> Result<String> {
    let name = text.trim();
    if name.is_empty()
        || name.chars().count() > 100
        || name.chars().any(char::is_control)
        || name.parse::<Id>().is_ok()
    {
        return Err(Error::Invalid(
            "name is empty, longer than 100 characters, has control characters or looks like an id",
        ));
    }
    Ok(name.to_owned())
}

/// An outside group's id: opaque, but one line and not long.
fn external(text: &str) -> Result<String> {
    let id = text.trim();
    if id.is_empty() || id.chars().count() > 256 || id.chars().any(char::is_control) {
        return Err(Error::Invalid(
            "external_id is empty, longer than 256 characters or has control characters",
        ));
    }
    Ok(id.to_owned())
}

/// `lower_snake_case`, at most 64 characters.
fn role_name(text: &str) -> Result<String> {
    let sound = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !text.ends_with('_')
        && !text.contains("__");
    if sound {
        Ok(text.to_owned())
    } else {
        Err(Error::Invalid("a role's name is lower_snake_case"))
    }
}

impl Store {
    /// Makes a group.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Invalid`].
    pub async fn create_group(
        &self,
        origin: Origin,
        group: &str,
        external_id: Option<&str>,
    ) -> Result<Arc<Group>> {
        let name = name(group)?;
        let external_id = external_id.map(external).transpose()?;
        self.act_of(origin.standing, move |txn| {
            if txn.directory.group(&name).is_some() {
                return Err(Error::Exists("group"));
            }
            let group = txn.insert_group(&name, external_id.clone(), false);
            txn.audit(
                &origin,
                Event::done("group.created", format!("group:{name}")),
            );
            Ok(group)
        })
        .await
    }

    /// Switches a group off or on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BuiltIn`].
    pub async fn set_group_disabled(
        &self,
        origin: Origin,
        group: &str,
        disabled: bool,
    ) -> Result<Arc<Group>> {
        let group = group.to_owned();
        self.act_of(origin.standing, move |txn| {
            let group = txn.group(&group)?;
            if group.built_in {
                return Err(Error::BuiltIn("this group"));
            }
            if group.disabled == disabled {
                return Ok(group);
            }
            txn.execute(
                "UPDATE groups SET disabled = ? WHERE id = ?",
                params![disabled, group.id.to_string()],
            )?;
            let group = txn.directory.put_group(Group {
                disabled,
                ..Group::clone(&group)
            });
            let action = if disabled {
                "group.disabled"
            } else {
                "group.enabled"
            };
            txn.audit(
                &origin,
                Event::done(action, format!("group:{}", group.name)),
            );
            Ok(group)
        })
        .await
    }

    /// Puts a user into a group; one that is in it already stays.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn add_member(&self, origin: Origin, group: &str, user: Id) -> Result<()> {
        let group = group.to_owned();
        self.act_of(origin.standing, move |txn| {
            let (group, user) = (txn.group(&group)?, txn.user(user)?);
            if txn.join(&group.id.to_string(), user.id)? {
                let event = Event::done("group.member_added", format!("group:{}", group.name));
                txn.audit(&origin, event.with("user", user.email.clone()));
            }
            Ok(())
        })
        .await
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`], [`Error::BuiltIn`] for the scheduler in Admin.
    pub async fn remove_member(&self, origin: Origin, group: &str, user: Id) -> Result<()> {
        let group = group.to_owned();
        self.act_of(origin.standing, move |txn| {
            let (group, user) = (txn.group(&group)?, txn.user(user)?);
            let members = txn.directory.members.get(&group.id);
            if !members.is_some_and(|members| members.contains(&user.id)) {
                return Err(Error::NotFound("member"));
            }
            if group.name == ADMIN {
                if user.kind == Kind::System {
                    return Err(Error::BuiltIn("this member"));
                }
                txn.keep_an_admin_without(user.id)?;
            }
            txn.execute(
                "DELETE FROM group_members WHERE group_id = ? AND user_id = ?",
                params![group.id.to_string(), user.id.to_string()],
            )?;
            txn.directory.remove_member(group.id, user.id);
            let event = Event::done("group.member_removed", format!("group:{}", group.name));
            txn.audit(&origin, event.with("user", user.email.clone()));
            Ok(())
        })
        .await
    }

    /// Makes a role.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Invalid`].
    pub async fn create_role(
        &self,
        origin: Origin,
        role: &str,
        description: &str,
    ) -> Result<Arc<Role>> {
        let name = role_name(role)?;
        if description.chars().count() > 500 || description.chars().any(char::is_control) {
            return Err(Error::Invalid(
                "description is longer than 500 characters or has control characters",
            ));
        }
        let description = description.to_owned();
        self.act_of(origin.standing, move |txn| {
            if txn.directory.role(&name).is_some() {
                return Err(Error::Exists("role"));
            }
            let role = txn.insert_role(&name, &description, "api");
            txn.audit(&origin, Event::done("role.created", format!("role:{name}")));
            Ok(role)
        })
        .await
    }

    /// Switches a role off or on.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_role_disabled(
        &self,
        origin: Origin,
        role: &str,
        disabled: bool,
    ) -> Result<Arc<Role>> {
        let name = role.to_owned();
        self.act_of(origin.standing, move |txn| {
            let role = txn.directory.role(&name).cloned();
            let role = role.ok_or(Error::NotFound("role"))?;
            if role.disabled == disabled {
                return Ok(role);
            }
            txn.execute(
                "UPDATE roles SET disabled = ? WHERE name = ?",
                params![disabled, name],
            )?;
            let role = txn.directory.put_role(Role {
                disabled,
                ..Role::clone(&role)
            });
            let action = if disabled {
                "role.disabled"
            } else {
                "role.enabled"
            };
            txn.audit(&origin, Event::done(action, format!("role:{name}")));
            Ok(role)
        })
        .await
    }

    /// Maps an outside group to an internal role.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the role, [`Error::Exists`], [`Error::Invalid`].
    pub async fn create_mapping(
        &self,
        origin: Origin,
        external_id: &str,
        role: &str,
    ) -> Result<Arc<Mapping>> {
        let (external_id, role) = (external(external_id)?, role.to_owned());
        self.act_of(origin.standing, move |txn| {
            if txn.directory.role(&role).is_none() {
                return Err(Error::NotFound("role"));
            }
            let same = |m: &&Arc<Mapping>| m.external_id == external_id && m.role == role;
            if txn.directory.mappings.values().find(same).is_some() {
                return Err(Error::Exists("group mapping"));
            }
            let mapping = Mapping {
                id: Id::new(),
                external_id: external_id.clone(),
                role: role.clone(),
                disabled: false,
                created_at: txn.now,
            };
            txn.insert(
                "group_mappings",
                [
                    text(mapping.id),
                    text(&external_id),
                    text(&role),
                    Value::Boolean(false),
                    timestamp(mapping.created_at),
                ],
            );
            let mapping = txn.directory.put_mapping(mapping);
            let event = Event::done("group_mapping.created", format!("role:{role}"));
            txn.audit(&origin, event.with("external_id", external_id.clone()));
            Ok(mapping)
        })
        .await
    }

    /// Switches a mapping off or on.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_mapping_disabled(
        &self,
        origin: Origin,
        id: Id,
        disabled: bool,
    ) -> Result<Arc<Mapping>> {
        self.act_of(origin.standing, move |txn| {
            let mapping = txn.directory.mappings.get(&id).cloned();
            let mapping = mapping.ok_or(Error::NotFound("group mapping"))?;
            if mapping.disabled == disabled {
                return Ok(mapping);
            }
            txn.execute(
                "UPDATE group_mappings SET disabled = ? WHERE id = ?",
                params![disabled, id.to_string()],
            )?;
            let mapping = txn.directory.put_mapping(Mapping {
                disabled,
                ..Mapping::clone(&mapping)
            });
            let action = if disabled {
                "group_mapping.disabled"
            } else {
                "group_mapping.enabled"
            };
            let event = Event::done(action, format!("role:{}", mapping.role));
            txn.audit(
                &origin,
                event.with("external_id", mapping.external_id.clone()),
            );
            Ok(mapping)
        })
        .await
    }

    /// The group Admin and the roles that the server itself asks for: made when they are not there.
    pub(crate) async fn ensure_built_in(
        &self,
        roles: &'static [(&'static str, &'static str)],
    ) -> Result<()> {
        let directory = self.directory();
        if directory.group(ADMIN).is_some()
            && roles.iter().all(|(name, _)| directory.role(name).is_some())
        {
            return Ok(());
        }
        self.writer
            .act(WhileHeld::Write, move |txn| {
                if txn.directory.group(ADMIN).is_none() {
                    txn.insert_group(ADMIN, None, true);
                }
                for (name, description) in roles {
                    if txn.directory.role(name).is_none() {
                        txn.insert_role(name, description, "code");
                        txn.audit(
                            &Origin::server(),
                            Event::done("role.registered", format!("role:{name}")),
                        );
                    }
                }
                Ok(())
            })
            .await
    }
}

impl Txn<'_> {
    fn group(&self, id_or_name: &str) -> Result<Arc<Group>> {
        let group = self.directory.group(id_or_name);
        group.cloned().ok_or(Error::NotFound("group"))
    }

    /// Puts a user into a group; `false` when it was there.
    pub(crate) fn join(&mut self, group: &str, user: Id) -> Result<bool> {
        let group = self.group(group)?;
        let members = self.directory.members.get(&group.id);
        if members.is_some_and(|members| members.contains(&user)) {
            return Ok(false);
        }
        let added_at = timestamp(self.now);
        self.insert("group_members", [text(group.id), text(user), added_at]);
        self.directory.put_member(group.id, user);
        Ok(true)
    }

    pub(crate) fn insert_group(
        &mut self,
        name: &str,
        external_id: Option<String>,
        built_in: bool,
    ) -> Arc<Group> {
        let group = Group {
            id: Id::new(),
            name: name.to_owned(),
            external_id,
            built_in,
            disabled: false,
            created_at: self.now,
        };
        self.insert(
            "groups",
            [
                text(group.id),
                text(&group.name),
                optional_text(group.external_id.as_deref()),
                Value::Boolean(built_in),
                Value::Boolean(false),
                timestamp(group.created_at),
            ],
        );
        self.directory.put_group(group)
    }

    fn insert_role(&mut self, name: &str, description: &str, registered_by: &str) -> Arc<Role> {
        let role = Role {
            name: name.to_owned(),
            description: description.to_owned(),
            registered_by: registered_by.to_owned(),
            disabled: false,
            created_at: self.now,
        };
        self.insert(
            "roles",
            [
                text(name),
                text(description),
                text(registered_by),
                Value::Boolean(false),
                timestamp(role.created_at),
            ],
        );
        self.directory.put_role(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_lower_snake_case() {
        for good in ["auditor", "job_operator", "a1_b2"] {
            assert!(role_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Auditor",
            "job-operator",
            "_a",
            "a_",
            "a__b",
            "1a",
            "ä",
            "a b",
        ] {
            assert!(role_name(bad).is_err(), "{bad}");
        }
    }
}
