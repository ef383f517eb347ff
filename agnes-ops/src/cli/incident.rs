//! `incident` and its verbs, and `audit`.
//!
//! Always true: as its parent.
//!
//! Does not: do anything.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use time::OffsetDateTime;

use super::values::{moment, rfc3339};

/// `incident …`
#[derive(Debug, Subcommand)]
pub enum Incident {
    /// Shut a person out: disabled, every session ended, every token revoked, at once; and show what was done in its name.
    Contain {
        /// E-mail address, or id.
        principal: String,
        /// Show what was done since then [default: 7 days ago]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<OffsetDateTime>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Who is refused for calling too often, and what speaks against it; or more calls for one until a time.
    RateLimit(RateLimit),
    /// The records of what was done, the newest first.
    List,
}

/// `incident rate-limit`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("time").args(["until", "for"]))]
pub struct RateLimit {
    /// E-mail address, or id [default: everybody who is at the limit]
    pub principal: Option<String>,
    /// So many calls in any 60 seconds, more than everybody has.
    #[arg(long, value_name = "CALLS", requires_all = ["principal", "time"], value_parser = clap::value_parser!(u32).range(1..))]
    pub per_min: Option<u32>,
    /// Until when, as 2026-11-26T18:00:00Z; at most 31 days.
    #[arg(long, value_name = "TIME", value_parser = rfc3339, requires = "per_min")]
    pub until: Option<OffsetDateTime>,
    /// For how long, as 2h.
    #[arg(long, value_name = "TIME", value_parser = agnes_config::duration, requires = "per_min")]
    pub r#for: Option<Duration>,
    /// Take back what was given.
    #[arg(long, requires = "principal", conflicts_with = "per_min")]
    pub end: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// Who acted: an e-mail address, or anonymous, server, control-socket.
    #[arg(long)]
    pub actor: Option<String>,
    /// What was done, such as token.issued.
    #[arg(long)]
    pub action: Option<String>,
    /// From then on, as 2026-11-26T18:00:00Z or 2026-11-26.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<OffsetDateTime>,
    /// Before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<OffsetDateTime>,
    /// At most so many rows.
    #[arg(long, value_name = "ROWS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}
