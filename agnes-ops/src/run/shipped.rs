//! `completions` and `man`: what a package has besides the program, made of its own command line.
//!
//! Always true: a function of the command line alone; pages are replaced whole.
//!
//! Does not: install anything where shells and man look (a package does).

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::host::Host;
use crate::outcome::{Outcome, Report};

/// Its name, and the stem of every page's.
const PROGRAM: &str = "agnes-ops";

/// The script of one shell, on stdout.
pub(super) fn completions(shell: clap_complete::Shell) -> Report {
    let generate = |name: &str| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), name, &mut script);
        String::from_utf8_lossy(&script).into_owned()
    };
    let text = match shell {
        // bash's generator calls a program with a hyphen by two names inside, and so finds none of its commands
        clap_complete::Shell::Bash => {
            let plain = PROGRAM.replace('-', "_");
            let script = generate(&plain);
            script.replace(&format!("default {plain}"), &format!("default {PROGRAM}"))
        }
        _ => generate(PROGRAM),
    };
    let script = text.clone().into_bytes();
    let mut report = Report::ok(Outcome::Unchanged, "").detail("text", text);
    report.body = Some(script.into());
    report
}

/// A page of section 1 for each command, into a directory.
///
/// # Errors
/// When one cannot be written.
pub(super) fn man(host: &Host, directory: &Path) -> Result<Report> {
    let mut pages = Vec::new();
    let mut command = Cli::command().name(PROGRAM);
    // the names that subcommands have on the command line
    command.build();
    collect(&command, &mut pages)?;
    host.make_dir(directory)?;
    for (name, page) in &pages {
        host.install(&directory.join(name), page, 0o644, None)?;
    }
    let text = format!("{}: {} pages", directory.display(), pages.len());
    Ok(Report::ok(Outcome::Changed, text).detail("pages", pages.len()))
}

fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = command.get_display_name().unwrap_or(PROGRAM).to_owned();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).title(name.clone());
    man.render(&mut page).context("a page")?;
    pages.push((format!("{name}.1"), page));
    for subcommand in command.get_subcommands() {
        // help is a page that each has already
        if subcommand.get_name() != "help" && !subcommand.is_hide_set() {
            collect(subcommand, pages)?;
        }
    }
    Ok(())
}
