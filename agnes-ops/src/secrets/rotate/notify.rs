//! Making the running server take its secrets up: by its control socket, else by SIGHUP, else by a new process.
//!
//! Always true: the server was told when it says that it has the wanted values, never because a way ended well; a server that
//! refuses the files is not asked in another way.
//!
//! Does not: prove what the values open.

use std::path::PathBuf;
use std::time::Duration;

use agnes_config::{ProcessTarget, Runtime, Secret};
use anyhow::Result;
use nix::sys::signal::Signal;

use super::super::side_cars::SERVER;
use super::Work;
use super::server;
use crate::compose::{self, Missing};
use crate::served::NoAnswer;
use crate::signal;
use crate::systemd;

/// The unit of a host without Docker.
const UNIT: &str = "agnesd.service";
/// How long a restart may take.
const RESTART: Duration = Duration::from_secs(90);

/// The running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// It answers on its control socket.
    Answers,
    /// Its process is there, and nobody answers on the socket.
    Silent,
    /// There is none: what is staged is taken up at its next start.
    Absent,
}

/// The values that the server shall have.
pub(super) struct Wanted<'a> {
    pub(super) current: &'a Secret,
    pub(super) previous: Option<&'a Secret>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ControlSocket,
    Sighup,
    Recreate,
}

/// Why a way did not lead anywhere.
enum Stopped {
    /// Another may.
    Here(String),
    /// The server has read the files and will not have them.
    Everywhere(String),
}

impl Way {
    const ALL: [Self; 3] = [Self::ControlSocket, Self::Sighup, Self::Recreate];

    /// As it stands in `details.told`.
    fn word(self) -> &'static str {
        match self {
            Self::ControlSocket => "control-socket",
            Self::Sighup => "sighup",
            Self::Recreate => "re-created",
        }
    }

    /// How long after it the server may take.
    fn patience(self) -> Duration {
        match self {
            // answered when it is done
            Self::ControlSocket => Duration::ZERO,
            Self::Sighup => Duration::from_secs(3),
            Self::Recreate => Duration::from_secs(60),
        }
    }
}

