//! The database, whole: one engine, one writer, everything that is asked often held in memory.
//!
//! Always true: domain types in and out; nothing outside this crate names the engine; an acknowledged write is durable.
//!
//! Does not: see an HTTP type, decide who may do what.

mod engine;
mod migrations;
pub mod offline;

pub use engine::attach::Limits;
pub use engine::child::{Failure, Task, answer, perform};
pub use engine::copy::{Copied, copy};
pub use engine::error::OpenError;
pub use engine::recovery::{RecoveryNote, take_recovery_note};
pub use engine::{DATABASE, Options};
#[doc(hidden)]
pub use migrations::{Migration, Migrations};
