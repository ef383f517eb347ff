//! The data disk: found, given a file system when it is blank and that is allowed, mounted by systemd, grown.
//!
//! Always true: a device is written on only after the plan said so; before that it is opened read-only, and a file system on it is looked into
//! without replaying its journal; what was chosen is kept on the boot disk first, so that a cut leaves nothing to guess.
//!
//! Does not: know what belongs on the disk.

mod plan;
mod probe;
mod unit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agnes_config::Settings;
use anyhow::Result;

use self::plan::{Decision, Fresh, Inside, Mounted, Refused, Seen, decide, judge};
use crate::disk::Sentinel;
use crate::host::{Host, RunError};
use crate::host_record::{Formatting, HostRecord};
use crate::units::Root;

/// Where a disk is looked into before it counts; each run has a place of its own there, named by its process.
const LOOK: &str = "run/agnes/disk-look";
/// How long a device may take to appear after a boot.
const APPEARS: Duration = Duration::from_secs(15);
/// How long a program may work on the disk; a large one is not written whole.
const WORK: Duration = Duration::from_secs(300);
/// The label of a file system that we make.
const LABEL: &str = "agnes-data";

/// What became of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// It was as it should be, but for what this says.
    Unchanged(Option<String>),
    /// What was done, and what could not be.
    Changed(Vec<String>),
}

/// Why it is not there.
#[derive(Debug)]
pub enum Failed {
    /// It was not touched.
    Refused(Refused),
    /// Something did not work.
    Host(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Host(error.into())
    }
}

/// The data disk of a deployment.
pub struct Disk<'a> {
    /// The host.
    pub host: &'a Host,
    /// The settings.
    pub settings: &'a Settings,
    /// `host.data_device`.
    pub device: &'a Path,
    /// Where units go.
    pub root: Root<'a>,
    /// Nothing is done, and `Changed` says what would be.
    pub dry_run: bool,
}

