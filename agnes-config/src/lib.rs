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
pub mod settings;
pub mod source_url;
mod values;

pub use load::{Invalid, Loaded, Problem, Source, Value, load};
pub use settings::{
    CaddyTarget, Domain, Fetch, FileOwner, KeyType, ProcessTarget, ReloadWay, RestartTarget,
    Runtime, ServedAddress, Server, Settings, Signal, Tls,
};
pub use source_url::{SourceUrl, SourceUrlError};
