//! The bodies of every answer that is not a success: RFC 9457 problem documents.
//!
//! Always true: the content type is `application/problem+json`, the status line and the `status` member agree, the body
//! names the request's id, and nothing that the client sent is repeated in it.
//!
//! Does not: decide when something is an error (routes do), log.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// One refused request.
#[derive(Debug, Clone, Serialize)]
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

    /// 408: the body did not arrive in time.
    pub(crate) fn body_too_slow() -> Self {
        Self::of(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive in time",
        )
    }

    /// 413: the body is larger than this address takes.
    pub(crate) fn body_too_large() -> Self {
        Self::of(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request's body is larger than this server takes",
        )
    }

    /// 414: the address itself is too long.
    pub(crate) fn url_too_long() -> Self {
        Self::of(StatusCode::URI_TOO_LONG, "the address is too long")
    }

    /// 431: too many bytes of header fields.
    pub(crate) fn header_too_large() -> Self {
        Self::of(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's header fields are too large",
        )
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
    /// Without a request id: [`finish`] puts it in.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        write(&mut response, &self, None);
        response.extensions_mut().insert(self);
        response
    }
}

/// The last hand on every answer: problem documents get the request's id, and an error that a framework put into plain
/// words, or into none, becomes a problem document. Pages for people stay as they are.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let made_here = response.extensions_mut().remove::<Problem>();
    let in_plain_words = || {
        response
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
    };
    let problem = match made_here {
        Some(problem) => problem,
        None if in_plain_words() => Problem::of(status, "this server does not take the request"),
        None => return response,
    };
    write(&mut response, &problem, Some(request_id));
    response
}

/// A problem and whom it concerns.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// Replaces the body; headers that say more (`Allow`, `Retry-After`, `WWW-Authenticate`) stay.
fn write(response: &mut Response, problem: &Problem, request_id: Option<&str>) {
    let document = Document {
        problem,
        request_id,
    };
    // strings and a number: there is nothing in it that JSON cannot say
    *response.body_mut() = Body::from(serde_json::to_vec(&document).unwrap_or_default());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn as_number<S: serde::Serializer>(status: &StatusCode, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u16(status.as_u16())
}
