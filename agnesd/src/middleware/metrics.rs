//! The labels of the request metrics.
//!
//! Always true: a stranger cannot make a new label value: methods are a fixed set, routes are the router's templates.
//!
//! Does not: count.

use axum::http::Method;

/// The route of a request that fits none.
pub(super) const UNMATCHED: &str = "unmatched";

/// The method, or `OTHER`.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
