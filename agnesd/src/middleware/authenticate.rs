//! Judges the credential of every request, once, before anything else asks who calls.
//!
//! Always true: what a browser's cookie alone would change is refused unless a page of ours asked for it; a refused credential is counted for the audit log, whatever the route then says; a use of a personal token
//! is noted, and one that ends within a week is told so in a header.
//!
//! Does not: refuse (`limit` and the gate of the route do).

use agnes_store::clock;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use time::Duration;
use time::format_description::well_known::Rfc3339;

use super::limit;
use crate::app::App;
use crate::auth::{Caller, Credential, Inside, cookie};
use crate::client_address::{ClientAddress, Way};
use crate::error::Problem;
use crate::request::Asker;

/// When the personal token ends, once that is near.
const EXPIRES: HeaderName = HeaderName::from_static("x-token-expires-at");
/// From here on a token's end is near.
const NEAR: Duration = Duration::days(7);

/// Whether a caller's calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Against the caller's limit.
    Yes,
    /// They are root's: whoever else has the credential must not be able to use its calls up.
    No,
}

pub(crate) async fn authenticate(
    app: &App,
    mut request: Request,
    next: Next,
    counted: Counted,
) -> Response {
    let caller = match request.extensions_mut().remove::<Inside>() {
        Some(Inside(principal)) => Caller::Known(principal),
        None => {
            let way = request.extensions().get::<Way>().copied();
            let public_url = &app.settings.server.public_url;
            let kind = cookie::Kind::of(way.unwrap_or(Way::Http), public_url);
            Caller::of(request.headers(), &app.store, &app.keys, kind)
        }
    };
    if by_cookie(&caller, &request)
        && !cookie::is_safe(request.method())
        && !cookie::is_of_our_own_page(
            request.headers(),
            request.uri(),
            &app.settings.server.public_url,
        )
    {
        return Problem::cross_site().into_response();
    }
    let (mut parts, body) = request.into_parts();
    let mut ends = None;
    match &caller {
        Caller::Refused(refused) => {
            let origin = Asker::of(&parts).origin;
            app.store.refused(&origin, refused.0, "api");
        }
        Caller::Known(principal) => match &principal.credential {
            Credential::Personal(token) => {
                let ip = Asker::of(&parts).origin.ip;
                app.store.note_use(token.id, &ip);
                ends = Some(token.expires_at).filter(|end| *end - clock::now() < NEAR);
            }
            Credential::Scheduler(Some(id)) => {
                let from = Asker::of(&parts).origin;
                let now = clock::now();
                app.keys.note_scheduler(id, &from.ip, &from.user_agent, now);
            }
            Credential::Scheduler(None) | Credential::Session(..) => {}
        },
        Caller::Anonymous => {}
    }
    let address = parts.extensions.get::<ClientAddress>().copied();
    if counted == Counted::Yes
        && let Some(refused) = limit::refuse(app, parts.uri.path(), &caller, address)
    {
        return refused;
    }
    parts.extensions.insert(caller);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(end) = ends.and_then(|end| end.format(&Rfc3339).ok())
        && let Ok(end) = HeaderValue::try_from(end)
    {
        response.headers_mut().insert(EXPIRES, end);
        response.headers_mut().insert(
            axum::http::header::WARNING,
            HeaderValue::from_static("299 - \"this token expires within 7 days\""),
        );
    }
    response
}

/// Whether a session was recognised by its cookie alone: nothing that another page can make a browser send is enough otherwise.
fn by_cookie(caller: &Caller, request: &Request) -> bool {
    let credential = caller.principal().map(|principal| &principal.credential);
    matches!(credential, Some(Credential::Session(..)))
        && !request.headers().contains_key(AUTHORIZATION)
}
