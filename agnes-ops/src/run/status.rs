//! `status`, once or again and again.
//!
//! Always true: colours are for a terminal alone, and for none where NO_COLOR is set; a screen that is shown again and again ends with the
//! signal that a person sends.
//!
//! Does not: know what is on the screen.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use agnes_config::Loaded;
use anyhow::Result;

use super::{Environment, doctor};
use crate::cli;
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::status::{self, Colour};

/// How often a screen is shown anew.
const ANEW: Duration = Duration::from_secs(2);
/// Clears a terminal and begins at its top.
const TOP: &str = "\u{1b}[2J\u{1b}[H";

pub(super) fn run(
    args: &cli::Status,
    json: bool,
    environment: &Environment,
    deployment: Deployment<'_>,
    loaded: &Loaded,
) -> Result<Report> {
    let terminal = std::io::stdout().is_terminal();
    let colour = match terminal && environment.get("NO_COLOR").is_none() && !json {
        true => Colour::On,
        false => Colour::Off,
    };
    let look = || {
        let diagnosis = doctor::quick(environment, deployment, loaded);
        status::status(deployment, &diagnosis, colour)
    };
    loop {
        let report = look()?;
        if !args.watch {
            return Ok(report);
        }
        let mut out = std::io::stdout().lock();
        let screen = match json {
            true => format!("{}\n", report.to_json("status", 0)),
            false if terminal => format!("{TOP}{}\n", report.text),
            false => format!("{}\n\n", report.text),
        };
        // whoever reads no longer wants no more
        if out
            .write_all(screen.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return Ok(report);
        }
        drop(out);
        deployment.host.sleep(ANEW);
    }
}
