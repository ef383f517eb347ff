//! Removing audit rows that are old enough.
//!
//! Always true: a whole beginning of the log goes, never a row out of its middle, and a signed anchor says what row it ended
//! at; the newest row stays.
//!
//! Does not: choose the age.

use duckdb::{OptionalExt, params};
use time::OffsetDateTime;

use crate::audit::anchor::{self, Expired};
use crate::audit::key::SigningKey;
use crate::audit::{Event, Origin};
use crate::writer::Txn;
use crate::{Result, clock};

/// Removes the rows from before `cutoff`, as part of a transaction.
pub(super) fn expire(
    txn: &mut Txn<'_>,
    cutoff: OffsetDateTime,
    key: &SigningKey,
    keep_days: u32,
) -> Result<Expired> {
    let none = Expired {
        rows: 0,
        through_seq: 0,
        witness_behind: None,
    };
    // rows are not quite in the order of their times (refusals wait a minute, clocks step): up to the first young one
    let through_seq: Option<i64> = txn.connection().query_row(
        "SELECT least(coalesce(min(seq) FILTER (occurred_at >= ?), max(seq)), max(seq)) - 1 FROM audit",
        [crate::timestamp(cutoff)],
        |row| row.get(0),
    )?;
    let Some(through_seq) = through_seq else {
        return Ok(none);
    };
    let hash: Option<String> = txn
        .connection()
        .query_row(
            "SELECT hash FROM audit WHERE seq = ?",
            [through_seq],
            |row| row.get(0),
        )
        .optional()?;
    let Some(hash) = hash else {
        return Ok(none);
    };
    let rows = txn.execute("DELETE FROM audit WHERE seq <= ?", [through_seq])?;
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let made_at = clock::to_micros(txn.now);
    let signed = key.sign(&anchor::text(through_seq, &hash, rows, made_at));
    txn.execute(
        "INSERT INTO audit_anchors (through_seq, hash, expired, made_at, public_key, signature) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            through_seq,
            hash,
            rows,
            crate::timestamp(txn.now),
            signed.public_key,
            signed.signature
        ],
    )?;
    let event = Event::done("audit.expired", "audit")
        .with("through_seq", through_seq)
        .with("hash", hash)
        .with("rows", rows)
        .with("keep_days", keep_days);
    txn.audit(&Origin::server(), event);
    Ok(Expired {
        rows,
        through_seq,
        witness_behind: None,
    })
}
