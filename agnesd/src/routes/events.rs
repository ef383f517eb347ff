//! Events over a WebSocket, as they happen.
//!
//! Always true: whoever watches is asked again before each event whether they still may, and sees what their roles show them;
//! who reads too slowly or talks too much is cut off; a browser's page of another site gets no socket (a cookie opens one for
//! ours alone). A socket that answers nothing for a minute and a half is gone.
//!
//! Does not: take orders: what a client says is counted and otherwise ignored.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agnes_store::clock;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::app::{App, VERSION};
use crate::auth::{Credential, Principal, cookie};
use crate::error::{Answer, Problem};
use crate::events::{Audience, Told};

/// Messages that a client may send within a second.
const MESSAGES: usize = 30;
const SECOND: Duration = Duration::from_secs(1);
/// The largest of them, in bytes.
const MESSAGE: usize = 4 * 1024;
/// How long a client may take to take one of ours.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a quiet client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// After which silence it is not.
const SILENCE: Duration = Duration::from_secs(90);

/// Why a socket ends: the code that the client is told, and the word of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It went.
    Client,
    /// Behind by too much, or it takes nothing.
    Slow,
    /// Too many messages.
    Flood,
    /// Whoever watches may not any more.
    Session,
    /// The server stops.
    Stop,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Slow => "slow",
            Self::Flood => "flood",
            Self::Session => "session",
            Self::Stop => "stop",
        }
    }

    /// RFC 6455 section 7.4; 4401 is of the range for private use.
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Client => return None,
            Self::Slow => (1013, "too slow: events were missed"),
            Self::Flood => (1008, "more than 30 messages in a second"),
            Self::Session => (4401, "the credential is not valid any more"),
            Self::Stop => (1001, "the server stops"),
        };
        Some(CloseFrame {
            code,
            reason: reason.into(),
        })
    }
}

/// Events as they happen, by role.
#[utoipa::path(get, path = "/api/events", responses(
    (status = 101, description = "a WebSocket of JSON texts, each with `type` (`hello`, `audit`, `job`, `certificate`, `upgrade`) and `at`"),
    (status = 400, body = Problem, description = "no WebSocket was asked for"),
    (status = 426, body = Problem, description = "this connection cannot become a WebSocket"),
    (status = 503, body = Problem, description = "too many watch"),
))]
pub(crate) async fn watch(
    State(app): State<Arc<App>>,
    principal: Principal,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let by_cookie = !headers.contains_key(AUTHORIZATION);
    let public_url = &app.settings.server.public_url;
    if by_cookie && !cookie::is_of_our_own_page(&headers, &uri, public_url) {
        return Err(Problem::cross_site());
    }
    let upgrade = upgrade.map_err(|why| {
        let status = axum::response::IntoResponse::into_response(why).status();
        Problem::limit(status, "this address takes WebSockets (RFC 6455) alone")
    })?;
    let place = app.events.place(principal.user.id);
    let place = place.ok_or_else(Problem::too_many_watch)?;
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    Ok(upgrade.on_upgrade(async move |socket| {
        let _place = place;
        app.metrics.ws_opened();
        let end = serve(&app, &principal, socket).await;
        app.metrics.ws_ended(end.word());
    }))
}

async fn serve(app: &App, principal: &Principal, mut socket: WebSocket) -> End {
    let end = talk(app, principal, &mut socket).await;
    if let Some(frame) = end.frame() {
        // a client that takes nothing gets no farewell either
        let _ = tokio::time::timeout(PATIENCE, socket.send(Message::Close(Some(frame)))).await;
    }
    end
}

async fn talk(app: &App, principal: &Principal, socket: &mut WebSocket) -> End {
    let mut events = app.events.subscribe();
    let mut stopping = app.events.stopping();
    let at = clock::now().format(&time::format_description::well_known::Rfc3339);
    let hello = json!({"type": "hello", "at": at.unwrap_or_default(), "version": VERSION});
    if let Err(end) = send(socket, Message::text(hello.to_string())).await {
        return end;
    }
    let mut said = Said::default();
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => return End::Stop,
            event = events.recv() => {
                let told = match event {
                    Ok(told) => told,
                    Err(RecvError::Lagged(_)) => return End::Slow,
                    Err(RecvError::Closed) => return End::Stop,
                };
                if !may_watch(app, principal) {
                    return End::Session;
                }
                if may_see(app, principal, &told)
                    && let Err(end) = send(socket, Message::text(told.json.clone())).await
                {
                    return end;
                }
            }
            message = socket.recv() => match message {
                None | Some(Err(_) | Ok(Message::Close(_))) => return End::Client,
                Some(Ok(_)) if said.one_more(Instant::now()) => {}
                Some(Ok(_)) => return End::Flood,
            },
            _ = ping.tick() => {
                if !may_watch(app, principal) {
                    return End::Session;
                }
                if said.last.elapsed() > SILENCE {
                    return End::Slow;
                }
                if let Err(end) = send(socket, Message::Ping(Vec::new().into())).await {
                    return end;
                }
            }
        }
    }
}

/// When the server stops; nothing of the guard that the channel gives out is kept.
async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Client),
        Err(_) => Err(End::Slow),
    }
}

/// What a client said within the last second.
struct Said {
    times: VecDeque<Instant>,
    last: Instant,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            times: VecDeque::with_capacity(MESSAGES),
            last: Instant::now(),
        }
    }
}

impl Said {
    /// Counts a message; `false`: it is one too many.
    fn one_more(&mut self, now: Instant) -> bool {
        self.last = now;
        let old = |at: &Instant| now.saturating_duration_since(*at) >= SECOND;
        while self.times.front().is_some_and(old) {
            self.times.pop_front();
        }
        if self.times.len() >= MESSAGES {
            return false;
        }
        self.times.push_back(now);
        true
    }
}

/// Whether the credential that opened the socket still opens anything (A08).
fn may_watch(app: &App, principal: &Principal) -> bool {
    let directory = app.store.directory();
    let now = clock::now();
    let user = directory.user(principal.user.id);
    let stands = user.is_some_and(|user| !user.disabled && user.epoch == principal.user.epoch);
    stands
        && match &principal.credential {
            Credential::Session(id, _) => directory
                .session(*id)
                .is_some_and(|session| session.expires_at > now),
            Credential::Personal(token) => directory
                .token_by_hash(&token.hash)
                .is_some_and(|token| token.is_valid(now)),
            Credential::Scheduler(id) => id.as_ref().is_none_or(|id| app.keys.has_scheduler_id(id)),
        }
}

fn may_see(app: &App, principal: &Principal, told: &Told) -> bool {
    match told.audience {
        Audience::Everybody => true,
        Audience::Role(role) => {
            let directory = app.store.directory();
            let scheduler = matches!(principal.credential, Credential::Scheduler(_));
            // the scheduler is in the group Admin, and reads no audit log
            match (role, scheduler) {
                (crate::auth::roles::JOB_OPERATOR, true) => true,
                (_, true) => false,
                (role, false) => {
                    directory.is_admin(principal.user.id)
                        || directory.has_role(principal.user.id, role)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_messages_in_a_second_are_taken_and_no_more() {
        let mut said = Said::default();
        let start = Instant::now();
        for _ in 0..MESSAGES {
            assert!(said.one_more(start));
        }
        assert!(!said.one_more(start + Duration::from_millis(999)));
        assert!(said.one_more(start + SECOND));
        assert!(said.one_more(start + SECOND * 2));
    }
}
