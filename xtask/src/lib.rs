//! What the one door for people and CI is made of: real components, the suite, the layer check, the attack, the
//! generated docs, the package.
//!
//! Always true: nothing here is shipped; the tests' harness uses [`components`], [`engine`] and [`command`], and one test
//! runs [`pentest`].
//!
//! Does not: know how a command line looks (that is `main.rs`).

pub mod bench;
pub mod checkout;
pub mod command;
pub mod components;
pub mod database_engine;
pub mod deployment;
pub mod docs;
pub mod engine;
pub mod figures;
pub mod fuzz;
mod http;
pub mod layers;
pub mod package;
pub mod pentest;
pub mod release;
mod scenes;
pub mod soak;
pub mod suite;
