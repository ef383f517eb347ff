//! `upgrade` and its verbs.
//!
//! Always true: as its parent.
//!
//! Does not: do anything.

use clap::{Args, Subcommand};

use super::values::rfc3339;

/// `upgrade [VERB]`; without a verb it is `apply`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct UpgradeArgs {
    /// The verb.
    #[command(subcommand)]
    pub verb: Option<Upgrade>,
    /// What `apply` takes.
    #[command(flatten)]
    pub apply: UpgradeApply,
}

/// `upgrade apply`
#[derive(Debug, Args)]
pub struct UpgradeApply {
    /// This tag or digest, now: no window, hold, mode or ledger keeps it.
    #[arg(long, value_name = "TAG|DIGEST")]
    pub to: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `upgrade …`
#[derive(Debug, Subcommand)]
pub enum Upgrade {
    /// One tick: pull, snapshot, rehearse, hold writes, swap, gate, commit; or put the old image and its data back.
    Apply(UpgradeApply),
    /// Put the version before this one back, on the same data; it is on this host. The one left behind goes into the ledger.
    Rollback {
        /// When the newer version migrated: the data of the snapshot before that upgrade too. What it replaces is kept.
        #[arg(long)]
        with_data: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// What upgrades did here, the newest first.
    History,
    /// A digest that failed may be tried again.
    Forgive {
        /// sha256:…
        digest: String,
    },
    /// Compare the digest that runs with the one that is wanted; change nothing. Exit 0 or 10.
    Check,
    /// The plan in words: what runs, what is wanted, what waits, each step and its undo; change nothing.
    Explain,
    /// Pull what is wanted, and try it on a copy of the data; nothing that serves is touched.
    Rehearse {
        /// This tag or digest in place of the one that is followed.
        #[arg(long, value_name = "TAG|DIGEST")]
        to: Option<String>,
    },
    /// Begin no upgrade until then, or until `unhold`.
    Hold {
        /// Until when, as 2026-11-26T18:00:00Z; without it until `unhold`.
        #[arg(long, value_name = "TIME", value_parser = rfc3339)]
        until: Option<time::OffsetDateTime>,
        /// The reason, for whoever finds the hold.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Take the hold away.
    Unhold,
}
