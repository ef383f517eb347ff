//! A child process that ends with its test.
//!
//! Always true: what it says is captured as it comes; dropping the handle kills and reaps it, also when the test panics,
//! and then what it said is printed.
//!
//! Does not: look after processes that the child starts in turn, unless they share its group (see [`Daemon::spawn`]).

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

const POLL: Duration = Duration::from_millis(10);

/// A running child.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it in a process group of its own, with stdin closed and both outputs captured together.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            child
                .stdout
                .take()
                .map(|pipe| read(pipe, Arc::clone(&said))),
            child
                .stderr
                .take()
                .map(|pipe| read(pipe, Arc::clone(&said))),
        ];
        Ok(Self {
            name,
            child,
            said,
            readers: readers.into_iter().flatten().collect(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    ///
    /// # Panics
    /// When a reader panicked.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("readers do not panic")).into_owned()
    }

    /// Waits until it said `text`.
    ///
    /// # Errors
    /// When it ends first, or at the deadline; with what it said.
    pub fn wait_for(&mut self, text: &str, deadline: Duration) -> Result<()> {
        self.wait_until(&format!("saying `{text}`"), deadline, |daemon| {
            daemon.output().contains(text)
        })
    }

    /// Waits until something accepts connections at `address`.
    ///
    /// # Errors
    /// When it ends first, or at the deadline; with what it said.
    pub fn wait_listening(&mut self, address: SocketAddr, deadline: Duration) -> Result<()> {
        self.wait_until(&format!("listening at {address}"), deadline, |_| {
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
        })
    }

    fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            // Asked before the condition: what it said before it ended still counts.
            let ended = self
                .child
                .try_wait()
                .with_context(|| format!("wait for {}", self.name))?;
            if ended.is_some() {
                self.readers
                    .drain(..)
                    .for_each(|reader| reader.join().unwrap_or_default());
            }
            if done(self) {
                return Ok(());
            }
            if let Some(status) = ended {
                bail!(
                    "{} ended ({status}) before {what}:\n{}",
                    self.name,
                    self.output()
                );
            }
            if started.elapsed() > deadline {
                bail!(
                    "{}: not {what} after {deadline:?}:\n{}",
                    self.name,
                    self.output()
                );
            }
            sleep(POLL);
        }
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.nix_pid(), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self
            .child
            .try_wait()
            .with_context(|| format!("wait for {}", self.name))?
            .is_none())
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Errors
    /// When it does not end by the deadline (it is killed then).
    pub fn stop(self, deadline: Duration) -> Result<ExitStatus> {
        // Gone already is as good.
        let _ = self.signal(Signal::SIGTERM);
        self.wait(deadline)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not end by the deadline (it is killed then).
    pub fn wait(mut self, deadline: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .with_context(|| format!("wait for {}", self.name))?
            {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                bail!(
                    "{}: still running after {deadline:?}:\n{}",
                    self.name,
                    self.output()
                );
            }
            sleep(POLL);
        }
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }
}

fn read(
    mut pipe: impl std::io::Read + Send + 'static,
    said: Arc<Mutex<Vec<u8>>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if let (Ok(mut said), Some(bytes)) = (said.lock(), buffer.get(..length)) {
                said.extend_from_slice(bytes);
            }
        }
    })
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Reaped already: its group's number may belong to somebody else by now.
        if let Ok(None) = self.child.try_wait() {
            let _ = killpg(self.nix_pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.output());
        }
    }
}
