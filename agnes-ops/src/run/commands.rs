//! Commands with their memory: as they run by themselves, and as others run them.
//!
//! Always true: whoever runs one for another's sake leaves the record that it would leave; a dry run leaves none.
//!
//! Does not: decide which are run.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::Environment;
use super::record::{last_record, record};
use crate::deployment::Deployment;
use crate::outcome::Report;
use crate::units::{self, Root};
use crate::{secrets, tls};

/// Whether commands are run or only described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are run.
    Real,
    /// They say what they would do.
    Dry,
}

impl Mode {
    /// Of `--dry-run`.
    pub(super) fn of(dry_run: bool) -> Self {
        match dry_run {
            true => Self::Dry,
            false => Self::Real,
        }
    }
}

/// The way to them.
#[derive(Clone, Copy)]
pub(super) struct Commands<'a> {
    pub(super) environment: &'a Environment,
    pub(super) deployment: Deployment<'a>,
    pub(super) mode: Mode,
    /// The tree that it is about; `None`: this host.
    pub(super) root: Option<&'a Path>,
}

impl Commands<'_> {
    /// `secrets ensure`.
    pub(super) fn ensure_secrets(self) -> Result<Report> {
        let lookup = |name: &str| self.environment.get(name).map(str::to_owned);
        let memory = self.memory("secrets-ensure");
        let options = secrets::EnsureOptions {
            dry_run: self.mode == Mode::Dry,
            lookup: &lookup,
            memory: memory.as_ref(),
        };
        secrets::ensure(self.deployment, &options)
    }

    /// `tls rotate`; whether it is a dry run is this run's word.
    pub(super) fn rotate_certificate(self, options: tls::RotateOptions) -> Result<Report> {
        let options = tls::RotateOptions {
            dry_run: self.mode == Mode::Dry,
            ..options
        };
        let memory = self.memory("tls-rotate");
        tls::rotate(self.deployment, options, memory.as_ref())
    }

    /// `tls reload`.
    pub(super) fn reload_certificate(self) -> Result<Report> {
        let memory = self.memory("tls-rotate");
        tls::reload(self.deployment, self.mode == Mode::Dry, memory.as_ref())
    }

    /// `units install`.
    pub(super) fn install_units(self) -> Result<Report> {
        let Deployment { host, settings, .. } = self.deployment;
        self.of_units(|options| units::install(host, settings, options))
    }

    /// `units remove`.
    pub(super) fn remove_units(self) -> Result<Report> {
        let Deployment { host, settings, .. } = self.deployment;
        self.of_units(|options| units::remove(host, settings, options))
    }

    /// Both remember in one record what they wrote.
    fn of_units<T>(self, run: impl FnOnce(&units::Options<'_>) -> T) -> T {
        let memory = self.memory("units-install");
        run(&units::Options {
            dry_run: self.mode == Mode::Dry,
            root: Root::new(self.root),
            program: self.environment.program.as_deref(),
            memory: memory.as_ref(),
        })
    }

    /// Leaves the record of a command that was run for another's sake.
    pub(super) fn recorded(self, name: &str, report: Result<Report>) -> Result<Report> {
        let report = report?;
        if self.mode == Mode::Real {
            let Deployment { host, settings, .. } = self.deployment;
            record(host, settings, self.root, name, &report, 0)?;
        }
        Ok(report)
    }

    fn memory(self, slug: &str) -> Option<Value> {
        let Deployment { host, settings, .. } = self.deployment;
        last_record(host, settings, slug)?.get("memory").cloned()
    }
}
