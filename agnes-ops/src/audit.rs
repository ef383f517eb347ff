//! `audit`: who did what, and whether the log is the one that was written.
//!
//! Always true: the whole chain is hashed again, whatever rows are shown; a log that is not sound is exit 1, and its rows are
//! shown all the same.
//!
//! Does not: repair, or read a log that no server serves (`agnesd audit verify` does).

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::outcome::{Exit, Outcome, Refusal, Report};
use crate::served::{ControlSocket, NoAnswer, Row, Rows};

/// Reads at most `most` of these rows, and verifies the chain.
pub fn audit(deployment: Deployment<'_>, wanted: &Rows, most: usize) -> Report {
    let socket = ControlSocket::of(deployment.settings);
    let asked = socket
        .audit(wanted, most)
        .and_then(|read| Ok((read, socket.post_slowly("/v1/audit/verify", &json!({}))?)));
    let (read, chain) = match asked {
        Ok(asked) => asked,
        Err(why) => return unread(&socket, &why),
    };
    let findings = of(&chain, "/findings");
    let mut lines: Vec<String> = read.rows.iter().map(Row::to_string).collect();
    if read.more {
        lines.push(format!("… and more: the last {most} are shown"));
    }
    lines.push(told(&chain, findings));
    let mut report = Report::ok(Outcome::Unchanged, lines.join("\n"))
        .detail("rows", json!(read.rows))
        .detail("more", read.more)
        .detail("chain", chain.clone());
    if let Some(first) = findings.first() {
        let message = format!(
            "the audit log is not the one that was written: {}{}; nothing was touched",
            text(first, "what"),
            match findings.len() {
                1 => String::new(),
                several => format!(", and {} more", several - 1),
            }
        );
        report.exit = Exit::Failed;
        report.refusal = Some(Refusal::new("audit-damaged", message).hint(
            "keep a copy: agnes-ops snapshot create; then docs/server.md, audit, says what it may mean",
        ));
    }
    report
}

fn unread(socket: &ControlSocket, why: &NoAnswer) -> Report {
    let message = format!("{}: {why}; nothing was touched", socket.path().display());
    let refusal = match why {
        NoAnswer::Nobody => Refusal::new("server-absent", message)
            .hint("agnesd audit verify reads the chain while no server runs"),
        NoAnswer::Refused(404, _) => Refusal::new("server-older", message)
            .hint("the server is of a version that cannot verify its log; agnes-ops upgrade"),
        _ => Refusal::new("server-unreadable", message),
    };
    Report::refused(Exit::Failed, refusal)
}

fn told(chain: &Value, findings: &[Value]) -> String {
    let number = |key: &str| chain.get(key).and_then(Value::as_i64);
    let rows = number("rows").unwrap_or(0);
    let range = match (number("first_seq"), number("last_seq")) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    };
    let mut lines = vec![match findings.is_empty() {
        true => format!("chain: sound: {rows} rows{range}"),
        false => format!("chain: NOT sound: {rows} rows{range}"),
    }];
    for finding in findings {
        lines.push(format!(
            "  {}: {}",
            text(finding, "kind"),
            text(finding, "what")
        ));
    }
    for note in of(chain, "/notes") {
        lines.push(format!("  note: {}", note.as_str().unwrap_or_default()));
    }
    lines.join("\n")
}

fn of<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
