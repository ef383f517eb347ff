//! `secrets rotate`: a new value beside the old one, proven, and the old one away when nothing needs it any more.
//!
//! Always true: journalled before the first effect and until the last, so that a run that was killed anywhere is finished by
//! the next one; the old value stays accepted until nothing that it signed can be valid, or is refused at once when that was
//! asked for, and then never comes back; else what the running server does not prove is taken back.
//!
//! Does not: wait under the lock: the timer, or the next run, finishes.

use agnes_config::{Secret, Settings};
use anyhow::Result;
use serde_json::Value;

use super::Lookup;
use super::ensure::mint;
use super::env_file::EnvFile;
use super::generations::{Current, Generations, Kept};
use super::live::Live;
use super::side_cars::{self, Containers};
use crate::compose;
use crate::deployment::Deployment;
use crate::fetch::Fetcher;
use crate::host::Host;
use crate::journal::Journal;
use crate::outcome::{Exit, Outcome, Refusal, Report, Steps};
use crate::served::ControlSocket;

mod files;
mod notify;
mod proof;
mod publish;
mod report;
mod rotation;
mod server;
pub(super) mod token;

pub use rotation::Kind;

use notify::{Server, Wanted};
use proof::Proof;
use rotation::{Phase, Rotation};

/// How a rotation runs.
pub struct Options<'a> {
    /// What; `None`: whatever is open.
    pub kind: Option<Kind>,
    /// The old value is compromised and refused at once.
    pub at_once: bool,
    /// Takes back what has not been retired.
    pub rollback: bool,
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// The environment, for the variables that `.env` may use.
    pub lookup: Lookup<'a>,
    /// Restarts the server; `None`: it is not one that this program started.
    pub restart: Option<&'a dyn Fn() -> Result<()>>,
}

/// A rotation that is not finished.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) kind: Kind,
    /// How far it is, in a word.
    pub(super) phase: &'static str,
    /// A run was cut off between two states.
    pub(super) half_way: bool,
    /// Seconds since 1970; before this it rightly waits.
    pub(super) retire_after: i64,
    /// The generation that is still accepted beside the one that counts.
    pub(super) beside: Option<u64>,
}

/// The rotations that are not finished.
pub(super) fn open(host: &Host, settings: &Settings) -> Result<Vec<Open>> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        if let Some(rotation) = journal(settings, kind).read::<Rotation>(host)? {
            found.push(Open {
                kind,
                phase: rotation.phase.word(),
                half_way: rotation.phase != Phase::Waiting,
                retire_after: rotation.retire_after,
                beside: rotation.beside(),
            });
        }
    }
    Ok(found)
}

/// What the server must still accept of them beside the values that count.
pub(super) fn beside(host: &Host, settings: &Settings) -> Result<Vec<(Kind, Secret)>> {
    let generations = Generations::new(&settings.state_dir);
    let mut found = Vec::new();
    for open in open(host, settings)? {
        let values = generations.read(host, open.kind.name())?.values;
        // one that is gone cannot be written
        let value = values
            .into_iter()
            .find(|(number, _)| Some(*number) == open.beside);
        found.extend(value.map(|(_, secret)| (open.kind, secret)));
    }
    Ok(found)
}

fn journal(settings: &Settings, kind: Kind) -> Journal {
    Journal::new(
        &settings.state_dir,
        &format!("secrets-rotate-{}", kind.word()),
    )
}

/// Rotates, goes on with a rotation, or takes one back.
///
/// # Errors
/// When the host refuses something; the next run goes on from there.
pub fn rotate(deployment: Deployment<'_>, options: &Options<'_>) -> Result<Report> {
    let Deployment { host, settings, .. } = deployment;
    if let Some(kind) = options.kind {
        return Work::new(deployment, options, kind)?.run();
    }
    let open = open(host, settings)?;
    let kind = match open.as_slice() {
        [] => return Ok(Report::ok(Outcome::Unchanged, "no rotation is open")),
        [open] => open.kind,
        several => {
            let words: Vec<&str> = several.iter().map(|open| open.kind.word()).collect();
            return each(deployment, options, several, &words);
        }
    };
    Work::new(deployment, options, kind)?.run()
}

