//! Uses of personal tokens that are not written yet.
//!
//! Always true: the newest use of a token is the one that is kept.
//!
//! Does not: write them (`tokens.rs` does).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use crate::Id;

/// Uses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct LastUses(Mutex<HashMap<Id, (OffsetDateTime, String)>>);

impl LastUses {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Id, (OffsetDateTime, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
