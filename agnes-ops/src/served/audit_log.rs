//! The audit log, as the server that runs reads it out.
//!
//! Always true: the last written first; no more rows than asked for, and it is said when there are more.
//!
//! Does not: judge a row.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded::Serializer;

use super::{ControlSocket, NoAnswer};

/// Rows asked for at once: far from the longest answer that is read.
const PAGE: usize = 500;

/// Which rows.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Who acted.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// At or after.
    pub from: Option<OffsetDateTime>,
    /// Before.
    pub to: Option<OffsetDateTime>,
}

/// One row.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// `success`, `failure` or `denied`.
    pub outcome: String,
    /// From where; may be empty.
    pub ip: String,
    /// With what; may be empty.
    pub user_agent: String,
    /// In which request; may be empty.
    pub request_id: String,
    /// How many events share the row.
    pub count: i64,
    /// Anything else.
    #[serde(default)]
    pub metadata: Value,
}

/// One line for people.
impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            at,
            actor,
            action,
            resource,
            outcome,
            ip,
            count,
            ..
        } = self;
        // a row that somebody changed in the database forges no other
        let line = format!("{at}  {actor}  {action}  {resource}  {outcome}");
        f.write_str(&line.replace(char::is_control, " "))?;
        if *count > 1 {
            write!(f, " ×{count}")?;
        }
        match ip.is_empty() {
            true => Ok(()),
            false => write!(f, "  {ip}"),
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// The last written first.
    pub rows: Vec<Row>,
    /// There are more.
    pub more: bool,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Row>,
    next_cursor: Option<String>,
}

impl ControlSocket {
    /// At most `most` of these rows.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn audit(&self, wanted: &Rows, most: usize) -> Result<Read, NoAnswer> {
        let mut read = Read::default();
        let mut cursor: Option<String> = None;
        loop {
            let left = most - read.rows.len();
            let query = query(wanted, left.min(PAGE), cursor.as_deref());
            let answer = self.get(&format!("/v1/audit?{query}"))?;
            let page: Page = serde_json::from_value(answer)
                .map_err(|why| NoAnswer::Failed(format!("the audit log: {why}")))?;
            let none = page.items.is_empty();
            read.rows.extend(page.items);
            read.more = page.next_cursor.is_some() && !none;
            if read.rows.len() >= most || !read.more {
                return Ok(read);
            }
            cursor = page.next_cursor;
        }
    }
}

fn query(wanted: &Rows, limit: usize, cursor: Option<&str>) -> String {
    let time = |time: Option<OffsetDateTime>| time.and_then(|time| time.format(&Rfc3339).ok());
    let mut query = Serializer::new(String::new());
    let pairs = [
        ("actor", wanted.actor.clone()),
        ("action", wanted.action.clone()),
        ("from", time(wanted.from)),
        ("to", time(wanted.to)),
        ("cursor", cursor.map(str::to_owned)),
        ("limit", Some(limit.to_string())),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}
