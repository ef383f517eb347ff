//! The control socket: how the operator's own programs ask and steer this server.
//!
//! Always true: a Unix socket, never TCP, mode 0600; who connects is asked of the kernel, and only root and the server's own
//! user are answered. Every act is in the audit log under the actor `control-socket`. No limit of calls applies.
//!
//! Does not: hold logic of its own: the store and [`App`] do what is asked.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agnes_store::audit::Origin;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::app::App;
use crate::error::{self, Problem};
use crate::request::RequestId;
use crate::routes::{audit, jobs};

mod acts;
mod state;

/// The actor of everything that is done here.
const ACTOR: &str = "control-socket";

/// The longest path of a socket, `sun_path` less its end.
const LONGEST: usize = 107;

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self {
            uid: stream.io().peer_cred().ok().map(|peer| peer.uid()),
        }
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
        Ok(Self(Origin {
            actor: ACTOR.to_owned(),
            ip: String::new(),
            user_agent: user_agent.unwrap_or_default().into_owned(),
            request_id: request_id
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
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
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        // the directory is ours alone (0700), so nobody slips in before the mode is set
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Answers until `stop` changes, removes the socket and finishes what is in flight. Holds a copy of `stop` until then,
    /// as every connection does, so that the stop's own deadline counts here too.
    pub(crate) async fn serve(self, app: Arc<App>, stop: watch::Receiver<()>) {
        let service = router(app).into_make_service_with_connect_info::<Peer>();
        let (path, mut stopping) = (self.path.clone(), stop.clone());
        let stopped = async move {
            let _ = stopping.changed().await;
            // now, not at the end: what is in flight may be cut off
            let _ = std::fs::remove_file(&path);
        };
        let served = axum::serve(self.listener, service).with_graceful_shutdown(stopped);
        if let Err(e) = served.await {
            tracing::error!("{}: {e}", self.path.display());
        }
        drop(stop);
    }
}

/// Every address of the socket.
fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/state", get(state::state))
        .route("/v1/audit", get(audit::page))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/keys/reload", post(acts::reload_keys))
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

/// Lets root and the server's own user in, names the request, and finishes its errors.
async fn admit(ConnectInfo(peer): ConnectInfo<Peer>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers(), false);
    request.extensions_mut().insert(id.clone());
    let own = nix::unistd::geteuid().as_raw();
    let response = match peer.uid {
        Some(uid) if uid == 0 || uid == own => next.run(request).await,
        _ => Problem::forbidden("the control socket answers root and the server's own user alone")
            .into_response(),
    };
    let mut response = error::finish(response, id.as_str());
    id.set(response.headers_mut());
    response
}
