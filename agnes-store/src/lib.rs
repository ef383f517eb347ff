//! The database, whole: one engine, one writer, everything that is asked often held in memory.
//!
//! Always true: domain types in and out; nothing outside this crate names the engine; an acknowledged write is durable.
//!
//! Does not: see an HTTP type, decide who may do what.

pub mod audit;
pub mod clock;
pub mod containment;
mod directory;
mod engine;
mod error;
pub mod groups;
mod hex;
mod hold;
mod id;
pub mod identities;
pub mod jobs;
mod last_uses;
pub mod links;
mod migrations;
mod observe;
pub mod offline;
pub mod raised_limits;
mod readers;
mod refusals;
pub mod sessions;
pub mod settings;
mod snapshot;
mod store;
pub mod tokens;
pub mod users;
mod writer;

use duckdb::types::{TimeUnit, Value};
use time::OffsetDateTime;

pub use directory::Directory;
pub use engine::attach::Limits;
pub use engine::child::{Cause, Failure, Task, answer, perform};
pub use engine::copy::{Copied, copy};
pub use engine::error::OpenError;
pub use engine::recovery::{RecoveryNote, set_recovery_note_aside, take_recovery_note};
pub use engine::{DATABASE, Migrated, Options};
pub use error::{Error, Fault, Result};
pub use hold::Hold;
pub use id::Id;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub use migrations::know_further;
#[doc(hidden)]
pub use migrations::{Migration, Migrations};
pub use observe::Observer;
pub use snapshot::Snapshot;
pub use store::{Figures, Store};

/// What the database is called inside the engine: the file's own name would collide with the engine's catalog `system`.
pub(crate) const CATALOG: &str = "agnes";
/// Makes [`CATALOG`] what names without a catalog mean.
pub(crate) const USE_CATALOG: &str = "USE agnes";

/// A time as a statement's parameter.
pub(crate) fn timestamp(time: OffsetDateTime) -> Value {
    Value::Timestamp(TimeUnit::Microsecond, clock::to_micros(time))
}

/// As [`timestamp`], or NULL.
pub(crate) fn optional_timestamp(time: Option<OffsetDateTime>) -> Value {
    time.map_or(Value::Null, timestamp)
}

/// A text as a value for the engine.
pub(crate) fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

/// As [`text`], or NULL.
pub(crate) fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}
