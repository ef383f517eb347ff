//! The whole chain, row by row, on a file that nobody serves.
//!
//! Always true: the file is only read; everything that is wrong is told, each with the row where it shows; rows pass through a
//! page at a time, so that a long log needs no more memory than a short one.
//!
//! Does not: repair, and does not say who did it.

use std::path::{Path, PathBuf};

use duckdb::Connection;
use serde::Serialize;
use serde_json::Value;

use super::anchor;
use super::chain::Head;
use super::key::{KEY, SigningKey};
use super::witness::{Found, WITNESS, Witness};
use crate::clock;
use crate::engine::attach::{Access, attach, words};
use crate::engine::child::{Ended, Task};
use crate::engine::error::OpenError;
use crate::engine::lock::Lock;
use crate::engine::{DATABASE, Options, child, copy, durable, replay};

mod walk;

use walk::Walk;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A row is not the one that was written, or does not follow the row before it.
    Edited,
    /// Rows are not there although later ones are.
    Missing,
    /// A row that cannot be there: its number was given already.
    Unexpected,
    /// Rows at the end are not there.
    TailCut,
    /// The stored head is not the last row.
    HeadMismatch,
    /// The anchor of the expired rows is not what the server has signed.
    AnchorBad,
    /// `audit.head` is not a witness.
    WitnessBad,
    /// There is no `audit.head` beside a server's own database with rows in it.
    WitnessMissing,
    /// `audit.head` names another row than the one of its number.
    WitnessMismatch,
    /// `audit.key` is not a key.
    KeyBad,
    /// The rest could not be read.
    Unreadable,
}

impl Kind {
    /// As it is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::TailCut => "tail-cut",
            Self::HeadMismatch => "head-mismatch",
            Self::AnchorBad => "anchor-bad",
            Self::WitnessBad => "witness-bad",
            Self::WitnessMissing => "witness-missing",
            Self::WitnessMismatch => "witness-mismatch",
            Self::KeyBad => "key-bad",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The row where it shows; none where it is about a file.
    pub seq: Option<i64>,
    /// One line.
    pub what: String,
}

/// A row about the log itself: `audit.restored`, `audit.damaged`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its number.
    pub seq: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Its action.
    pub action: String,
    /// Its details.
    pub metadata: Value,
}

/// What there is and what is wrong with it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The database.
    pub file: PathBuf,
    /// Rows read.
    pub rows: u64,
    /// The first row's number; none in an empty log.
    pub first_seq: Option<i64>,
    /// The last row's.
    pub last_seq: Option<i64>,
    /// The last row's hash: what the server's log and `audit.head` say.
    pub last_hash: String,
    /// The last row that has expired; none: all are there.
    pub expired_through: Option<i64>,
    /// The row that `audit.head` names.
    pub witness_seq: Option<i64>,
    /// There is no `audit.head` beside it.
    #[serde(skip)]
    without_witness: bool,
    /// What starts of the server have found and told.
    pub told: Vec<Told>,
    /// What was not checked, and why.
    pub notes: Vec<String>,
    /// Empty for a sound log.
    pub findings: Vec<Finding>,
}

impl Report {
    fn finding(&mut self, kind: Kind, seq: Option<i64>, what: impl Into<String>) {
        self.findings.push(Finding {
            kind,
            seq,
            what: what.into(),
        });
    }
}

/// The database of a server: as [`verify`], and every server leaves an `audit.head` beside its own.
///
/// # Errors
/// As there.
pub fn verify_own(options: &Options, scratch: &Path) -> Result<Report, OpenError> {
    let mut report = verify(options, &options.database(), scratch)?;
    if report.without_witness && report.rows > 0 {
        let what = format!(
            "there is no {WITNESS}, which every server leaves: a tail that was cut off would not show"
        );
        report.finding(Kind::WitnessMissing, None, what);
    }
    Ok(report)
}

