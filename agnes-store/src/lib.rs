//! The database, whole: one engine, one writer, everything that is asked often held in memory.
//!
//! Always true: domain types in and out; nothing outside this crate names the engine; an acknowledged write is durable.
//!
//! Does not: see an HTTP type, decide who may do what.
