//! The head of the chain, outside the database: a tail that was cut off there, head and all, and an older database that was
//! put in place are seen by it.
//!
//! Always true: it names a row that was durable before; it only moves forward in a chain that contains it; the old file or the
//! new one, never a part.
//!
//! Does not: move while what a start has discovered is not in the log yet (`store/proofs.rs` sees to that).

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::chain::Head;
use super::key::{Signature, SigningKey};
use crate::engine::durable;

/// Its name in the state directory.
pub(crate) const WITNESS: &str = "audit.head";

/// More than any witness has: what is larger is none, and is not read.
const LARGEST: u64 = 64 << 10;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Witness {
    pub(crate) seq: i64,
    pub(crate) hash: String,
    /// RFC 3339.
    pub(crate) at: String,
    #[serde(flatten)]
    pub(crate) signed: Signature,
}

/// What was found in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file.
    Missing,
    /// Something else, or with a signature that is not its own.
    Bad(String),
    /// A witness that the key which it names has signed.
    Sound(Witness),
}

impl Witness {
    /// For `head`.
    pub(crate) fn of(head: &Head, at: OffsetDateTime, key: &SigningKey) -> Self {
        let at = durable::rfc3339(at);
        Self {
            seq: head.seq,
            hash: head.hash.clone(),
            signed: key.sign(&text(head.seq, &head.hash, &at)),
            at,
        }
    }

    /// Replaces the file.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        durable::write(path, &json)
    }

    /// Looks at the file.
    pub(crate) fn read(path: &Path) -> Found {
        match durable::bytes(path) {
            Ok(bytes) if bytes > LARGEST => return Found::Bad(format!("it has {bytes} bytes")),
            Err(e) => return Found::Bad(e.to_string()),
            Ok(_) => {}
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Found::Missing,
            Err(e) => return Found::Bad(e.to_string()),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Err(e) => Found::Bad(format!("it does not parse: {e}")),
            Ok(it) if it.signed.is_of(&text(it.seq, &it.hash, &it.at)) => Found::Sound(it),
            Ok(_) => Found::Bad("its signature is not of what it says".to_owned()),
        }
    }
}

fn text(seq: i64, hash: &str, at: &str) -> String {
    format!("agnes audit head\n{seq}\n{hash}\n{at}\n")
}
