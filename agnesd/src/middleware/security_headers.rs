//! The headers that tell a browser what it may not do with an answer.
//!
//! Always true: every answer has them, and no route weakens them. HSTS is sent only where this server ended TLS with a leaf
//! that a CA issued: sent with a bridge that signed itself, it would lock browsers out for a year.
//!
//! No other site is told where somebody came from.
//!
//! Does not: speak for a proxy in front, which knows its own TLS.

use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::client_address::Connection;

pub(super) fn set(headers: &mut HeaderMap, connection: Option<Connection>) {
    // a page's forms come with `Origin: null` otherwise, and on plain HTTP browsers say nothing else of where they are from
    let page = headers.get(CONTENT_TYPE);
    let is_page = page.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let referrer = match is_page {
        true => "same-origin",
        false => "no-referrer",
    };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, "default-src 'self'"),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, referrer),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if connection.is_some_and(|c| c.tls && c.ca_leaf) {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    } else {
        headers.remove(STRICT_TRANSPORT_SECURITY);
    }
}
