//! What somebody did, from the audit log: enough to see what has to be looked after.
//!
//! Always true: changes are told one by one, all else as figures; what was left out is said.
//!
//! Does not: know which act was meant well.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::OffsetDateTime;

use crate::served::{ControlSocket, NoAnswer, Row, Rows};

/// More rows of one principal are not read.
const MOST: usize = 20_000;
/// So many changes are printed; all are in the record.
const SHOWN: usize = 20;

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Activity {
    /// From then on.
    #[serde(with = "time::serde::rfc3339")]
    from: OffsetDateTime,
    /// Events, with those that share a row.
    events: i64,
    /// Of them those that were refused, or failed.
    pub(super) denied: i64,
    /// Sign-ins with its address that failed, whoever tried.
    pub(super) failed_sign_ins: i64,
    /// By action.
    by_action: BTreeMap<String, i64>,
    /// By address.
    pub(super) by_ip: BTreeMap<String, i64>,
    /// With what.
    user_agents: BTreeSet<String>,
    /// What was done to other things than its own sessions, the last first.
    pub(super) changes: Vec<Row>,
    /// There are older rows, which were not read.
    truncated: bool,
}

/// Of one actor.
pub(super) fn read(
    socket: &ControlSocket,
    actor: &str,
    from: OffsetDateTime,
) -> Result<Activity, NoAnswer> {
    let rows = Rows {
        actor: Some(actor.to_owned()),
        from: Some(from),
        ..Rows::default()
    };
    let read = socket.audit(&rows, MOST)?;
    let mut activity = of(read.rows, from, read.more);
    let failed = Rows {
        action: Some("auth.failed".to_owned()),
        from: Some(from),
        ..Rows::default()
    };
    let resource = format!("user:{actor}");
    let failed = socket.audit(&failed, MOST)?.rows.into_iter();
    activity.failed_sign_ins = failed
        .filter(|row| row.resource == resource)
        .map(|row| row.count)
        .sum();
    Ok(activity)
}

fn of(rows: Vec<Row>, from: OffsetDateTime, truncated: bool) -> Activity {
    let mut activity = Activity {
        from,
        events: 0,
        denied: 0,
        failed_sign_ins: 0,
        by_action: BTreeMap::new(),
        by_ip: BTreeMap::new(),
        user_agents: BTreeSet::new(),
        changes: Vec::new(),
        truncated,
    };
    for row in rows {
        let count = row.count.max(1);
        activity.events += count;
        if row.outcome != "success" {
            activity.denied += count;
        }
        *activity.by_action.entry(row.action.clone()).or_default() += count;
        if !row.ip.is_empty() {
            *activity.by_ip.entry(row.ip.clone()).or_default() += count;
        }
        if !row.user_agent.is_empty() {
            activity.user_agents.insert(row.user_agent.clone());
        }
        if row.outcome == "success" && !row.resource.starts_with("session:") {
            activity.changes.push(row);
        }
    }
    activity
}

impl Activity {
    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let listed = |of: &BTreeMap<String, i64>| {
            let mut all: Vec<_> = of.iter().collect();
            all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let all: Vec<String> = all
                .iter()
                .map(|(name, count)| format!("{name} ({count})"))
                .collect();
            all.join(", ")
        };
        let since = self.from.date();
        let mut lines = vec![format!(
            "since {since}: {} events, {} of them refused; {} sign-ins with its address failed",
            self.events, self.denied, self.failed_sign_ins
        )];
        if !self.by_action.is_empty() {
            lines.push(format!("  did:  {}", listed(&self.by_action)));
        }
        if !self.by_ip.is_empty() {
            lines.push(format!("  from: {}", listed(&self.by_ip)));
        }
        if !self.user_agents.is_empty() {
            let agents: Vec<&str> = self.user_agents.iter().map(String::as_str).collect();
            lines.push(format!("  with: {}", agents.join(", ")));
        }
        lines.push(format!("changed {} things:", self.changes.len()));
        lines.extend(
            self.changes
                .iter()
                .take(SHOWN)
                .map(|row| format!("  {row}")),
        );
        if self.changes.len() > SHOWN {
            lines.push(format!(
                "  … and {} more, in the record",
                self.changes.len() - SHOWN
            ));
        }
        if self.truncated {
            lines.push(format!("  older than the last {MOST} rows was not read"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(action: &str, resource: &str, outcome: &str, count: i64) -> Row {
        Row {
            id: String::new(),
            request_id: String::new(),
            at: "2026-11-28T00:00:00Z".to_owned(),
            actor: "a@example.com".to_owned(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome: outcome.to_owned(),
            ip: "203.0.113.9".to_owned(),
            user_agent: "curl/8".to_owned(),
            count,
            metadata: serde_json::Value::Null,
        }
    }

    #[test]
    fn changes_stand_out_and_what_shares_a_row_is_counted() {
        let rows = vec![
            row("token.refreshed", "session:1", "success", 1),
            row("user.created", "user:b@example.com", "success", 1),
            row("config.changed", "config:x", "denied", 40),
        ];
        let activity = of(rows, OffsetDateTime::UNIX_EPOCH, true);
        assert_eq!((activity.events, activity.denied), (42, 40));
        assert_eq!(activity.by_ip["203.0.113.9"], 42);
        let text = activity.lines().join("\n");
        assert!(
            text.contains("changed 1 things:\n  2026-11-28T00:00:00Z  a@example.com  user.created"),
            "{text}"
        );
        assert!(text.contains("was not read"));
    }
}
