//! `agnesd db …` and the start of the store as a black box: real files, real children, real kills.
//!
//! Always true: every child that owns or reads a database is the built `agnesd`, or a script in front of it.
//!
//! Does not: start the server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and starts processes and writes files itself"
)]

mod copies;
mod full;
mod log;
mod place;
mod schema;
#[path = "../process/small_disk.rs"]
mod small_disk;
mod verbs;
