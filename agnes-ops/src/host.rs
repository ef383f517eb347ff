//! The only door to the host: files, processes, the clock.
//!
//! Always true: a file appears under its final name whole, durable, and with its mode and owner, or not at all; a
//! child that is run to its end and is not done at its deadline is killed with its whole process group, and none inherits
//! standard input (what a child that ended in time left running on purpose is not touched); in debug builds every effect can be the last one
//! (`checkpoint`), which is how crash safety is tested.
//!
//! Does not: decide anything, or speak to the network (`fetch` talks to sources, `served` to what is served).

mod copy;
mod create;
mod device;
mod file_systems;
mod files;
mod half_made;
mod lock;
mod process;

pub use file_systems::FileSystem;
pub use files::Entry;
pub use lock::{Held, Lock};
pub use process::{Child, Ran, RunError, Running};

use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// The host this program runs on.
#[derive(Debug)]
pub struct Host {
    checkpoints: Checkpoints,
}

impl Host {
    /// One that stops nowhere.
    #[cfg(test)]
    pub fn of_tests() -> Self {
        Self::new(Checkpoints::default())
    }

    /// The real host. `stop_at` and `trace` are honoured in debug builds alone (see [`Host::checkpoint`]).
    pub fn new(checkpoints: Checkpoints) -> Self {
        Self { checkpoints }
    }

    /// Whether everything is allowed to this process.
    pub fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }

    /// Whether what is somebody's with this mode can be written by others than this process's user.
    pub fn is_open(&self, owner: agnes_config::FileOwner, mode: u32) -> bool {
        let trusted = [0, nix::unistd::geteuid().as_raw()];
        !trusted.contains(&owner.uid) || mode & 0o022 != 0
    }

    /// The wall clock, UTC.
    #[expect(clippy::disallowed_methods, reason = "the one door to the wall clock")]
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// The monotonic clock.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Waits; callers bound the sum of their waits.
    #[expect(clippy::disallowed_methods, reason = "the one door to waiting")]
    pub fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    /// A point between two effects. A release build does nothing here. A debug build counts it, appends its name to
    /// the trace file, and kills itself with SIGKILL when it is the one to stop at.
    pub fn checkpoint(&self, name: &str) {
        #[cfg(debug_assertions)]
        self.checkpoints.pass(name);
        #[cfg(not(debug_assertions))]
        let _ = (name, &self.checkpoints);
    }
}

/// Where a debug build stops: `AGNES_STOP_AT=<n>` (1 is the first checkpoint) and `AGNES_CHECKPOINTS=<file>`.
#[derive(Debug, Default)]
#[cfg_attr(
    not(debug_assertions),
    expect(dead_code, reason = "a release passes checkpoints by")
)]
pub struct Checkpoints {
    /// The checkpoint to die at, counted from 1.
    pub stop_at: Option<u64>,
    /// A file that gets one line for each checkpoint passed.
    pub trace: Option<std::path::PathBuf>,
    passed: std::sync::atomic::AtomicU64,
}

impl Checkpoints {
    /// From the two variables' values.
    pub fn new(stop_at: Option<u64>, trace: Option<std::path::PathBuf>) -> Self {
        Self {
            stop_at,
            trace,
            passed: std::sync::atomic::AtomicU64::new(0),
        }
    }

    #[cfg(debug_assertions)]
    fn pass(&self, name: &str) {
        use std::io::Write as _;
        let number = self
            .passed
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            + 1;
        if let Some(path) = &self.trace
            && let Ok(mut file) = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
        {
            let _ = writeln!(file, "{number} {name}");
        }
        if self.stop_at == Some(number) {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }
}
