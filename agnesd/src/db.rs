//! `agnesd db …`: the database while no server runs, and the children that a start sends ahead of itself.
//!
//! Always true: one printer, one object or a few lines on standard output; a refusal is one line on standard error with what
//! was left; a child's answer is one JSON object.
//!
//! Does not: name the engine; what a verb means is agnes-store's.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use agnes_store::offline::{self, Figures, Findings, Recovery};
use agnes_store::{DATABASE, Limits, OpenError, Options, RecoveryNote, Task};
use serde_json::{Value, json};

use crate::app;
use crate::cli::{Bounds, Db, DbVerb};

/// For the engine's buffers in an offline verb: the host may be serving something else.
const MEMORY_BYTES: u64 = 512 << 20;

/// A finding, or did not get there.
const FAILED: u8 = 1;
/// There is something to decide; nothing was changed.
const DRIFT: u8 = 10;
/// Program and file do not belong together.
const CONFIG: u8 = 78;

/// What a verb comes to.
pub(crate) struct Outcome {
    pub(crate) exit: u8,
    pub(crate) changed: bool,
    pub(crate) details: Value,
    pub(crate) text: String,
}

/// The task of a child, when that is what was asked for: it needs no settings.
pub(crate) fn child(db: &Db) -> Option<ExitCode> {
    let (task, bounds) = match &db.verb {
        DbVerb::Replay { file, bounds } => (Task::Replay(file.clone()), bounds),
        DbVerb::Copy { from, to, bounds } => (Task::Copy(from.clone(), to.clone()), bounds),
        DbVerb::Seal { copy, bounds } => (Task::Seal(copy.clone()), bounds),
        DbVerb::Prove { file, bounds } => (Task::Prove(file.clone()), bounds),
        _ => return None,
    };
    let Bounds {
        memory_bytes,
        threads,
        parent,
    } = *bounds;
    let result = agnes_store::perform(
        &task,
        Limits {
            memory_bytes,
            threads,
        },
        parent,
    );
    let said = say(&agnes_store::answer(&result).to_string());
    Some(match (&result, said) {
        (Ok(_), Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The explicit file of a verb: it makes the deployment's settings irrelevant.
pub(crate) fn file(db: &Db) -> Option<&Path> {
    match &db.verb {
        DbVerb::Check { file } | DbVerb::Migrate { file } => file.as_deref(),
        DbVerb::Verify { file, .. } => Some(file),
        DbVerb::Export { file, .. } => file.as_deref(),
        _ => None,
    }
}

/// Runs an offline verb on its explicit file, or on the database of `state_dir`.
pub(crate) fn run(db: &Db, state_dir: Option<&Path>) -> ExitCode {
    let begun = Instant::now();
    let name = format!("db {}", db.verb.name());
    let outcome =
        options(file(db), state_dir).and_then(|(options, file)| act(&db.verb, &options, &file));
    finish(&name, db.json, begun, outcome)
}

/// Prints what an offline verb came to, and maps it to an exit code.
pub(crate) fn finish(
    name: &str,
    as_json: bool,
    begun: Instant,
    outcome: Result<Outcome, OpenError>,
) -> ExitCode {
    let (exit, outcome, details, text) = match outcome {
        Ok(done) => {
            let word = if done.changed { "changed" } else { "unchanged" };
            (done.exit, word, done.details, done.text)
        }
        Err(why) => {
            eprintln!("agnesd: {name}: {why}");
            if let Some(hint) = why.hint() {
                eprintln!("hint: {hint}");
            }
            let message = why.to_string();
            let details =
                json!({ "reason": why.reason(), "reasons": [why.reason()], "message": message });
            let exit = if why.is_config() { CONFIG } else { FAILED };
            (exit, "unchanged", details, String::new())
        }
    };
    let said = if as_json {
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let object = json!({
            "command": name,
            "outcome": outcome,
            "exit": exit,
            "steps": [],
            "took_ms": took_ms,
            "details": details,
        });
        say(&object.to_string())
    } else {
        say(text.trim_end())
    };
    match said {
        Ok(()) => ExitCode::from(exit),
        Err(e) => {
            eprintln!("agnesd: {name}: print: {e}");
            ExitCode::from(FAILED)
        }
    }
}

/// For a file that was named, or the database of `state_dir`.
pub(crate) fn options(
    explicit: Option<&Path>,
    state_dir: Option<&Path>,
) -> Result<(Options, PathBuf), OpenError> {
    let beside = explicit.and_then(Path::parent).map(|parent| match parent {
        here if here.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    });
    let state_dir = beside.or(state_dir).unwrap_or(Path::new(".")).to_owned();
    let file = explicit.map_or_else(|| state_dir.join(DATABASE), Path::to_owned);
    let program = std::env::current_exe().map_err(|source| OpenError::Io {
        path: PathBuf::from("/proc/self/exe"),
        operation: "find this program",
        source,
    })?;
    let options = Options {
        state_dir,
        memory_limit_bytes: MEMORY_BYTES,
        threads: std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        program,
        release: app::VERSION.to_owned(),
    };
    Ok((options, file))
}

fn act(verb: &DbVerb, options: &Options, file: &Path) -> Result<Outcome, OpenError> {
    match verb {
        DbVerb::Check { .. } => offline::check(options, file).map(findings),
        DbVerb::Verify { scratch, .. } => {
            let scratch = scratch.clone().unwrap_or_else(std::env::temp_dir);
            offline::verify(options, file, &scratch).map(findings)
        }
        DbVerb::Migrate { .. } => migrate(options, file),
        DbVerb::Export { to, .. } => {
            let manifest = offline::export(options, file, to)?;
            Ok(Outcome {
                exit: 0,
                changed: true,
                text: format!("{:#}", json!(manifest)),
                details: json!(manifest),
            })
        }
        DbVerb::Recover { accept_loss } => Ok(recover(offline::recover(options, *accept_loss)?)),
        DbVerb::Replay { .. }
        | DbVerb::Copy { .. }
        | DbVerb::Seal { .. }
        | DbVerb::Prove { .. } => Ok(Outcome {
            exit: FAILED,
            changed: false,
            details: Value::Null,
            text: String::new(),
        }),
    }
}

fn findings(found: Findings) -> Outcome {
    let mut text = String::new();
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if let Some(figures) = &found.figures {
        list(&mut text, figures);
    }
    for finding in &found.findings {
        let _ = writeln!(text, "finding: {finding}");
    }
    Outcome {
        exit: if found.findings.is_empty() { 0 } else { FAILED },
        changed: false,
        details: json!(found),
        text,
    }
}

fn list(text: &mut String, figures: &Figures) {
    let _ = writeln!(text, "schema {}", figures.schema);
    for (name, table) in &figures.tables {
        let _ = writeln!(text, "{:>12}  {}  {name}", table.rows, table.sha256);
    }
}

fn migrate(options: &Options, file: &Path) -> Result<Outcome, OpenError> {
    let done = offline::migrate(options, file)?;
    let migrated = done.migrated.as_ref();
    let from = migrated.map_or(done.schema, |m| m.from);
    let copy = migrated.and_then(|m| m.copy.as_ref());
    let text = match (migrated, copy) {
        (None, _) => format!("schema {}: nothing to migrate", done.schema),
        (Some(_), None) => format!("schema {}: a new database", done.schema),
        (Some(_), Some(copy)) => {
            format!("schema {from} → {}\ncopy {}", done.schema, copy.display())
        }
    };
    Ok(Outcome {
        exit: 0,
        changed: migrated.is_some(),
        details: json!({
            "file": file, "from": from, "to": done.schema, "copy": copy, "notes": done.notes,
        }),
        text,
    })
}

fn recover(recovery: Recovery) -> Outcome {
    let (exit, changed, note, last) = match recovery {
        Recovery::Nothing => {
            return Outcome {
                exit: 0,
                changed: false,
                details: json!({ "quarantine": Value::Null }),
                text: "nothing is in quarantine: nothing to recover from".to_owned(),
            };
        }
        Recovery::AtRisk(note) => (
            DRIFT,
            false,
            note,
            "nothing was changed; `agnesd db recover --accept-loss` serves without these writes",
        ),
        Recovery::Accepted(note) => (0, true, note, "the loss is accepted; the next start serves"),
    };
    let mut text = risk(&note);
    let _ = writeln!(text, "{last}");
    Outcome {
        exit,
        changed,
        details: json!({ "quarantine": note }),
        text,
    }
}

fn risk(note: &RecoveryNote) -> String {
    let unknown = || "unknown".to_owned();
    let mut text = format!(
        "at risk          a write-ahead log of {} bytes\nlast write       {}\nlast checkpoint  {}\nkept in          {}\n",
        note.wal_bytes,
        note.last_write.clone().unwrap_or_else(unknown),
        note.last_checkpoint.clone().unwrap_or_else(unknown),
        note.directory.display(),
    );
    let _ = writeln!(text, "rows at the last checkpoint");
    for (table, rows) in &note.rows {
        let _ = writeln!(text, "{rows:>12}  {table}");
    }
    text
}

/// The one printer.
fn say(text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
