//! Servers and programs that the cross-process tests stand around the product.

#![allow(
    clippy::disallowed_methods,
    reason = "a harness starts processes, reads the environment and waits itself"
)]

pub mod api;
pub mod authority;
pub mod browser;
pub mod caddy;
pub mod clients;
pub mod components;
pub mod deployment;
pub mod disk;
pub mod docker;
pub mod gcs;
pub mod handshake;
pub mod https_source;
pub mod image;
pub mod mail_server;
pub mod ports;
pub mod process;
pub mod registry;
pub mod secret_manager;
pub mod systemd;
