//! The containers of this deployment's Compose project.
//!
//! Always true: a container is found by the labels Compose gave it (service and project directory), never by a name
//! that somebody may have changed. No Docker, or no engine that answers, means that none of its containers is there;
//! whether something is served all the same is for the proof to see.
//!
//! Does not: start or change services (except one restart, when a person configured it).

use std::path::Path;
use std::time::Duration;

use crate::host::{Host, Ran, RunError};

/// How long one call of the docker client may take.
const CALL: Duration = Duration::from_secs(10);

/// Why there is no container to speak to.
#[derive(Debug)]
pub enum Missing {
    /// There is none.
    Absent(String),
    /// There may be one, and it cannot be reached.
    Failed(String),
}

/// One running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Process id of its first process on this host.
    pub pid: i32,
}

/// The running containers of a service; never empty.
///
/// # Errors
/// [`Missing`].
pub fn containers(host: &Host, project: &Path, service: &str) -> Result<Vec<Container>, Missing> {
    let service_label = format!("label=com.docker.compose.service={service}");
    let project_label = format!(
        "label=com.docker.compose.project.working_dir={}",
        project.display()
    );
    let listed = docker(
        host,
        &[
            "ps",
            "--quiet",
            "--no-trunc",
            "--filter",
            &service_label,
            "--filter",
            &project_label,
            "--filter",
            "status=running",
        ],
    )?;
    let ids: Vec<&str> = listed.stdout.split_whitespace().collect();
    if ids.is_empty() {
        return Err(Missing::Absent(format!(
            "no running container of service {service} in {}",
            project.display()
        )));
    }
    let mut arguments = vec!["inspect", "--format", "{{.Id}} {{.State.Pid}}"];
    arguments.extend(&ids);
    let inspected = docker(host, &arguments)?;
    let containers: Vec<Container> = inspected
        .stdout
        .lines()
        .filter_map(|line| {
            let (id, pid) = line.trim().split_once(' ')?;
            Some(Container {
                id: id.to_owned(),
                pid: pid.parse().ok()?,
            })
        })
        .collect();
    if containers.is_empty() {
        return Err(Missing::Absent(format!(
            "the container of service {service} has ended"
        )));
    }
    Ok(containers)
}

/// Sends a signal to a container's first process.
///
/// # Errors
/// One clause.
pub fn kill(host: &Host, container: &Container, signal: &str) -> Result<(), String> {
    docker(host, &["kill", "--signal", signal, &container.id])
        .map(drop)
        .map_err(Missing::into_clause)
}

/// Runs a program inside a container.
///
/// # Errors
/// One clause.
pub fn exec(host: &Host, container: &Container, argv: &[&str]) -> Result<(), String> {
    let mut arguments = vec!["exec", container.id.as_str()];
    arguments.extend(argv);
    docker(host, &arguments)
        .map(drop)
        .map_err(Missing::into_clause)
}

/// Restarts a container.
///
/// # Errors
/// One clause.
pub fn restart(host: &Host, container: &Container) -> Result<(), String> {
    docker(host, &["restart", "--time", "5", &container.id])
        .map(drop)
        .map_err(Missing::into_clause)
}

impl Missing {
    /// Why, without the distinction.
    pub fn into_clause(self) -> String {
        match self {
            Missing::Absent(why) | Missing::Failed(why) => why,
        }
    }
}

fn docker(host: &Host, arguments: &[&str]) -> Result<Ran, Missing> {
    let mut argv = vec!["docker"];
    argv.extend(arguments);
    match host.run(&argv, None, CALL) {
        Ok(ran) if ran.code == 0 => Ok(ran),
        Ok(ran) if no_engine_answers(&ran.stderr) => {
            Err(Missing::Absent("no Docker engine answers".into()))
        }
        Ok(ran) => Err(Missing::Failed(format!(
            "docker {}: {}",
            arguments.first().unwrap_or(&""),
            ran.last_line()
        ))),
        Err(RunError::NoProgram) => Err(Missing::Absent("there is no docker program".into())),
        Err(error) => Err(Missing::Failed(format!("docker: {error}"))),
    }
}

/// The client's words for an engine that is not there, which changed over its versions.
fn no_engine_answers(complaint: &str) -> bool {
    const WORDS: [&str; 4] = [
        "daemon running",
        "daemon is running",
        "failed to connect to the docker api",
        "cannot connect to the docker daemon",
    ];
    let complaint = complaint.to_ascii_lowercase();
    // an engine that we may not speak to may well run our containers
    !complaint.contains("permission denied") && WORDS.iter().any(|words| complaint.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_there_is_recognised_in_the_words_of_every_client() {
        for complaint in [
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if \
             the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory",
        ] {
            assert!(no_engine_answers(complaint), "{complaint}");
        }
        for complaint in [
            "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
            "failed to connect to the docker API at unix:///var/run/docker.sock: connect: permission denied",
            "Error response from daemon: No such container: web",
        ] {
            assert!(!no_engine_answers(complaint), "{complaint}");
        }
    }
}
