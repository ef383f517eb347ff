//! Requests that fit no route.
//!
//! Always true: the answer is a problem document and never repeats the address that was asked for.
//!
//! Does not: guess what was meant.

use crate::error::Problem;

/// No such address.
pub(crate) async fn route() -> Problem {
    Problem::no_such_route()
}

/// The address exists, with another method.
pub(crate) async fn method() -> Problem {
    Problem::method_not_allowed()
}
