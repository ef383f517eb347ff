//! A Docker engine for tests, images to run on it, and compose projects.
//!
//! Always true: never the machine's own engine; images come from local files; a project goes down with its handle.
//!
//! Does not: pull anything, and has no default bridge: containers are started by compose, on networks of the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result};
use tempfile::TempDir;
use xtask::command;
use xtask::engine::{Engine, HOST_VARIABLE};

use crate::caddy::Version;
use crate::components;

/// The base image: a C library, OpenSSL's libraries, certificates and busybox as `/bin/sh`.
pub const BASE_IMAGE: &str = "agnes-test/base:bookworm";

static ENGINE: OnceLock<Option<Docker>> = OnceLock::new();
/// Images are made by one test at a time: the first makes, the others find.
static IMAGES: Mutex<()> = Mutex::new(());

/// An engine that answers.
#[derive(Debug)]
pub struct Docker {
    host: String,
    /// Ours when nobody gave one; it ends with this process.
    own: Option<Engine>,
}

impl Docker {
    /// The engine of this test run: `AGNES_TEST_DOCKER_HOST`, else one that this process starts. `None` after saying `SKIP`.
    ///
    /// # Panics
    /// When the engine does not start, or with `CI=true` when its programs are not there.
    pub fn get() -> Option<&'static Self> {
        for name in ["docker", "dockerd", "containerd", "docker-compose"] {
            components::require(name)?;
        }
        if std::env::var_os(HOST_VARIABLE).is_none() && !nix::unistd::geteuid().is_root() {
            components::skip("dockerd", "needs root");
            return None;
        }
        let start = || match std::env::var(HOST_VARIABLE) {
            Ok(host) => Docker { host, own: None },
            Err(_) => {
                let own = Engine::start().expect("start a Docker engine");
                Docker {
                    host: own.host().to_owned(),
                    own: Some(own),
                }
            }
        };
        ENGINE.get_or_init(|| Some(start())).as_ref()
    }

    /// An engine of one test's own, which it may kill: [`Docker::engine`]. `None` after saying `SKIP`.
    ///
    /// # Panics
    /// As [`Docker::get`].
    pub fn private() -> Option<&'static Self> {
        Self::get()?;
        if !nix::unistd::geteuid().is_root() {
            components::skip("dockerd", "needs root");
            return None;
        }
        let own = Engine::start().expect("start a Docker engine");
        // it ends with this process
        Some(Box::leak(Box::new(Docker {
            host: own.host().to_owned(),
            own: Some(own),
        })))
    }

    /// The engine itself, where it is this process's.
    pub fn engine(&self) -> Option<&Engine> {
        self.own.as_ref()
    }

    /// What a child needs in its environment so that its `docker` and `docker compose` are ours and talk to this engine.
    ///
    /// # Panics
    /// When `PATH` cannot be extended.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let own_path = std::env::var_os("PATH").unwrap_or_default();
        let directories =
            std::iter::once(xtask::components::directory()).chain(std::env::split_paths(&own_path));
        let path = std::env::join_paths(directories).expect("directories without colons");
        vec![
            ("DOCKER_HOST", self.host.clone()),
            (
                "DOCKER_CONFIG",
                xtask::components::docker_config().display().to_string(),
            ),
            ("PATH", path.to_string_lossy().into_owned()),
        ]
    }

    /// `docker …` against this engine.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(xtask::components::directory().join("docker"));
        command.args(args).envs(self.environment());
        command
    }

    /// Makes sure of [`BASE_IMAGE`]; `false` after saying `SKIP`.
    ///
    /// # Errors
    /// The engine's.
    ///
    /// # Panics
    /// When another test panicked while it made an image.
    pub fn base_image(&self) -> Result<bool> {
        let _one = IMAGES.lock().expect("no panic while held");
        self.import_base()
    }

    /// Makes sure of an image with `/usr/bin/caddy` of this version; its name, or `None` after saying `SKIP`.
    ///
    /// # Errors
    /// The engine's.
    ///
    /// # Panics
    /// As [`Docker::base_image`].
    pub fn caddy_image(&self, version: Version) -> Result<Option<String>> {
        let _one = IMAGES.lock().expect("no panic while held");
        let name = format!("agnes-test/caddy:{}", version.number());
        let Some(program) = components::require(version.component()) else {
            return Ok(None);
        };
        if self.has(&name) {
            return Ok(Some(name));
        }
        if !self.import_base()? {
            return Ok(None);
        }
        let context = tempfile::tempdir().context("build context")?;
        fs::copy(program, context.path().join("caddy"))
            .context("copy Caddy into the build context")?;
        let libraries = context.path().join("libraries");
        fs::create_dir(&libraries).context("the libraries' directory")?;
        for library in extra_libraries(&context.path().join("caddy"))? {
            let name = library.file_name().context("a library's name")?;
            fs::copy(&library, libraries.join(name)).context("copy a library of Caddy's")?;
        }
        let dockerfile = format!(
            "FROM {BASE_IMAGE}\nCOPY caddy /usr/bin/caddy\nCOPY libraries/ /usr/lib/x86_64-linux-gnu/\n\
             CMD [\"/usr/bin/caddy\", \"run\", \"--config\", \"/etc/caddy/Caddyfile\", \"--adapter\", \"caddyfile\"]\n"
        );
        fs::write(context.path().join("Dockerfile"), dockerfile).context("write the Dockerfile")?;
        command::capture(
            self.command(["build", "--quiet", "--tag", &name])
                .arg(context.path()),
        )?;
        Ok(Some(name))
    }

    fn import_base(&self) -> Result<bool> {
        let Some(tree) = components::require("base-image.tar") else {
            return Ok(false);
        };
        if !self.has(BASE_IMAGE) {
            command::capture(self.command(["import"]).arg(tree).arg(BASE_IMAGE))?;
        }
        Ok(true)
    }

    pub(crate) fn has(&self, image: &str) -> bool {
        command::capture(&mut self.command(["image", "inspect", image])).is_ok()
    }
}

