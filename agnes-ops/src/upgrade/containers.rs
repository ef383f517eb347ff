//! What an upgrade does to images and containers, through Docker's own programs.
//!
//! Always true: a pull is by digest and moves no tag; the error of a pull is an error (U04); what is kept has a tag of ours and a
//! container that was never started, so that no prune takes it (U03).
//!
//! Does not: look at containers (`engine` does), touch data.

use std::path::Path;
use std::time::Duration;

use super::transaction::Release;
use crate::engine::Engine;
use crate::host::{Host, Ran, RunError};
use crate::image::Digest;

/// The repository of our own tags.
const KEPT: &str = "agnes-kept";
/// How long a pull may take.
const PULL: Duration = Duration::from_secs(1800);
/// How long stopping or starting may take: the server's own grace, and a margin.
const CHANGE: Duration = Duration::from_secs(180);
/// How long anything else may take.
const CALL: Duration = Duration::from_secs(30);
/// Compose's word for images that must be here.
const NEVER: &str = "never";

/// The way to them.
pub struct Docker<'a> {
    host: &'a Host,
    dir: &'a Path,
}

impl<'a> Docker<'a> {
    /// Of the deployment in `dir`.
    pub fn new(host: &'a Host, dir: &'a Path) -> Self {
        Self { host, dir }
    }

    /// Brings an image by its digest.
    ///
    /// # Errors
    /// One clause.
    pub fn pull(&self, image: &str) -> Result<(), String> {
        self.run(&["pull", "--quiet", image], PULL).map(drop)
    }

    /// Keeps an image from every prune, under a name for its id.
    ///
    /// # Errors
    /// One clause.
    pub fn keep(&self, engine: &Engine, image_id: &str) -> Result<String, String> {
        let tag = kept_tag(image_id);
        self.run(&["tag", image_id, &tag], CALL)?;
        let container = kept_container(image_id);
        let is_there = || {
            engine
                .has_container(&container)
                .map_err(|why| format!("{why:#}"))
        };
        if !is_there()? {
            // never started; without this an `image prune --all` takes what only a tag holds
            let argv = [
                "create",
                "--name",
                &container,
                "--network",
                "none",
                "--label",
                "agnes.kept=1",
                &tag,
            ];
            let created = self.run(&argv, CALL);
            // another deployment on this engine may have come first
            if let Err(why) = created
                && !is_there()?
            {
                return Err(why);
            }
        }
        Ok(tag)
    }

    /// Keeps an image no longer; whether it was kept.
    ///
    /// # Errors
    /// One clause.
    pub fn let_go(&self, engine: &Engine, release: &Release) -> Result<bool, String> {
        let container = kept_container(&release.image_id);
        let is_there = engine.has_container(&container);
        if !is_there.map_err(|why| format!("{why:#}"))? {
            return Ok(false);
        }
        self.run(&["rm", &container], CALL)?;
        self.run(&["image", "rm", &kept_tag(&release.image_id)], CALL)?;
        if engine.image_id(&release.image).is_ok() {
            self.run(&["image", "rm", &release.image], CALL)?;
        }
        Ok(true)
    }

    /// Copies a directory out of a container that need not run, to a name that is free; `false`: it has none of that name.
    ///
    /// # Errors
    /// One clause.
    pub fn copy_out(&self, container: &str, from: &str, to: &Path) -> Result<bool, String> {
        let from = format!("{container}:{from}");
        match self.run(&["cp", &from, &to.to_string_lossy()], CHANGE) {
            Ok(_) => Ok(true),
            Err(why) if why.contains("Could not find the file") => Ok(false),
            Err(why) => Err(why),
        }
    }

    /// Stops a service's container and leaves it.
    ///
    /// # Errors
    /// One clause.
    pub fn stop(&self, service: &str) -> Result<(), String> {
        self.run(&["compose", "stop", "--", service], CHANGE)
            .map(drop)
    }

    /// Starts a service as the files say now.
    ///
    /// # Errors
    /// One clause.
    pub fn start(&self, service: &str) -> Result<(), String> {
        self.alone(service, NEVER, &[])
    }

    /// One service; `pull` is Compose's word for which image is brought.
    fn alone(&self, service: &str, pull: &str, more: &[&str]) -> Result<(), String> {
        let mut argv = vec!["compose", "up", "--detach", "--no-deps", "--no-build"];
        argv.extend(more);
        argv.extend(["--pull", pull, "--", service]);
        let deadline = if pull == NEVER { CHANGE } else { PULL };
        self.run(&argv, deadline).map(drop)
    }