impl Work<'_> {
    /// Looks whether the server runs, and whether it could be told.
    ///
    /// # Errors
    /// When that cannot be seen, or a server that runs can neither be asked nor made anew; nothing was touched.
    pub(super) fn server(&self) -> Result<Server> {
        let path = self.socket.path().display();
        let why = match self.socket.get("/v1/state") {
            Ok(_) => return Ok(Server::Answers),
            Err(why) => why,
        };
        match self.process() {
            Ok(()) => {}
            Err(Missing::Absent(_)) if why == NoAnswer::Nobody => return Ok(Server::Absent),
            Err(Missing::Absent(_)) => anyhow::bail!("{path}: {why}; nothing was touched"),
            Err(Missing::Failed(also)) => {
                anyhow::bail!("whether the server runs cannot be seen: {also}; nothing was touched")
            }
        }
        let socket_is_here = self.socket.path().parent().is_some_and(|run| run.is_dir());
        if !socket_is_here {
            anyhow::bail!(
                "the server runs, and its control socket is not on this host ({path}), so nothing could be proven; nothing was touched"
            );
        }
        let can_be_made_anew = match self.settings.runtime {
            Runtime::Compose => true,
            Runtime::Process => {
                self.options.restart.is_some() || signal::main_process(self.host, UNIT).is_ok()
            }
        };
        if !can_be_made_anew {
            anyhow::bail!(
                "{path}: {why}, and the server that runs was not started by agnes-ops up or {UNIT}; nothing was touched"
            );
        }
        Ok(Server::Silent)
    }

    /// Makes the server take up these values, by the first way after which it has them.
    ///
    /// # Errors
    /// What each way came to, in one line.
    pub(super) fn tell(&mut self, wanted: &Wanted<'_>) -> Result<(), String> {
        let mut said = Vec::new();
        for way in Way::ALL {
            match self.ask(way, wanted) {
                Ok(()) => match self.takes_up(wanted, way.patience()) {
                    Ok(()) => {
                        self.told = Some(way.word());
                        self.done("tell the server".to_owned());
                        return Ok(());
                    }
                    Err(why) => said.push(format!("{}: {why}", way.word())),
                },
                Err(Stopped::Here(why)) => said.push(format!("{}: {why}", way.word())),
                Err(Stopped::Everywhere(why)) => return Err(why),
            }
        }
        Err(said.join("; "))
    }

    fn ask(&self, way: Way, wanted: &Wanted<'_>) -> Result<(), Stopped> {
        match way {
            Way::ControlSocket => server::tell(&self.socket).map_err(|why| match why {
                // an older server has no such call
                NoAnswer::Nobody | NoAnswer::Failed(_) | NoAnswer::Refused(404 | 405, _) => {
                    Stopped::Here(why.to_string())
                }
                NoAnswer::Refused(..) => Stopped::Everywhere(why.to_string()),
            }),
            Way::Sighup => self
                .each_target(|target| {
                    signal::send(self.host, &self.settings.dir, target, Signal::SIGHUP)
                })
                .map_err(|why| Stopped::Here(why.into_clause())),
            Way::Recreate => self.recreate(wanted).map_err(Stopped::Here),
        }
    }

    /// A server that has its secrets from its environment gets new ones with a new process only.
    fn recreate(&self, wanted: &Wanted<'_>) -> Result<(), String> {
        let name = self.kind.name();
        let previous = format!("{name}_PREVIOUS");
        let beside = wanted.previous.map_or("", Secret::expose);
        self.write_env(&[(name, wanted.current.expose()), (&previous, beside)])
            .map_err(|why| format!("{why:#}"))?;
        if self.settings.runtime == Runtime::Compose {
            return compose::recreate(self.host, &self.settings.dir, &[SERVER]);
        }
        if signal::main_process(self.host, UNIT).is_ok() {
            return systemd::act(self.host, "restart", &[UNIT], RESTART);
        }
        match self.options.restart {
            Some(restart) => restart().map_err(|why| format!("{why:#}")),
            None => Err("it was not started by agnes-ops up".to_owned()),
        }
    }

    /// Waits until the server says that it has these values.
    fn takes_up(&self, wanted: &Wanted<'_>, patience: Duration) -> Result<(), String> {
        let begun = self.host.instant();
        loop {
            let why = match server::has(&self.socket, self.kind, wanted.current, wanted.previous) {
                Ok(true) => return Ok(()),
                Ok(false) => "it has others".to_owned(),
                Err(why) => format!("{why:#}"),
            };
            if begun.elapsed() >= patience {
                return Err(why);
            }
            self.host.sleep(Duration::from_millis(50));
        }
    }

    fn process(&self) -> Result<(), Missing> {
        self.each_target(|target| signal::runs(self.host, &self.settings.dir, target))
    }

    /// The first place where the server's process is.
    fn each_target(
        &self,
        look: impl Fn(&ProcessTarget) -> Result<(), Missing>,
    ) -> Result<(), Missing> {
        let targets = match self.settings.runtime {
            Runtime::Compose => vec![ProcessTarget::ComposeService(SERVER.to_owned())],
            Runtime::Process => vec![
                ProcessTarget::PidFile(self.pid_file()),
                ProcessTarget::Unit(UNIT.to_owned()),
            ],
        };
        let mut absent = Missing::Absent("no process of it runs".to_owned());
        for target in &targets {
            match look(target) {
                Err(Missing::Absent(why)) => absent = Missing::Absent(why),
                other => return other,
            }
        }
        Err(absent)
    }

    fn pid_file(&self) -> PathBuf {
        self.settings.state_dir.join("agnesd.pid")
    }
}
