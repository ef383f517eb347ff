//! What a route asks of its caller, and whether a caller has it.
//!
//! Always true: every route has an [`Access`]; what is not allowed here is refused, and the refusal says whether the session,
//! the role or the scope is missing.
//!
//! Does not: know routes.

use super::{Caller, Credential, Principal};

/// What a personal token may be limited to; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Looks.
    Read,
    /// Changes what is its owner's.
    Write,
    /// Administers.
    Admin,
}

impl Scope {
    /// As it is written in requests.
    pub(crate) const ALL: [&'static str; 3] = ["read", "write", "admin"];

    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone, with or without a credential.
    Anyone,
    /// Whoever shows a valid credential, the scheduler included.
    Authenticated(Scope),
    /// A person or its token, not the scheduler.
    Person(Scope),
    /// A session that a person began: no token, no scheduler.
    Session,
    /// The same with a browser: who is not signed in is sent to where that is done.
    Browser,
    /// An administrator, or somebody with this role; the scheduler too.
    Operator(&'static str, Scope),
    /// An administrator or somebody with this role, not the scheduler.
    Admin(Option<&'static str>, Scope),
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// 401: there is no valid credential.
    Unauthenticated,
    /// 403: only a session that a person began may do this.
    SessionRequired,
    /// 403: the scheduler may not.
    Scheduler,
    /// 403: the role is missing; `None`: administrator.
    Role(Option<&'static str>),
    /// 403: the token's scopes do not include this one.
    Scope(&'static str),
}

impl Access {
    /// Who may call, in words.
    pub(crate) fn words(self) -> String {
        let scope = |scope: Scope| format!("a personal token needs the scope {}", scope.as_str());
        match self {
            Self::Anyone => "anyone".to_owned(),
            Self::Authenticated(wanted) => {
                format!(
                    "whoever shows a valid credential, the scheduler too; {}",
                    scope(wanted)
                )
            }
            Self::Person(wanted) => format!("a person; {}", scope(wanted)),
            Self::Session => "a session that a person began".to_owned(),
            Self::Browser => {
                "a session that a person began; others are sent to the sign-in page".to_owned()
            }
            Self::Operator(role, wanted) => format!(
                "an administrator, the role {role}, the scheduler; {}",
                scope(wanted)
            ),
            Self::Admin(None, wanted) => format!("an administrator; {}", scope(wanted)),
            Self::Admin(Some(role), wanted) => {
                format!("an administrator or the role {role}; {}", scope(wanted))
            }
        }
    }

    /// Whether this caller may; `holds` says whether it has a role.
    pub(crate) fn check(self, caller: &Caller, holds: impl Fn(&str) -> bool) -> Result<(), Denied> {
        if self == Self::Anyone {
            return Ok(());
        }
        let Some(principal) = caller.principal() else {
            return Err(Denied::Unauthenticated);
        };
        let scheduler = matches!(principal.credential, Credential::Scheduler(_));
        match self {
            Self::Anyone => Ok(()),
            Self::Authenticated(scope) => in_scope(principal, scope),
            Self::Person(_) | Self::Admin(..) if scheduler => Err(Denied::Scheduler),
            Self::Person(scope) => in_scope(principal, scope),
            Self::Session | Self::Browser => match principal.credential {
                Credential::Session(..) => Ok(()),
                Credential::Scheduler(_) => Err(Denied::Scheduler),
                Credential::Personal(_) => Err(Denied::SessionRequired),
            },
            Self::Operator(role, scope) => {
                has_role(principal, holds, Some(role))?;
                in_scope(principal, scope)
            }
            Self::Admin(role, scope) => {
                has_role(principal, holds, role)?;
                in_scope(principal, scope)
            }
        }
    }
}

fn has_role(
    principal: &Principal,
    holds: impl Fn(&str) -> bool,
    role: Option<&'static str>,
) -> Result<(), Denied> {
    let has = principal.admin || role.is_some_and(holds);
    if has { Ok(()) } else { Err(Denied::Role(role)) }
}

fn in_scope(principal: &Principal, wanted: Scope) -> Result<(), Denied> {
    let Credential::Personal(token) = &principal.credential else {
        return Ok(());
    };
    let scopes = &token.scopes;
    let enough = scopes.is_empty()
        || scopes
            .iter()
            .filter_map(|scope| Scope::parse(scope))
            .any(|scope| scope >= wanted);
    if enough {
        Ok(())
    } else {
        Err(Denied::Scope(wanted.as_str()))
    }
}
