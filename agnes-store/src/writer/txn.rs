//! One transaction of the writer: the engine's, the directory's and the audit chain's at once.
//!
//! Always true: an act that is refused leaves no trace in any of the three. One that had written before it was refused fails
//! the whole transaction, for the engine knows no savepoints.
//!
//! Does not: commit (the writer does).

use duckdb::types::Value;
use duckdb::{Connection, Params, appender_params_from_iter};
use time::OffsetDateTime;

use super::Act;
use crate::audit::chain::{self, Head, Sealed};
use crate::audit::query;
use crate::audit::{Event, Origin};
use crate::directory::Directory;
use crate::observe::Observer;
use crate::{Id, Result, clock};

/// What an act sees and changes.
pub(crate) struct Txn<'a> {
    connection: &'a Connection,
    pub(crate) directory: Directory,
    pub(crate) now: OffsetDateTime,
    head: Head,
    sealed: Vec<Sealed>,
    /// Rows of new things by table, added all at once: a statement for each costs a fifth of a millisecond.
    rows: Vec<(&'static str, Vec<Vec<Value>>)>,
    wrote: bool,
}

impl<'a> Txn<'a> {
    pub(super) fn new(connection: &'a Connection, directory: Directory, head: Head) -> Self {
        Self {
            connection,
            directory,
            now: clock::now(),
            head,
            sealed: Vec::new(),
            rows: Vec::new(),
            wrote: false,
        }
    }

    /// Adds a row with a value for each column of the table, in their order. Seen by statements that follow.
    pub(crate) fn insert<const N: usize>(&mut self, table: &'static str, values: [Value; N]) {
        self.wrote = true;
        let values = values.to_vec();
        match self.rows.iter_mut().find(|(name, _)| *name == table) {
            Some((_, rows)) => rows.push(values),
            None => self.rows.push((table, vec![values])),
        }
    }

    /// For reading with the transaction's own eyes.
    pub(crate) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Hands the rows that wait to the engine.
    fn flush(&mut self) -> Result<()> {
        for (table, rows) in std::mem::take(&mut self.rows) {
            let mut appender =
                self.connection
                    .appender_to_catalog_and_db(table, crate::CATALOG, "main")?;
            for row in rows {
                appender.append_row(appender_params_from_iter(row))?;
            }
            appender.flush()?;
        }
        Ok(())
    }

    /// One statement. The first of an act makes its later refusal the batch's.
    pub(crate) fn execute(&mut self, sql: &str, params: impl Params) -> Result<usize> {
        self.wrote = true;
        self.flush()?;
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// Adds a row to the audit log, durable with the act that it is about.
    pub(crate) fn audit(&mut self, origin: &Origin, event: Event) {
        let sealed = chain::seal(&self.head, origin, event, self.now);
        self.head = sealed.head();
        self.sealed.push(sealed);
    }

    /// As [`Txn::audit`], under an id and at a time that were given before.
    pub(crate) fn audit_as(&mut self, id: Id, at: OffsetDateTime, origin: &Origin, event: Event) {
        let sealed = chain::seal_as(id, &self.head, origin, event, at);
        self.head = sealed.head();
        self.sealed.push(sealed);
    }

    /// Runs one act. `Err` only when the transaction cannot go on.
    pub(super) fn run(&mut self, act: &mut dyn Act) -> Result<()> {
        let before = (self.directory.clone(), self.head.clone(), self.sealed.len());
        let wrote = std::mem::take(&mut self.wrote);
        let refused = act.attempt(self).err();
        let wrote_now = self.wrote;
        self.wrote |= wrote;
        let Some(why) = refused else {
            return Ok(());
        };
        if wrote_now || why.is_of_the_store() {
            return Err(why);
        }
        let (directory, head, rows) = before;
        self.directory = directory;
        self.head = head;
        self.sealed.truncate(rows);
        Ok(())
    }

    /// Writes the audit rows of all acts; `false` when there is nothing to commit.
    pub(super) fn finish(&mut self) -> Result<bool> {
        self.flush()?;
        if !self.sealed.is_empty() {
            chain::append(self.connection, &self.sealed, &self.head)?;
            self.wrote = true;
        }
        Ok(self.wrote)
    }

    /// Tells of the audit rows, once they are durable.
    pub(super) fn tell(&self, observer: &dyn Observer) {
        for row in &self.sealed {
            // it was made from one when it was sealed
            let id = row.fields.id.parse().unwrap_or_else(|_| Id::new());
            let (fields, seq) = (row.fields.clone(), row.fields.seq);
            observer.audit_row(&query::row_of(fields, seq, id));
        }
    }

    pub(super) fn into_parts(self) -> (Directory, Head) {
        (self.directory, self.head)
    }
}
