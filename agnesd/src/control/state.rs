//! What the server is and does, for the operator's programs.
//!
//! Always true: no secret is in it: keys by id, credentials not at all.
//!
//! Does not: judge.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::app::{App, COMMIT, VERSION};
use crate::oidc::Provider;

/// `GET /v1/state`.
pub(super) async fn state(State(app): State<Arc<App>>) -> Json<Value> {
    let reasons = app.not_ready_reasons().await;
    let (seq, hash) = app.store.audit_head();
    let hold = app.store.held();
    let leaf = app.tls.as_ref().map(|tls| tls.leaf());
    let word = |works: Option<bool>| match works {
        None => "off",
        Some(true) => "ok",
        Some(false) => "failed",
    };
    let (mail, oidc) = (app.mail.works(), app.oidc.as_ref().map(Provider::works));
    let limited = app.limits.limited(Instant::now());
    let limited: Vec<Value> = limited
        .iter()
        .map(|one| {
            json!({
                "kind": one.key.kind(),
                "key": one.key.text(),
                "limit": one.limit,
                "refused": one.refused,
                "retry_after_secs": one.retry_after_secs,
            })
        })
        .collect();
    Json(json!({
        "version": VERSION,
        "commit": COMMIT,
        "digest": app.settings.server.image_digest,
        "schema": app.store.schema(),
        "pid": std::process::id(),
        "started_at": app.started_at.format(&Rfc3339).ok(),
        "listeners": app.listeners.get(),
        "uptime_secs": app.started.elapsed().as_secs(),
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "writes": if hold.is_some() { "held" } else { "open" },
        "hold": hold,
        "draining": app.jobs.is_paused(),
        "jobs_running": super::acts::running(&app),
        "store": app.look().await.map(|seen| seen.figures),
        "audit_head": {"seq": seq, "hash": hash},
        "keys": {
            "jwt": app.keys.ids(),
            "scheduler": app.keys.has_scheduler(),
            "generations": app.keys.generations(),
        },
        "requests": app.metrics.answered(),
        "limited": limited,
        "sign_in": {"mail": word(mail), "oidc": word(oidc)},
        "tls": leaf.map(|leaf| json!({"sha256": leaf.sha256, "not_after": leaf.not_after})),
    }))
}
