//! Signing in and out with a browser.
//!
//! Always true: looking at a page uses nothing up; a form that another site's page sent is refused, so that nobody is signed
//! in as somebody else unawares; whoever is signed in gets a cookie and no token.
//!
//! Does not: judge credentials (`sign_in` does).

use std::sync::Arc;

use agnes_store::links::Purpose;
use agnes_store::sessions::{Method, Session};
use agnes_store::users::User;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::Markup;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::{Caller, cookie};
use crate::error::{Answer, Problem};
use crate::page::{self, Login};
use crate::request::{Asker, Fields, Way};
use crate::sign_in::{browser, link, password};

/// Address and password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignInForm {
    /// E-mail address.
    email: String,
    /// Its password.
    password: String,
}

/// Where a link is to go, and what it is for.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MailForm {
    /// E-mail address.
    email: String,
    /// `sign_in` or `reset`.
    purpose: String,
}

/// A one-time link's secret.
#[derive(Deserialize, ToSchema)]
pub(crate) struct LinkForm {
    /// What stands in the link.
    token: String,
}

/// A one-time link's secret, and a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PasswordForm {
    /// What stands in the link.
    token: String,
    /// 12 to 128 characters.
    password: String,
}

/// The sign-in page.
#[utoipa::path(get, path = "/login", responses(
    (status = 200, description = "a page", content_type = "text/html"),
    (status = 303, description = "signed in already: to the overview"),
))]
pub(crate) async fn page(State(app): State<Arc<App>>, way: Way, asker: Asker) -> Answer<Response> {
    match asker.caller {
        Caller::Known(_) => Ok(see("/")),
        // what the browser has opens nothing any more
        Caller::Refused(_) => {
            let mut response = html(StatusCode::OK, &page::login(&offers(&app)));
            let cleared = browser::clear(&app, way)?;
            response.headers_mut().insert(SET_COOKIE, cleared);
            Ok(response)
        }
        Caller::Anonymous => Ok(html(StatusCode::OK, &page::login(&offers(&app)))),
    }
}

/// Signs a browser in by password.
#[utoipa::path(post, path = "/login", request_body(content = SignInForm, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 303, description = "signed in: to the overview, with a cookie"),
    (status = 401, description = "the page again", content_type = "text/html"),
    (status = 429, description = "the page again", content_type = "text/html"),
    (status = 403, body = Problem, description = "a page of another site sent the form"),
))]
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    way: Way,
    OurPage(asker): OurPage,
    Fields(form): Fields<SignInForm>,
) -> Answer<Response> {
    let begun = begin(&app, asker, &form.email, form.password).await;
    match begun {
        Ok((session, user)) => signed_in(&app, way, &session, &user),
        Err(problem) => {
            let words = said(
                &problem,
                "The address and the password are not those of anybody who may sign in.",
            );
            let page = Login {
                failed: Some(&words),
                email: &form.email,
                ..offers(&app)
            };
            Ok(again(problem, &page::login(&page)))
        }
    }
}

async fn begin(
    app: &App,
    asker: Asker,
    email: &str,
    password: String,
) -> Answer<(Arc<Session>, Arc<User>)> {
    let user = password::check(app, &asker, email, password).await?;
    let (none, end) = (browser::NO_REFRESH.to_owned(), browser::end());
    let begun = app
        .store
        .start_session(asker.origin, &user, Method::Password, none, end)
        .await?;
    Ok((begun, user))
}

/// Mails a link.
#[utoipa::path(post, path = "/login/mail", request_body(content = MailForm, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 202, description = "a page, the same for every address", content_type = "text/html"),
    (status = 403, body = Problem, description = "a page of another site sent the form"),
))]
pub(crate) async fn mail(
    State(app): State<Arc<App>>,
    OurPage(asker): OurPage,
    Fields(form): Fields<MailForm>,
) -> Answer<Response> {
    let purpose = match form.purpose.as_str() {
        "sign_in" => Purpose::SignIn,
        "reset" => Purpose::Reset,
        _ => return Err(Problem::unprocessable("purpose is sign_in or reset")),
    };
    app.mail.ask(asker.origin, purpose, &form.email);
    Ok(html(StatusCode::ACCEPTED, &page::mailed()))
}

/// What a sign-in link opens: a page with a button.
#[utoipa::path(get, path = "/auth/magic/verify", responses((status = 200, description = "a page; nothing is used up", content_type = "text/html")))]
pub(crate) async fn link_page() -> Response {
    html(StatusCode::OK, &page::use_link(None))
}

