//! `agnesd` as a black box: a real process, real sockets, real files, real signals.
//!
//! Always true: a server started here is killed when its handle goes, also by a panic; ports are chosen by the kernel.
//!
//! Does not: look inside; unit tests of single limits live beside the code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and starts processes and writes files itself"
)]

mod edge;
mod faults;
mod hygiene;
mod pki;
mod probes;
mod server;
mod service;
mod small_disk;
mod start;
mod stop;
mod systemd;
mod tls;
