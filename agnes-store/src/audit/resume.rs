//! Where the chain goes on at a start, and what does not fit together then.
//!
//! Always true: numbers never go back below one that was given out in this database; what does not fit becomes a row, for the
//! next write would cover it up; the chain goes on from where the evidence stays: a row that is missing or changed still
//! breaks it.
//!
//! Does not: read every row (`audit/verify.rs` does): a start has no time for that.

use duckdb::{Connection, OptionalExt};

use super::chain::{self, Head};
use super::witness::{Found, Witness};
use super::{Event, Outcome, anchor};
use crate::Result;

/// Where to go on, and what to write into the log first.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) head: Head,
    pub(crate) discovered: Vec<Event>,
}

/// Compares the last row, the stored head and the witness outside.
pub(crate) fn resume(connection: &Connection, witness: &Found) -> Result<Resumed> {
    let stored = chain::load_head(connection)?;
    let last = last_row(connection)?;
    let mut discovered = Vec::new();
    if stored != last {
        discovered.push(
            damaged("head-mismatch")
                .with("head_seq", stored.seq)
                .with("head_hash", stored.hash.clone())
                .with("last_seq", last.seq)
                .with("last_hash", last.hash.clone()),
        );
    }
    match witness {
        Found::Sound(witness) => {
            if !contains(connection, witness, &last)? {
                discovered.push(
                    Event::done("audit.restored", "audit")
                        .with("witness_seq", witness.seq)
                        .with("witness_hash", witness.hash.clone())
                        .with("witness_at", witness.at.clone())
                        .with("database_seq", last.seq)
                        .with("database_hash", last.hash.clone()),
                );
            }
        }
        Found::Bad(why) => discovered.push(damaged("witness-bad").with("why", why.clone())),
        // one is written before the first row is
        Found::Missing if last.seq > 0 => discovered.push(damaged("witness-missing")),
        Found::Missing => {}
    }
    // the higher number: a gap stays a gap. Of two with one number the stored head: a changed last row stays a broken link
    let head = if last.seq > stored.seq { last } else { stored };
    Ok(Resumed { head, discovered })
}

/// Something about the log that is not as this program leaves it.
pub(crate) fn damaged(what: &str) -> Event {
    Event::done("audit.damaged", "audit")
        .ended(Outcome::Failure)
        .with("what", what)
}

fn last_row(connection: &Connection) -> Result<Head> {
    let seq: Option<i64> =
        connection.query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))?;
    let Some(seq) = seq else {
        return Ok(Head::default());
    };
    let hash = hash_at(connection, seq)?.unwrap_or_default();
    Ok(Head { seq, hash })
}

fn contains(connection: &Connection, witness: &Witness, last: &Head) -> Result<bool> {
    if witness.seq > last.seq {
        return Ok(false);
    }
    if witness.seq == 0 {
        return Ok(true);
    }
    if let Some(hash) = hash_at(connection, witness.seq)? {
        return Ok(hash == witness.hash);
    }
    // expired since: a signed anchor vouches for it
    let anchors = anchor::all(connection)?;
    Ok(anchors.iter().rev().any(|anchor| {
        let same = anchor.through_seq != witness.seq || anchor.hash == witness.hash;
        anchor.through_seq >= witness.seq && same && anchor.is_signed()
    }))
}

fn hash_at(connection: &Connection, seq: i64) -> Result<Option<String>> {
    Ok(connection
        .query_row("SELECT hash FROM audit WHERE seq = ?", [seq], |row| {
            row.get(0)
        })
        .optional()?)
}
