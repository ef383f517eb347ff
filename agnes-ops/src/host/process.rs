//! Processes: run one to its end with a deadline, start one that stays, look at one, signal one.
//!
//! Always true: no shell; standard input is empty; what exceeds its deadline is killed with its process group; a
//! signal goes to the process that was looked at, never to one that took its number meanwhile.
//!
//! Does not: pass secrets in argv (callers must not ask it to).

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use agnes_config::FileOwner;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::Host;

/// How a child process ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ran {
    /// The first non-empty line of what it complained of, for programs that say what is wrong and then what to do.
    pub fn first_line(&self) -> &str {
        self.stderr
            .lines()
            .chain(self.stdout.lines())
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no output")
            .trim()
    }

    /// The last non-empty line of what it complained of, for one-line messages.
    pub fn last_line(&self) -> &str {
        let mut last = self.stderr.lines().rev().chain(self.stdout.lines().rev());
        last.find(|line| !line.trim().is_empty())
            .unwrap_or("no output")
            .trim()
    }
}

/// Why a child process did not come to its own end.
#[derive(Debug)]
pub enum RunError {
    /// There is no such program.
    NoProgram,
    /// Killed at its deadline.
    TimedOut(Duration),
    /// Anything else.
    Io(io::Error),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunError::NoProgram => write!(f, "no such program"),
            RunError::TimedOut(after) => {
                write!(f, "not done after {} ms, killed", after.as_millis())
            }
            RunError::Io(error) => write!(f, "{error}"),
        }
    }
}

/// A process that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks after boot: with the pid, the process's identity.
    start_ticks: u64,
    /// Signals it handles, one bit each (bit 0 is signal 1).
    caught: u64,
    /// Signals it ignores.
    ignored: u64,
}

/// A process that was started to stay.
#[derive(Debug)]
pub struct Child(std::process::Child);

impl Child {
    /// Process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().ok().flatten().map(exit_code)
    }
}

impl Host {
    /// Runs a program to its end.
    pub fn run(
        &self,
        argv: &[&str],
        directory: Option<&Path>,
        deadline: Duration,
    ) -> Result<Ran, RunError> {
        self.run_to_end(argv, directory, None, None, deadline)
    }

    /// Runs a program to its end as somebody else, where we may: what it makes is theirs.
    pub fn run_as(
        &self,
        owner: Option<FileOwner>,
        argv: &[&str],
        deadline: Duration,
    ) -> Result<Ran, RunError> {
        let owner = owner.filter(|_| nix::unistd::geteuid().is_root());
        self.run_to_end(argv, None, owner, None, deadline)
    }

