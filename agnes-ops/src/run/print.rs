//! What a run says: stdout, and the one line on stderr.
//!
//! Always true: stdout gets exactly one thing; what others wrote cannot speak to the terminal.
//!
//! Does not: log (that is `tracing`).

use std::io::{ErrorKind, Write as _};

use crate::cli::Command;
use crate::outcome::{Exit, Refusal, Report, one_line, plain_lines};

/// Prints why a command line was not understood, or the help or version it asked for; returns the exit code.
pub fn not_understood(error: &clap::Error, as_json: bool) -> u8 {
    // a reader that went away is no reason to fail
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Ok.code();
    }
    if as_json {
        let report = Report::refused(Exit::Usage, Refusal::new("usage", usage_message(error)));
        let _ = writeln!(std::io::stdout(), "{}", report.to_json("", 0));
    }
    Exit::Usage.code()
}

/// What is wrong with the command line, in one line.
fn usage_message(error: &clap::Error) -> String {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no verb was given".to_owned();
    }
    let text = error.render().to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join(" ");
    one_line(said.strip_prefix("error: ").unwrap_or(&said))
}

/// The one printer of the contract's stdout; the exit code.
pub(super) fn print(command: &Command, as_json: bool, report: &Report, took_ms: u64) -> u8 {
    let (name, changes) = (command.name(), command.changes());
    let mut stdout = std::io::stdout().lock();
    let written = if as_json {
        writeln!(stdout, "{}", report.to_json(name, took_ms))
    } else if let Some(bytes) = &report.body {
        stdout.write_all(bytes)
    } else if report.text.is_empty() {
        Ok(())
    } else if changes && report.exit == Exit::Ok {
        writeln!(
            stdout,
            "{}: {name}\n{}",
            report.outcome.as_str(),
            plain_lines(&report.text)
        )
    } else {
        writeln!(stdout, "{}", plain_lines(&report.text))
    };
    let written = written.and_then(|()| stdout.flush());
    let mut stderr = std::io::stderr().lock();
    let mut exit = report.exit;
    // a reader that went away is no reason to fail; a disk that did not take what was asked for is
    if let Err(why) = written
        && why.kind() != ErrorKind::BrokenPipe
    {
        let _ = writeln!(
            stderr,
            "agnes-ops: {name}: what it said could not be written: {why}"
        );
        if matches!(exit, Exit::Ok | Exit::Drift) {
            exit = Exit::Failed;
        }
    }
    let Some(refusal) = &report.refusal else {
        return exit.code();
    };
    // every problem of a configuration has a line of its own; all else is one line
    let message = if report.exit == Exit::Config {
        plain_lines(&refusal.message)
    } else {
        one_line(&refusal.message)
    };
    let _ = writeln!(stderr, "agnes-ops: {name}: {message}");
    if let Some(hint) = &refusal.hint {
        let _ = writeln!(stderr, "hint: {}", one_line(hint));
    }
    exit.code()
}
