//! Settings as they are known in memory.
//!
//! Always true: a key leads to one value.
//!
//! Does not: change the engine's table (`settings.rs` one level up does).

use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;

use super::Directory;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
    /// When it was set.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Who set it.
    pub updated_by: String,
}

impl Directory {
    pub(crate) fn put_setting(&mut self, setting: Setting) -> Arc<Setting> {
        let setting = Arc::new(setting);
        self.settings
            .insert_mut(setting.key.clone(), Arc::clone(&setting));
        setting
    }
}
