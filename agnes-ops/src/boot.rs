//! `boot`: from whatever a host is to one that serves, by declared steps.
//!
//! Always true: safety tooling comes first; a step that fails leaves those before it working, and the next boot goes on from there (B06); a
//! host that is as it should be gets nothing but records.
//!
//! Does not: upgrade: what runs is left to the ticks.

mod disk;
mod docker;
mod given;
mod log;
mod seed;

use agnes_config::{Overlay, Runtime};
use anyhow::Result;

pub use given::Given;
pub use seed::{Seeded, plan as plan_seed};

use self::disk::{Became, Disk, Failed as DiskFailed};
use self::log::{Done, Log, Stop};
use crate::deployment::Deployment;
use crate::disk::{State, is_seen_by as look_inside, look as look_at_disk};
use crate::outcome::{Outcome, Refusal, Report};
use crate::served::ControlSocket;
use crate::tls::ProofTime;
use crate::units::Root;
use crate::upgrade::{self, first};
use crate::{compose, directories, systemd};

/// The server's unit.
const SERVER_UNIT: &str = "agnesd.service";
/// Its service in the stack.
const SERVICE: &str = "app";

/// A command of this program, run as it would run by itself, its record included.
pub type Command<'a> = &'a dyn Fn() -> Result<Report>;

/// How a boot runs.
pub struct Options<'a> {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Where units and the like go.
    pub root: Root<'a>,
    /// What became of the configuration that came with the machine; `None`: none came.
    pub seeded: Option<&'a Seeded>,
    /// `units install`.
    pub units: Command<'a>,
    /// `secrets ensure`.
    pub secrets: Command<'a>,
    /// `tls rotate`, which makes a pair also where nothing is published.
    pub certificates: &'a dyn Fn(ProofTime) -> Result<Report>,
    /// For the image.
    pub surroundings: &'a upgrade::Surroundings<'a>,
    /// As a tick has them.
    pub upgrade: upgrade::Options<'a>,
}

struct Boot<'a> {
    deployment: Deployment<'a>,
    options: &'a Options<'a>,
    brought: Option<first::Brought>,
    /// A dry run would bring one.
    plans_to_bring: bool,
}

type StepOf<'a> = fn(&mut Boot<'a>) -> Result<Done, Stop>;

/// Runs the steps.
pub fn boot(deployment: Deployment<'_>, options: &Options<'_>) -> Report {
    let mut boot = Boot {
        deployment,
        options,
        brought: None,
        plans_to_bring: false,
    };
    let all: [(&'static str, StepOf<'_>); 12] = [
        ("configuration", Boot::configuration),
        ("units", Boot::units),
        ("disk", Boot::disk),
        ("sentinel", Boot::sentinel),
        ("directories", Boot::directories),
        ("docker", Boot::docker),
        ("image", Boot::image),
        ("host-files", Boot::host_files),
        ("secrets", Boot::secrets),
        ("certificates", Boot::certificates),
        ("start", Boot::start),
        ("admin", Boot::admin),
    ];
    let mut log = Log::default();
    let mut stopped = false;
    for (name, step) in all {
        if stopped {
            log.step(name, "not-reached", 0, String::new());
            continue;
        }
        let begun = deployment.host.instant();
        let ended = step(&mut boot);
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        stopped = ended.is_err();
        log.ended(name, ended, took);
    }
    log.report(options.dry_run)
}

fn stop(reason: &str, why: impl std::fmt::Display) -> Stop {
    Refusal::new(reason, why.to_string())
}

fn host_error(why: &anyhow::Error) -> Stop {
    stop("host-error", format!("{why:#}"))
}

/// What a command of ours came to, as a step.
fn of_command(report: Result<Report>) -> Result<Done, Stop> {
    let report = report.map_err(|why| host_error(&why))?;
    if let Some(refusal) = report.refusal {
        return Err(refusal);
    }
    let planned = report.steps.iter().filter(|step| step.result == "planned");
    let planned: Vec<&str> = planned.map(|step| step.name.as_str()).collect();
    let said = report.text.lines().next().unwrap_or_default().to_owned();
    Ok(match (report.outcome, planned.is_empty()) {
        (Outcome::Changed, _) => Done::Changed(said),
        (_, true) => Done::Unchanged(said),
        (_, false) => Done::Planned(planned.join("; ")),
    })
}

fn listed(did: Vec<String>, dry_run: bool, otherwise: &str) -> Done {
    match (did.is_empty(), dry_run) {
        (true, _) => Done::Unchanged(otherwise.to_owned()),
        (false, true) => Done::Planned(did.join("; ")),
        (false, false) => Done::Changed(did.join("; ")),
    }
}

