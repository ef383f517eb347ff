//! One pass over the rows, in the order of their numbers.
//!
//! Always true: each row is hashed again from what is stored and from the hash before it; one change gives one finding, for
//! the pass goes on from what is stored.
//!
//! Does not: hold more than a page of rows.

use duckdb::Connection;

use super::{Kind, Report, Told, time_of};
use crate::audit::chain::{Fields, Head};
use crate::audit::query::{COLUMNS, fields};

/// Numbers of one page.
const PAGE: i64 = 32_768;

/// What starts of the server write when something does not fit.
const TOLD: [&str; 2] = ["audit.restored", "audit.damaged"];

/// Where the pass is.
pub(super) struct Walk {
    last: Head,
    /// Whether the hash before the next row is known.
    linked: bool,
    /// The row whose hash is wanted afterwards, and its hash.
    wanted: (Option<i64>, Option<String>),
}

impl Walk {
    /// Starts after `start`, which is an anchor or the beginning.
    pub(super) fn from(start: Head, wanted: Option<i64>) -> Self {
        let at_start = (wanted == Some(start.seq)).then(|| start.hash.clone());
        Self {
            last: start,
            linked: true,
            wanted: (wanted, at_start),
        }
    }

    /// The last row.
    pub(super) fn last(&self) -> &Head {
        &self.last
    }

    pub(super) fn hash_at_wanted(&self) -> Option<&str> {
        self.wanted.1.as_deref()
    }

    pub(super) fn all(
        &mut self,
        connection: &Connection,
        report: &mut Report,
    ) -> duckdb::Result<()> {
        // the engine hands over a whole result at once: pages keep it small. Numbers, not LIMIT: one may be there twice
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq");
        let mut page = connection.prepare(&sql)?;
        let mut following = connection.prepare("SELECT min(seq) FROM audit WHERE seq >= ?")?;
        let mut from = Some(i64::MIN);
        while let Some(lowest) = from {
            let first: Option<i64> = following.query_row([lowest], |row| row.get(0))?;
            let Some(first) = first else { break };
            let end = first.saturating_add(PAGE - 1);
            let mut rows = page.query([first, end])?;
            while let Some(row) = rows.next()? {
                self.row(fields(row)?, row.get(12)?, report);
            }
            from = end.checked_add(1);
        }
        report.last_seq = report.first_seq.map(|_| self.last.seq);
        report.last_hash.clone_from(&self.last.hash);
        Ok(())
    }

    fn row(&mut self, fields: Fields, hash: String, report: &mut Report) {
        let seq = fields.seq;
        report.rows += 1;
        report.first_seq.get_or_insert(seq);
        let next = self.last.seq.saturating_add(1);
        if seq < next {
            let what = format!("row {seq} is there although the chain is past it");
            return report.finding(Kind::Unexpected, Some(seq), what);
        }
        if seq > next {
            let what = match seq - next {
                1 => format!("row {next} is missing"),
                _ => format!("rows {next} to {} are missing", seq - 1),
            };
            report.finding(Kind::Missing, Some(next), what);
            self.linked = false;
        }
        if self.linked && fields.hash(&self.last.hash) != hash {
            let what = format!(
                "row {seq} is not what its hash was made of, or does not follow the row before it"
            );
            report.finding(Kind::Edited, Some(seq), what);
        }
        self.linked = true;
        if self.wanted.0 == Some(seq) {
            self.wanted.1 = Some(hash.clone());
        }
        self.last = Head { seq, hash };
        if TOLD.contains(&fields.action.as_str()) {
            report.told.push(Told {
                seq,
                at: time_of(fields.occurred_at),
                metadata: serde_json::from_str(&fields.metadata).unwrap_or_default(),
                action: fields.action,
            });
        }
    }
}