/// Images are made while this is held.
pub(crate) fn one_image_at_a_time() -> std::sync::MutexGuard<'static, ()> {
    IMAGES.lock().expect("no panic while held")
}

/// The shared libraries that a program needs and the base image lacks.
fn extra_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    const IN_THE_BASE: [&str; 6] = [
        "libc.so",
        "libm.so",
        "libpthread.so",
        "libresolv.so",
        "libdl.so",
        "libgcc_s.so",
    ];
    // a program that is linked statically is not one ldd knows
    let listed = command::says(Command::new("ldd").arg(program))?;
    Ok(listed
        .lines()
        .filter_map(|line| line.split_once(" => ")?.1.split_whitespace().next())
        .filter(|path| {
            path.starts_with('/') && !IN_THE_BASE.iter().any(|known| path.contains(known))
        })
        .map(PathBuf::from)
        .collect())
}

/// A compose project in a directory of its own.
#[derive(Debug)]
pub struct Project {
    docker: &'static Docker,
    directory: TempDir,
}

impl Project {
    /// A directory with this `docker-compose.yml`; nothing runs yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(docker: &'static Docker, compose_file: &str) -> Result<Self> {
        let project = Self::empty(docker)?;
        project.write("docker-compose.yml", compose_file)?;
        Ok(project)
    }

    /// A directory without any file, for `agnes-ops render compose`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn empty(docker: &'static Docker) -> Result<Self> {
        // Compose names the project after the directory; its dot and capitals would be dropped.
        let directory = tempfile::Builder::new()
            .prefix("agnes-test-")
            .rand_bytes(8)
            .tempdir()
            .context("project directory")?;
        Ok(Self { docker, directory })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file in its directory, written with its parents; for what compose mounts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// `docker compose …` in its directory.
    pub fn compose<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.docker.command(["compose"]);
        command.args(args).current_dir(self.path());
        command
    }

    /// Starts everything.
    ///
    /// # Errors
    /// Compose's, with the end of what it said.
    pub fn up(&self) -> Result<()> {
        command::capture(&mut self.compose(["up", "--detach", "--no-build"])).map(drop)
    }

    /// Removes everything, volumes too; dropping does.
    ///
    /// # Errors
    /// Compose's.
    pub fn down(&self) -> Result<()> {
        let everything = ["down", "--volumes", "--remove-orphans", "--timeout", "1"];
        command::capture(&mut self.compose(everything)).map(drop)
    }

    /// The id of a service's first container.
    ///
    /// # Errors
    /// Compose's, or when there is none.
    pub fn container(&self, service: &str) -> Result<String> {
        let ids = command::capture(&mut self.compose(["ps", "--quiet", service]))?;
        ids.lines()
            .next()
            .map(str::to_owned)
            .with_context(|| format!("service {service} has no container"))
    }

    /// What a service said.
    ///
    /// # Errors
    /// Compose's.
    pub fn logs(&self, service: &str) -> Result<String> {
        command::capture(&mut self.compose(["logs", "--no-color", "--no-log-prefix", service]))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(logs) =
                command::capture(&mut self.compose(["logs", "--no-color", "--tail", "50"]))
        {
            eprintln!("--- {} said:\n{logs}", self.path().display());
        }
        let down = self.down();
        if let Err(error) = down {
            eprintln!("{}: {error:#}", self.path().display());
        }
    }
}
