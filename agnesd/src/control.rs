//! The control socket: how the operator's own programs ask and steer this server.
//!
//! Always true: a Unix socket, never TCP, mode 0600; who connects is asked of the kernel, and only root and the server's own
//! user are answered. Every act is in the audit log under the actor `control-socket`, with the uid and the pid of who did it.
//! No limit of calls applies, but a connection on which nothing comes ends after a few seconds.
//!
//! Does not: hold logic of its own: the store and [`App`] do what is asked.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agnes_store::audit::{Origin, Process};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::app::App;
use crate::connection::{Activity, Backoff, Limits, Paced, Protocol, speak};
use crate::error::{self, Problem};
use crate::middleware;
use crate::request::RequestId;
use crate::routes::{account, audit, jobs};

mod acts;
mod audit_log;
mod messages;
mod principals;
mod state;

/// The actor of everything that is done here.
const ACTOR: &str = "control-socket";

/// The longest path of a socket, `sun_path` less its end.
const LONGEST: usize = 107;

/// The operator's programs, a person with curl, and a margin. More wait, none for long.
const LIMITS: Limits = Limits {
    connections: 64,
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(10),
    send: Duration::from_secs(10),
};

/// What a body may have, in bytes, and how long it may take.
const MAX_BODY: usize = 64 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Who is at the other end, as the kernel says; `None` where it does not.
#[derive(Debug, Clone, Copy)]
struct Peer(Option<Process>);

impl Peer {
    fn of(stream: &UnixStream) -> Self {
        let peer = stream.peer_cred().ok();
        Self(peer.map(|peer| Process {
            uid: peer.uid(),
            pid: peer.pid(),
        }))
    }
}

/// A caller of the control socket, for the audit log.
struct Operator(Origin);

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let user_agent = parts.headers.get(USER_AGENT);
        let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let request_id = parts.extensions.get::<RequestId>();
        let peer = parts.extensions.get::<Peer>();
        Ok(Self(Origin {
            actor: ACTOR.to_owned(),
            ip: String::new(),
            user_agent: user_agent.unwrap_or_default().into_owned(),
            request_id: request_id
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            process: peer.and_then(|peer| peer.0),
            standing: None,
        }))
    }
}

/// The bound socket; the file goes with it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds `agnesd.sock` in `run_dir`. One that a killed server left is replaced: whoever holds the state directory's lock
    /// is alone.
    ///
    /// # Errors
    /// One line that names the socket.
    pub(crate) fn bind(run_dir: &Path) -> Result<Self, String> {
        let path = run_dir.join("agnesd.sock");
        if path.as_os_str().len() > LONGEST {
            return Err(format!(
                "{}: a socket's path has at most {LONGEST} bytes: shorten DATA_DIR",
                path.display()
            ));
        }
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        // one that was left refuses; one that answers is of a server with another state directory
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(format!(
                "{}: another server answers there; each needs a DATA_DIR of its own",
                path.display()
            ));
        }
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        // the directory is ours alone (0700), so nobody slips in before the mode is set
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Answers until `stop` changes, then removes the socket. Every connection holds a copy of `stop` until it is done, so
    /// that the stop's own deadline counts here too.
    pub(crate) async fn serve(self, app: Arc<App>, mut stop: watch::Receiver<()>) {
        let router = router(app);
        let slots = Arc::new(Semaphore::new(LIMITS.connections));
        let mut backoff = Backoff::default();
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, self.listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                _ = stop.changed() => break,
                next = next => next,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(e) => {
                    let _ = backoff.after(&e, &self.path.display().to_string()).await;
                    continue;
                }
            };
            backoff.reset();
            let (router, stop) = (router.clone(), stop.clone());
            tokio::spawn(async move {
                let _slot = slot;
                let (peer, activity) = (Peer::of(&stream), Activity::new());
                let stream = Paced::new(stream, LIMITS.send, Arc::clone(&activity));
                let served = (router, activity);
                if let Err(why) = speak(stream, peer, Protocol::Http1, LIMITS, served, stop).await {
                    tracing::debug!("control socket: {why}");
                }
            });
        }
        // now, not when the last request ends: what is in flight may be cut off
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Every address of the socket.
fn router(app: Arc<App>) -> Router {
    // the one route where a credential counts: what it opens is what a rotation proves
    let known = from_fn_with_state(Arc::clone(&app), known);
    Router::new()
        .route("/v1/state", get(state::state))
        .route("/v1/audit", get(audit::page))
        .route("/v1/audit/verify", post(audit_log::verify))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/principals/{who}", get(principals::show))
        .route("/v1/principals/{who}/contain", post(principals::contain))
        .route(
            "/v1/principals/{who}/limit",
            put(principals::raise_limit).delete(principals::end_raised_limit),
        )
        .route("/v1/keys/reload", post(acts::reload_keys))
        .route("/v1/keys/probe", post(acts::probe_keys))
        .route("/api/me", get(account::me).layer(known))
        .route("/v1/drain", post(acts::drain))
        .route("/v1/resume", post(acts::resume))
        .route("/v1/checkpoint", post(acts::checkpoint))
        .route("/v1/snapshot", post(acts::snapshot))
        .route("/v1/canary", post(acts::canary))
        .route("/v1/writes/hold", post(acts::hold))
        .route("/v1/writes/release", post(acts::release))
        .route("/v1/sign-in-link", post(acts::sign_in_link))
        .fallback(|| async { Problem::no_such_route() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn(admit))
        .with_state(app)
}

/// Asks who calls.
async fn known(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    middleware::authenticate(&app, request, next, middleware::Counted::No).await
}

/// Lets root and the server's own user in, names the request, waits for its body, and finishes its errors.
async fn admit(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers(), false);
    request.extensions_mut().insert(id.clone());
    let own = nix::unistd::geteuid().as_raw();
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let response = match peer {
        Some(Process { uid, .. }) if uid == 0 || uid == own => match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
        _ => Problem::forbidden("the control socket answers root and the server's own user alone")
            .into_response(),
    };
    let mut response = error::finish(response, id.as_str());
    id.set(response.headers_mut());
    response
}

/// The request with its whole body.
///
/// # Errors
/// 413 and 408.
async fn whole(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let body = timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY))
        .await
        .map_err(|_| Problem::body_too_slow())?
        .map_err(|_| Problem::body_too_large())?;
    Ok(Request::from_parts(parts, Body::from(body)))
}
