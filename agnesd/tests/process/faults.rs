//! Disks and system calls that fail under a running server.
//!
//! Always true: the kernel or strace makes the fault, at the moment the test says; it ends with its handle.
//!
//! Does not: pretend: no library stands between the program and the kernel.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::server::PATIENCE;
use crate::small_disk::{SmallDisk, run, skip};

impl SmallDisk {
    /// What the kernel does with an ext4 whose journal fails: from here on every write is refused.
    pub(crate) fn goes_read_only(&self) {
        run(Command::new("mount")
            .args(["-o", "remount,abort"])
            .arg(&self.at))
        .unwrap();
    }

    /// As an operator would, while nothing uses it.
    pub(crate) fn repair(&self) {
        run(Command::new("umount").arg(&self.at)).unwrap();
        // 1: errors were found and corrected
        let checked = Command::new("e2fsck")
            .args(["-f", "-y"])
            .arg(self.image())
            .output()
            .unwrap();
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
        self.attach().unwrap();
    }
}

/// strace over a running process, injecting faults; ends, and lets the process go on, when its handle goes.
pub(crate) struct Faults(Child);

impl Faults {
    /// `arguments` of strace, over all threads of `pid`; returns when they are in force, or `None` after saying `SKIP`.
    pub(crate) fn inject(pid: i32, arguments: &[&str]) -> Option<Self> {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut faults = match child {
            Ok(child) => Self(child),
            Err(e) => {
                skip("strace", &e.to_string());
                return None;
            }
        };
        let end = Instant::now() + PATIENCE;
        while !traced(pid) {
            if let Some(status) = faults.0.try_wait().unwrap() {
                skip("strace", &format!("it cannot attach: {status}"));
                return None;
            }
            assert!(Instant::now() < end, "strace does not attach");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(faults)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // by SIGTERM it detaches first
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Whether every thread of the process has a tracer.
fn traced(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().all(|thread| {
        fs::read_to_string(thread.path().join("status"))
            .is_ok_and(|status| !status.contains("TracerPid:\t0"))
    })
}