/// Several are open and none was named: all of them go on, one after the other.
fn each(
    deployment: Deployment<'_>,
    options: &Options<'_>,
    open: &[Open],
    words: &[&str],
) -> Result<Report> {
    if options.rollback {
        let message = format!(
            "several rotations are open: {}; nothing was touched",
            words.join(", ")
        );
        let refusal = Refusal::new("several-open", message).hint("name the one to take back");
        return Ok(Report::refused(Exit::Failed, refusal));
    }
    let (mut worst, mut lines, mut rotations) =
        (Report::ok(Outcome::Unchanged, ""), Vec::new(), Vec::new());
    let mut steps = Vec::new();
    for Open { kind, .. } in open {
        let report = Work::new(deployment, options, *kind)?.run()?;
        let said = report
            .refusal
            .as_ref()
            .map_or(&report.text, |refusal| &refusal.message);
        lines.push(format!("{}: {said}", kind.word()));
        rotations.push(Value::Object(report.details.clone()));
        steps.extend(report.steps.clone());
        if report.exit.code() > worst.exit.code()
            || report.outcome == Outcome::Changed && worst.exit == Exit::Ok
        {
            worst = report;
        }
    }
    worst.text = lines.join("\n");
    worst.steps = steps;
    Ok(worst.detail("rotations", rotations))
}

/// One rotation at work.
struct Work<'a> {
    host: &'a Host,
    settings: &'a Settings,
    fetcher: &'a Fetcher,
    options: &'a Options<'a>,
    kind: Kind,
    journal: Journal,
    generations: Generations,
    live: Live,
    kept: Kept,
    socket: ControlSocket,
    steps: Steps,
    /// The way by which the server was told last.
    told: Option<&'static str>,
}

impl<'a> Work<'a> {
    fn new(deployment: Deployment<'a>, options: &'a Options<'a>, kind: Kind) -> Result<Self> {
        let Deployment {
            host,
            settings,
            fetcher,
        } = deployment;
        let generations = Generations::new(&settings.state_dir);
        Ok(Self {
            fetcher,
            kept: generations.read(host, kind.name())?,
            journal: journal(settings, kind),
            live: Live::new(&settings.state_dir, settings.server_owner),
            socket: ControlSocket::of(settings),
            steps: Steps::begin(host.instant()),
            told: None,
            host,
            settings,
            options,
            kind,
            generations,
        })
    }

    fn now(&self) -> i64 {
        self.host.now().unix_timestamp()
    }

    fn run(self) -> Result<Report> {
        let open: Option<Rotation> = self.journal.read(self.host)?;
        match open {
            None if self.options.rollback => Ok(self.refuse(
                "no-rotation",
                "there is none that could be taken back; nothing was touched",
                "the old value of a rotation that was retired is gone for good",
            )),
            Some(open) if self.options.rollback => self.take_back(&open),
            // a compromise does not wait for what is open: everything before the new value is dead
            Some(open) if !self.options.at_once || open.at_once => self.go_on(open),
            _ => self.begin(),
        }
    }

    fn begin(mut self) -> Result<Report> {
        let Current::Sound { number, .. } = self.kept.current else {
            return Ok(self.refuse(
                "no-secret",
                "there is no value that could be replaced; nothing was touched",
                "agnes-ops secrets ensure",
            ));
        };
        if let Some(source) = self.fetched_only() {
            let what = format!("it is fetched from {source}; nothing was touched");
            let hint = "rotate it at its source, or name that place as publish too";
            return Ok(self.refuse("fetched", &what, hint));
        }
        let (new, now) = (self.kept.newest + 1, self.now());
        let rotation = Rotation::begin(self.kind, number, new, self.options.at_once, now);
        if self.options.dry_run {
            return Ok(self.planned(&rotation));
        }
        self.stage(rotation)
    }

    fn take_back(mut self, open: &Rotation) -> Result<Report> {
        if open.phase == Phase::Retiring || open.at_once {
            return Ok(self.refuse(
                "too-late",
                "the old value is already being refused; nothing was touched",
                "agnes-ops secrets rotate makes another one",
            ));
        }
        let rotation = open.back(self.kept.newest.max(open.new) + 1, self.now());
        if self.options.dry_run {
            return Ok(self.planned(&rotation));
        }
        self.stage(rotation)
    }

