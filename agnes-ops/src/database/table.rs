//! A table, as the server's program counts it and a manifest keeps it.
//!
//! Always true: two tables of the same content have the same figures, whatever the order of rows.
//!
//! Does not: compare (`snapshot/compare.rs` does).

use serde::{Deserialize, Serialize};

/// A table's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its rows.
    pub rows: u64,
    /// Of its content, whatever the order of rows.
    pub sha256: String,
}
