//! A signal to a program, which is found by its pid file, its unit or its Compose service.
//!
//! Always true: a target that does not exist is told from one that cannot be reached; a process is looked at before it is
//! signalled, and none is sent what would end it.
//!
//! Does not: know whether the signal did anything.

use std::path::Path;

use agnes_config::ProcessTarget;
use nix::sys::signal::Signal;

use crate::compose::{self, Missing};
use crate::host::Host;
use crate::systemd::{self, Unseen};

/// Sends `signal` to all processes of the target; `project` is the directory of the Compose project.
///
/// # Errors
/// [`Missing`].
pub fn send(
    host: &Host,
    project: &Path,
    target: &ProcessTarget,
    signal: Signal,
) -> Result<(), Missing> {
    for process in find(host, project, target)? {
        match process {
            Found::Process(pid) => signal_pid(host, pid, signal)?,
            Found::Container(container) => {
                refuse_death(host, container.pid, signal)?;
                compose::kill(host, &container, signal.as_str()).map_err(Missing::Failed)?;
            }
        }
    }
    Ok(())
}

/// Whether the target runs.
///
/// # Errors
/// [`Missing`]: it does not, or that cannot be told.
pub fn runs(host: &Host, project: &Path, target: &ProcessTarget) -> Result<(), Missing> {
    find(host, project, target).map(drop)
}

enum Found {
    Process(i32),
    Container(compose::Container),
}

fn find(host: &Host, project: &Path, target: &ProcessTarget) -> Result<Vec<Found>, Missing> {
    Ok(match target {
        ProcessTarget::PidFile(path) => vec![Found::Process(process_of_pid_file(host, path)?)],
        ProcessTarget::Unit(unit) => vec![Found::Process(main_process(host, unit)?)],
        ProcessTarget::ComposeService(service) => compose::containers(host, project, service)?
            .into_iter()
            .map(Found::Container)
            .collect(),
    })
}

fn signal_pid(host: &Host, pid: i32, signal: Signal) -> Result<(), Missing> {
    let running = host
        .process(pid)
        .map_err(|error| Missing::Failed(format!("process {pid}: {error}")))?;
    let running = running.ok_or_else(|| Missing::Absent(format!("process {pid} has ended")))?;
    refuse_death(host, pid, signal)?;
    host.signal(&running, signal)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Missing::Absent(format!("process {pid} has ended")),
            _ => Missing::Failed(format!("process {pid}: {error}")),
        })
}

/// A process that neither handles nor ignores the signal would die of it.
fn refuse_death(host: &Host, pid: i32, signal: Signal) -> Result<(), Missing> {
    match host.process(pid) {
        Ok(Some(running)) if !running.survives(signal) => Err(Missing::Failed(format!(
            "process {pid} does not handle {signal} and would be ended by it; not sent"
        ))),
        // Not visible from here (an engine on another host): the engine delivers it, and the proof sees what came of it.
        _ => Ok(()),
    }
}

/// The process a pid file names, if the file is not older than the process.
fn process_of_pid_file(host: &Host, path: &Path) -> Result<i32, Missing> {
    let name = path.display();
    let failed = |error: std::io::Error| Missing::Failed(format!("{name}: {error}"));
    let bytes = host
        .read(path)
        .map_err(failed)?
        .ok_or_else(|| Missing::Absent(format!("no pid file {name}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let pid: i32 = text
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)
        .ok_or_else(|| Missing::Failed(format!("{name}: not a process number")))?;
    let running = host.process(pid).map_err(failed)?;
    let running =
        running.ok_or_else(|| Missing::Absent(format!("{name}: process {pid} has ended")))?;
    let written = host.modified_secs(path).map_err(failed)?;
    let started = host.started_secs(&running).map_err(failed)?;
    // Both clocks are good to a second; a process that began later than its pid file got a used number.
    if started > written + 2 {
        return Err(Missing::Absent(format!(
            "{name} is older than process {pid}: another program has that number now"
        )));
    }
    Ok(pid)
}

/// The main process of an active unit.
///
/// # Errors
/// [`Missing`].
pub fn main_process(host: &Host, unit: &str) -> Result<i32, Missing> {
    let properties = ["LoadState", "ActiveState", "MainPID"];
    let shown = systemd::show(host, unit, &properties).map_err(|unseen| match unseen {
        Unseen::NoSystemd(why) => Missing::Absent(why),
        Unseen::Failed(why) => Missing::Failed(why),
    })?;
    let value = |key: &str| shown.get(key).cloned().unwrap_or_default();
    match (
        value("LoadState").as_str(),
        value("ActiveState").as_str(),
        value("MainPID").parse::<i32>(),
    ) {
        ("loaded", "active" | "reloading", Ok(pid)) if pid > 1 => Ok(pid),
        ("loaded", state, _) => Err(Missing::Absent(format!("unit {unit} is {state}"))),
        (state, ..) => Err(Missing::Absent(format!("unit {unit} is {state}"))),
    }
}