/// Signs a browser in by a one-time link.
#[utoipa::path(post, path = "/login/link", request_body(content = LinkForm, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 303, description = "signed in: to the overview, with a cookie"),
    (status = 401, description = "the page again", content_type = "text/html"),
    (status = 403, body = Problem, description = "a page of another site sent the form"),
))]
pub(crate) async fn use_link(
    State(app): State<Arc<App>>,
    way: Way,
    OurPage(asker): OurPage,
    Fields(form): Fields<LinkForm>,
) -> Answer<Response> {
    let token = form.token.trim();
    let none = browser::NO_REFRESH.to_owned();
    match link::use_up(&app, &asker, token, none, browser::end()).await {
        Ok((session, user)) => signed_in(&app, way, &session, &user),
        Err(problem) => {
            let words = said(
                &problem,
                "This link was used already, is over, or never was one.",
            );
            Ok(again(problem, &page::use_link(Some(&words))))
        }
    }
}

/// What a link for a new password opens: a page with a form.
#[utoipa::path(get, path = "/auth/reset/confirm", responses((status = 200, description = "a page; nothing is used up", content_type = "text/html")))]
pub(crate) async fn password_page() -> Response {
    html(StatusCode::OK, &page::new_password(None))
}

/// Sets a new password by a one-time link.
#[utoipa::path(post, path = "/login/password", request_body(content = PasswordForm, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "a page", content_type = "text/html"),
    (status = 401, description = "the page again", content_type = "text/html"),
    (status = 403, body = Problem, description = "a page of another site sent the form"),
    (status = 422, description = "the page again", content_type = "text/html"),
))]
pub(crate) async fn set_password(
    State(app): State<Arc<App>>,
    OurPage(asker): OurPage,
    Fields(form): Fields<PasswordForm>,
) -> Answer<Response> {
    let set = link::set_password(&app, &asker, form.token.trim(), form.password).await;
    Ok(match set {
        Ok(()) => html(StatusCode::OK, &page::password_is_set()),
        Err(problem) => {
            let words = said(
                &problem,
                "This link was used already, is over, or never was one.",
            );
            again(problem, &page::new_password(Some(&words)))
        }
    })
}

/// Signs this browser out.
#[utoipa::path(post, path = "/logout", responses(
    (status = 303, description = "to the sign-in page, without the cookie"),
    (status = 403, body = Problem, description = "a page of another site sent the form"),
))]
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    way: Way,
    OurPage(asker): OurPage,
) -> Answer<Response> {
    let session = asker
        .caller
        .principal()
        .and_then(|principal| principal.session());
    if let Some(session) = session {
        app.store.end_session(asker.origin, session).await?;
    }
    let mut response = see("/login");
    let cleared = browser::clear(&app, way)?;
    response.headers_mut().insert(SET_COOKIE, cleared);
    Ok(response)
}

/// Who asks, if no page of another site does.
pub(crate) struct OurPage(Asker);

impl axum::extract::FromRequestParts<Arc<App>> for OurPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let public_url = &app.settings.server.public_url;
        match cookie::is_foreign(&parts.headers, &parts.uri, public_url) {
            true => Err(Problem::cross_site()),
            false => Ok(Self(Asker::of(parts))),
        }
    }
}

fn offers(app: &App) -> Login<'static> {
    Login {
        mail: app.mail.is_on(),
        oidc: app.settings.oidc.is_some(),
        ..Login::default()
    }
}

fn signed_in(app: &App, way: Way, session: &Session, user: &User) -> Answer<Response> {
    let mut response = see("/");
    let cookie = browser::set(app, way, session, user)?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// Elsewhere, by GET.
fn see(path: &'static str) -> Response {
    let headers = [
        (LOCATION, HeaderValue::from_static(path)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn html(status: StatusCode, page: &Markup) -> Response {
    let headers = [(CACHE_CONTROL, "no-store")];
    (status, headers, axum::response::Html(page.0.clone())).into_response()
}

/// What a person reads: `wrong` where something that they entered was.
fn said(problem: &Problem, wrong: &str) -> String {
    match problem.status() {
        StatusCode::UNAUTHORIZED => wrong.to_owned(),
        _ => problem.detail().to_owned(),
    }
}

/// The page again with the problem's status and headers.
fn again(problem: Problem, page: &Markup) -> Response {
    let mut response = html(problem.status(), page);
    problem.put_headers(response.headers_mut());
    response
}
