//! Which other sites' pages may read our answers (`ALLOWED_ORIGINS`).
//!
//! Always true: an origin is allowed when it is, byte for byte, on the list; `*` and `null` never match; credentials of the
//! browser's own (cookies) are never asked for, since callers bring a bearer token. `Vary: Origin` is on every answer, so
//! that no cache gives one origin's answer to another.
//!
//! Does not: refuse a request. A browser does that when the headers are missing; others have no origin.

use std::collections::HashSet;

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

/// The origins on the list, as `https://app.example.com`.
#[derive(Debug, Clone)]
pub(crate) struct Origins(HashSet<Vec<u8>>);

impl Origins {
    /// What `ALLOWED_ORIGINS` holds. Words that allow everybody are left out.
    pub(crate) fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let named = |origin: &String| origin != "*" && origin != "null";
        let origins = origins.into_iter().map(Into::into).filter(named);
        Self(origins.map(String::into_bytes).collect())
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        self.0.contains(origin.as_bytes())
    }
}

/// What a browser said about where the request comes from.
pub(super) struct Asked {
    origin: Option<HeaderValue>,
    preflight: bool,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none()).cloned();
        let preflight = request.method() == Method::OPTIONS
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Self { origin, preflight }
    }

    /// Answered here. A preflight from anywhere else is a request like any other.
    pub(super) fn is_preflight(&self, allowed: &Origins) -> bool {
        self.preflight && self.allowed(allowed).is_some()
    }

    pub(super) fn answer(self, allowed: &Origins, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if self.allowed(allowed).is_none() {
            for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS] {
                headers.remove(name);
            }
            return;
        }
        if let Some(origin) = self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("retry-after, warning, www-authenticate, x-ratelimit-limit, x-request-id, x-token-expires-at"),
            );
        }
    }

    fn allowed(&self, allowed: &Origins) -> Option<&HeaderValue> {
        self.origin.as_ref().filter(|origin| allowed.allow(origin))
    }
}

/// Yes, for ten minutes: what may be asked for. Whether it is there and for whom, the request itself finds out.
pub(super) fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, PATCH, DELETE",
        ),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
        (
            VARY,
            "Access-Control-Request-Method, Access-Control-Request-Headers",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
