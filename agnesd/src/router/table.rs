//! Routes with their access, and the gate in front of each.
//!
//! Always true: there is one way to add a route, and it asks for the access; the gate runs before the handler. It is a handler
//! itself and no layer, which would cost each call a boxed future and copies of all that is behind it.
//!
//! Does not: know which routes there are.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::app::App;
use crate::auth::Caller;
use crate::auth::access::{Access, Denied};
use crate::error::Problem;
use crate::request::Asker;

/// Where a browser is sent that is not signed in.
pub(super) const SIGN_IN_PAGE: &str = "/login";

/// One route.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// How it is called.
    pub(crate) method: Method,
    /// Where, with `{}` for what varies.
    pub(crate) path: &'static str,
    /// By whom.
    pub(crate) access: Access,
}

/// All routes.
#[derive(Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    handlers: Vec<MethodRouter<Arc<App>>>,
}

impl Table {
    /// Adds a GET route (HEAD comes with it).
    pub(crate) fn get<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<App>, Future = Answering>,
        T: 'static,
    {
        self.add(Method::GET, MethodFilter::GET, path, access, handler)
    }

    /// Adds a POST route.
    pub(crate) fn post<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<App>, Future = Answering>,
        T: 'static,
    {
        self.add(Method::POST, MethodFilter::POST, path, access, handler)
    }

    /// Adds a PUT route.
    pub(crate) fn put<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<App>, Future = Answering>,
        T: 'static,
    {
        self.add(Method::PUT, MethodFilter::PUT, path, access, handler)
    }

    /// Adds a PATCH route.
    pub(crate) fn patch<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<App>, Future = Answering>,
        T: 'static,
    {
        self.add(Method::PATCH, MethodFilter::PATCH, path, access, handler)
    }

    /// Adds a DELETE route.
    pub(crate) fn delete<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<App>, Future = Answering>,
        T: 'static,
    {
        self.add(Method::DELETE, MethodFilter::DELETE, path, access, handler)
    }

    fn add<H, T>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        access: Access,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<App>, Future = Answering>,
        T: 'static,
    {
        self.entries.push(Entry {
            method,
            path,
            access,
        });
        self.handlers.push(on(filter, Gated { access, handler }));
        self
    }

    /// The routes in the order in which they were added.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The router, each route behind its gate.
    pub(crate) fn into_router(self) -> Router<Arc<App>> {
        let routes = self.entries.into_iter().zip(self.handlers);
        routes.fold(Router::new(), |router, (entry, handler)| {
            router.route(entry.path, handler)
        })
    }
}

/// What a handler that is an async function returns.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler behind its gate.
#[derive(Clone)]
struct Gated<H> {
    access: Access,
    handler: H,
}

impl<H, T> Handler<T, Arc<App>> for Gated<H>
where
    H: Handler<T, Arc<App>, Future = Answering>,
    T: 'static,
{
    type Future = Answering;

    fn call(self, request: Request, app: Arc<App>) -> Answering {
        match admit(self.access, &request, &app) {
            Ok(()) => self.handler.call(request, app),
            Err(problem) => {
                let to_sign_in = self.access == Access::Browser
                    && problem.status() == axum::http::StatusCode::UNAUTHORIZED;
                note_denied(request, &app);
                let response = match to_sign_in {
                    true => Redirect::to(SIGN_IN_PAGE).into_response(),
                    false => problem.into_response(),
                };
                Box::pin(std::future::ready(response))
            }
        }
    }
}

/// Somebody whose credential is good tried what is not allowed: what an incident is looked through for.
fn note_denied(request: Request, app: &App) {
    let (parts, _) = request.into_parts();
    let asker = Asker::of(&parts);
    if asker.caller.principal().is_some() {
        let what = format!("{} {}", parts.method, parts.uri.path());
        app.store.denied(&asker.origin, &what);
    }
}

/// Lets through who may; everybody else gets a problem that says what is missing.
fn admit(access: Access, request: &Request, app: &App) -> Result<(), Problem> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.unwrap_or(&Caller::Anonymous);
    let holds = |role: &str| {
        let user = caller.principal().map(|principal| principal.user.id);
        user.is_some_and(|user| app.store.directory().has_role(user, role))
    };
    access.check(caller, holds).map_err(|denied| match denied {
        Denied::Unauthenticated => Problem::unauthenticated(matches!(caller, Caller::Refused(_))),
        denied => Problem::from(denied),
    })
}
