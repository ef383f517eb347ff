//! More calls a minute for one principal, until a time.
//!
//! Always true: durable with the row that says who gave it; one that is over counts for nothing and is removed.
//!
//! Does not: count calls, or know what everybody else may.

use duckdb::params;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::audit::{Event, Origin};
use crate::directory::settings::Setting;
use crate::users::resource;
use crate::writer::Txn;
use crate::{Directory, Id, Result, Store, timestamp};

/// What their keys among the settings begin with; the user's id follows.
const PREFIX: &str = "raised_limit:";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisedLimit {
    /// Whose it is.
    pub user: Id,
    /// How much, and until when.
    pub terms: Terms,
}

/// What is kept of one, and told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Calls in any 60 seconds.
    pub per_min: u32,
    /// Until then.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

impl RaisedLimit {
    fn of(setting: &Setting) -> Option<Self> {
        let user = setting.key.strip_prefix(PREFIX)?.parse().ok()?;
        // one that is not understood raises nothing
        let terms = serde_json::from_str(&setting.value).ok()?;
        Some(Self { user, terms })
    }
}

impl Directory {
    /// Those that count at `now`.
    pub fn raised_limits(&self, now: OffsetDateTime) -> Vec<RaisedLimit> {
        let all = self.settings.values();
        all.filter_map(|setting| RaisedLimit::of(setting))
            .filter(|raised| raised.terms.until > now)
            .collect()
    }
}

impl Store {
    /// Gives a user more, in place of what it was given before.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], or as any write.
    pub async fn raise_limit(&self, origin: Origin, raised: RaisedLimit) -> Result<()> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(raised.user)?;
            txn.forget_raised_limit(raised.user)?;
            let setting = Setting {
                key: format!("{PREFIX}{}", raised.user),
                value: serde_json::to_string(&raised.terms).unwrap_or_default(),
                updated_at: txn.now,
                updated_by: origin.actor.clone(),
            };
            txn.execute(
                "INSERT INTO settings (key, value, updated_at, updated_by) VALUES (?, ?, ?, ?)",
                params![
                    setting.key,
                    setting.value,
                    timestamp(setting.updated_at),
                    setting.updated_by
                ],
            )?;
            txn.directory.put_setting(setting);
            let event = Event::done("limit.raised", resource(&user));
            txn.audit(&origin, event.with("terms", json!(raised.terms)));
            Ok(())
        })
        .await
    }

    /// Takes it away before its time; says whether there was one.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], or as any write.
    pub async fn end_raised_limit(&self, origin: Origin, user: Id) -> Result<bool> {
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(user)?;
            let had = txn.forget_raised_limit(user.id)?;
            if had {
                txn.audit(&origin, Event::done("limit.raise_ended", resource(&user)));
            }
            Ok(had)
        })
        .await
    }
}

impl Txn<'_> {
    /// Removes those whose time is over; how many.
    pub(crate) fn expire_raised_limits(&mut self) -> Result<usize> {
        let now = self.now;
        let all = self.directory.settings.values();
        let over: Vec<Id> = all
            .filter_map(|setting| RaisedLimit::of(setting))
            .filter(|raised| raised.terms.until <= now)
            .map(|raised| raised.user)
            .collect();
        for user in &over {
            self.forget_raised_limit(*user)?;
        }
        Ok(over.len())
    }

    fn forget_raised_limit(&mut self, user: Id) -> Result<bool> {
        let key = format!("{PREFIX}{user}");
        let removed = self.execute("DELETE FROM settings WHERE key = ?", params![key])?;
        self.directory.settings.remove_mut(&key);
        Ok(removed > 0)
    }
}
