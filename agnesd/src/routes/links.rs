//! One-time links: asked for by mail, used once.
//!
//! Always true: a request for one is accepted whatever the address is (A05); looking at a link's page uses nothing up, for
//! scanners look at every link in a mail; what uses it up is a POST, and of any number of them one wins.
//!
//! Does not: send mail (`mail` does), render pages (`pages` does).

use std::sync::Arc;

use agnes_store::clock;
use agnes_store::links::Purpose;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::refresh;
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};
use crate::sign_in::issued::{REFRESH, Tokens};
use crate::sign_in::link;

/// Where a link is to go.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LinkRequest {
    /// E-mail address.
    email: String,
}

/// The same for every address.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Always `accepted`.
    #[schema(value_type = String)]
    status: &'static str,
}

/// A one-time link's secret.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Link {
    /// What stands in the link.
    token: String,
}

/// A one-time link's secret, and what it is to do.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPassword {
    /// What stands in the link.
    token: String,
    /// 12 to 128 characters.
    password: String,
}

/// Mails a sign-in link, where the address is somebody's who may sign in.
#[utoipa::path(post, path = "/auth/magic/request", request_body = LinkRequest, responses(
    (status = 202, body = Accepted, description = "Accepted, whether or not there is such an account"),
))]
pub(crate) async fn ask_to_sign_in(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(form): Body<LinkRequest>,
) -> Response {
    accept(&app, asker, Purpose::SignIn, &form.email)
}

/// Mails a link that sets a new password, where the address is somebody's who may have one.
#[utoipa::path(post, path = "/auth/reset/request", request_body = LinkRequest, responses(
    (status = 202, body = Accepted, description = "Accepted, whether or not there is such an account"),
))]
pub(crate) async fn ask_for_reset(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(form): Body<LinkRequest>,
) -> Response {
    accept(&app, asker, Purpose::Reset, &form.email)
}

fn accept(app: &Arc<App>, asker: Asker, purpose: Purpose, email: &str) -> Response {
    app.mail.ask(asker.origin, purpose, email);
    let accepted = Accepted { status: "accepted" };
    let headers = [(CACHE_CONTROL, "no-store")];
    (StatusCode::ACCEPTED, headers, Json(accepted)).into_response()
}

/// Signs a person in by a one-time link.
#[utoipa::path(post, path = "/auth/magic/verify", request_body = Link, responses(
    (status = 200, body = Tokens), (status = 401, body = Problem),
))]
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(form): Body<Link>,
) -> Answer<Response> {
    let issued = refresh::first().map_err(|e| Problem::internal(&e.to_string()))?;
    let end = clock::now() + REFRESH;
    let (session, user) = link::use_up(&app, &asker, &form.token, issued.kept, end).await?;
    Tokens::answer(&app, &session, &user, &issued.secret, "link")
}

/// Sets a new password, and ends every session of its owner.
#[utoipa::path(post, path = "/auth/reset/confirm", request_body = NewPassword, responses(
    (status = 204, description = "The password is set; sign in with it"),
    (status = 401, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn reset(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<NewPassword>,
) -> Answer<StatusCode> {
    link::set_password(&app, &asker, &new.token, new.password).await?;
    Ok(StatusCode::NO_CONTENT)
}
