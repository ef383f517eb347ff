//! What a job does: the built-in acts, a call of this server, a call of another.
//!
//! Always true: a URL is judged at every run and reached at the judged addresses only; no redirect is followed; a credential
//! goes out only where one was configured; of an answer only the status is used. An error names neither path nor query.
//!
//! Does not: bound the time (the run does), write how it went.

use std::time::Duration;

use agnes_config::{Job, JobTarget, Method};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header::USER_AGENT};
use tower::ServiceExt;

use crate::app::App;
use crate::auth::{Inside, Principal};
use crate::jobs::Act;

/// Bytes of an answer that are read, so that its sender is not cut off.
const MOST_READ: usize = 64 * 1024;
/// By which a call is left to itself longer than its run.
const MARGIN: Duration = Duration::from_secs(10);
/// As servers see who calls.
const AGENT: &str = concat!("agnesd-jobs/", env!("CARGO_PKG_VERSION"));

/// How the work of a run was done.
pub(super) enum Done {
    Whole,
    /// Done, but for this.
    But(String),
}

/// Does it once.
///
/// # Errors
/// Why it failed, in words that may be shown.
pub(super) async fn perform(app: &App, router: &Router, act: &Act) -> Result<Done, String> {
    let done = match act {
        Act::Expire => return expire(app).await,
        Act::Checkpoint => app.store.checkpoint().await.map_err(|e| e.to_string()),
        Act::AuditHead => {
            app.store.log_audit_head();
            app.store
                .write_audit_witness()
                .await
                .map_err(|e| e.to_string())
        }
        Act::SelfCheck => self_check(app).await,
        Act::Call(job) => match &job.target {
            JobTarget::Path(path) => inside(app, router, path, job.method).await,
            JobTarget::Url(url) => outside(app, url, job).await,
        },
    };
    done.map(|()| Done::Whole)
}

async fn expire(app: &App) -> Result<Done, String> {
    let removed = app.store.expire().await.map_err(|e| e.to_string())?;
    tracing::debug!(removed, "expired sessions and links are gone");
    let keep_days = app.settings.audit.keep_days;
    let expired = app.store.expire_audit(keep_days).await;
    let expired = expired.map_err(|e| format!("audit: {e}"))?;
    Ok(match expired.witness_behind {
        None => Done::Whole,
        Some(why) => Done::But(format!(
            "{} audit rows up to {} expired and are anchored; audit.head does not say so yet and is tried again: {why}",
            expired.rows, expired.through_seq
        )),
    })
}

async fn self_check(app: &App) -> Result<(), String> {
    let seen = app.look().await;
    let figures = seen.ok_or("the disk does not answer")?.figures;
    app.metrics.wal_bytes(figures.wal_bytes);
    if !app.can_write().await {
        return Err("a write was tried and failed".to_owned());
    }
    if figures.file_bytes == 0 {
        return Err("the database file is empty or gone".to_owned());
    }
    Ok(())
}

/// A path on this server, through the whole router, without a socket.
async fn inside(app: &App, router: &Router, path: &str, method: Method) -> Result<(), String> {
    let principal =
        Principal::scheduler(&app.store, None).ok_or("the scheduler's user is disabled")?;
    let request = Request::builder()
        .method(method.as_str())
        .uri(path)
        .header(USER_AGENT, AGENT)
        .extension(Inside(principal))
        .body(Body::empty())
        .map_err(|_| "the path cannot be called")?;
    let Ok(response) = router.clone().oneshot(request).await;
    let status = response.status();
    // longer ones are cut: what is in it does not matter
    let _ = axum::body::to_bytes(response.into_body(), MOST_READ).await;
    judge(status)
}

async fn outside(app: &App, url: &url::Url, job: &Job) -> Result<(), String> {
    let vetted = app.guard.vet(url).await.map_err(|e| e.to_string())?;
    // the run ends first, and calls it a timeout
    let client = vetted.client(job.timeout + MARGIN).map_err(plain)?;
    let mut request = match job.method {
        Method::Get => client.get(url.clone()),
        Method::Post => client.post(url.clone()),
    };
    if let Some(token) = &job.token {
        request = request.bearer_auth(token.expose());
    }
    let request = request.header(USER_AGENT, AGENT);
    let mut response = request.send().await.map_err(plain)?;
    let mut read = 0;
    while read < MOST_READ {
        match response.chunk().await.map_err(plain)? {
            Some(chunk) => read += chunk.len(),
            None => break,
        }
    }
    judge(response.status())
}

fn judge(status: StatusCode) -> Result<(), String> {
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("answered with HTTP {}", status.as_u16()))
    }
}

/// Its URL is taken out: the query may hold a credential.
fn plain(error: reqwest::Error) -> String {
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else if error.is_builder() {
        "this host has no root certificates to know a server by".to_owned()
    } else {
        format!("no whole answer: {}", error.without_url())
    }
}
