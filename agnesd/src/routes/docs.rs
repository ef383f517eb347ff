//! The API's own description.
//!
//! Always true: written once, when the router is made; no script is in it.
//!
//! Does not: name the control socket.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// The OpenAPI document.
#[utoipa::path(get, path = "/api/openapi.json", responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Response {
    answer(&app, "application/json", |documents| &documents.openapi)
}

/// The same for people.
#[utoipa::path(get, path = "/api/docs", responses((status = 200, description = "a page", content_type = "text/html")))]
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    answer(&app, "text/html; charset=utf-8", |documents| {
        &documents.page
    })
}

/// The page's style.
#[utoipa::path(get, path = "/api/docs/style.css", responses((status = 200, description = "a stylesheet", content_type = "text/css")))]
pub(crate) async fn style(State(app): State<Arc<App>>) -> Response {
    answer(&app, "text/css; charset=utf-8", |documents| {
        &documents.style
    })
}

fn answer(
    app: &App,
    kind: &'static str,
    text: impl Fn(&crate::app::Documents) -> &String,
) -> Response {
    let text = app.documents.get().map(text).cloned().unwrap_or_default();
    ([(CONTENT_TYPE, kind)], text).into_response()
}
