//! The served API as its callers see it: a real process, a real database, real sockets.

mod about;
mod api;
mod audit;
mod bootstrap;
mod browser;
mod client;
mod control;
mod credentials;
mod disk;
mod events;
mod files;
mod incident;
mod jobs;
mod keys;
mod limits;
mod oidc;
mod people;
mod rotation;
mod socket;
mod store;
