//! Reading the log: by actor, action, outcome and time, the last written first, a page at a time.
//!
//! Always true: every value goes to the engine as a parameter; a page's cursor names the last row that was given, so that
//! rows that came meanwhile shift nothing.
//!
//! Does not: count all matches.

use duckdb::types::{TimeUnit, Value};
use duckdb::{Connection, params_from_iter};
use time::OffsetDateTime;

use super::Row;
use super::chain::Fields;
pub use super::cursor::Cursor;
use crate::{Id, Result, clock};

/// The most rows of one page.
pub const LARGEST_PAGE: usize = 1000;

/// Which rows are wanted; `None` is no restriction.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Exactly this actor.
    pub actor: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// Exactly this outcome.
    pub outcome: Option<String>,
    /// At or after.
    pub from: Option<OffsetDateTime>,
    /// Before.
    pub to: Option<OffsetDateTime>,
}

impl Filter {
    pub(crate) fn matches(&self, row: &Row) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        is(&self.actor, &row.actor)
            && is(&self.action, &row.action)
            && is(&self.outcome, &row.outcome)
            && self.from.is_none_or(|from| row.at >= from)
            && self.to.is_none_or(|to| row.at < to)
    }
}

/// The rows before `before` (a row's number; `None`: from the newest) that match, at most `limit`.
pub(crate) fn page(
    connection: &Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<Row>> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut add = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition.to_owned());
            values.push(value);
        }
    };
    let time = |time: Option<OffsetDateTime>| {
        time.map(|time| Value::Timestamp(TimeUnit::Microsecond, clock::to_micros(time)))
    };
    add("seq < ?", before.map(Value::BigInt));
    add("actor = ?", filter.actor.clone().map(Value::Text));
    add("action = ?", filter.action.clone().map(Value::Text));
    add("outcome = ?", filter.outcome.clone().map(Value::Text));
    add("occurred_at >= ?", time(filter.from));
    add("occurred_at < ?", time(filter.to));
    let conditions = if conditions.is_empty() {
        "true".to_owned()
    } else {
        conditions.join(" AND ")
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM audit WHERE {conditions} ORDER BY seq DESC LIMIT {}",
        limit.min(LARGEST_PAGE)
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), fields)?;
    rows.map(|fields| {
        let fields = fields?;
        let id = fields.id.parse().unwrap_or_else(|_| Id::new());
        let seq = fields.seq;
        Ok(row_of(fields, seq, id))
    })
    .collect()
}

pub(crate) const COLUMNS: &str = "seq, id, occurred_at, actor, action, resource, outcome, ip, user_agent, request_id, count, metadata, hash";

pub(crate) fn fields(row: &duckdb::Row<'_>) -> duckdb::Result<Fields> {
    Ok(Fields {
        seq: row.get(0)?,
        id: row.get(1)?,
        occurred_at: row.get(2)?,
        actor: row.get(3)?,
        action: row.get(4)?,
        resource: row.get(5)?,
        outcome: row.get(6)?,
        ip: row.get(7)?,
        user_agent: row.get(8)?,
        request_id: row.get(9)?,
        count: row.get(10)?,
        metadata: row.get(11)?,
    })
}

pub(crate) fn row_of(fields: Fields, seq: i64, id: Id) -> Row {
    Row {
        id,
        seq,
        at: clock::from_micros(fields.occurred_at),
        actor: fields.actor,
        action: fields.action,
        resource: fields.resource,
        outcome: fields.outcome,
        ip: fields.ip,
        user_agent: fields.user_agent,
        request_id: fields.request_id,
        count: fields.count,
        metadata: serde_json::from_str(&fields.metadata).unwrap_or_default(),
    }
}