    fn go_on(mut self, open: Rotation) -> Result<Report> {
        if self.options.dry_run {
            return Ok(self.planned(&open));
        }
        match open.phase {
            Phase::Staging => self.stage(open),
            Phase::Waiting => self.retire_when_due(open),
            Phase::Retiring => self.retire(open),
        }
    }

    /// Puts the new value beside the old one, and proves both; or takes it back.
    fn stage(&mut self, mut rotation: Rotation) -> Result<Report> {
        let server = self.server()?;
        // signed before: if this run is cut off, one is signed with the old value later
        let before = match server {
            Server::Answers if self.kind == Kind::Jwt && !rotation.at_once => {
                server::probe(&self.socket).ok().map(|(_, token)| token)
            }
            _ => None,
        };
        self.journal.write(self.host, &rotation)?;
        let proof = self.settle(server, &rotation, before.as_ref())?;
        if let Some(why) = proof.failed() {
            return match rotation.at_once {
                // the old value is somebody else's: it never comes back
                true => Ok(self.not_refused(&rotation, &proof, &why)),
                false => self.undo(&rotation, why),
            };
        }
        self.done("prove".to_owned());
        rotation.phase = Phase::Waiting;
        rotation.retire_after = self.now() + self.kind.longest_life_secs();
        self.journal.write(self.host, &rotation)?;
        if let Err(failure) = self.publish(&mut rotation) {
            let mut report = self.report(&rotation, "waiting", &proof, Outcome::Changed);
            report.exit = Exit::Failed;
            report.refusal = Some(self.unpublished(&failure));
            return Ok(report);
        }
        if rotation.at_once {
            return self.finish(&rotation, &proof);
        }
        Ok(self.report(&rotation, "waiting", &proof, Outcome::Changed))
    }

    /// The way back from a value that the server does not prove.
    fn undo(&mut self, rotation: &Rotation, why: String) -> Result<Report> {
        let back = rotation.back(self.kept.newest + 1, self.now());
        self.journal.write(self.host, &back)?;
        let server = self.server()?;
        let proof = self.settle(server, &back, None)?;
        if let Some(also) = proof.failed() {
            let message = format!(
                "{}: the new value is not proven ({why}), and the way back is not either ({also}); the files have the old value first",
                self.kind.name()
            );
            let refusal = Refusal::new("way-back-failed", message)
                .hint("agnes-ops secrets check; restart the server to take the files up");
            let mut report = self.report(&back, "staging", &proof, Outcome::Degraded);
            report.exit = Exit::Degraded;
            report.refusal = Some(refusal);
            return Ok(report);
        }
        let waiting = Rotation {
            phase: Phase::Waiting,
            ..back
        };
        self.journal.write(self.host, &waiting)?;
        let mut report = self.report(&waiting, "waiting", &proof, Outcome::RolledBack);
        report.exit = Exit::Failed;
        let message = format!(
            "{}: {why}; the old value is back and proven",
            self.kind.name()
        );
        report.refusal = Some(Refusal::new("not-proven", message));
        Ok(report)
    }

    /// Retires the old value if nothing needs it any more.
    fn retire_when_due(&mut self, mut rotation: Rotation) -> Result<Report> {
        // whoever reads it there would otherwise be left with the old one
        if let Err(failure) = self.publish(&mut rotation) {
            let refusal = self.unpublished(&failure);
            let mut report = Report::refused(Exit::Failed, refusal);
            report.details = self.details(&rotation, "waiting");
            return Ok(report);
        }
        if rotation.at_once {
            return self.retire(rotation);
        }
        let left = rotation.retire_after - self.now();
        if left > 0 {
            let message = format!(
                "{}: what generation {} signed may be valid for another {left} s; it stays until then",
                self.kind.name(),
                rotation.old
            );
            return Ok(self.deferred(&rotation, "not-yet", message, &[]));
        }
        if self.kind == Kind::Scheduler {
            if self.server()? != Server::Answers {
                let message = "no server answers that could say who has moved; nothing was touched";
                return Ok(self.deferred(&rotation, "server-absent", message.to_owned(), &[]));
            }
            let not_moved = server::not_moved(&self.socket)?;
            if !not_moved.callers.is_empty() || not_moved.may_lack_some {
                let message = format!(
                    "{} callers still use generation {} of {}; it stays until they have moved",
                    not_moved.callers.len(),
                    rotation.old,
                    self.kind.name()
                );
                return Ok(self.deferred(
                    &rotation,
                    "callers-not-moved",
                    message,
                    &not_moved.callers,
                ));
            }
        }
        self.retire(rotation)
    }

