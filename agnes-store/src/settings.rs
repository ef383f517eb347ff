//! What administrators set while the server runs.
//!
//! Always true: a value is durable with the row that says who set it.
//!
//! Does not: know which keys there are or what a sound value is.

use std::sync::Arc;

use duckdb::params;

use crate::audit::{Event, Origin};
pub use crate::directory::settings::Setting;
use crate::{Result, Store, timestamp};

impl Store {
    /// Sets one.
    ///
    /// # Errors
    /// As any write.
    pub async fn set_setting(
        &self,
        origin: Origin,
        key: &str,
        value: String,
    ) -> Result<Arc<Setting>> {
        let key = key.to_owned();
        self.act_of(origin.standing, move |txn| {
            let setting = Setting {
                key: key.clone(),
                value: value.clone(),
                updated_at: txn.now,
                updated_by: origin.actor.clone(),
            };
            let values = params![
                setting.value,
                timestamp(setting.updated_at),
                setting.updated_by,
                setting.key
            ];
            let sql = if txn.directory.setting(&key).is_some() {
                "UPDATE settings SET value = ?, updated_at = ?, updated_by = ? WHERE key = ?"
            } else {
                "INSERT INTO settings (value, updated_at, updated_by, key) VALUES (?, ?, ?, ?)"
            };
            txn.execute(sql, values)?;
            txn.audit(
                &origin,
                Event::done("config.changed", format!("config:{key}")),
            );
            Ok(txn.directory.put_setting(setting))
        })
        .await
    }
}
