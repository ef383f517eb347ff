//! One HTTP/1.1 exchange over one connection, for what the bench has to ask for between its runs.
//!
//! Always true: bounded in time; a refused connection is an error like any other.
//!
//! Does not: speak TLS, follow, retry or read chunks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(10);

/// The status of `GET path`.
pub(super) fn status(to: SocketAddr, path: &str) -> Result<u16> {
    exchange(
        to,
        &format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n"),
    )
    .map(|(status, _)| status)
}

/// What `POST path` answers; anything but success is an error.
pub(super) fn post(to: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let (status, answer) = exchange(
        to,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )?;
    ensure!(
        (200..300).contains(&status),
        "POST {path}: {status} {answer}"
    );
    serde_json::from_str(&answer).with_context(|| format!("POST {path} answered {answer:?}"))
}

fn exchange(to: SocketAddr, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&to, DEADLINE).context("connect")?;
    stream
        .set_read_timeout(Some(DEADLINE))
        .context("deadline")?;
    stream.write_all(request.as_bytes()).context("ask")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no status")?;
    Ok((status, body.to_owned()))
}
