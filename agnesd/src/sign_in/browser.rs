//! What a sign-in gives a browser: a session of its own behind a cookie.
//!
//! Always true: the session ends after twelve hours, and so does the cookie; nothing renews either. A cookie is `HttpOnly`,
//! `SameSite=Lax` and, unless everything is on plain HTTP, `Secure` and bound to this host alone (`__Host-`).
//!
//! Does not: judge cookies (`auth` does).

use agnes_store::clock;
use agnes_store::sessions::Session;
use agnes_store::users::User;
use axum::http::HeaderValue;
use time::{Duration, OffsetDateTime};

use crate::app::App;
use crate::auth::cookie;
use crate::error::{Answer, Problem};
use crate::oidc::flow::LIFE_SECS;
use crate::request::Way;

/// How long a browser's session lives.
const LIFE: Duration = Duration::hours(12);

/// When a session that begins now ends.
pub(crate) fn end() -> OffsetDateTime {
    clock::now() + LIFE
}

/// What a browser's session keeps in place of a refresh token: nothing is one.
pub(crate) const NO_REFRESH: &str = "";

/// `Set-Cookie` for a session that began.
///
/// # Errors
/// 500, which would be a defect.
pub(crate) fn set(app: &App, way: Way, session: &Session, user: &User) -> Answer<HeaderValue> {
    let value = app.keys.sign_cookie(cookie::Claims {
        sid: session.id,
        epoch: user.epoch,
    });
    app.metrics.token_issued("cookie");
    header(app, way, [cookie::NAME, cookie::HOST_NAME], &value, LIFE)
}

/// `Set-Cookie` that takes it back.
///
/// # Errors
/// 500, which would be a defect.
pub(crate) fn clear(app: &App, way: Way) -> Answer<HeaderValue> {
    header(
        app,
        way,
        [cookie::NAME, cookie::HOST_NAME],
        "",
        Duration::ZERO,
    )
}

/// `Set-Cookie` for a sign-in at an OpenID provider that begins.
///
/// # Errors
/// 500, which would be a defect.
pub(crate) fn set_flow(app: &App, way: Way, value: &str) -> Answer<HeaderValue> {
    let life = Duration::seconds(LIFE_SECS);
    header(app, way, [cookie::FLOW, cookie::HOST_FLOW], value, life)
}

/// `Set-Cookie` that takes it back.
///
/// # Errors
/// 500, which would be a defect.
pub(crate) fn clear_flow(app: &App, way: Way) -> Answer<HeaderValue> {
    let names = [cookie::FLOW, cookie::HOST_FLOW];
    header(app, way, names, "", Duration::ZERO)
}

/// `names` is the one for plain HTTP, and the one for everywhere else.
fn header(
    app: &App,
    way: Way,
    names: [&str; 2],
    value: &str,
    life: Duration,
) -> Answer<HeaderValue> {
    let [plain, host] = names;
    let (name, secure) = match cookie::Kind::of(way, &app.settings.server.public_url) {
        cookie::Kind::Host => (host, "; Secure"),
        cookie::Kind::Plain => (plain, ""),
    };
    let text = format!(
        "{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        life.whole_seconds()
    );
    HeaderValue::try_from(text).map_err(|e| Problem::internal(&e.to_string()))
}
