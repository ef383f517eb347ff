//! What is known without asking the engine: who may call, with what, and what administrators set.
//!
//! Always true: a value of this type never changes once it is published; the writer makes the next one from it and publishes
//! that after the commit. Copies share their memory, so that an attempt that failed is thrown away for nothing.
//!
//! Does not: hold history (audit rows stay in the engine).

use std::sync::Arc;

use rpds::{HashTrieMapSync, HashTrieSetSync};
use time::OffsetDateTime;

use crate::Id;

pub(crate) mod credentials;
pub(crate) mod groups;
pub(crate) mod jobs;
pub(crate) mod load;
pub(crate) mod people;
pub(crate) mod settings;

use credentials::{Link, Purpose, Session, Token};
use groups::{ADMIN, Group, Mapping, Role};
use jobs::JobState;
use people::{Identity, Kind, User};
use settings::Setting;

/// A persistent map.
pub(crate) type Map<K, V> = HashTrieMapSync<K, V>;
/// A persistent set.
pub(crate) type Set<T> = HashTrieSetSync<T>;

/// One state of everything that is held in memory.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub(crate) users: Map<Id, Arc<User>>,
    pub(crate) emails: Map<String, Id>,
    pub(crate) groups: Map<Id, Arc<Group>>,
    pub(crate) group_names: Map<String, Id>,
    pub(crate) members: Map<Id, Set<Id>>,
    pub(crate) groups_of: Map<Id, Set<Id>>,
    pub(crate) roles: Map<String, Arc<Role>>,
    pub(crate) mappings: Map<Id, Arc<Mapping>>,
    pub(crate) sessions: Map<Id, Arc<Session>>,
    pub(crate) tokens: Map<Id, Arc<Token>>,
    pub(crate) token_hashes: Map<String, Id>,
    pub(crate) links: Map<String, Arc<Link>>,
    pub(crate) identities: Map<Identity, Id>,
    /// Those for whom a link was a way in.
    pub(crate) by_link: Set<Id>,
    pub(crate) settings: Map<String, Arc<Setting>>,
    pub(crate) jobs: Map<String, Arc<JobState>>,
}

impl Directory {
    /// The user with this id.
    pub fn user(&self, id: Id) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// The user with this address; compared as it is stored (see [`crate::users::normal_email`]).
    pub fn user_by_email(&self, email: &str) -> Option<&Arc<User>> {
        self.emails.get(email).and_then(|id| self.users.get(id))
    }

    /// All users, oldest first.
    pub fn all_users(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self.users.values().cloned().collect();
        users.sort_unstable_by_key(|user| user.id);
        users
    }

    /// The group with this id or name.
    pub fn group(&self, id_or_name: &str) -> Option<&Arc<Group>> {
        match id_or_name.parse::<Id>() {
            Ok(id) => self.groups.get(&id),
            Err(_) => self
                .group_names
                .get(id_or_name)
                .and_then(|id| self.groups.get(id)),
        }
    }

    /// All groups, oldest first.
    pub fn all_groups(&self) -> Vec<Arc<Group>> {
        let mut groups: Vec<_> = self.groups.values().cloned().collect();
        groups.sort_unstable_by_key(|group| group.id);
        groups
    }

    /// Ids of a group's members.
    pub fn members(&self, group: Id) -> Vec<Id> {
        let mut members: Vec<Id> = self
            .members
            .get(&group)
            .into_iter()
            .flat_map(|set| set.iter().copied())
            .collect();
        members.sort_unstable();
        members
    }

    /// The groups that the user is in and that are not disabled.
    pub fn groups_of(&self, user: Id) -> impl Iterator<Item = &Arc<Group>> {
        self.groups_of
            .get(&user)
            .into_iter()
            .flat_map(Set::iter)
            .filter_map(|id| self.groups.get(id))
            .filter(|group| !group.disabled)
    }

    /// Whether the user is in the group Admin: the only truth about administrators.
    pub fn is_admin(&self, user: Id) -> bool {
        self.groups_of(user).any(|group| group.name == ADMIN)
    }

    /// Whether the user has this internal role through an outside group that is mapped to it.
    pub fn has_role(&self, user: Id, role: &str) -> bool {
        self.roles_of(user).iter().any(|name| name == role)
    }

