//! Taking the secrets up again: one way, for SIGHUP and for the control socket.
//!
//! Always true: one reload at a time, so that what was read last is what is in use; each is a row of the audit log and a line
//! of the log, the same whoever asked; one that finds nothing new changes nothing and says so; one that is refused leaves the
//! keys in use.
//!
//! Does not: read the certificate again (`serve` does, at a signal).

use std::sync::Arc;

use agnes_store::audit::{Event, Origin, Outcome};

use crate::app::App;

/// Secrets that are in use.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// `jwt`, `session`, `scheduler`, `bootstrap`, `smtp`, `oidc`: those that are others now.
    pub(crate) changed: Vec<&'static str>,
}

impl Reloaded {
    /// As every command says it.
    pub(crate) fn outcome(&self) -> &'static str {
        if self.changed.is_empty() {
            "unchanged"
        } else {
            "changed"
        }
    }
}

/// Why nothing, or nothing that can be accounted for, was taken up.
#[derive(Debug)]
pub(crate) enum Failed {
    /// They are not sound, every problem in one line.
    Refused(String),
    /// Reading them broke off.
    Broken(String),
    /// They are in use, or were refused, and the audit log does not have it.
    Unrecorded(agnes_store::Error),
}

/// Reads the secrets again and takes them up; `asked_by` is what the log calls who asked.
///
/// # Errors
/// [`Failed`].
pub(crate) async fn secrets(
    app: &Arc<App>,
    origin: Origin,
    asked_by: &str,
) -> Result<Reloaded, Failed> {
    let _one = app.reloading.lock().await;
    let reader = Arc::clone(app);
    let reloaded = match tokio::task::spawn_blocking(move || reader.reload_keys()).await {
        Ok(Ok(changed)) => Ok(Reloaded { changed }),
        Ok(Err(why)) => Err(Failed::Refused(why)),
        Err(crash) => Err(Failed::Broken(crash.to_string())),
    };
    let event = Event::done("keys.reloaded", "keys").with("ids", app.keys.ids());
    let event = match &reloaded {
        Ok(reloaded) => {
            let (ids, outcome) = (app.keys.ids().join(","), reloaded.outcome());
            tracing::info!(keys = ids, "{asked_by}: secrets taken up, {outcome}");
            event.with("changed", reloaded.changed.clone())
        }
        Err(Failed::Refused(why) | Failed::Broken(why)) => {
            tracing::error!("{asked_by}: secrets refused, those in use stay: {why}");
            event.ended(Outcome::Failure).with("why", why.clone())
        }
        Err(Failed::Unrecorded(_)) => event,
    };
    app.store.record(origin, event).await.map_err(|why| {
        tracing::error!("{asked_by}: the reload of the secrets is not in the audit log: {why}");
        Failed::Unrecorded(why)
    })?;
    reloaded
}
