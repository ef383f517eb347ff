//! The rows of `[alerts]`.
//!
//! Always true: as its parent; an address that holds what opens it is a secret.
//!
//! Does not: hold a row that the server reads.

use super::{Key, Kind, OPS};

/// `ALERT_WEBHOOK_URL`
pub static ALERT_WEBHOOK_URL: Key = Key::new(
    Kind::Secret,
    OPS,
    "Where findings are told as `{\"text\": …}`, as Slack and Google Chat take them; https, or http on loopback. Not set: nobody is told in that way.",
)
.env("ALERT_WEBHOOK_URL");
/// `ALERT_EMAIL_TO`
pub static ALERT_EMAIL_TO: Key = Key::new(
    Kind::Emails,
    OPS,
    "Who is told findings by mail, through `SMTP_HOST`. Not set: nobody is told in that way.",
)
.env("ALERT_EMAIL_TO")
.toml("alerts.email_to")
.example("oncall@example.com");
/// `ALERT_JSON_URL`
pub static ALERT_JSON_URL: Key = Key::new(
    Kind::Secret,
    OPS,
    "Where findings are told as a JSON document with all that is known of them; https, or http on loopback. Not set: nobody is told in that way.",
)
.env("ALERT_JSON_URL");
/// `HEARTBEAT_URL`
pub static HEARTBEAT_URL: Key = Key::new(
    Kind::Secret,
    OPS,
    "Asked every minute while all is well: whoever waits there tells of a host whose timers are dead. https, or http on loopback. Not set: nobody waits.",
)
.env("HEARTBEAT_URL");
/// `alerts.remind_every`
pub static ALERTS_REMIND_EVERY: Key = Key::new(
    Kind::Duration,
    OPS,
    "How often a finding that is still there is told again.",
)
.toml("alerts.remind_every")
.default("1h");
