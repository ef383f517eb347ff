//! The meaning of one deployment's configuration: `agnes.toml`, its drop-ins, `.env` and the process environment.
//!
//! Always true: a [`Settings`] value was validated whole, and every value can name the file and line it came from.
//! Absent, unreadable and malformed are three different things; only absent may fall back to a default.
//!
//! Does not: read secrets' values into logs, evaluate anything, write files (see `dotenv::upsert` for what a writer needs).

pub mod settings;
pub mod source_url;

pub use settings::{
    CaddyTarget, Domain, FileOwner, KeyType, ProcessTarget, ReloadWay, RestartTarget, Runtime,
    ServedAddress, Settings, Signal,
};
pub use source_url::{SourceUrl, SourceUrlError};