    /// Runs a program to its end that reads `input`: what must not stand among its arguments.
    pub fn run_fed(
        &self,
        argv: &[&str],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Ran, RunError> {
        self.run_to_end(argv, None, None, Some(input), deadline)
    }

    fn run_to_end(
        &self,
        argv: &[&str],
        directory: Option<&Path>,
        owner: Option<FileOwner>,
        input: Option<&[u8]>,
        deadline: Duration,
    ) -> Result<Ran, RunError> {
        let (program, arguments) = argv.split_first().ok_or(RunError::NoProgram)?;
        self.checkpoint(&format!("before running {program}"));
        let mut command = command(program);
        command
            .args(arguments)
            .stdin(match input {
                Some(_) => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        if let Some(owner) = owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RunError::NoProgram,
            _ => RunError::Io(error),
        })?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            // a few bytes, which a pipe holds also when nobody reads them
            let _ = pipe.write_all(input);
        }
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let started = self.instant();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(RunError::Io)? {
                break Some(status);
            }
            if started.elapsed() >= deadline {
                break None;
            }
            self.sleep(Duration::from_millis(2));
        };
        let Some(status) = status else {
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            let _ = child.wait();
            return Err(RunError::TimedOut(deadline));
        };
        // A grandchild may keep the pipes open; what was printed until now is enough.
        let grace = Duration::from_millis(200);
        Ok(Ran {
            code: exit_code(status),
            stdout: stdout.recv_timeout(grace).unwrap_or_default(),
            stderr: stderr.recv_timeout(grace).unwrap_or_default(),
        })
    }

    /// Starts a program that stays, in a process group of its own, its output appended to `log` (made 0640).
    pub fn start(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> io::Result<Child> {
        self.checkpoint(&format!("before starting {}", program.display()));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(log)?;
        let mut command = command(program.as_os_str());
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        command.spawn().map(Child)
    }

    /// Looks at a process; `None` when there is none with this number, or it has ended and waits to be reaped.
    pub fn process(&self, pid: i32) -> io::Result<Option<Running>> {
        let absent = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(None),
            _ => Err(error),
        };
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) => return absent(error),
        };
        let status = match fs::read_to_string(format!("/proc/{pid}/status")) {
            Ok(status) => status,
            Err(error) => return absent(error),
        };
        // The name stands in parentheses and may hold anything; fields are counted behind the last one.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ended = matches!(fields.first(), Some(&"Z" | &"X") | None);
        if ended && !has_threads(pid) {
            return Ok(None);
        }
        let start_ticks = fields
            .get(19)
            .and_then(|ticks| ticks.parse().ok())
            .unwrap_or(0);
        let mask = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .unwrap_or(0)
        };
        Ok(Some(Running {
            pid,
            start_ticks,
            caught: mask("SigCgt:"),
            ignored: mask("SigIgn:"),
        }))
    }

    /// The name of the process's program as the kernel keeps it, at most 15 bytes; `None` when it has ended.
    pub fn program_name(&self, running: &Running) -> io::Result<Option<String>> {
        let name = fs::read(format!("/proc/{}/comm", running.pid));
        Ok(match self.process(running.pid)? {
            // the process that was looked at, so the name is its own
            Some(now) if now.start_ticks == running.start_ticks => {
                Some(String::from_utf8_lossy(&name?).trim_end().to_owned())
            }
            _ => None,
        })
    }

    /// Seconds since 1970 when the process started, to within a second or so.
    pub fn started_secs(&self, running: &Running) -> io::Result<i64> {
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
        let boot = fs::read_to_string("/proc/stat")?
            .lines()
            .find_map(|line| {
                line.strip_prefix("btime ")
                    .and_then(|secs| secs.trim().parse::<i64>().ok())
            })
            .ok_or_else(|| io::Error::other("/proc/stat: no btime"))?;
        Ok(boot + i64::try_from(running.start_ticks).unwrap_or(0) / ticks)
    }

    /// Sends the signal, if the process is still the one that was looked at.
    pub fn signal(&self, running: &Running, signal: Signal) -> io::Result<()> {
        self.checkpoint(&format!("before {signal}"));
        match self.process(running.pid)? {
            Some(now) if now.start_ticks == running.start_ticks => {
                Ok(kill(Pid::from_raw(running.pid), signal)?)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process has ended",
            )),
        }
    }

    /// The size and modification time that make out which build of a program stands at a path.
    pub fn build_of(&self, program: &Path) -> io::Result<String> {
        let metadata = fs::metadata(program)?;
        Ok(format!(
            "{}-{}-{}",
            metadata.ino(),
            metadata.len(),
            metadata.mtime_nsec() + metadata.mtime() * 1_000_000_000
        ))
    }
}

impl Running {
    /// Would this signal's default action (for the signals a reload sends: death) befall it?
    pub fn survives(&self, signal: Signal) -> bool {
        let bit = 1_u64 << (signal as i32 - 1);
        (self.caught | self.ignored) & bit != 0
    }
}

#[expect(clippy::disallowed_methods, reason = "the one door to processes")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// Whether threads of a process whose first one has ended are still there: until the last of them has gone, its files are open and
/// its locks are held.
fn has_threads(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads.is_ok_and(|threads| threads.count() > 1)
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Reads a pipe to its end beside us, so that a full pipe never blocks the child.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(1 << 20).read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_ends_the_whole_process_group() {
        let host = Host::of_tests();
        let dir = tempfile::tempdir().unwrap();
        let script = "sleep 300 & echo $! > grandchild; wait";
        let ended = host.run(
            &["sh", "-c", script],
            Some(dir.path()),
            Duration::from_millis(700),
        );
        assert!(matches!(ended, Err(RunError::TimedOut(_))), "{ended:?}");
        let pid = fs::read_to_string(dir.path().join("grandchild")).unwrap();
        let pid = pid.trim().parse().unwrap();
        for _ in 0..100 {
            if host.process(pid).unwrap().is_none() {
                return;
            }
            host.sleep(Duration::from_millis(20));
        }
        panic!("the grandchild outlived the deadline");
    }
}
