//! `[alerts]`.
//!
//! Always true: as its parent; no message holds any of an address.
//!
//! Does not: ask anybody.

use std::time::Duration;

use super::Builder;
use crate::env_keys::{self as keys, Key};
use crate::secret::Secret;
use crate::settings::Alerts;
use crate::values;

impl Builder {
    pub(super) fn alerts(&mut self) -> Alerts {
        Alerts {
            webhook: self.address(&keys::ALERT_WEBHOOK_URL),
            email_to: self
                .take(&keys::ALERT_EMAIL_TO, values::mail::emails)
                .unwrap_or_default(),
            json: self.address(&keys::ALERT_JSON_URL),
            heartbeat: self.address(&keys::HEARTBEAT_URL),
            remind_every: self
                .take(&keys::ALERTS_REMIND_EVERY, values::deadline)
                .unwrap_or(Duration::from_secs(3600)),
        }
    }

    /// A URL that is a secret.
    fn address(&mut self, key: &'static Key) -> Option<Secret> {
        let secret = self.secret(key)?;
        // whoever tells is told to wait until it is resolved
        let unresolved = secret.expose().starts_with("sm://");
        let sound = url::Url::parse(secret.expose()).is_ok_and(|url| match url.scheme() {
            "https" => true,
            "http" => !values::leaves_unprotected(&url),
            _ => false,
        });
        match (unresolved, sound) {
            (false, true) => Some(secret),
            (true, _) => {
                self.warn(
                    key,
                    "is a reference that nobody has resolved (`agnes-ops secrets ensure` does)",
                );
                None
            }
            (false, false) => {
                self.fault(
                    key,
                    "is no address (expected https://…, or http:// on loopback)",
                );
                None
            }
        }
    }
}
