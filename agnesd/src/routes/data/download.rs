//! Fetching a file: whole or a part of it.
//!
//! Always true: the entity tag is the content's SHA-256; an answer has one content from its first byte to its last, also when
//! the file is replaced meanwhile. A browser saves it and runs nothing of it.
//!
//! Does not: compress; answer several ranges as such.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::content::Content;
use super::id;
use super::range::Wanted;
use crate::app::App;
use crate::error::{Answer, Problem};

/// The file, whole or a part of it.
#[utoipa::path(get, path = "/api/data/{id}/download", params(
    ("id" = String, Path),
    ("Range" = Option<String>, Header, description = "One range of bytes; several are answered with the whole file"),
    ("If-Range" = Option<String>, Header, description = "The range counts only while this is the entity tag"),
    ("If-None-Match" = Option<String>, Header, description = "304 while one of these is the entity tag"),
    ("If-Match" = Option<String>, Header, description = "412 when none of these is the entity tag"),
), responses(
    (status = 200, description = "The whole file", content_type = "application/octet-stream"),
    (status = 206, description = "The part that was asked for", content_type = "application/octet-stream"),
    (status = 304), (status = 404, body = Problem), (status = 412, body = Problem), (status = 416, body = Problem),
))]
pub(crate) async fn fetch(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Answer<Response> {
    let (stored, file) = app.files.read(id(path)?).await?;
    let tag = format!("\"{}\"", stored.name.sha256);
    let (status, first, bytes) = match Wanted::of(&headers, &tag, stored.bytes) {
        Wanted::Whole => (StatusCode::OK, 0, stored.bytes),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::NotModified => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            describe(response.headers_mut(), &tag);
            return Ok(response);
        }
        Wanted::Nothing => return Ok(nothing(stored.bytes)),
        Wanted::Other => {
            return Err(Problem::limit(
                StatusCode::PRECONDITION_FAILED,
                "the file has another content",
            ));
        }
    };
    let content = Content::of(file, first, bytes, Arc::clone(&app.metrics));
    let mut response = Response::new(Body::new(content));
    *response.status_mut() = status;
    let out = response.headers_mut();
    describe(out, &tag);
    out.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    out.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    // an id has nothing in it that would have to be escaped
    let saved = format!("attachment; filename=\"{}\"", stored.name.id);
    out.insert(CONTENT_DISPOSITION, text(saved));
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + bytes - 1;
        let which = format!("bytes {first}-{last}/{}", stored.bytes);
        out.insert(CONTENT_RANGE, text(which));
    }
    Ok(response)
}

/// What stands on every answer that is about a file's content.
fn describe(out: &mut HeaderMap, tag: &str) {
    out.insert(ETAG, text(tag.to_owned()));
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // a cache may keep it, and asks each time: who may fetch it today may not tomorrow
    out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

/// 416, with the length that there is.
fn nothing(bytes: u64) -> Response {
    let problem = Problem::limit(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "the file has none of these bytes",
    );
    let mut response = problem.into_response();
    let length = text(format!("bytes */{bytes}"));
    response.headers_mut().insert(CONTENT_RANGE, length);
    response
}

/// Of letters, digits and a few signs, so always a header's value.
fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}
