//! What the server says, and what was left open of an upgrade or a restore.
//!
//! Always true: reads only; what is at work right now is no finding; a hold of writes without a transaction of ours is one.
//!
//! Does not: look at certificates (that is `tls`).

use agnes_config::{Runtime, Settings};
use anyhow::Result;
use serde_json::Value;

use crate::compose::{self, Missing};
use crate::disk;
use crate::host::Host;
use crate::journal::Journal;
use crate::served::ControlSocket;
use crate::tls::Finding;
use crate::up;

/// Its service in the stack.
const SERVICE: &str = "app";
/// Transactions that hold writes: the journal's name, and the command that goes on with it.
const HOLDING: [(&str, &str); 2] = [("upgrade", "upgrade"), ("restore", "snapshot prune")];

/// The row of the screen, and what is wrong.
pub fn look(host: &Host, settings: &Settings, findings: &mut Vec<Finding>) -> Result<String> {
    if let disk::State::NotProven(why) = disk::look(host, settings) {
        findings.push(finding("state-disk", why));
    }
    let at_work = host.lock_holder(&settings.dir.join(".lock"));
    let at_work = at_work.ok().flatten();
    let mut open = None;
    for (name, command) in HOLDING {
        if Journal::new(&settings.state_dir, name).is_open(host)? {
            open = Some(name);
            if at_work.is_none() {
                findings.push(finding(
                    &format!("{name}-open"),
                    format!("{name}: a run was cut off; agnes-ops {command} finishes or undoes it"),
                ));
            }
        }
    }
    if open.is_none() && at_work.is_none() && writes_are_held(settings) {
        findings.push(finding(
            "hold-without-journal",
            "the server holds writes, and no upgrade or restore of ours is open".to_owned(),
        ));
    }
    let mut row = match settings.runtime {
        Runtime::Compose => compose_service(host, settings, findings),
        Runtime::Process => process(host, settings, findings)?,
    };
    if let Some(holder) = at_work {
        row = format!("{row}; {holder} is at work");
    }
    Ok(row)
}

fn finding(id: &str, message: String) -> Finding {
    Finding {
        id: id.to_owned(),
        message,
    }
}

fn writes_are_held(settings: &Settings) -> bool {
    let state = ControlSocket::of(settings).get("/v1/state");
    state.is_ok_and(|state| state.get("writes").and_then(Value::as_str) == Some("held"))
}

fn compose_service(host: &Host, settings: &Settings, findings: &mut Vec<Finding>) -> String {
    let is_a_stack = matches!(
        host.size(&settings.dir.join("docker-compose.yml")),
        Ok(Some(_))
    );
    if !is_a_stack {
        return "run by docker compose".to_owned();
    }
    match compose::containers(host, &settings.dir, SERVICE) {
        Ok(_) => "run by docker compose".to_owned(),
        Err(Missing::Absent(why)) => {
            findings.push(finding("service-down", why.clone()));
            why
        }
        Err(Missing::Failed(why)) => {
            let row = format!("run by docker compose, which cannot be asked: {why}");
            findings.push(finding("engine", why));
            row
        }
    }
}

fn process(host: &Host, settings: &Settings, findings: &mut Vec<Finding>) -> Result<String> {
    if let Some(server) = up::server(host, settings)? {
        return Ok(format!(
            "agnesd (pid {}) on {}",
            server.pid(),
            up::url(settings)
        ));
    }
    let why = "agnesd is not running";
    findings.push(finding("service-down", why.to_owned()));
    Ok(why.to_owned())
}

/// The command for one of these findings; `None`: it is none of them.
pub fn next_step(settings: &Settings, found: &dyn Fn(&str) -> bool) -> Option<String> {
    let dir = settings.dir.display();
    // without it no other command does anything
    if found("state-disk") {
        return Some(format!("agnes-ops -C {dir} boot"));
    }
    if found("engine") {
        return Some("find out why the Docker engine does not answer: systemctl status docker.service, journalctl -u docker.service".to_owned());
    }
    for (name, command) in HOLDING {
        if found(&format!("{name}-open")) {
            return Some(format!("agnes-ops -C {dir} {command}"));
        }
    }
    if found("hold-without-journal") {
        return Some(format!(
            "find out who holds writes (curl --unix-socket {} http://localhost/v1/state), and release them: POST /v1/writes/release",
            ControlSocket::of(settings).path().display()
        ));
    }
    if !found("service-down") {
        return None;
    }
    Some(match settings.runtime {
        Runtime::Process => format!("agnes-ops -C {dir} up"),
        Runtime::Compose => format!(
            "docker compose --project-directory {dir} up --detach, unless somebody stopped it on purpose"
        ),
    })
}
