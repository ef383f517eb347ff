//! Why the store did not do what it was asked.
//!
//! Always true: after an error nothing of the act was written. What a caller may have done wrong and what is wrong with the
//! store are different variants.
//!
//! Does not: know status codes.

use crate::hold::Hold;

/// Why an act did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The name is taken.
    #[error("there is such a {0} already")]
    Exists(&'static str),
    /// Bootstrap is closed: a person who is admin can sign in.
    #[error("an administrator can sign in already")]
    AlreadyBootstrapped,
    /// Only the seeded address may bootstrap.
    #[error("another address was chosen for the first administrator")]
    NotTheSeededAddress,
    /// It would leave nobody who can administer.
    #[error("the last person who is an administrator and can sign in stays one")]
    LastAdmin,
    /// What the server itself needs cannot be changed.
    #[error("{0} is built in and stays as it is")]
    BuiltIn(&'static str),
    /// What was given cannot be stored.
    #[error("{0}")]
    Invalid(&'static str),
    /// The credential is unknown, used up, expired or revoked; which of them is not told.
    #[error("the credential is not valid")]
    Credential,
    /// Writes are held.
    #[error("writes are held by {} since {}", .0.by, .0.since)]
    Held(Hold),
    /// The engine refused; the text is for the log, not for callers.
    #[error("store: {0}")]
    Engine(String),
    /// The store is closing.
    #[error("the store is closing")]
    Closed,
}

impl From<duckdb::Error> for Error {
    fn from(error: duckdb::Error) -> Self {
        Self::Engine(error.to_string())
    }
}

/// What every function of the store returns.
pub type Result<T> = std::result::Result<T, Error>;
