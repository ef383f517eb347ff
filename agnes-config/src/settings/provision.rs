//! `[secrets.NAME]`: where one secret comes from, and where a new one is told.
//!
//! Always true: as its parent. A name is that of an environment variable, and stands once.
//!
//! Does not: hold the secret.

use crate::SourceUrl;

/// One `[secrets.NAME]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// The secret's name in `.env`: `DATA_SOURCE_TOKEN`. The tables `jwt`, `session` and `scheduler` are called by what they
    /// mean: `JWT_SECRET_KEY`, `SESSION_SECRET`, `SCHEDULER_API_TOKEN`.
    pub name: String,
    /// `source`; `None`: made on the host (the server's own) or kept as a person wrote it (any other).
    pub source: Option<SourceUrl>,
    /// `required` (default true): a secret that was never fetched is a failure.
    pub required: bool,
    /// `publish`, an `sm://` URL without a version: gets every value that a rotation makes.
    pub publish: Option<SourceUrl>,
}
