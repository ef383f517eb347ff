//! The program's own children: what must not happen in the process that owns the database.
//!
//! One type is the protocol in both directions: the owner turns a [`Task`] into arguments, the program parses them into a
//! [`Task`] again and [`perform`]s it, and one JSON object comes back on standard output.
//!
//! Always true: a child has a deadline, no standard input and an empty environment, and ends with its parent.
//!
//! Does not: judge what an ended child means; see `replay.rs`.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Options;
use super::attach::Limits;
use super::error::one_line;

/// What a child does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Opens the database with its write-ahead log, checkpoints and closes it.
    Replay(PathBuf),
    /// Copies the bytes of the first to the second, which must not exist.
    Copy(PathBuf, PathBuf),
    /// Puts a copy onto the disk and reads it back.
    Seal(PathBuf),
    /// Opens the database read-only and reads all of it.
    Prove(PathBuf),
}

/// Why a child did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of thing stood in the way.
    pub cause: Cause,
    /// One line.
    pub why: String,
}

/// What stood in a child's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The write-ahead log cannot be replayed.
    Log,
    /// Space, memory, permissions, another process: nothing is known about the file.
    Host,
    /// The file itself.
    File,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Done(Value),
    Failed(Failure),
    /// By a signal that a program brings on itself.
    Crashed(String),
    /// By a signal from outside, the deadline, or without an answer.
    Stopped(String),
}

/// Runs `task` in a child and waits for it.
pub(crate) fn run(options: &Options, task: &Task, deadline: Duration) -> Ended {
    match start(options, task) {
        Ok(child) => wait(child, deadline),
        Err(e) => Ended::Stopped(format!("start {}: {e}", options.program.display())),
    }
}

/// Performs `task` in this process, which is the child; `parent` is the one that waits for it.
///
/// # Errors
/// [`Failure`], to be printed as [`answer`] prints it.
pub fn perform(task: &Task, limits: Limits, parent: Option<u32>) -> Result<Value, Failure> {
    if let Some(parent) = parent {
        end_with(parent)?;
    }
    match task {
        Task::Replay(file) => super::replay::perform(file, limits),
        Task::Copy(from, to) => super::copy::perform(from, to),
        Task::Seal(copy) => super::copy::perform_seal(copy),
        Task::Prove(file) => super::content::perform(file, limits),
    }
}

/// The object that goes to the parent on standard output.
#[must_use]
pub fn answer(result: &Result<Value, Failure>) -> Value {
    match result {
        Ok(done) => serde_json::json!({ "done": done }),
        Err(failure) => serde_json::json!({ "failed": failure }),
    }
}

impl Failure {
    pub(crate) fn new(cause: Cause, why: impl Into<String>) -> Self {
        Self {
            cause,
            why: why.into(),
        }
    }

    /// From the engine's words: it has no codes for these.
    pub(crate) fn engine(words: &str) -> Self {
        const HOST: [&str; 11] = [
            "no space left",
            "quota",
            "input/output error",
            "permission denied",
            "read-only file system",
            "out of memory",
            "failed to allocate",
            "could not set lock",
            "too many open files",
            "cannot open file",
            "can only read version",
        ];
        const LOG: [&str; 6] = [
            "replaying wal",
            "replaying checkpoint wal",
            "corrupt wal",
            "wal does not match",
            "wal checkpoint iteration",
            "internal error",
        ];
        let lower = words.to_lowercase();
        let any = |list: &[&str]| list.iter().any(|part| lower.contains(part));
        let cause = if any(&HOST) {
            Cause::Host
        } else if any(&LOG) {
            Cause::Log
        } else {
            Cause::File
        };
        Self::new(cause, words)
    }

    pub(crate) fn io(path: &Path, operation: &str, e: &std::io::Error) -> Self {
        Self::new(Cause::Host, format!("{}: {operation}: {e}", path.display()))
    }
}

/// A child must not go on writing after its parent is gone and a new owner has come.
fn end_with(parent: u32) -> Result<(), Failure> {
    let gone = |why: String| Failure::new(Cause::Host, why);
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|e| gone(format!("end with the parent: {}", e.desc())))?;
    if u32::try_from(nix::unistd::getppid().as_raw()) != Ok(parent) {
        return Err(gone("the parent is gone".to_owned()));
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one door of this crate to processes"
)]
fn start(options: &Options, task: &Task) -> std::io::Result<Child> {
    let mut command = Command::new(&options.program);
    command.arg("db");
    match task {
        Task::Replay(file) => command.arg("replay").arg(file),
        Task::Copy(from, to) => command.arg("copy").arg(from).arg(to),
        Task::Seal(copy) => command.arg("seal").arg(copy),
        Task::Prove(file) => command.arg("prove").arg(file),
    };
    command
        .arg(format!("--memory-bytes={}", options.memory_limit_bytes))
        .arg(format!("--threads={}", options.threads))
        .arg(format!("--parent={}", std::process::id()))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command.spawn()
}

fn wait(mut child: Child, deadline: Duration) -> Ended {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < deadline => pause(begun.elapsed()),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Ended::Stopped(format!("not done after {} s", deadline.as_secs()));
            }
            Err(e) => return Ended::Stopped(format!("wait for the child: {e}")),
        }
    };
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let said = String::from_utf8_lossy(&stderr);
    let said = one_line(said.lines().last().unwrap_or_default());
    if let Some(signal) = status.signal() {
        let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
        return if crash(signal) {
            Ended::Crashed(format!("the engine ended by {name}: {said}"))
        } else {
            Ended::Stopped(format!("the child was ended by {name}"))
        };
    }
    let mut answer: Value = serde_json::from_slice(&stdout).unwrap_or_default();
    if let Some(done) = answer.get_mut("done") {
        return Ended::Done(done.take());
    }
    match answer
        .get_mut("failed")
        .map(|f| serde_json::from_value(f.take()))
    {
        Some(Ok(failure)) => Ended::Failed(failure),
        _ => Ended::Stopped(format!("the child gave no answer ({status}): {said}")),
    }
}

/// A program brings these on itself.
fn crash(signal: i32) -> bool {
    matches!(
        Signal::try_from(signal),
        Ok(Signal::SIGABRT | Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE)
    )
}

/// Short at first: most children are done in a few milliseconds, and a start waits for them.
#[expect(
    clippy::disallowed_methods,
    reason = "the one wait of this crate, bounded by the child's deadline"
)]
fn pause(waited: Duration) {
    std::thread::sleep((waited / 10).clamp(Duration::from_millis(1), Duration::from_millis(50)));
}

/// Reads a child's stream to its end beside it, so that it never waits for us.
fn drain(stream: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut stream = stream?;
    Some(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.by_ref().take(16 << 20).read_to_end(&mut bytes);
        bytes
    }))
}

fn collect(reader: Option<JoinHandle<Vec<u8>>>) -> Vec<u8> {
    reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default()
}
