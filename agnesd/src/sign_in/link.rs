//! By a one-time link, or with the password that one set.
//!
//! Always true: of any number of uses at once one wins (A05); a made-up link costs no hash.
//!
//! Does not: make links (`mail` and the control socket do).

use std::sync::Arc;

use agnes_store::clock;
use agnes_store::links::Purpose;
use agnes_store::sessions::Session;
use agnes_store::users::User;
use time::OffsetDateTime;

use crate::app::App;
use crate::auth::{passwords, secrets};
use crate::error::{Answer, Problem};
use crate::request::Asker;

/// Uses a sign-in link up: the session that it begins ends at `end`.
///
/// # Errors
/// 401 when it is unknown, used or over; what a write can answer.
pub(crate) async fn use_up(
    app: &App,
    asker: &Asker,
    token: &str,
    refresh_hash: String,
    end: OffsetDateTime,
) -> Answer<(Arc<Session>, Arc<User>)> {
    let (origin, hash) = (asker.origin.clone(), secrets::sha256(token));
    let used = app
        .store
        .use_sign_in_link(origin, hash, refresh_hash, end)
        .await;
    used.map_err(|why| refused(app, asker, why))
}

/// Uses a link up that sets a password, and ends every session of its owner.
///
/// # Errors
/// 422 for a password that is none, which leaves the link; 401 when the link is unknown, used or over.
pub(crate) async fn set_password(
    app: &App,
    asker: &Asker,
    token: &str,
    password: String,
) -> Answer<()> {
    passwords::check(&password)?;
    let hash = secrets::sha256(token);
    // asked first, and again after the wait: of a hundred uses at once few cost a hash
    is_there(app, asker, &hash)?;
    let place = app.passwords.place().await?;
    is_there(app, asker, &hash)?;
    let password_hash = place.hash(password).await?;
    drop(place);
    let origin = asker.origin.clone();
    let reset = app.store.use_reset_link(origin, hash, password_hash).await;
    let user = reset.map_err(|why| refused(app, asker, why))?;
    // whoever was kept out by somebody's guesses knows the password now
    app.throttle.forget(&user.email);
    Ok(())
}

fn is_there(app: &App, asker: &Asker, hash: &str) -> Answer<()> {
    let directory = app.store.directory();
    match directory.user_of_link(Purpose::Reset, hash, clock::now()) {
        Some(_) => Ok(()),
        None => Err(refused(app, asker, agnes_store::Error::Credential)),
    }
}

fn refused(app: &App, asker: &Asker, why: agnes_store::Error) -> Problem {
    match why {
        agnes_store::Error::Credential => {
            app.store.refused(&asker.origin, "link", "auth.link");
            Problem::wrong_credentials()
        }
        other => other.into(),
    }
}
