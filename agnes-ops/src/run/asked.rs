//! A person at a terminal is asked.
//!
//! Always true: anything but a yes is a no.
//!
//! Does not: know about what.

use std::io::{IsTerminal as _, Write as _};

use crate::outcome::plain_lines;

/// `None`: nobody is there.
pub(super) fn asked(told: &str, question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{}\n{question} [y/N] ", plain_lines(told));
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}
