//! `[alerts]`: who is told what is wrong.
//!
//! Always true: an address that holds what opens it is a secret, and shown nowhere.
//!
//! Does not: tell.

use std::time::Duration;

use crate::secret::Secret;

/// `[alerts]`.
#[derive(Debug, Clone)]
pub struct Alerts {
    /// `ALERT_WEBHOOK_URL`; `None`: nobody is told in that way.
    pub webhook: Option<Secret>,
    /// `ALERT_EMAIL_TO`: each is told by mail.
    pub email_to: Vec<String>,
    /// `ALERT_JSON_URL`; `None`: nobody is told in that way.
    pub json: Option<Secret>,
    /// `HEARTBEAT_URL`; `None`: nobody waits.
    pub heartbeat: Option<Secret>,
    /// `remind_every` (default 1 h).
    pub remind_every: Duration,
}
