//! One HTTP/1.1 exchange over one connection, plain or TLS, byte for byte as the caller wrote the request.
//!
//! Always true: bounded in time and in memory; what comes behind the answer is kept, so that a second one is seen; that
//! nobody answers, or that the connection ends without an answer, is an outcome and no error.
//!
//! Does not: follow, retry, reuse a connection or mend a request.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

/// An answer above this is cut.
const LARGEST: usize = 16 * 1024 * 1024;
/// How long a connection that stays open is watched for a second answer.
const QUIET: Duration = Duration::from_millis(200);

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// As it stands in `Host`.
    pub(crate) host: String,
    /// `None`: plain.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// The connection ended, and there was no whole answer.
    Closed,
    /// There was none at the deadline.
    Hung,
}

/// One answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What came behind it on the same connection.
    pub(crate) rest: Vec<u8>,
}

impl Answer {
    /// The first header of this name, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Server {
    /// Over plain TCP.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
            tls: None,
        }
    }

    /// Sends `request` and waits for the answer until `deadline`.
    ///
    /// # Errors
    /// When no connection comes about.
    pub(crate) fn exchange(&self, request: &[u8], deadline: Duration) -> Result<Outcome> {
        let until = Instant::now() + deadline;
        let tcp = TcpStream::connect_timeout(&self.address, deadline)
            .with_context(|| format!("connect to {}", self.address))?;
        let _ = tcp.set_nodelay(true);
        tcp.set_write_timeout(Some(deadline)).context("deadline")?;
        tcp.set_read_timeout(Some(deadline)).context("deadline")?;
        let watched = tcp.try_clone().context("connection")?;
        match &self.tls {
            None => Ok(converse(tcp, &watched, request, until)),
            Some((config, name)) => {
                let mut client =
                    ClientConnection::new(Arc::clone(config), name.clone()).context("TLS")?;
                let mut tcp = tcp;
                while client.is_handshaking() {
                    client.complete_io(&mut tcp).context("TLS handshake")?;
                }
                let stream = StreamOwned::new(client, tcp);
                Ok(converse(stream, &watched, request, until))
            }
        }
    }

    /// As [`Server::exchange`], where anything but an answer is an error.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) fn ask(&self, request: &[u8], deadline: Duration) -> Result<Answer> {
        match self.exchange(request, deadline)? {
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Closed => bail!("the connection ended without an answer"),
            Outcome::Hung => bail!("no answer within {deadline:?}"),
        }
    }
}

fn converse(
    mut stream: impl Read + Write,
    watched: &TcpStream,
    request: &[u8],
    until: Instant,
) -> Outcome {
    // the server may answer and close before it has read everything
    let _ = stream.write_all(request).and_then(|()| stream.flush());
    let without_body = request.starts_with(b"HEAD ");
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut complete = false;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let wait = if complete { QUIET.min(left) } else { left };
        // zero would wait for ever
        let _ = watched.set_read_timeout(Some(wait.max(Duration::from_millis(1))));
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if complete {
                    break;
                }
                return Outcome::Hung;
            }
            Err(_) => break,
        }
        complete = complete || parse(&bytes, without_body, Whole::Wanted).is_some();
        if bytes.len() > LARGEST {
            break;
        }
    }
    match parse(&bytes, without_body, Whole::ToTheEnd) {
        Some(answer) => Outcome::Answered(answer),
        None => Outcome::Closed,
    }
}

/// Whether the end of what was read may be the end of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Wanted,
    ToTheEnd,
}

fn parse(bytes: &[u8], without_body: bool, whole: Whole) -> Option<Answer> {
    let end = find(bytes, b"\r\n\r\n")?;
    let (head, rest) = (bytes.get(..end)?, bytes.get(end + 4..)?);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    if !first.starts_with("HTTP/1.") {
        return None;
    }
    let status: u16 = first.split(' ').nth(1)?.parse().ok()?;
    if (100..200).contains(&status) {
        return parse(rest, without_body, whole);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let find_header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    let chunked = find_header("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    let length = find_header("content-length").and_then(|v| v.parse::<usize>().ok());
    let (body, rest) = if without_body || status == 204 || status == 304 {
        (Vec::new(), rest)
    } else if chunked {
        chunks(rest)?
    } else if let Some(length) = length {
        (rest.get(..length)?.to_vec(), rest.get(length..)?)
    } else if whole == Whole::ToTheEnd {
        (rest.to_vec(), &[][..])
    } else {
        return None;
    };
    Some(Answer {
        status,
        headers,
        body,
        rest: rest.to_vec(),
    })
}

fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = find(bytes, b"\r\n")?;
        let size = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        bytes = bytes.get(end + 2..)?;
        if size == 0 {
            let end = find(bytes, b"\r\n")?;
            return Some((body, bytes.get(end + 2..)?));
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size.checked_add(2)?..)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_and_what_comes_behind_it_is_kept() {
        let one = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 400";
        let answer = parse(one, false, Whole::Wanted).unwrap();
        assert_eq!((answer.status, answer.header("x-a")), (200, Some("b")));
        assert_eq!(
            (answer.text().as_str(), answer.rest.as_slice()),
            ("ok", &b"HTTP/1.1 400"[..])
        );

        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(parse(chunked, false, Whole::Wanted).unwrap().text(), "abc");

        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n";
        assert!(parse(head, false, Whole::Wanted).is_none());
        assert!(parse(head, true, Whole::Wanted).unwrap().body.is_empty());
        assert!(parse(b"junk\r\n\r\n", false, Whole::ToTheEnd).is_none());
    }
}
