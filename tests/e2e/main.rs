//! Cross-process tests: the built programs among real neighbours.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start processes, read the environment and write files themselves"
)]

mod adopt;
mod boot;
mod compose;
mod corpus;
mod crash;
mod credentials;
mod damage;
mod doctor;
mod dotenv;
mod fetch;
mod flood;
mod harness;
mod hostile;
mod incident;
mod injected;
mod links;
mod load;
mod mail;
mod measured;
mod monitoring;
mod openapi;
mod package;
mod page;
mod pentest;
mod proxy;
mod report;
mod rotate;
mod rotation;
mod runbooks;
mod secrets;
mod shipped;
#[path = "../../agnesd/tests/process/small_disk.rs"]
mod small_disk;
mod snapshot;
mod stack;
mod startup_script;
mod status;
mod storm;
mod transfer;
mod units;
mod up;
mod upgrade;
mod watch;