    /// The internal roles that the user has, by name.
    pub fn roles_of(&self, user: Id) -> Vec<String> {
        let outside: Vec<&str> = self
            .groups_of(user)
            .filter_map(|group| group.external_id.as_deref())
            .collect();
        if outside.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<String> = self
            .mappings
            .values()
            .filter(|mapping| !mapping.disabled && outside.contains(&mapping.external_id.as_str()))
            .filter(|mapping| self.roles.get(&mapping.role).is_some_and(|r| !r.disabled))
            .map(|mapping| mapping.role.clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All roles by name.
    pub fn all_roles(&self) -> Vec<Arc<Role>> {
        let mut roles: Vec<_> = self.roles.values().cloned().collect();
        roles.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        roles
    }

    /// The role of this name.
    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    /// All mappings, oldest first.
    pub fn all_mappings(&self) -> Vec<Arc<Mapping>> {
        let mut mappings: Vec<_> = self.mappings.values().cloned().collect();
        mappings.sort_unstable_by_key(|mapping| mapping.id);
        mappings
    }

    /// The session with this id, expired or not.
    pub fn session(&self, id: Id) -> Option<&Arc<Session>> {
        self.sessions.get(&id)
    }

    /// The sessions of one user, oldest first, expired or not.
    pub fn sessions_of(&self, user: Id) -> Vec<Arc<Session>> {
        let all = self.sessions.values();
        let mut sessions: Vec<_> = all.filter(|one| one.user_id == user).cloned().collect();
        sessions.sort_unstable_by_key(|session| session.id);
        sessions
    }

    /// The token whose SHA-256 is `hash` (hex).
    pub fn token_by_hash(&self, hash: &str) -> Option<&Arc<Token>> {
        self.token_hashes
            .get(hash)
            .and_then(|id| self.tokens.get(id))
    }

    /// The tokens of one user, oldest first.
    pub fn tokens_of(&self, user: Id) -> Vec<Arc<Token>> {
        let mut tokens: Vec<_> = self
            .tokens
            .values()
            .filter(|token| token.user_id == user)
            .cloned()
            .collect();
        tokens.sort_unstable_by_key(|token| token.id);
        tokens
    }

    /// The user whose link for this purpose has this hash and is valid at `now`.
    pub fn user_of_link(
        &self,
        purpose: Purpose,
        hash: &str,
        now: OffsetDateTime,
    ) -> Option<&Arc<User>> {
        let link = self
            .links
            .get(hash)
            .filter(|link| link.purpose == purpose && link.expires_at > now)?;
        self.user(link.user_id).filter(|user| !user.disabled)
    }

    /// Whether somebody is known by an outside directory.
    pub fn has_identity(&self, user: Id) -> bool {
        self.identities.values().any(|of| *of == user)
    }

    /// Whom outside directories know somebody as.
    pub fn identities_of(&self, user: Id) -> Vec<Identity> {
        let all = self.identities.iter();
        let mut found: Vec<Identity> = all
            .filter(|(_, of)| **of == user)
            .map(|(who, _)| who.clone())
            .collect();
        found.sort_unstable_by(|a, b| (&a.issuer, &a.subject).cmp(&(&b.issuer, &b.subject)));
        found
    }

    /// What administrators set under this key.
    pub fn setting(&self, key: &str) -> Option<&Arc<Setting>> {
        self.settings.get(key)
    }

    /// How the job of this name last went.
    pub fn job(&self, name: &str) -> Option<&Arc<JobState>> {
        self.jobs.get(name)
    }

    /// Whether a person who is admin can sign in: from then on bootstrap is closed.
    pub fn has_admin_who_can_sign_in(&self) -> bool {
        self.admins_who_can_sign_in(None) > 0
    }

    /// How many there are, not counting `without`.
    pub(crate) fn admins_who_can_sign_in(&self, without: Option<Id>) -> usize {
        let Some(admin) = self.group(ADMIN) else {
            return 0;
        };
        let members = self.members.get(&admin.id);
        members
            .into_iter()
            .flat_map(Set::iter)
            .filter(|id| Some(**id) != without)
            .filter_map(|id| self.users.get(id))
            .filter(|user| user.kind == Kind::Person && self.can_sign_in(user))
            .count()
    }
}
