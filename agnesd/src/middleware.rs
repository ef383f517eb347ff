//! What happens to every request before its route and to every answer after it.
//!
//! Always true: each answer, also one given here, has a request id, the security headers and a place in the metrics; each
//! error is a problem document; no byte of a header can make any of it fail.
//!
//! Does not: know which routes there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::client_address::{Connection, TrustedProxies, Way};
use crate::error::{self, Problem};
use crate::metrics::Metrics;
use crate::request::RequestId;

mod authenticate;
mod body;
mod cors;
mod limit;
mod metrics;
mod security_headers;

use body::{Bounds, Time};
use cors::Origins;

pub(crate) use authenticate::{Counted, authenticate};
pub(crate) use limit::is_never_limited;

/// Longest address, in bytes: path and query, and the host where a client puts it into the request line.
const MAX_URL: usize = 8 * 1024;

/// Largest sum of header names and values, in bytes. Above 64 KiB hyper itself refuses, with 431 and no body.
const MAX_HEADERS: usize = 32 * 1024;

/// Headers of a usual answer.
const HEADERS: usize = 12;

/// How long a body may take, unless a route says otherwise.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The address whose bodies are files.
const UPLOADS: &str = "/api/uploads";
/// What may stand around a file in a form, in bytes.
const ENVELOPE: u64 = 64 * 1024;

/// What the server's edge is set to.
#[derive(Debug)]
pub(crate) struct Edge {
    /// Whose word about the client is taken.
    proxies: TrustedProxies,
    /// Pages of which origins may read answers.
    origins: Origins,
    /// Largest body, in bytes.
    max_body_bytes: u64,
    /// How long a body may take from its first read; a file: how long nothing of it may come.
    body_deadline: Duration,
    /// Largest file, in bytes.
    max_upload_bytes: u64,
    /// Where requests are counted.
    metrics: Arc<Metrics>,
}

impl Edge {
    /// As the settings have it.
    pub(crate) fn of(app: &App) -> Self {
        let server = &app.settings.server;
        Self {
            proxies: TrustedProxies::new(server.trusted_proxies.clone()),
            origins: Origins::new(server.allowed_origins.clone()),
            max_body_bytes: server.max_body,
            body_deadline: BODY_DEADLINE,
            max_upload_bytes: server.max_upload,
            metrics: Arc::clone(&app.metrics),
        }
    }

    /// What the body of `request` may take.
    fn bounds(&self, request: &Request) -> Bounds {
        if request.uri().path() == UPLOADS {
            Bounds {
                bytes: self.max_upload_bytes.saturating_add(ENVELOPE),
                time: Time::Idle(self.body_deadline),
            }
        } else {
            Bounds {
                bytes: self.max_body_bytes,
                time: Time::Whole(self.body_deadline),
            }
        }
    }
}

/// `router` behind its edge and, within, what asks who calls and how often.
///
/// One layer for all: each layer of a router costs every call a boxed future and a copy of everything behind it. axum's own
/// limit of 2 MB would refuse what the settings allow.
pub(crate) fn wrap(router: Router, app: &Arc<App>) -> Router {
    let state = (Arc::new(Edge::of(app)), Arc::clone(app));
    let layer = from_fn_with_state(state, known);
    router.layer((DefaultBodyLimit::disable(), layer))
}

async fn known(
    State((edge, app)): State<(Arc<Edge>, Arc<App>)>,
    request: Request,
    next: Next,
) -> Response {
    let within = |request| authenticate(&app, request, next, Counted::Yes);
    pass(&edge, request, within).await
}

/// Over the edge to what is `within`.
async fn pass<F>(edge: &Edge, mut request: Request, within: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let began = Instant::now();
    let method = metrics::method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let connection = request.extensions().get::<Connection>().copied();
    let asked = cors::Asked::of(&request);
    let id = identify(edge, connection, &mut request);

    let mut response = if asked.is_preflight(&edge.origins) {
        cors::preflight()
    } else {
        respond(edge, request, within).await
    };

    response = error::finish(response, id.as_str());
    let headers = response.headers_mut();
    // all that is set here and on the wire, at once
    headers.reserve(HEADERS);
    security_headers::set(headers, connection);
    asked.answer(&edge.origins, headers);
    id.set(headers);
    let route = route.as_ref().map_or(metrics::UNMATCHED, |r| r.as_str());
    edge.metrics
        .http_request(method, route, response.status().as_str(), began.elapsed());
    // a probe that says "not ready" is an answer, and no call that failed
    if !is_never_limited(route) {
        edge.metrics.caller_got(response.status().is_server_error());
    }
    response
}

/// Names the request, and notes where it comes from.
fn identify(edge: &Edge, connection: Option<Connection>, request: &mut Request) -> RequestId {
    let trusted = connection.is_some_and(|c| edge.proxies.trusts(c.peer.ip()));
    let id = RequestId::of(request.headers(), trusted);
    let client = connection.map(|c| edge.proxies.client(c.peer.ip(), request.headers()));
    let way = connection.map(|c| edge.proxies.way(c, request.headers()));
    let extensions = request.extensions_mut();
    extensions.insert(id.clone());
    if let Some(client) = client {
        extensions.insert(client);
    }
    extensions.insert(way.unwrap_or(Way::Http));
    id
}

/// The route's answer, within the limits.
async fn respond<F>(edge: &Edge, request: Request, within: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    if url_bytes(request.uri()) > MAX_URL {
        return Problem::url_too_long().into_response();
    }
    if header_bytes(request.headers()) > MAX_HEADERS {
        return Problem::header_too_large().into_response();
    }
    let bounds = edge.bounds(&request);
    match body::bounded(request, bounds) {
        Ok((request, watch)) => watch.judge(within(request).await),
        Err(problem) => problem.into_response(),
    }
}

fn url_bytes(uri: &Uri) -> usize {
    let host = uri.authority().map_or(0, |text| text.as_str().len());
    host + uri.path_and_query().map_or(0, |text| text.as_str().len())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests;
