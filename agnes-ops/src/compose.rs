//! The containers of this deployment's Compose project.
//!
//! Always true: a container is found by the labels Compose gave it (service and project directory), never by a name
//! that somebody may have changed. No Docker, or no engine that answers, means that none of its containers is there;
//! whether something is served all the same is for the proof to see.
//!
//! Does not: start or change services, except one restart when a person configured it, and re-creation where nothing else
//! makes a container read its secrets again.

use std::path::Path;
use std::time::Duration;

use crate::host::{Host, Ran, RunError};

/// How long one call of the docker client may take.
const CALL: Duration = Duration::from_secs(10);

/// How long making containers anew may take: the old one may use all of its `stop_grace_period`.
const RECREATE: Duration = Duration::from_secs(180);

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

/// Makes the containers of these services anew, from the images that are there and with the files as they are now; services
/// that they depend on are left alone.
///
/// # Errors
/// One clause.
pub fn recreate(host: &Host, project: &Path, services: &[&str]) -> Result<(), String> {
    let mut argv = vec![
        "docker",
        "compose",
        "up",
        "--detach",
        "--no-deps",
        "--no-build",
        "--force-recreate",
        "--pull",
        "never",
        "--",
    ];
    argv.extend(services);
    let ran = host.run(&argv, Some(project), RECREATE);
    finished(ran, "compose up")
        .map(drop)
        .map_err(Missing::into_clause)
}

/// Stops a service's container and leaves it.
///
/// # Errors
/// One clause.
pub fn stop(host: &Host, project: &Path, service: &str) -> Result<(), String> {
    let argv = ["docker", "compose", "stop", "--", service];
    finished(host.run(&argv, Some(project), RECREATE), "compose stop")
        .map(drop)
        .map_err(Missing::into_clause)
}

/// Starts a service's container, as it is, again.
///
/// # Errors
/// One clause.
pub fn start(host: &Host, project: &Path, service: &str) -> Result<(), String> {
    let argv = ["docker", "compose", "start", "--", service];
    finished(host.run(&argv, Some(project), RECREATE), "compose start")
        .map(drop)
        .map_err(Missing::into_clause)
}

/// A running container and what it was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its Compose service.
    pub service: String,
    /// `NAME=value`, also of the image.
    pub environment: Vec<String>,
}

impl Started {
    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All running containers of the project; none without an engine.
///
/// # Errors
/// When there may be some, and they cannot be looked at.
pub fn started(host: &Host, project: &Path) -> Result<Vec<Started>, String> {
    match look_at_started(host, project) {
        Err(Missing::Absent(_)) => Ok(Vec::new()),
        other => other.map_err(Missing::into_clause),
    }
}

fn look_at_started(host: &Host, project: &Path) -> Result<Vec<Started>, Missing> {
    let project_label = format!(
        "label=com.docker.compose.project.working_dir={}",
        project.display()
    );
    let filters = ["--filter", &project_label, "--filter", "status=running"];
    let listed = docker(
        host,
        &[&["ps", "--quiet", "--no-trunc"], &filters[..]].concat(),
    )?;
    let ids: Vec<&str> = listed.stdout.split_whitespace().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let format = "{{index .Config.Labels \"com.docker.compose.service\"}} {{json .Config.Env}}";
    let inspected = docker(host, &[&["inspect", "--format", format], &ids[..]].concat())?;
    let mut found = Vec::new();
    for line in inspected.stdout.lines() {
        let (service, environment) = line.split_once(' ').unwrap_or((line, "[]"));
        let environment: Option<Vec<String>> = serde_json::from_str(environment)
            .map_err(|_| Missing::Failed("docker inspect: not the environment".to_owned()))?;
        found.push(Started {
            service: service.to_owned(),
            environment: environment.unwrap_or_default(),
        });
    }
    Ok(found)
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
    let ran = host.run(&argv, None, CALL);
    finished(ran, arguments.first().unwrap_or(&""))
}

fn finished(ran: Result<Ran, RunError>, verb: &str) -> Result<Ran, Missing> {
    match ran {
        Ok(ran) if ran.code == 0 => Ok(ran),
        Ok(ran) if no_engine_answers(&ran.stderr) => {
            Err(Missing::Absent("no Docker engine answers".into()))
        }
        Ok(ran) => Err(Missing::Failed(format!(
            "docker {verb}: {}",
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