/// Reads `file` with its `audit.head` and `audit.key` beside it. Where a write-ahead log is left, copies of both in `scratch`
/// are read instead, for replaying it would write.
///
/// # Errors
/// When there is no such file, a server has it, or it cannot be opened.
pub fn verify(options: &Options, file: &Path, scratch: &Path) -> Result<Report, OpenError> {
    if !file.is_file() {
        return Err(OpenError::Io {
            path: file.to_owned(),
            operation: "open",
            source: std::io::ErrorKind::NotFound.into(),
        });
    }
    // where the lock can be taken nobody writes; on read-only media nobody can
    let _lock = match Lock::take(file) {
        Ok(lock) => Some(lock),
        Err(locked @ OpenError::Locked { .. }) => return Err(locked),
        Err(_) => None,
    };
    let beside = file.parent().unwrap_or(Path::new("."));
    if replay::logs(file)?.is_empty() {
        return judge(options, file, file, beside);
    }
    let room = scratch.join(format!("audit-{}", uuid::Uuid::now_v7().simple()));
    let failed = |why: String| OpenError::Engine {
        path: room.clone(),
        operation: "copy there for verifying",
        why,
    };
    durable::directory(&room).map_err(|e| failed(e.to_string()))?;
    let copied = room.join(DATABASE);
    let report = replayed(options, file, &copied)
        .map_err(failed)
        .and_then(|()| judge(options, &copied, file, beside));
    for path in [copied.clone()]
        .into_iter()
        .chain(replay::beside_all(&copied))
    {
        let _ = durable::remove(&path);
    }
    let _ = std::fs::remove_dir(&room);
    report.map(|mut report| {
        let note = "read from a copy, with the write-ahead log beside it";
        report.notes.insert(0, note.to_owned());
        report
    })
}

fn replayed(options: &Options, file: &Path, copied: &Path) -> Result<(), String> {
    copy::copy(options, file, copied)?;
    for (from, to) in replay::beside_all(file).zip(replay::beside_all(copied)) {
        if durable::bytes(&from).map_err(|e| e.to_string())? > 0 {
            copy::copy(options, &from, &to)?;
        }
    }
    let bytes = durable::bytes(file).unwrap_or_default();
    let task = Task::Replay(copied.to_owned());
    match child::run(options, &task, copy::patience(bytes)) {
        Ended::Done(_) => Ok(()),
        Ended::Failed(failure) => Err(failure.why),
        Ended::Crashed(why) | Ended::Stopped(why) => Err(why),
    }
}

/// `file` is what is opened, `named` what it is called.
fn judge(options: &Options, file: &Path, named: &Path, beside: &Path) -> Result<Report, OpenError> {
    let failed = |operation| {
        let path = named.to_owned();
        move |why| OpenError::Engine {
            path,
            operation,
            why,
        }
    };
    let connection =
        attach(file, Access::ReadOnly, options.limits(), None).map_err(failed("open"))?;
    let witness = Witness::read(&beside.join(WITNESS));
    judge_rows(&connection, named, beside, &witness)
        .map_err(|e| failed("read the anchors")(words(&e)))
}

/// What a running server has, as one transaction of a reader sees it.
///
/// # Errors
/// When nothing can be read.
pub(crate) fn judge_open(
    connection: &Connection,
    named: &Path,
    beside: &Path,
) -> duckdb::Result<Report> {
    // before the transaction: a witness names a row that was durable before it, and so one that the transaction sees
    let witness = Witness::read(&beside.join(WITNESS));
    connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
    let report = judge_rows(connection, named, beside, &witness);
    let ended = connection.execute_batch("ROLLBACK");
    let report = report?;
    ended.map(|()| report)
}

fn judge_rows(
    connection: &Connection,
    named: &Path,
    beside: &Path,
    witness: &Found,
) -> duckdb::Result<Report> {
    let mut report = Report {
        file: named.to_owned(),
        ..Report::default()
    };
    let key = SigningKey::load(&beside.join(KEY)).unwrap_or_else(|why| {
        report.finding(Kind::KeyBad, None, why);
        None
    });
    let anchors = anchor::all(connection)?;
    let start = judge_anchors(&mut report, &anchors, key.as_ref());
    let wanted = match witness {
        Found::Sound(witness) => Some(witness.seq),
        Found::Missing | Found::Bad(_) => None,
    };
    let mut walk = Walk::from(start, wanted);
    if let Err(why) = walk.all(connection, &mut report) {
        let seq = walk.last().seq.checked_add(1);
        report.finding(
            Kind::Unreadable,
            seq,
            format!("reading the rows: {}", words(&why)),
        );
        return Ok(report);
    }
    judge_head(&mut report, connection, walk.last());
    report.without_witness = *witness == Found::Missing;
    judge_witness(&mut report, witness, &walk, key.as_ref());
    Ok(report)
}

