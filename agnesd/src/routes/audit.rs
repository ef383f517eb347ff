//! The audit log, for administrators and auditors.
//!
//! Always true: the last written first, and before them what waits to be written; rows that come while somebody pages shift
//! nothing.
//!
//! Does not: change the log.

use std::sync::Arc;

use agnes_store::audit::Row;
use agnes_store::audit::query::{Cursor, Filter};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use super::{List, Page};
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::request::Params;

/// Which rows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
// a filter with a slip in its name would give the whole log
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// E-mail of who acted, `anonymous`, `server` or `control-socket`.
    actor: Option<String>,
    /// Such as `token.issued`.
    action: Option<String>,
    /// `success`, `failure` or `denied`.
    outcome: Option<String>,
    /// At or after: RFC 3339, or a date (UTC).
    from: Option<String>,
    /// Before: RFC 3339, or a date (UTC).
    to: Option<String>,
    /// From the page before.
    cursor: Option<String>,
    /// 1 to 1000; 100 unless given.
    limit: Option<usize>,
}

/// One row.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
pub(crate) struct Shown {
    /// Its name.
    #[schema(value_type = String)]
    id: agnes_store::Id,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    at: OffsetDateTime,
    /// Who.
    actor: String,
    /// What.
    action: String,
    /// To what.
    resource: String,
    /// How it ended.
    outcome: String,
    /// From where.
    ip: String,
    /// With what.
    user_agent: String,
    /// In which request.
    request_id: String,
    /// How many events share the row.
    count: i64,
    /// Anything else.
    #[schema(value_type = Object)]
    metadata: serde_json::Value,
}

impl From<Row> for Shown {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            resource: row.resource,
            outcome: row.outcome,
            ip: row.ip,
            user_agent: row.user_agent,
            request_id: row.request_id,
            count: row.count,
            metadata: row.metadata,
        }
    }
}

/// A page of the log, newest first.
#[utoipa::path(get, path = "/api/audit", params(Wanted), responses(
    (status = 200, body = List<Shown>), (status = 400, body = Problem), (status = 403, body = Problem),
))]
pub(crate) async fn page(
    State(app): State<Arc<App>>,
    Params(wanted): Params<Wanted>,
) -> Answer<Json<List<Shown>>> {
    let page = Page {
        cursor: wanted.cursor,
        limit: wanted.limit,
    };
    let cursor = match &page.cursor {
        None => Cursor::default(),
        Some(cursor) => cursor
            .parse()
            .map_err(|_| Problem::bad_request("cursor is not one that was given"))?,
    };
    let filter = Filter {
        actor: wanted.actor,
        action: wanted.action,
        outcome: wanted.outcome,
        from: wanted.from.as_deref().map(time).transpose()?,
        to: wanted.to.as_deref().map(time).transpose()?,
    };
    let (rows, next) = app.store.audit_page(filter, cursor, page.limit()?).await?;
    Ok(Json(List {
        items: rows.into_iter().map(Shown::from).collect(),
        next_cursor: next.map(|cursor| cursor.to_string()),
    }))
}

fn time(text: &str) -> Answer<OffsetDateTime> {
    let date = format_description!("[year]-[month]-[day]");
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| Date::parse(text, date).map(|date| date.midnight().assume_utc()))
        .map_err(|_| Problem::bad_request("from and to are RFC 3339 times or dates"))
}