    fn retire(&mut self, mut rotation: Rotation) -> Result<Report> {
        let server = self.server()?;
        rotation.phase = Phase::Retiring;
        self.journal.write(self.host, &rotation)?;
        let (old, new) = (self.value(rotation.old)?, self.value(rotation.new)?);
        let previous = self.kind.previous();
        self.live.remove(self.host, &previous)?;
        self.write_env(&[(&previous, "")])?;
        self.done(format!("take generation {} away", rotation.old));
        let wanted = Wanted {
            current: &new,
            previous: None,
        };
        let proof = match server {
            Server::Absent => Proof::nobody_to_ask(),
            Server::Answers | Server::Silent => match self.tell(&wanted) {
                Ok(()) => proof::of_retirement(&self.socket, &rotation, &old, &new, self.now()),
                Err(untold) => Proof::failing(untold),
            },
        };
        if let Some(why) = proof.failed() {
            return Ok(self.not_refused(&rotation, &proof, &why));
        }
        self.done("prove".to_owned());
        self.finish(&rotation, &proof)
    }

    /// The files have the new value alone, and the server was not seen to have read them.
    fn not_refused(&mut self, rotation: &Rotation, proof: &Proof, why: &str) -> Report {
        let mut report = self.report(rotation, rotation.phase.word(), proof, Outcome::Changed);
        report.exit = Exit::Failed;
        let message = format!(
            "{}: generation {} is gone from the files, and the running server is not proven to refuse it: {why}; the next run tries again",
            self.kind.name(),
            rotation.old
        );
        let refusal = Refusal::new("not-refused", message);
        report.refusal = Some(refusal.hint("restart the server to take the files up"));
        report
    }

    /// The old value is refused; whoever was started with it gets the new one now when it was compromised.
    fn finish(&mut self, rotation: &Rotation, proof: &Proof) -> Result<Report> {
        let new = self.value(rotation.new)?;
        let failed = match rotation.at_once {
            true => self.move_side_cars(&new).err(),
            false => None,
        };
        self.journal.close(self.host)?;
        let mut report = self.report(rotation, "retired", proof, Outcome::Changed);
        self.name_side_cars(&mut report, &new, failed);
        Ok(report)
    }

    /// Makes the containers anew that were started with another value.
    fn move_side_cars(&mut self, new: &Secret) -> Result<(), String> {
        let found = Containers::look(self.host, self.settings)?.with(self.kind.name(), new);
        let behind = side_cars::not_moved(&found);
        if behind.is_empty() {
            return Ok(());
        }
        compose::recreate(self.host, &self.settings.dir, &behind)?;
        self.done(format!("re-create {}", behind.join(", ")));
        Ok(())
    }

    /// Lists the containers that were started with the secret, and says who still has another value.
    fn name_side_cars(&self, report: &mut Report, new: &Secret, failed: Option<String>) {
        let found = Containers::look(self.host, self.settings)
            .map(|containers| containers.with(self.kind.name(), new));
        let listed = found.as_deref().map(side_cars::to_json);
        let said = match (&failed, &found) {
            (_, Err(why)) => Some(format!("which side-cars have moved is not known: {why}")),
            (failed, Ok(found)) => {
                let behind = side_cars::not_moved(found);
                let why = failed
                    .as_ref()
                    .map_or(String::new(), |why| format!(" ({why})"));
                (!behind.is_empty() || failed.is_some())
                    .then(|| format!("not moved: {}{why}", behind.join(", ")))
            }
        };
        if let Some(said) = said {
            report.text = format!("{}; {said}", report.text);
        }
        report
            .details
            .insert("side_cars".to_owned(), listed.unwrap_or_default().into());
    }

    fn done(&mut self, what: String) {
        self.steps.done(what, self.host.instant());
    }
}
