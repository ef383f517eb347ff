//! Groups, members, roles and mappings as they are known in memory.
//!
//! Always true: who is in a group is found from the group and from the user alike.
//!
//! Does not: change the engine's tables (`groups.rs` does).

use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;

use super::Directory;
use crate::Id;

/// The group whose members administer.
pub const ADMIN: &str = "Admin";

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name for programs.
    pub id: Id,
    /// Its name for people; unique.
    pub name: String,
    /// The id of the outside directory's group that it stands for.
    pub external_id: Option<String>,
    /// Part of the server; stays as it is.
    pub built_in: bool,
    /// Gives nothing to its members.
    pub disabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// An internal role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// `lower_snake_case`.
    pub name: String,
    /// For people.
    pub description: String,
    /// `code`: the server itself asks for it; `api`: somebody made it.
    pub registered_by: String,
    /// Gives nothing to those who have it.
    pub disabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Who is in an outside group has an internal role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Its name.
    pub id: Id,
    /// The outside group's id.
    pub external_id: String,
    /// The internal role's name.
    pub role: String,
    /// Gives nothing.
    pub disabled: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl Directory {
    pub(crate) fn put_group(&mut self, group: Group) -> Arc<Group> {
        let group = Arc::new(group);
        self.group_names.insert_mut(group.name.clone(), group.id);
        self.groups.insert_mut(group.id, Arc::clone(&group));
        group
    }

    pub(crate) fn put_member(&mut self, group: Id, user: Id) {
        let mut members = self.members.get(&group).cloned().unwrap_or_default();
        members.insert_mut(user);
        self.members.insert_mut(group, members);
        let mut groups = self.groups_of.get(&user).cloned().unwrap_or_default();
        groups.insert_mut(group);
        self.groups_of.insert_mut(user, groups);
    }

    pub(crate) fn remove_member(&mut self, group: Id, user: Id) {
        if let Some(members) = self.members.get(&group) {
            let members = members.remove(&user);
            self.members.insert_mut(group, members);
        }
        if let Some(groups) = self.groups_of.get(&user) {
            let groups = groups.remove(&group);
            self.groups_of.insert_mut(user, groups);
        }
    }

    pub(crate) fn put_role(&mut self, role: Role) -> Arc<Role> {
        let role = Arc::new(role);
        self.roles.insert_mut(role.name.clone(), Arc::clone(&role));
        role
    }

    pub(crate) fn put_mapping(&mut self, mapping: Mapping) -> Arc<Mapping> {
        let mapping = Arc::new(mapping);
        self.mappings.insert_mut(mapping.id, Arc::clone(&mapping));
        mapping
    }
}
