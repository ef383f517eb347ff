//! Why the store did not do what it was asked.
//!
//! Always true: after an error nothing of the act was written. What a caller may have done wrong and what is wrong with the
//! store are different variants.
//!
//! Does not: know status codes.

use crate::engine::attach::words;
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
    /// The disk took no write; the text is for the log, not for callers.
    #[error("store: {why}")]
    Disk {
        /// What is the matter with it.
        fault: Fault,
        /// The system's words, with the object.
        why: String,
    },
    /// The engine has given the database up: it has to be opened anew, by another process. The text is for the log.
    #[error("store: {0}")]
    Lost(String),
    /// The engine refused; the text is for the log, not for callers.
    #[error("store: {0}")]
    Engine(String),
    /// The store is closing.
    #[error("the store is closing")]
    Closed,
}

/// What is the matter with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room, or a quota.
    Full,
    /// It is read-only, or fails.
    Unwritable,
}

impl Error {
    /// From the system's words, or a child's.
    pub(crate) fn told(words: impl Into<String>) -> Self {
        const FULL: [&str; 3] = ["no space left", "quota exceeded", "file too large"];
        const UNWRITABLE: [&str; 2] = ["read-only file system", "input/output error"];
        let why = words.into();
        if says(&why, &FULL) {
            let fault = Fault::Full;
            Self::Disk { fault, why }
        } else if says(&why, &UNWRITABLE) {
            let fault = Fault::Unwritable;
            Self::Disk { fault, why }
        } else {
            Self::Engine(why)
        }
    }

    /// From the words of the engine that serves: it has no codes for these.
    pub(crate) fn engine(words: impl Into<String>) -> Self {
        const LOST: [&str; 3] = [
            "fatal error: ",
            "the database has been invalidated",
            " has been invalidated because ",
        ];
        let why = words.into();
        // first: a database that was given up because the disk was full stays given up
        if says(&why, &LOST) {
            Self::Lost(why)
        } else {
            Self::told(why)
        }
    }

    /// Whether it is the store's own trouble, not the act's.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Lost(_) | Self::Engine(_))
    }
}

impl From<duckdb::Error> for Error {
    fn from(error: duckdb::Error) -> Self {
        Self::engine(words(&error))
    }
}

fn says(words: &str, any: &[&str]) -> bool {
    let words = words.to_lowercase();
    any.iter().any(|part| words.contains(part))
}

/// What every function of the store returns.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_engine_and_system_are_told_apart() {
        for (words, wanted) in [
            (
                "TransactionContext Error: Failed to commit: Could not write file \"x.wal\": No space left on device",
                Some(Fault::Full),
            ),
            ("x: Disk quota exceeded (os error 122)", Some(Fault::Full)),
            (
                "Could not write file \"x.wal\": Read-only file system",
                Some(Fault::Unwritable),
            ),
            (
                "x: Input/output error (os error 5)",
                Some(Fault::Unwritable),
            ),
            ("Constraint Error: Duplicate key \"a: b\"", None),
        ] {
            match Error::engine(words) {
                Error::Disk { fault, .. } => assert_eq!(Some(fault), wanted, "{words}"),
                Error::Engine(_) => assert_eq!(None, wanted, "{words}"),
                other => panic!("{words}: {other:?}"),
            }
        }
        for words in [
            "FATAL Error: fsync failed!",
            "IO Error: Checkpoint failed for database \"agnes\". The database has been invalidated. Original error: Could not write file \"x\": No space left on device",
            "IO Error: Database \"agnes\" has been invalidated because checkpointing failed.",
        ] {
            assert!(matches!(Error::engine(words), Error::Lost(_)), "{words}");
            assert!(!matches!(Error::told(words), Error::Lost(_)), "a child's");
        }
    }
}
