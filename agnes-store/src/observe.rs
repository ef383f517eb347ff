//! What the store tells whoever counts.
//!
//! Always true: a row is told after it is durable, once; an observer cannot fail or slow down more than a counter does.
//!
//! Does not: know what counts it. A trait, for the store names no metrics library and the server no engine.

use std::fmt::Debug;
use std::time::Duration;

use crate::audit::Row;

/// Counts.
pub trait Observer: Debug + Send + Sync {
    /// A row of the audit log is durable.
    fn audit_row(&self, row: &Row);

    /// An act was refused because writes are held.
    fn held_write_refused(&self);

    /// The engine worked for so long: `commit` (a batch of acts), `read`, `probe`, `checkpoint`.
    fn engine_took(&self, kind: &'static str, took: Duration);
}
