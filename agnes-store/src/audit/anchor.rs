//! Rows that are too old, and the signed anchors that stand for them.
//!
//! Always true: rows go from the beginning only, in one transaction with their anchor and a row `audit.expired`; the newest row
//! stays; without a key nothing expires, for nothing could vouch for the rest.
//!
//! Does not: remove older anchors: each is one line a day at most and says when what went. The chain starts at the newest.

use duckdb::Connection;
use serde::Serialize;

use super::key::Signature;

/// Stands for the rows up to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Anchor {
    /// The last row that is gone.
    pub(crate) through_seq: i64,
    /// Its hash: the first row that is left links to it.
    pub(crate) hash: String,
    /// How many rows went with this anchor.
    pub(crate) expired: i64,
    /// Microseconds since 1970.
    pub(crate) made_at: i64,
    #[serde(flatten)]
    pub(crate) signed: Signature,
}

impl Anchor {
    /// Whether the key that it names has signed it.
    pub(crate) fn is_signed(&self) -> bool {
        let text = text(self.through_seq, &self.hash, self.expired, self.made_at);
        self.signed.is_of(&text)
    }
}

/// What an expiry did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Rows that went.
    pub rows: i64,
    /// The last of them; 0: none went.
    pub through_seq: i64,
    /// Why `audit.head` does not name the row `audit.expired` yet. The rows are gone and anchored all the same; the file is
    /// written as soon as it can be.
    pub witness_behind: Option<String>,
}

/// Oldest first.
pub(crate) fn all(connection: &Connection) -> duckdb::Result<Vec<Anchor>> {
    connection
        .prepare(
            "SELECT through_seq, hash, expired, made_at, public_key, signature FROM audit_anchors
             ORDER BY through_seq, made_at",
        )?
        .query_map([], |row| {
            Ok(Anchor {
                through_seq: row.get(0)?,
                hash: row.get(1)?,
                expired: row.get(2)?,
                made_at: row.get(3)?,
                signed: Signature {
                    public_key: row.get(4)?,
                    signature: row.get(5)?,
                },
            })
        })?
        .collect()
}

pub(crate) fn text(through_seq: i64, hash: &str, expired: i64, made_at: i64) -> String {
    format!("agnes audit anchor\n{through_seq}\n{hash}\n{expired}\n{made_at}\n")
}
