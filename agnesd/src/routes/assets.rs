//! The style and the script of the pages.
//!
//! Always true: a browser asks again after five minutes, so that a page and its script are of one release soon.
//!
//! Does not: read files: both are in the program.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::page;

/// The pages' style.
#[utoipa::path(get, path = "/assets/agnes.css", responses((status = 200, description = "a stylesheet", content_type = "text/css")))]
pub(crate) async fn style() -> Response {
    answer("text/css; charset=utf-8", page::STYLE)
}

/// The pages' script.
#[utoipa::path(get, path = "/assets/agnes.js", responses((status = 200, description = "a script", content_type = "text/javascript")))]
pub(crate) async fn script() -> Response {
    answer("text/javascript; charset=utf-8", page::SCRIPT)
}

/// The pages' icon.
#[utoipa::path(get, path = "/assets/agnes.svg", responses((status = 200, description = "a picture", content_type = "image/svg+xml")))]
pub(crate) async fn icon() -> Response {
    answer("image/svg+xml", page::ICON)
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=300")];
    (headers, text).into_response()
}
