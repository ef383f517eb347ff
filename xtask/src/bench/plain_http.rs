//! What the bench has to ask for between its runs.
//!
//! Always true: bounded in time; a refused connection is an error like any other.
//!
//! Does not: speak TLS, follow or retry.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http::Server;

const DEADLINE: Duration = Duration::from_secs(10);

/// The status of `GET path`.
pub(super) fn status(to: SocketAddr, path: &str) -> Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    let answer = Server::plain(to).ask(request.as_bytes(), DEADLINE)?;
    Ok(answer.status)
}

/// What `POST path` answers; anything but success is an error.
pub(super) fn post(to: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Server::plain(to).ask(request.as_bytes(), DEADLINE)?;
    let (status, text) = (answer.status, answer.text());
    ensure!((200..300).contains(&status), "POST {path}: {status} {text}");
    serde_json::from_str(&text).with_context(|| format!("POST {path} answered {text:?}"))
}
