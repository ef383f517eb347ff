//! What systemd is told: ready, reloading, stopping, a status line, and that the runtime still turns.
//!
//! Always true: without `NOTIFY_SOCKET` every call does nothing; a failure to tell never harms serving.
//!
//! Does not: decide when something happened.

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// Everything listens, or a reload is over.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload began; the time stamp is what `Type=notify-reload` matches it by.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => tracing::debug!("sd_notify: no monotonic clock: {e}"),
    }
}

/// A stop began.
pub(crate) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Pings at half of `WATCHDOG_USEC` from the runtime that serves requests: if its threads hang, so do the pings.
pub(crate) fn spawn_watchdog() -> Option<JoinHandle<()>> {
    let period = sd_notify::watchdog_enabled()
        .map(|limit| limit / 2)
        .filter(|period| !period.is_zero())?;
    Some(tokio::spawn(async move {
        let mut tick = tokio::time::interval(period);
        loop {
            tick.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("sd_notify: {e}");
    }
}
