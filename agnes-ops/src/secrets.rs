//! Secrets: made or fetched once, kept as generations, told to the server and to Compose.
//!
//! ```text
//! secrets/<NAME>/<n>       every value there ever was, 0600, written once
//! secrets/<NAME>/current   -> <n>
//! secrets/live/<NAME>      what the server reads, 0400, its own user's
//! <DIR>/.env               what Compose and side-cars read, 0600
//! ```
//!
//! Always true: a value that works is never replaced by none, or by one that cannot work (B07); while a durable copy is
//! damaged nothing is minted; a value is in files alone, never in output, log, record or argument.
//!
//! Does not: decide who may read a secret at its source.

mod catalogue;
mod check;
mod ensure;
mod generations;
mod list;
mod live;
mod plan;
mod rotate;
mod side_cars;

use crate::env_file::{self, Lookup};

pub use check::check;
pub use ensure::{Options as EnsureOptions, ensure};
pub use list::list;
pub use rotate::{Kind as RotateKind, Options as RotateOptions, rotate};

/// How long a secret is used before it is due for rotation: a quarter.
const DUE_AFTER_SECS: i64 = 90 * 24 * 60 * 60;
