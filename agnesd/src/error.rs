//! The bodies of every answer that is not a success: RFC 9457 problem documents.
//!
//! Always true: the content type is `application/problem+json`, the status line and the `status` member agree, and nothing
//! that the client sent is repeated in a body.
//!
//! Does not: decide when something is an error (routes do), log.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// One refused request.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

impl Problem {
    /// 404: no route has this address.
    pub(crate) fn no_such_route() -> Self {
        Self::of(StatusCode::NOT_FOUND, "nothing is served at this address")
    }

    /// 405: the address exists, the method does not.
    pub(crate) fn method_not_allowed() -> Self {
        Self::of(
            StatusCode::METHOD_NOT_ALLOWED,
            "this address does not take this method",
        )
    }

    /// 503: the server runs and wants no new work, for `reasons`.
    pub(crate) fn not_ready(reasons: Vec<&'static str>) -> Self {
        Self {
            reasons,
            ..Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "this server wants no new work",
            )
        }
    }

    fn of(status: StatusCode, detail: &'static str) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status,
            detail,
            reasons: Vec::new(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u16(status.as_u16())
}
