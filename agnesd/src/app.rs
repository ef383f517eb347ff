//! What every request may look at: one value, built once in `serve`.
//!
//! Always true: readiness is computed from facts held here, so that no route has an opinion of its own about it.
//!
//! Does not: know HTTP, sockets or signals.

use std::sync::atomic::{AtomicBool, Ordering};

/// The version this binary was built as.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from: the build sets `AGNES_COMMIT`. Not asked of git, so that a new commit rebuilds nothing.
pub(crate) const COMMIT: Option<&str> = option_env!("AGNES_COMMIT");

/// State shared by all requests.
#[derive(Debug, Default)]
pub(crate) struct App {
    draining: AtomicBool,
}

impl App {
    /// From here on the server is not ready: a stop was asked for.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Why new work should go elsewhere; empty while the server is ready.
    ///
    /// A missing certificate is no reason here: with TLS configured the server does not start without a sound pair, and
    /// once it has one it never lets go of it.
    pub(crate) fn not_ready_reasons(&self) -> Vec<&'static str> {
        if self.draining.load(Ordering::Acquire) {
            vec!["draining"]
        } else {
            Vec::new()
        }
    }
}
