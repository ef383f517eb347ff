//! The running server as a rotation sees it: told of new files, asked what it accepts.
//!
//! Always true: a proof is an answer to a real call with a real credential.
//!
//! Does not: decide what an answer means for the rotation.

use agnes_config::Secret;
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::rotation::Kind;
use super::token;
use crate::served::{ControlSocket, NoAnswer};

/// A call that whoever has a valid credential may make.
const CALL: &str = "/api/me";

/// Whether a credential was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused,
}

/// Who still calls with the secret before, and whether that is all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotMoved {
    pub(super) callers: Vec<Value>,
    pub(super) may_lack_some: bool,
}

/// Makes the server read its secrets again.
pub(super) fn tell(socket: &ControlSocket) -> Result<(), NoAnswer> {
    socket.post("/v1/keys/reload", &json!({})).map(drop)
}

/// What a session of the server's own says, and an access token of it, signed by the key in use.
pub(super) fn probe(socket: &ControlSocket) -> Result<(Map<String, Value>, Secret)> {
    let answer = socket.post("/v1/keys/probe", &json!({}));
    let answer = answer.map_err(|why| anyhow::anyhow!("ask for a probe: {why}"))?;
    let token = answer.get("access_token").and_then(Value::as_str);
    let token = Secret::new(token.context("the probe has no access_token")?);
    let claims = token::claims(token.expose()).context("the probe's token cannot be read")?;
    Ok((claims, token))
}

/// Calls with this credential.
pub(super) fn show(socket: &ControlSocket, credential: &Secret) -> Result<Verdict> {
    match socket.get_as(CALL, credential) {
        Ok(_) => Ok(Verdict::Accepted),
        Err(NoAnswer::Refused(401, _)) => Ok(Verdict::Refused),
        Err(other) => anyhow::bail!("call {CALL}: {other}"),
    }
}

/// Whether the server has these values in these roles; `None`: its state does not say.
pub(super) fn has(
    socket: &ControlSocket,
    kind: Kind,
    current: &Secret,
    previous: Option<&Secret>,
) -> Result<bool> {
    let state = socket
        .get("/v1/state")
        .map_err(|why| anyhow::anyhow!("{why}"))?;
    let listed = state
        .pointer("/keys/generations")
        .and_then(|generations| generations.get(kind.word())?.as_array())
        .context("the server's state names no keys; is it older than this program?")?;
    let id_of = |role: &str| {
        let entry = listed
            .iter()
            .find(|entry| entry.get("role").and_then(Value::as_str) == Some(role));
        entry.and_then(|entry| entry.get("id")?.as_str())
    };
    let wanted = previous.map(token::key_id);
    Ok(id_of("current") == Some(token::key_id(current).as_str())
        && id_of("previous") == wanted.as_deref())
}

/// Who used the secret before and has not used the current one since.
pub(super) fn not_moved(socket: &ControlSocket) -> Result<NotMoved> {
    let state = socket
        .get("/v1/state")
        .map_err(|why| anyhow::anyhow!("{why}"))?;
    let generations = state
        .pointer("/keys/generations")
        .context("the server's state names no keys; is it older than this program?")?;
    let callers = generations.get("scheduler_not_moved");
    let forgotten = generations.get("scheduler_callers_forgotten");
    Ok(NotMoved {
        callers: callers
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default(),
        may_lack_some: forgotten.and_then(Value::as_u64).unwrap_or_default() > 0,
    })
}
