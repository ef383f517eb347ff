//! The deployment's lock, as a command takes it.
//!
//! Always true: whoever does not get it is told who has it, and has touched nothing.
//!
//! Does not: hold it (the kernel does, for whoever keeps the handle).

use std::path::Path;
use std::time::Duration;

use crate::host::{Held, Host, Lock};
use crate::outcome::{Exit, Refusal, Report};

/// How often one that waits for the lock looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Whether the process that has started this one holds the lock.
pub(super) fn parent_holds(host: &Host, dir: &Path) -> bool {
    let holder = host.lock_holder(&dir.join(".lock")).ok().flatten();
    let parent = format!("(pid {},", nix::unistd::getppid());
    holder.is_some_and(|holder| holder.contains(&parent))
}

/// Takes the lock, after waiting up to `patience` for whoever has it.
///
/// # Errors
/// What the command ends with when it does not get it.
pub(super) fn lock(
    host: &Host,
    dir: &Path,
    name: &str,
    patience: Duration,
) -> Result<Lock, Box<Report>> {
    let path = dir.join(".lock");
    let begun = host.instant();
    let (exit, refusal) = loop {
        match host.lock(&path, name) {
            Ok(lock) => return Ok(lock),
            Err(Held::By(holder)) => {
                let left = patience.saturating_sub(begun.elapsed());
                if !left.is_zero() {
                    host.sleep(left.min(LOOK_AGAIN));
                    continue;
                }
                let message = format!(
                    "{} is held by {holder}; nothing was touched",
                    path.display()
                );
                break (Exit::Deferred, Refusal::new("lock-held", message));
            }
            Err(Held::Unusable(error)) => {
                let message = format!("{}: {error}; nothing was touched", path.display());
                break (Exit::Failed, Refusal::new("lock-unusable", message));
            }
        }
    };
    Err(Box::new(Report::refused(exit, refusal)))
}