impl Disk<'_> {
    /// Makes it be mounted at `DATA_DIR`.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn converge(&self) -> Result<Became, Failed> {
        let mut record = HostRecord::read(self.host, &self.settings.dir)?;
        let seen = self.look(&record)?;
        let mut did = Vec::new();
        match decide(&seen) {
            Decision::Refuse(refused) => return Err(Failed::Refused(refused)),
            Decision::Mounted => self.check_mounted(&record)?,
            Decision::Mount { kind, uuid } => {
                let again = self.look_inside(&record, &kind, &uuid)?;
                let uuid = match again {
                    Some(fresh) => self.format(&mut record, fresh, &mut did)?,
                    None => uuid,
                };
                let kind = if again.is_some() { "xfs" } else { &kind };
                self.mount(kind, &uuid, &mut did)?;
            }
            Decision::Format(fresh) => {
                let uuid = self.format(&mut record, fresh, &mut did)?;
                self.mount("xfs", &uuid, &mut did)?;
            }
        }
        let mut not_grown = None;
        if !self.dry_run {
            self.sentinel(&mut record, &mut did)?;
            not_grown = self.grow(&mut did);
        }
        self.order_docker_after(&mut did)?;
        Ok(if did.is_empty() {
            Became::Unchanged(not_grown)
        } else {
            did.extend(not_grown);
            Became::Changed(did)
        })
    }

    fn look(&self, record: &HostRecord) -> Result<Seen, Failed> {
        let begun = self.host.instant();
        let mut found = probe::probe(self.host, self.device);
        while found == plan::Found::Absent && !self.dry_run && begun.elapsed() < APPEARS {
            self.host.sleep(Duration::from_millis(500));
            found = probe::probe(self.host, self.device);
        }
        let size = self.host.device_size(self.device).ok().flatten();
        let cut_off = record.formatting.as_ref().filter(|formatting| {
            Path::new(&formatting.device) == self.device && Some(formatting.size_bytes) == size
        });
        Ok(Seen {
            found,
            mounted: probe::mounted(self.host, self.device, &self.settings.data_dir)?,
            consent: self.settings.machine.format_blank,
            cut_off: cut_off.map(|formatting| formatting.uuid.clone()),
        })
    }

    /// Without writing a byte; `Some`: it is the rest of a format of ours, which has to be done again.
    fn look_inside(
        &self,
        record: &HostRecord,
        kind: &str,
        uuid: &str,
    ) -> Result<Option<Fresh>, Failed> {
        let ours = record
            .formatting
            .as_ref()
            .is_some_and(|open| open.uuid == uuid);
        self.end_looks_of_dead_runs()?;
        let looks = self.root.path(LOOK);
        let at = &looks.join(std::process::id().to_string());
        self.host.make_dir(at)?;
        let place = at.to_string_lossy();
        let options = match kind {
            "xfs" => "ro,norecovery,nouuid,nosuid,nodev,noexec",
            _ => "ro,noload,nosuid,nodev,noexec",
        };
        let device = self.device.to_string_lossy();
        if let Err(why) = self.run(&["mount", "-t", kind, "-o", options, &device, &place]) {
            if ours {
                return Ok(Some(Fresh::CutOff));
            }
            return Err(Failed::Refused(Refused {
                reason: "disk-unreadable",
                why: format!("its {kind} cannot be mounted: {why:#}"),
                hint: "look at the disk; nothing is formatted that cannot be read",
            }));
        }
        let inside = self
            .host
            .list(at)
            .map_err(anyhow::Error::from)
            .and_then(|names| {
                let sentinel = Sentinel::read(self.host, at)?.map(|sentinel| sentinel.id);
                Ok(Inside {
                    names,
                    sentinel,
                    known: record.disk.clone(),
                })
            });
        self.run(&["umount", &place])?;
        self.host.remove_flat_dir(at)?;
        judge(&inside?).map_err(Failed::Refused)?;
        Ok(None)
    }

    /// A look that was killed would keep the disk from being mounted for writing.
    fn end_looks_of_dead_runs(&self) -> Result<(), Failed> {
        let looks = &self.root.path(LOOK);
        for name in self.host.list(looks)? {
            let is_alive = match name.parse() {
                Ok(pid) => self.host.process(pid)?.is_some(),
                Err(_) => false,
            };
            if !is_alive {
                let at = looks.join(&name);
                // it may be killed before it was mounted
                let _ = self.run(&["umount", &at.to_string_lossy()]);
                self.host.remove_flat_dir(&at)?;
            }
        }
        Ok(())
    }

    /// One that is mounted already has to be the one that was here.
    fn check_mounted(&self, record: &HostRecord) -> Result<(), Failed> {
        let sentinel = Sentinel::read(self.host, &self.settings.data_dir)?;
        let Some(known) = record.disk.clone() else {
            return Ok(());
        };
        let inside = Inside {
            names: Vec::new(),
            sentinel: sentinel.map(|sentinel| sentinel.id),
            known: Some(known),
        };
        judge(&inside).map_err(Failed::Refused)
    }

    fn format(
        &self,
        record: &mut HostRecord,
        fresh: Fresh,
        did: &mut Vec<String>,
    ) -> Result<String, Failed> {
        did.push(format!("make XFS on {}", self.device.display()));
        let uuid = match (&record.formatting, fresh) {
            (Some(open), Fresh::CutOff) => open.uuid.clone(),
            _ => probe::new_uuid()?,
        };
        if self.dry_run {
            return Ok(uuid);
        }
        let size = self.host.device_size(self.device)?;
        record.formatting = Some(Formatting {
            device: self.device.display().to_string(),
            size_bytes: size.unwrap_or_default(),
            uuid: uuid.clone(),
        });
        record.write(self.host, &self.settings.dir)?;
        // the last look is as close to the first write as it can be, and mkfs looks again itself
        if fresh == Fresh::Blank && probe::probe(self.host, self.device) != plan::Found::Blank {
            return Err(Failed::Refused(Refused {
                reason: "disk-not-blank",
                why: "it was blank a moment ago, and is not any more".to_owned(),
                hint: "who else uses it?",
            }));
        }
        self.host.checkpoint("before mkfs");
        let chosen = format!("crc=1,reflink=1,uuid={uuid}");
        let device = self.device.to_string_lossy();
        let mut argv = vec!["mkfs.xfs", "-q", "-m", &chosen, "-L", LABEL];
        if fresh == Fresh::CutOff {
            argv.push("-f");
        }
        argv.push(&device);
        self.run(&argv)?;
        self.host.checkpoint("after mkfs");
        Ok(uuid)
    }

    /// By systemd, where it runs: from then on at every boot.
    fn mount(&self, kind: &str, uuid: &str, did: &mut Vec<String>) -> Result<(), Failed> {
        let at = &self.settings.data_dir;
        did.push(format!(
            "mount {} at {}",
            self.device.display(),
            at.display()
        ));
        self.refuse_hidden_files()?;
        let name = unit::name(at);
        let path = self.root.unit(&name);
        let text = unit::text(at, kind, uuid);
        if self.dry_run {
            return Ok(());
        }
        self.host.make_dir(at)?;
        self.install(&path, &text)?;
        let wants = self.root.unit(&format!("local-fs.target.wants/{name}"));
        self.make_parent(&wants)?;
        self.host
            .link(Path::new(&format!("/etc/systemd/system/{name}")), &wants)?;
        self.host.checkpoint("before mounting");
        if self.root.is_live() {
            crate::systemd::act(self.host, "daemon-reload", &[], WORK)
                .map_err(anyhow::Error::msg)?;
            crate::systemd::act(self.host, "start", &[&name], WORK).map_err(anyhow::Error::msg)?;
        } else {
            let source = format!("UUID={uuid}");
            let at = at.to_string_lossy();
            let device = self.device.to_string_lossy();
            // the link by UUID is udev's, which may not run here
            self.run(&["mount", "-t", kind, "-o", unit::OPTIONS, &source, &at])
                .or_else(|_| self.run(&["mount", "-t", kind, "-o", unit::OPTIONS, &device, &at]))?;
        }
        self.host.checkpoint("mounted");
        match probe::mounted(self.host, self.device, at)? {
            Mounted::Device => Ok(()),
            other => Err(Failed::Host(anyhow::anyhow!(
                "{}: was mounted, and what is there is {other:?}",
                at.display()
            ))),
        }
    }

    /// What a service that started too early has left on the boot disk must not vanish under the mount.
    fn refuse_hidden_files(&self) -> Result<(), Failed> {
        let at = &self.settings.data_dir;
        let names = self.host.list(at)?;
        if names.is_empty() {
            return Ok(());
        }
        Err(Failed::Refused(Refused {
            reason: "mount-point-not-empty",
            why: format!(
                "{} holds files on the boot disk, which the mount would hide: {}",
                at.display(),
                names.join(", ")
            ),
            hint: "move them away, or onto the disk, and boot again",
        }))
    }

    /// The disk and this host know each other from now on.
    fn sentinel(&self, record: &mut HostRecord, did: &mut Vec<String>) -> Result<(), Failed> {
        let at = &self.settings.data_dir;
        let sentinel = match Sentinel::read(self.host, at)? {
            Some(sentinel) => sentinel,
            None => {
                let now = self.host.now();
                let made = Sentinel {
                    id: probe::random_hex()?,
                    made_at: now
                        .format(&time::format_description::well_known::Rfc3339)
                        .unwrap_or_default(),
                };
                crate::state_file::write(self.host, &Sentinel::path(at), &made)?;
                did.push(format!("write {}", Sentinel::path(at).display()));
                made
            }
        };
        let known = HostRecord {
            disk: Some(sentinel.id),
            formatting: None,
            ..record.clone()
        };
        if known != *record {
            known.write(self.host, &self.settings.dir)?;
            *record = known;
        }
        Ok(())
    }

    /// A disk that was made larger is used whole.
    fn grow(&self, did: &mut Vec<String>) -> Option<String> {
        let at = self.settings.data_dir.to_string_lossy();
        let device = self.device.to_string_lossy();
        let plan::Found::Filesystem { kind, .. } = probe::probe(self.host, self.device) else {
            return None;
        };
        let argv: &[&str] = match kind.as_str() {
            "xfs" => &["xfs_growfs", &at],
            _ => &["resize2fs", &device],
        };
        let why = match self.host.run(argv, None, WORK) {
            Ok(ran) if ran.code == 0 => {
                if ran.stdout.contains("data blocks changed") || ran.stdout.contains("is now") {
                    did.push(format!("grow {device}"));
                }
                return None;
            }
            Ok(ran) => ran.last_line().to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!("{device}: not grown: {why}");
        Some(format!("not grown: {why}"))
    }

    /// Docker starts containers by itself at boot: never before the disk that they write on is there (B02).
    fn order_docker_after(&self, did: &mut Vec<String>) -> Result<(), Failed> {
        let path = self.root.unit("docker.service.d/10-agnes-data.conf");
        let text = format!(
            "# Written by `agnes-ops boot`.\n[Unit]\nRequiresMountsFor={}\n",
            self.settings.data_dir.display()
        );
        if self.host.read(&path)?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        did.push(format!("write {}", path.display()));
        if !self.dry_run {
            self.install(&path, &text)?;
            if self.root.is_live() {
                let reload = crate::systemd::act(self.host, "daemon-reload", &[], WORK);
                reload.map_err(anyhow::Error::msg)?;
            }
        }
        Ok(())
    }

    fn install(&self, path: &Path, text: &str) -> Result<(), Failed> {
        self.make_parent(path)?;
        if self.host.read(path)?.as_deref() != Some(text.as_bytes()) {
            self.host.install(path, text.as_bytes(), 0o644, None)?;
        }
        Ok(())
    }

    fn make_parent(&self, path: &Path) -> Result<(), Failed> {
        let parent: Option<PathBuf> = path.parent().map(Path::to_owned);
        if let Some(parent) = parent {
            self.host.make_dir(&parent)?;
        }
        Ok(())
    }

    fn run(&self, argv: &[&str]) -> Result<()> {
        let program = argv.first().copied().unwrap_or_default();
        match self.host.run(argv, None, WORK) {
            Ok(ran) if ran.code == 0 => Ok(()),
            // what follows mount's first line is advice
            Ok(ran) => anyhow::bail!("{program}: {}", ran.first_line()),
            Err(RunError::NoProgram) => anyhow::bail!("there is no {program} program"),
            Err(error) => anyhow::bail!("{program}: {error}"),
        }
    }
}
