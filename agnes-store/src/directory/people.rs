//! Users as they are known in memory.
//!
//! Always true: an address leads to one user.
//!
//! Does not: change the engine's tables (`users.rs` does).

use std::sync::Arc;

use time::OffsetDateTime;

use super::Directory;
use crate::Id;

/// Who or what a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Somebody who signs in.
    Person,
    /// Part of the deployment; never signs in.
    System,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::System => "system",
        }
    }
}

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name for programs.
    pub id: Id,
    /// Its name for people, normal (see [`normal_email`]).
    pub email: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Person or system.
    pub kind: Kind,
    /// PHC string; `None`: no sign-in by password.
    pub password_hash: Option<String>,
    /// May not call.
    pub disabled: bool,
    /// Tokens of an older epoch are refused.
    pub epoch: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("email", &self.email)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

impl User {
    /// Whether this person has a password that opens anything.
    pub fn can_use_password(&self) -> bool {
        !self.disabled && self.password_hash.is_some()
    }
}

/// Who somebody is to an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Its own name for the person.
    pub subject: String,
}

impl Directory {
    pub(crate) fn put_identity(&mut self, who: Identity, user: Id) {
        self.identities.insert_mut(who, user);
    }

    /// Whether this issuer knows the user, as whomever.
    pub(crate) fn is_known_to(&self, user: Id, issuer: &str) -> bool {
        let mut all = self.identities.iter();
        all.any(|(who, of)| *of == user && who.issuer == issuer)
    }

    /// Whether there is a way in for this person: a password, an outside directory, or a link that was one before.
    pub fn can_sign_in(&self, user: &User) -> bool {
        let ways = user.password_hash.is_some()
            || self.has_identity(user.id)
            || self.by_link.contains(&user.id);
        !user.disabled && ways
    }

    pub(crate) fn put_user(&mut self, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.emails.insert_mut(user.email.clone(), user.id);
        self.users.insert_mut(user.id, Arc::clone(&user));
        user
    }
}
