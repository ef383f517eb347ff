//! Signing in at an OpenID provider.
//!
//! Always true: the cookie of a flow goes with its first use, whatever comes of it; what the provider says of a failure is in
//! the log, and of it nobody is shown more than that it failed.
//!
//! Does not: ask the provider (`oidc` does).

use std::sync::Arc;

use agnes_store::clock;
use agnes_store::identities::{Identity, Outside};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::app::App;
use crate::auth::cookie;
use crate::error::{Answer, Problem};
use crate::oidc::flow::Flow;
use crate::oidc::{Failed, Provider};
use crate::page::{self, Login};
use crate::request::{Asker, Params, Way};
use crate::sign_in::browser;

/// What a provider sends somebody back with.
#[derive(Deserialize)]
pub(crate) struct Back {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

/// Sends a browser to the provider.
#[utoipa::path(get, path = "/auth/oidc/login", responses(
    (status = 303, description = "to the provider"),
    (status = 404, body = Problem, description = "no provider is set"),
    (status = 502, description = "a page: the provider cannot be asked", content_type = "text/html"),
))]
pub(crate) async fn begin(State(app): State<Arc<App>>, way: Way) -> Answer<Response> {
    let provider = provider(&app)?;
    let now = clock::now().unix_timestamp();
    let begun = Flow::begin(&app.keys, now).map_err(|why| Problem::internal(&why.to_string()))?;
    let (flow, cookie) = begun;
    match provider.address(&flow).await {
        Ok(address) => {
            let address = HeaderValue::try_from(address.as_str());
            let address = address.map_err(|why| Problem::internal(&why.to_string()))?;
            let kept = browser::set_flow(&app, way, &cookie)?;
            let headers = [
                (LOCATION, address),
                (SET_COOKIE, kept),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            Ok((StatusCode::SEE_OTHER, headers).into_response())
        }
        Err(why) => Ok(failed(&app, &why)),
    }
}

/// Signs a browser in that the provider sent back.
#[utoipa::path(get, path = "/auth/oidc/callback",
    params(("state" = Option<String>, Query), ("code" = Option<String>, Query), ("error" = Option<String>, Query)),
    responses(
        (status = 303, description = "signed in: to the overview, with a cookie"),
        (status = 401, description = "a page: not signed in", content_type = "text/html"),
        (status = 404, body = Problem, description = "no provider is set"),
        (status = 502, description = "a page: the provider cannot be asked", content_type = "text/html"),
    ))]
pub(crate) async fn back(
    State(app): State<Arc<App>>,
    way: Way,
    method: Method,
    headers: HeaderMap,
    asker: Asker,
    Params(back): Params<Back>,
) -> Answer<Response> {
    let provider = provider(&app)?;
    // whoever only looks signs nobody in
    if method == Method::HEAD {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let kind = cookie::Kind::of(way, &app.settings.server.public_url);
    let cookie = cookie::flow_among(&headers, kind).unwrap_or_default();
    let mut response = match signed_in(&app, way, provider, cookie, &asker, &back).await {
        Ok(response) => response,
        Err(Ended::Failed(why)) => {
            if let Failed::Refused(why) = &why {
                app.store.refused(&asker.origin, "oidc", why);
            }
            failed(&app, &why)
        }
        Err(Ended::Problem(problem)) => problem.into_response(),
    };
    let gone = browser::clear_flow(&app, way)?;
    response.headers_mut().append(SET_COOKIE, gone);
    Ok(response)
}

/// Why a flow ended without a session.
enum Ended {
    Failed(Failed),
    Problem(Problem),
}

impl From<Failed> for Ended {
    fn from(why: Failed) -> Self {
        Self::Failed(why)
    }
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn signed_in(
    app: &App,
    way: Way,
    provider: &Provider,
    cookie: &str,
    asker: &Asker,
    back: &Back,
) -> Result<Response, Ended> {
    let refused = |why: &str| Failed::Refused(why.to_owned());
    let now = clock::now().unix_timestamp();
    let flow = Flow::back(&app.keys, cookie, &back.state, now)
        .ok_or_else(|| refused("it was not this browser that was sent, or too long ago"))?;
    if back.error.is_some() {
        return Err(refused("the provider says that it signed nobody in").into());
    }
    let code = back.code.as_deref();
    let code = code.ok_or_else(|| refused("the provider sent no code"))?;
    let somebody = provider.somebody(code, &flow).await?;
    let who = format!(
        "{} ({} of {})",
        somebody.email, somebody.subject, somebody.issuer
    );
    let outside = Outside {
        identity: Identity {
            issuer: somebody.issuer,
            subject: somebody.subject,
        },
        email: somebody.email,
        name: somebody.name,
        groups: somebody.groups,
    };
    let (none, end) = (browser::NO_REFRESH.to_owned(), browser::end());
    let begun = app
        .store
        .sign_in_from_outside(asker.origin.clone(), outside, none, end)
        .await;
    let (session, user) = match begun {
        Ok(Ok(begun)) => begun,
        Ok(Err(why)) => return Err(refused(&format!("{who}: the user {}", why.words())).into()),
        Err(agnes_store::Error::Invalid(why)) => {
            return Err(refused(&format!("{who}: {why}")).into());
        }
        Err(other) => return Err(Ended::Problem(other.into())),
    };
    let kept = browser::set(app, way, &session, &user)?;
    let headers = [
        (LOCATION, HeaderValue::from_static("/")),
        (SET_COOKIE, kept),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

fn provider(app: &App) -> Answer<&Provider> {
    let provider = app.oidc.as_ref();
    provider.ok_or_else(|| Problem::not_found("no OpenID provider is set"))
}

fn failed(app: &App, why: &Failed) -> Response {
    let (status, words, log) = match why {
        Failed::Refused(why) => (
            StatusCode::UNAUTHORIZED,
            "You were not signed in. Try again, or ask whoever runs this server.",
            why,
        ),
        Failed::Provider(why) => (
            StatusCode::BAD_GATEWAY,
            "Where people sign in cannot be asked now. Try again in a while.",
            why,
        ),
    };
    match why {
        // what a stranger can cause is no news
        Failed::Refused(_) => tracing::info!("oidc: not signed in: {log}"),
        Failed::Provider(_) => tracing::error!("oidc: {log}"),
    }
    let login = Login {
        failed: Some(words),
        mail: app.mail.is_on(),
        oidc: true,
        ..Login::default()
    };
    let headers = [(CACHE_CONTROL, "no-store")];
    let page = axum::response::Html(page::login(&login).0);
    (status, headers, page).into_response()
}