impl Boot<'_> {
    fn configuration(&mut self) -> Result<Done, Stop> {
        let Some(seeded) = self.options.seeded else {
            return Ok(Done::Skipped("none came with the machine".to_owned()));
        };
        let each = |names: &[String], what: &str| -> Vec<String> {
            let names = names.iter();
            names.map(|name| format!("{name} {what}")).collect()
        };
        let mut said = seeded.written.clone();
        said.extend(each(&seeded.removed, "is no longer given, and goes"));
        let mut left = each(&seeded.kept, "is a person's, and stays");
        left.extend(each(
            &seeded.left_out,
            "was taken out by a person, and stays out",
        ));
        if said.is_empty() {
            let otherwise = match left.is_empty() {
                true => "as it came".to_owned(),
                false => left.join("; "),
            };
            return Ok(Done::Unchanged(otherwise));
        }
        said.extend(left);
        Ok(listed(said, self.options.dry_run, ""))
    }

    /// First, so that whatever fails after it is heard of. A host without systemd has no use for them.
    fn units(&mut self) -> Result<Done, Stop> {
        match of_command((self.options.units)()) {
            Err(refusal) => Ok(Done::Failed(refusal)),
            done => done,
        }
    }

    fn disk(&mut self) -> Result<Done, Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let Some(device) = &settings.machine.data_device else {
            return Ok(Done::Skipped("host.data_device is not set".to_owned()));
        };
        let disk = Disk {
            host,
            settings,
            device,
            root: self.options.root,
            dry_run: self.options.dry_run,
        };
        match disk.converge() {
            Ok(Became::Unchanged(but)) => {
                let at = settings.data_dir.display();
                let but = but.map(|but| format!("; {but}")).unwrap_or_default();
                Ok(Done::Unchanged(format!(
                    "{} at {at}{but}",
                    device.display()
                )))
            }
            Ok(Became::Changed(did)) => Ok(listed(did, self.options.dry_run, "")),
            Err(DiskFailed::Refused(refused)) => {
                let why = format!(
                    "{}: {}; not a byte of it was written",
                    device.display(),
                    refused.why
                );
                Err(Refusal::new(refused.reason, why).hint(refused.hint))
            }
            Err(DiskFailed::Host(why)) => {
                Err(stop("host-error", format!("{}: {why:#}", device.display())))
            }
        }
    }

    fn sentinel(&mut self) -> Result<Done, Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        match look_at_disk(host, settings) {
            State::NotDeclared => Ok(Done::Skipped("host.data_device is not set".to_owned())),
            State::Proven => Ok(Done::Unchanged(
                "the disk is the one it should be".to_owned(),
            )),
            State::NotProven(why) if self.options.dry_run => Ok(Done::Planned(why)),
            State::NotProven(why) => Err(stop("state-disk", why)),
        }
    }

    fn directories(&mut self) -> Result<Done, Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let server = directories::server(host, settings).map_err(|why| host_error(&why))?;
        let list = directories::manifest(settings, server.unwrap_or(directories::IMAGE_USER));
        if self.options.dry_run {
            let wrong = directories::wrong(host, &list).map_err(|why| host_error(&why))?;
            return Ok(listed(wrong, true, "owners and modes are right"));
        }
        let changed =
            directories::converge(host, settings, &list).map_err(|why| host_error(&why))?;
        Ok(listed(changed, false, "owners and modes are right"))
    }

    fn runs_no_image(&self) -> Option<Done> {
        let process = self.deployment.settings.runtime == Runtime::Process;
        process.then(|| Done::Skipped("AGNES_RUNTIME is process".to_owned()))
    }

    fn docker(&mut self) -> Result<Done, Stop> {
        if let Some(skipped) = self.runs_no_image() {
            return Ok(skipped);
        }
        let Deployment { host, settings, .. } = self.deployment;
        if self.options.dry_run {
            let missing = docker::look(host).map_err(|why| host_error(&why))?;
            return Ok(match missing {
                None => Done::Unchanged("Docker and Compose answer".to_owned()),
                Some(missing) => Done::Planned(missing.to_string()),
            });
        }
        let root = self.options.root;
        let did = docker::converge(host, settings, root);
        let did = did.map_err(|why| stop("docker", format!("{why:#}")))?;
        Ok(listed(did, false, "Docker and Compose answer"))
    }

    fn image(&mut self) -> Result<Done, Stop> {
        if let Some(skipped) = self.runs_no_image() {
            return Ok(skipped);
        }
        let surroundings = self.options.surroundings;
        if !self.options.dry_run {
            let finished =
                upgrade::finish_open(self.deployment, surroundings, &self.options.upgrade);
            if let Some(report) = finished.map_err(|why| host_error(&why))? {
                if let Some(refusal) = report.refusal {
                    return Err(refusal);
                }
                return Ok(Done::Changed(report.text));
            }
        }
        match first::runs(self.deployment, surroundings) {
            Ok(first::Runs::Something) => {
                return Ok(Done::Unchanged(
                    "a version runs; ticks upgrade it".to_owned(),
                ));
            }
            Ok(first::Runs::Stopped(state)) => {
                return Ok(Done::Skipped(format!(
                    "{SERVICE} is {state}: a person's doing, and left at that"
                )));
            }
            Ok(first::Runs::Nothing) => {}
            Err(why) if self.options.dry_run => {
                self.plans_to_bring = true;
                return Ok(Done::Planned(format!("{why:#}")));
            }
            Err(why) => return Err(host_error(&why)),
        }
        if self.options.dry_run {
            self.plans_to_bring = true;
            return Ok(Done::Planned(
                "bring the version that is wanted, by digest".to_owned(),
            ));
        }
        let brought = first::bring(self.deployment, surroundings).map_err(of_first)?;
        let said = format!("{} is here, and kept", brought.short());
        self.brought = Some(brought);
        Ok(Done::Changed(said))
    }

    fn host_files(&mut self) -> Result<Done, Stop> {
        let Some(brought) = &mut self.brought else {
            return Ok(Done::Skipped("no version was brought".to_owned()));
        };
        let did =
            first::host_files(self.deployment, brought, &self.options.upgrade).map_err(of_first)?;
        Ok(listed(did, false, "as that version has them"))
    }

    fn secrets(&mut self) -> Result<Done, Stop> {
        of_command((self.options.secrets)())
    }

    /// The service can start with the pair that is there, or that was made here.
    fn certificates(&mut self) -> Result<Done, Stop> {
        // what was not started yet cannot be looked at
        let proof = match self.brought {
            Some(_) => ProofTime::AfterStart,
            None => ProofTime::Now,
        };
        match of_command((self.options.certificates)(proof)) {
            Err(refusal) => Ok(Done::Failed(refusal)),
            done => done,
        }
    }

    fn start(&mut self) -> Result<Done, Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        if settings.runtime == Runtime::Process {
            return self.start_unit();
        }
        if self.options.dry_run {
            return Ok(match self.plans_to_bring {
                true => Done::Planned("start it, and wait for the gate".to_owned()),
                false => Done::Unchanged("what runs is left alone".to_owned()),
            });
        }
        if let Some(brought) = &self.brought {
            let surroundings = self.options.surroundings;
            first::start(
                self.deployment,
                surroundings,
                brought,
                &self.options.upgrade,
            )
            .map_err(of_first)?;
            self.disk_in_container()?;
            return Ok(Done::Changed(format!("{} serves", brought.short())));
        }
        // what Docker itself started at this boot: it has to see the disk too
        if compose::containers(host, &settings.dir, SERVICE).is_ok() {
            self.disk_in_container()?;
            return Ok(Done::Unchanged("it serves".to_owned()));
        }
        Ok(Done::Skipped("nothing was to start".to_owned()))
    }

    fn start_unit(&self) -> Result<Done, Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let ready = || ControlSocket::of(settings).get("/v1/state").is_ok();
        if ready() {
            return Ok(Done::Unchanged("agnesd answers".to_owned()));
        }
        if !self.options.root.is_live() {
            return Ok(Done::Skipped("systemd does not run here".to_owned()));
        }
        if self.options.dry_run {
            return Ok(Done::Planned(format!("start {SERVER_UNIT}")));
        }
        // it may have been tried before its secrets were there, and given up on
        let patience = std::time::Duration::from_secs(900);
        let _ = systemd::act(host, "reset-failed", &[SERVER_UNIT], patience);
        systemd::act(host, "start", &[SERVER_UNIT], patience).map_err(|why| {
            stop(
                "start-failed",
                format!("{why}; journalctl -u {SERVER_UNIT}"),
            )
        })?;
        match ready() {
            true => Ok(Done::Changed(format!("{SERVER_UNIT} serves"))),
            false => Err(stop(
                "start-failed",
                format!("{SERVER_UNIT} does not answer"),
            )),
        }
    }

    /// A container that was started before the mount has the boot disk's directory (B02).
    fn disk_in_container(&self) -> Result<(), Stop> {
        let Deployment { host, settings, .. } = self.deployment;
        let mounted = settings.stack.overlays.contains(&Overlay::HostMount);
        if settings.machine.data_device.is_none() || !mounted {
            return Ok(());
        }
        let containers = compose::containers(host, &settings.dir, SERVICE)
            .map_err(|missing| stop("host-error", missing.into_clause()))?;
        for container in containers {
            let is_seen =
                look_inside(host, settings, container.pid).map_err(|why| host_error(&why))?;
            if !is_seen {
                let why = format!(
                    "the container of {SERVICE} does not see the disk at {}: it was started before it was mounted",
                    settings.data_dir.display()
                );
                let hint = "docker compose up --detach --force-recreate app, after a look at what it wrote elsewhere";
                return Err(stop("disk-not-in-container", why).hint(hint));
            }
        }
        Ok(())
    }

    /// The server seeds the one address that may bootstrap; here it is only said who that is.
    fn admin(&mut self) -> Result<Done, Stop> {
        let email = &self.deployment.settings.server.seed_admin_email;
        Ok(match email {
            Some(email) => Done::Unchanged(format!(
                "{email} may bootstrap, or signs in by `agnesd sign-in-link {email}` on this host"
            )),
            None => Done::Skipped("SEED_ADMIN_EMAIL is not set".to_owned()),
        })
    }
}

fn of_first(failed: first::Failed) -> Stop {
    stop(failed.reason, failed.why)
}
