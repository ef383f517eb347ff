//! `agnesd sign-in-link EMAIL`: a way in for somebody who is locked out, asked of the running server.
//!
//! Always true: the secret is on standard output alone, once; the server has it in its audit log that one was made.
//!
//! Does not: touch the database: the server owns it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use agnes_config::Settings;
use serde_json::{Value, json};

use crate::serve::run_dir;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the control socket of this deployment and prints the secret.
pub(crate) fn run(email: &str, settings: &Settings) -> ExitCode {
    let socket = run_dir(settings).join("agnesd.sock");
    let asked = UnixStream::connect(&socket).and_then(|stream| ask(stream, email));
    let answer = match asked {
        Ok(answer) => answer,
        Err(e) => {
            eprintln!(
                "agnesd: sign-in-link: {}: {e}; nothing was made",
                socket.display()
            );
            eprintln!("hint: the server must be running, and this must be root or its user");
            return ExitCode::FAILURE;
        }
    };
    let (Some(token), Some(secs)) = (
        answer.get("token").and_then(Value::as_str),
        answer.get("expires_in").and_then(Value::as_i64),
    ) else {
        let why = answer
            .get("detail")
            .and_then(Value::as_str)
            .unwrap_or("no answer that can be read");
        eprintln!("agnesd: sign-in-link: {why}; nothing was made");
        return ExitCode::FAILURE;
    };
    if let Err(e) = writeln!(std::io::stdout(), "{token}") {
        eprintln!("agnesd: sign-in-link: print: {e}");
        return ExitCode::FAILURE;
    }
    eprintln!("valid once, for {secs} s: POST /auth/magic/verify {{\"token\": …}}");
    ExitCode::SUCCESS
}

fn ask(mut stream: UnixStream, email: &str) -> std::io::Result<Value> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = json!({ "email": email }).to_string();
    write!(
        stream,
        "POST /v1/sign-in-link HTTP/1.1\r\nHost: control\r\nUser-Agent: agnesd-sign-in-link\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(body
        .and_then(|body| serde_json::from_str(body).ok())
        .unwrap_or_default())
}
