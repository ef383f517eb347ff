//! What surrounds every handler.
//!
//! Always true: outermost first.
//!
//! Does not: answer requests that are in order.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::app::App;

mod authenticate;

/// The layers around all routes.
pub(crate) fn around(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(from_fn_with_state(
        Arc::clone(app),
        authenticate::authenticate,
    ))
}
