//! The handlers, one file a resource.
//!
//! Always true: a handler sees [`App`](crate::app::App) and the request, never another handler.
//!
//! Does not: name addresses (the router does) or build error bodies (`error` does).

pub(crate) mod health;
pub(crate) mod unknown;
pub(crate) mod version;
