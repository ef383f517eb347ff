//! By password.
//!
//! Always true: unknown address, wrong password and disabled user get one answer after the same work; an account takes ten
//! wrong ones in fifteen minutes, whoever tries them.
//!
//! Does not: begin a session.

use std::sync::Arc;
use std::time::Instant;

use agnes_store::users::{Kind, User};

use crate::app::App;
use crate::error::{Answer, Problem};
use crate::request::Asker;

/// The person whose address and password these are.
///
/// # Errors
/// 401 for anything else; 429 after too many wrong ones; 503 when too many wait.
pub(crate) async fn check(
    app: &App,
    asker: &Asker,
    email: &str,
    password: String,
) -> Answer<Arc<User>> {
    // what cannot be an address is as unknown as any other, and no account: nobody's attempts are counted under it
    let email = agnes_store::users::normal_email(email).ok();
    let now = Instant::now();
    unthrottled(app, email.as_deref())?;
    let directory = app.store.directory();
    let user = email
        .as_deref()
        .and_then(|email| directory.user_by_email(email));
    let user = user.filter(|user| user.kind == Kind::Person && user.can_use_password());
    let hash = user.and_then(|user| user.password_hash.clone());
    let place = app.passwords.place().await?;
    // again: while this one waited, others may have used the account's attempts up
    unthrottled(app, email.as_deref())?;
    let right = place.verify(password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        let resource = match &email {
            Some(email) => {
                app.throttle.count(email, now);
                format!("user:{email}")
            }
            None => "user:(no address)".to_owned(),
        };
        app.store.refused(&asker.origin, "password", &resource);
        return Err(Problem::wrong_credentials());
    };
    app.throttle.forget(&user.email);
    Ok(Arc::clone(user))
}

/// Whether a password may be tried for this account.
fn unthrottled(app: &App, email: Option<&str>) -> Result<(), Problem> {
    let Some(email) = email else { return Ok(()) };
    app.throttle.check(email, Instant::now()).map_err(|wait| {
        Problem::too_many(
            "too many wrong passwords for this account",
            wait.as_secs() + 1,
        )
        .because("account-throttled")
    })
}
