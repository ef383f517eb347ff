//! The meaning of one deployment's configuration: `agnes.toml`, its drop-ins, `.env` and the process environment.
//!
//! Always true: a [`Settings`] value was validated whole, and every value can name the file and line it came from.
//! Absent, unreadable and malformed are three different things; only absent may fall back to a default.
//!
//! Does not: read secrets' values into logs, evaluate anything, write files (see `dotenv::upsert` for what a writer needs).

pub mod docs;
pub mod dotenv;
pub mod env_keys;
pub mod load;
pub mod schedule;
mod secret;
pub mod settings;
pub mod source_url;
mod values;
pub mod window;

pub use load::{Invalid, Loaded, Problem, Source, Texts, Value, load, load_as_if, load_texts};
pub use schedule::{Schedule, ScheduleError};
pub use secret::Secret;
pub use settings::{
    Alerts, Audit, CaddyTarget, Consent, Domain, Fetch, FileOwner, Gate, Job, JobTarget, KeyType,
    Keys, Limits, Machine, Mail, MailTls, Method, MetricsListen, Oidc, OidcGroups, Overlay,
    ProcessTarget, Provision, ReloadWay, Remote, RestartTarget, Runtime, Secrets, ServedAddress,
    Server, Settings, Signal, Snapshot, Stack, Store, Tls, TlsMode, Upgrade, UpgradeMode, Wanted,
};
pub use source_url::{SourceUrl, SourceUrlError};
pub use values::duration;
pub use values::soundness::against_key;
pub use window::{Window, Zone};