/// Each is signed and newer than the one before; the newest by this deployment's key. Returns where the chain starts.
fn judge_anchors(
    report: &mut Report,
    anchors: &[anchor::Anchor],
    key: Option<&SigningKey>,
) -> Head {
    let mut before = 0;
    for anchor in anchors {
        let seq = Some(anchor.through_seq);
        if !anchor.is_signed() {
            report.finding(
                Kind::AnchorBad,
                seq,
                "the signature is not of what the anchor says",
            );
        } else if anchor.through_seq <= before {
            report.finding(
                Kind::AnchorBad,
                seq,
                "there is another anchor for these rows",
            );
        }
        before = anchor.through_seq;
    }
    let Some(newest) = anchors.last() else {
        return Head::default();
    };
    report.expired_through = Some(newest.through_seq);
    match key {
        Some(key) if newest.signed.public_key != key.public_key() => report.finding(
            Kind::AnchorBad,
            Some(newest.through_seq),
            "the newest anchor is signed by another key than audit.key",
        ),
        Some(_) => {}
        None => report.notes.push(
            "there is no audit.key: that the anchor was signed by this deployment is not known"
                .to_owned(),
        ),
    }
    Head {
        seq: newest.through_seq,
        hash: newest.hash.clone(),
    }
}

fn judge_head(report: &mut Report, connection: &Connection, last: &Head) {
    let heads = || {
        connection
            .prepare("SELECT seq, hash FROM audit_head")?
            .query_map([], |row| {
                Ok(Head {
                    seq: row.get(0)?,
                    hash: row.get(1)?,
                })
            })?
            .collect::<duckdb::Result<Vec<Head>>>()
    };
    let heads = match heads() {
        Ok(heads) => heads,
        Err(e) => {
            let what = format!("reading the stored head: {}", words(&e));
            return report.finding(Kind::Unreadable, None, what);
        }
    };
    match heads.as_slice() {
        [head] if head == last => {}
        [head] if head.seq > last.seq => report.finding(
            Kind::TailCut,
            Some(last.seq + 1),
            format!(
                "rows {} to {} are missing: the stored head is row {}",
                last.seq + 1,
                head.seq,
                head.seq
            ),
        ),
        [head] => report.finding(
            Kind::HeadMismatch,
            Some(last.seq),
            format!(
                "the last row is {} {}, the stored head says {} {}",
                last.seq, last.hash, head.seq, head.hash
            ),
        ),
        other => report.finding(
            Kind::HeadMismatch,
            Some(last.seq),
            format!("there are {} stored heads, not one", other.len()),
        ),
    }
}

fn judge_witness(report: &mut Report, found: &Found, walk: &Walk, key: Option<&SigningKey>) {
    let witness = match found {
        Found::Sound(witness) => witness,
        Found::Bad(why) => {
            return report.finding(Kind::WitnessBad, None, format!("{WITNESS}: {why}"));
        }
        Found::Missing => {
            let note = format!(
                "there is no {WITNESS} beside it: a tail cut off together with the stored head would not show"
            );
            return report.notes.push(note);
        }
    };
    report.witness_seq = Some(witness.seq);
    match key {
        Some(key) if key.public_key() != witness.signed.public_key => {
            let what = format!("{WITNESS} is signed by another key than {KEY}");
            report.finding(Kind::WitnessBad, Some(witness.seq), what);
        }
        Some(_) => {}
        None => report.notes.push(format!(
            "there is no {KEY}: that {WITNESS} was signed by this deployment is not known"
        )),
    }
    let last = walk.last();
    if witness.seq > last.seq {
        let what = format!(
            "rows {} to {} are missing: {WITNESS} named row {} at {}; or an older database was put back and no server has started since",
            last.seq + 1,
            witness.seq,
            witness.seq,
            witness.at
        );
        return report.finding(Kind::TailCut, Some(last.seq + 1), what);
    }
    match walk.hash_at_wanted() {
        Some(hash) if hash != witness.hash => report.finding(
            Kind::WitnessMismatch,
            Some(witness.seq),
            format!(
                "row {} is {hash}, {WITNESS} says {}",
                witness.seq, witness.hash
            ),
        ),
        Some(_) => {}
        // expired or missing, which is told already
        None => report.notes.push(format!(
            "row {}, which {WITNESS} names, is not there to compare",
            witness.seq
        )),
    }
}

fn time_of(micros: i64) -> String {
    durable::rfc3339(clock::from_micros(micros))
}

#[cfg(test)]
mod tests;
