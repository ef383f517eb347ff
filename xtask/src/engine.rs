//! A private Docker engine for tests: its own socket, data, names and lifetime.
//!
//! Always true: it ends with whoever started it, also when that is killed: it hangs on a pipe whose closing stops it and
//! removes its files. An engine that the machine runs already is neither used nor touched.
//!
//! Does not: have a default bridge, which is one name per machine; compose projects bring networks of their own.

use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{command, components};

/// Where tests are told which engine to use, as in `DOCKER_HOST`.
pub const HOST_VARIABLE: &str = "AGNES_TEST_DOCKER_HOST";

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The keeper: starts the engine, kills and starts it again when it is told to, waits for its own input to close, stops the engine by
/// pid and removes its directory.
const KEEPER: &str = r#"
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 &
pid=$!
while read -r word; do
    case $word in
    kill)
        kill -KILL "$pid"; wait "$pid"
        # it goes with its daemon; where nobody reaps it, its pid would pass for a living one
        kill -KILL "$(cat "$dir/exec/containerd/containerd.pid")" 2>/dev/null
        rm -f "$dir/exec/containerd/containerd.pid"
        : >"$dir/killed" ;;
    start) rm -f "$dir/killed" "$dir/s"; "$@" </dev/null >>"$dir/log" 2>&1 & pid=$! ;;
    esac
done
if [ -e "$dir/killed" ]; then
    # what it ran is not left behind: only a daemon stops it
    rm -f "$dir/s"; "$@" </dev/null >>"$dir/log" 2>&1 & pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -S "$dir/s" ] && break; sleep 1; done
    sleep 2
fi
kill -TERM "$pid" 2>/dev/null
wait "$pid"
# a daemon that was killed has forgotten some
cut -d ' ' -f 2 /proc/mounts | grep "^$dir/" | sort -r | while read -r at; do umount "$at"; done
rm -rf --one-file-system "$dir"
"#;

/// A running engine; dropping it stops it and removes everything it stored.
#[derive(Debug)]
pub struct Engine {
    keeper: Child,
    leash: Option<ChildStdin>,
    dir: PathBuf,
    host: String,
}

impl Engine {
    /// Starts an engine and waits until it answers.
    ///
    /// # Errors
    /// Without root or its programs, or when it does not answer within 30 s; then with the end of its log.
    pub fn start() -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "a Docker engine needs root"
        );
        let dockerd = components::find("dockerd").context("dockerd is not installed")?;
        // Short, for the socket's path has 108 bytes; removed by the keeper, which outlives this process if need be.
        let dir = tempfile::Builder::new()
            .prefix("agnes-engine-")
            .tempdir_in("/tmp")
            .context("engine directory")?
            .keep();
        let host = format!("unix://{}/s", dir.display());
        std::fs::write(dir.join("config"), "{}").context("write the engine's configuration")?;
        let mut keeper = keeper(&dir, &dockerd, &host)
            .spawn()
            .context("start the engine's keeper")?;
        let leash = keeper.stdin.take();
        let engine = Self {
            keeper,
            leash,
            dir,
            host,
        };
        engine.wait_until_it_answers()?;
        Ok(engine)
    }

    /// What `DOCKER_HOST` is set to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Kills the engine's daemon, as a crash would; what it runs goes on.
    ///
    /// # Errors
    /// When its keeper is gone, or does not come to it within 30 s.
    pub fn kill(&self) -> Result<()> {
        self.tell("kill")?;
        let asked = Instant::now();
        while !self.dir.join("killed").exists() {
            ensure!(asked.elapsed() < STOP_DEADLINE, "the engine lives");
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts a killed daemon again, and waits until it answers.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_again(&self) -> Result<()> {
        self.tell("start")?;
        self.wait_until_it_answers()
    }

    fn tell(&self, word: &str) -> Result<()> {
        let mut leash = self.leash.as_ref().context("the engine has a keeper")?;
        writeln!(leash, "{word}").context("tell the engine's keeper")
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let docker = components::find("docker").context("docker is not installed")?;
        let started = Instant::now();
        while started.elapsed() < START_DEADLINE {
            let asked = command::capture(Command::new(&docker).args([
                "--host",
                &self.host,
                "version",
                "--format",
                "{{.Server.Version}}",
            ]));
            if asked.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        bail!(
            "the Docker engine does not answer after {START_DEADLINE:?}:\n{}",
            command::tail(&log, 15)
        )
    }
}

fn keeper(dir: &Path, dockerd: &Path, host: &str) -> Command {
    let name = dir
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut keeper = Command::new("/bin/sh");
    keeper
        .args(["-c", KEEPER, "agnes-engine"])
        .arg(dir)
        .arg(dockerd)
        .arg(format!("--host={host}"))
        .arg(format!("--data-root={}/data", dir.display()))
        .arg(format!("--exec-root={}/exec", dir.display()))
        .arg(format!("--pidfile={}/pid", dir.display()))
        // The machine's own settings are not read.
        .arg(format!("--config-file={}/config", dir.display()))
        .arg(format!("--containerd-namespace={name}"))
        .arg(format!("--containerd-plugins-namespace={name}-plugins"))
        .arg("--bridge=none")
        .arg("--default-address-pool=base=10.213.0.0/16,size=24")
        .env("PATH", format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Not ended by the terminal's Ctrl-C, which ends the starter: then the keeper has an engine to stop.
        .process_group(0);
    keeper
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.leash.take());
        let asked = Instant::now();
        while asked.elapsed() < STOP_DEADLINE {
            match self.keeper.try_wait() {
                Ok(None) => sleep(Duration::from_millis(50)),
                Ok(Some(_)) => return,
                Err(error) => return eprintln!("engine: wait for its keeper: {error}"),
            }
        }
        eprintln!(
            "engine: still stopping after {STOP_DEADLINE:?}, left to its keeper {}; files in {}",
            self.keeper.id(),
            self.dir.display()
        );
    }
}
