//! `agnesd health`: is the server of this deployment ready? For a container without a shell, and for people.
//!
//! Always true: the running server is asked over TCP, as its callers do; the answer is one line and an exit code.
//!
//! Does not: judge the settings, for a server runs on those of its start.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long the server may take for each step; the image's health check ends this process after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most of an answer that is looked at.
const MOST: u64 = 16 << 10;

/// Asks `/readyz` where the server listens: 0 when it is ready.
pub(crate) fn run(listen: SocketAddr) -> ExitCode {
    let address = reachable(listen);
    let (line, code) = match ask(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ("ready".to_owned(), 0),
        Ok(answer) => (format!("not ready: {}", what_it_says(&answer)), 1),
        Err(e) => (format!("{address}: {e}"), 1),
    };
    if code != 0 {
        eprintln!("agnesd: health: {line}");
        return ExitCode::FAILURE;
    }
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// An address that listens everywhere is asked on loopback.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nUser-Agent: agnesd-health\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    let mut bytes = Vec::new();
    stream.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The body of an answer, which has the reasons, else its first line; on one line.
fn what_it_says(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
    let said = body
        .filter(|body| !body.is_empty())
        .or_else(|| answer.lines().next())
        .unwrap_or("no answer");
    said.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::1]:8000"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn the_reasons_are_told_on_one_line() {
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\n{\"reasons\":\r\n[\"store\"]}\n";
        assert_eq!(what_it_says(answer), "{\"reasons\":[\"store\"]}");
        assert_eq!(
            what_it_says("HTTP/1.1 400 Bad Request\r\n\r\n"),
            "HTTP/1.1 400 Bad Request"
        );
        assert_eq!(what_it_says(""), "no answer");
    }
}
