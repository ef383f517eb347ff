//! The hash chain over the audit rows.
//!
//! Always true: a row's hash covers all of its fields, each with its length, and the hash before it; rows are numbered
//! without a gap; the head stands in a table of its own and is written with the rows, so that a tail that was cut off is
//! missed.
//!
//! Does not: keep anybody who can write the file from computing a new chain: the head in the log and the signed anchors are
//! there for that.

use aws_lc_rs::digest;
use duckdb::types::{TimeUnit, Value};
use duckdb::{Connection, appender_params_from_iter};
use time::OffsetDateTime;

use super::{Event, Origin, tame};
use crate::{Id, Result, clock, hex};

/// The last row of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number; 0: there is no row.
    pub(crate) seq: i64,
    /// Its hash, hex; empty: there is no row.
    pub(crate) hash: String,
}

/// The fields of a row, in the order in which they are hashed and stored.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) occurred_at: i64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) outcome: String,
    pub(crate) ip: String,
    pub(crate) user_agent: String,
    pub(crate) request_id: String,
    pub(crate) count: i64,
    pub(crate) metadata: String,
}

impl Fields {
    /// SHA-256 over the hash before and every field, each behind its length in bytes; hex.
    pub(crate) fn hash(&self, before: &str) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        add(before);
        add(&self.seq.to_string());
        add(&self.id);
        add(&self.occurred_at.to_string());
        for text in [
            &self.actor,
            &self.action,
            &self.resource,
            &self.outcome,
            &self.ip,
            &self.user_agent,
            &self.request_id,
        ] {
            add(text);
        }
        add(&self.count.to_string());
        add(&self.metadata);
        hex::encode(context.finish().as_ref())
    }
}

/// A row with its place in the chain.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) fields: Fields,
    pub(crate) hash: String,
}

impl Sealed {
    pub(crate) fn head(&self) -> Head {
        Head {
            seq: self.fields.seq,
            hash: self.hash.clone(),
        }
    }
}

/// The row that follows `head`.
pub(crate) fn seal(head: &Head, origin: &Origin, event: Event, now: OffsetDateTime) -> Sealed {
    seal_as(Id::new(), head, origin, event, now)
}

/// As [`seal`], with an id that was given before.
pub(crate) fn seal_as(
    id: Id,
    head: &Head,
    origin: &Origin,
    event: Event,
    at: OffsetDateTime,
) -> Sealed {
    let mut metadata = event.metadata;
    if let Some(process) = origin.process {
        metadata.insert("uid".to_owned(), process.uid.into());
        metadata.insert("pid".to_owned(), process.pid.into());
    }
    let fields = Fields {
        seq: head.seq + 1,
        id: id.to_string(),
        occurred_at: clock::to_micros(at),
        actor: tame(&origin.actor),
        action: event.action.to_owned(),
        resource: tame(&event.resource),
        outcome: event.outcome.as_str().to_owned(),
        ip: tame(&origin.ip),
        user_agent: tame(&origin.user_agent),
        request_id: tame(&origin.request_id),
        count: event.count,
        metadata: serde_json::Value::Object(metadata).to_string(),
    };
    let hash = fields.hash(&head.hash);
    Sealed { fields, hash }
}

/// Adds the rows and moves the head, inside the caller's transaction.
pub(crate) fn append(connection: &Connection, rows: &[Sealed], head: &Head) -> Result<()> {
    let mut appender = connection.appender_to_catalog_and_db("audit", crate::CATALOG, "main")?;
    for row in rows {
        let fields = &row.fields;
        let text = |text: &String| Value::Text(text.clone());
        appender.append_row(appender_params_from_iter([
            Value::BigInt(fields.seq),
            text(&fields.id),
            Value::Timestamp(TimeUnit::Microsecond, fields.occurred_at),
            text(&fields.actor),
            text(&fields.action),
            text(&fields.resource),
            text(&fields.outcome),
            text(&fields.ip),
            text(&fields.user_agent),
            text(&fields.request_id),
            Value::BigInt(fields.count),
            text(&fields.metadata),
            text(&row.hash),
        ]))?;
    }
    appender.flush()?;
    drop(appender);
    connection
        .prepare_cached("UPDATE audit_head SET seq = ?, hash = ?")?
        .execute(duckdb::params![head.seq, head.hash])?;
    Ok(())
}

/// The head as it is stored.
pub(crate) fn load_head(connection: &Connection) -> Result<Head> {
    Ok(
        connection.query_row("SELECT seq, hash FROM audit_head", [], |row| {
            Ok(Head {
                seq: row.get(0)?,
                hash: row.get(1)?,
            })
        })?,
    )
}