    /// Brings every service to what the files say; an image that is not here is brought, none is built.
    ///
    /// # Errors
    /// One clause.
    pub fn up(&self) -> Result<(), String> {
        let argv = [
            "compose",
            "up",
            "--detach",
            "--no-build",
            "--pull",
            "missing",
        ];
        self.run(&argv, PULL).map(drop)
    }

    /// Makes a service's container anew.
    ///
    /// # Errors
    /// One clause.
    pub fn recreate(&self, service: &str) -> Result<(), String> {
        self.alone(service, NEVER, &["--force-recreate"])
    }

    /// Compose's hash of what the files say of a service.
    ///
    /// # Errors
    /// One clause; also for a service that they do not know.
    pub fn config_hash(&self, service: &str) -> Result<String, String> {
        let ran = self.run(&["compose", "config", "--hash", service], CALL)?;
        let hash = ran.stdout.split_whitespace().last().map(str::to_owned);
        hash.ok_or_else(|| format!("docker compose config: no hash of {service}"))
    }

    /// Stops a container and removes it.
    ///
    /// # Errors
    /// One clause.
    pub fn remove(&self, container: &str) -> Result<(), String> {
        self.run(&["stop", container], CHANGE)?;
        self.run(&["rm", container], CALL).map(drop)
    }

    /// Starts those containers of a service that are not there, as the files say now, and leaves those that are as they are.
    ///
    /// # Errors
    /// One clause.
    pub fn complete(&self, service: &str) -> Result<(), String> {
        self.alone(service, "missing", &["--no-recreate"])
    }

    /// Runs a program in a service's container.
    ///
    /// # Errors
    /// One clause.
    pub fn exec(&self, service: &str, argv: &[&str]) -> Result<(), String> {
        let argv = [&["compose", "exec", "--no-TTY", service], argv].concat();
        self.run(&argv, CALL).map(drop)
    }

    /// Runs a container's own health check.
    ///
    /// # Errors
    /// One clause.
    pub fn healthy(&self, container: &str, health_check: &[String]) -> Result<(), String> {
        let mut argv = vec!["exec", container];
        argv.extend(health_check.iter().map(String::as_str));
        self.run(&argv, CALL).map(drop)
    }

    /// Whether Compose accepts the files as they are.
    ///
    /// # Errors
    /// Its own words.
    pub fn accepts(&self) -> Result<(), String> {
        self.run(&["compose", "config", "--quiet"], CALL).map(drop)
    }

    /// Compose's version.
    ///
    /// # Errors
    /// One clause.
    pub fn compose_version(&self) -> Result<String, String> {
        let ran = self.run(&["compose", "version", "--short"], CALL)?;
        Ok(ran.stdout.trim().trim_start_matches('v').to_owned())
    }

    fn run(&self, arguments: &[&str], deadline: Duration) -> Result<Ran, String> {
        let mut argv = vec!["docker"];
        argv.extend(arguments);
        let verb: Vec<&str> = arguments.iter().take(2).copied().collect();
        let verb = match verb.as_slice() {
            ["compose", second] => format!("compose {second}"),
            [first, ..] => (*first).to_owned(),
            [] => String::new(),
        };
        match self.host.run(&argv, Some(self.dir), deadline) {
            Ok(ran) if ran.code == 0 => Ok(ran),
            Ok(ran) => Err(format!("docker {verb}: {}", ran.last_line())),
            Err(RunError::NoProgram) => Err("there is no docker program".to_owned()),
            Err(error) => Err(format!("docker {verb}: {error}")),
        }
    }
}

/// The tag by which an image is kept.
pub fn kept_tag(image_id: &str) -> String {
    format!("{KEPT}:{}", kept_name(image_id))
}

/// The container by which an image is kept.
pub fn kept_container(image_id: &str) -> String {
    format!("{KEPT}-{}", kept_name(image_id))
}

/// Twelve digits of an image's id.
fn kept_name(image_id: &str) -> &str {
    let hex = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    hex.get(..12).unwrap_or(hex)
}

/// The image of a digest, as Compose is told it.
pub fn pinned(repository: &str, digest: &Digest) -> String {
    format!("{repository}@{digest}")
}
